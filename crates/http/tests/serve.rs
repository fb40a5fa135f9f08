//! The server shell over real sockets.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_http::{ServeOptions, WrapOptions, serve, wrap};

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    entered: Arc<Notify>,
    release: Arc<Notify>,
    task: JoinHandle<usize>,
}

async fn start(header_timeout: Duration, deadline: Duration) -> Server {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (entered, release) = (entered.clone(), release.clone());
        move || async move {
            entered.notify_one();
            release.notified().await;
            "done"
        }
    };
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/slow", get(slow))
        .route("/refuse", post(async || axum::http::StatusCode::PAYLOAD_TOO_LARGE));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let options = ServeOptions { header_timeout, deadline };
    let task = tokio::spawn(serve(listener, wrap(router, WrapOptions::default()), shutdown.clone(), options));
    Server { address, shutdown, entered, release, task }
}

const LONG: Duration = Duration::from_secs(60);

async fn send(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// All that comes until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset ends it as well as a close.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn answers_over_http1_and_keeps_the_connection() {
    let server = start(LONG, LONG).await;
    let mut stream = send(&server, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let text = rest(stream).await;
    assert!(text.contains("hello") && text.contains("HTTP/1.1 404") && text.contains("route_unknown"), "{text}");
}

#[tokio::test]
async fn answers_over_http2() {
    let server = start(LONG, LONG).await;
    // The preface and an empty SETTINGS frame; the server's own SETTINGS frame comes back.
    let mut stream = send(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_header_is_cut() {
    let server = start(Duration::from_millis(100), LONG).await;
    for begun in ["GET / HTTP/1.1\r\nHost: loc", "", "P", "PRI * HT"] {
        let stream = send(&server, begun).await;
        let text = tokio::time::timeout(Duration::from_secs(10), rest(stream)).await.expect("must be cut");
        assert!(!text.contains("200"), "{begun}: {text}");
    }
}

#[tokio::test]
async fn shutdown_finishes_the_request_in_flight_and_closes_idle_connections() {
    let server = start(LONG, LONG).await;
    let idle = send(&server, "").await;
    let mut kept = send(&server, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    kept.read_exact(&mut [0; 15]).await.unwrap();
    let busy = send(&server, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    server.entered.notified().await;
    server.shutdown.cancel();
    rest(idle).await;
    rest(kept).await;
    assert!(!server.task.is_finished());
    server.release.notify_one();
    let text = rest(busy).await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("done"), "{text}");
    assert_eq!(server.task.await.unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn shutdown_has_a_deadline() {
    let server = start(LONG, Duration::from_millis(100)).await;
    let busy = send(&server, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    server.entered.notified().await;
    let began = Instant::now();
    server.shutdown.cancel();
    assert_eq!(server.task.await.unwrap(), 1);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(rest(busy).await, "");
}

#[tokio::test]
async fn a_sender_that_is_refused_midway_reads_the_answer() {
    let server = start(LONG, LONG).await;
    let size = 20_000_000;
    let head =
        format!("POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
    let mut stream = send(&server, &head).await;
    stream.write_all(&vec![b'x'; size]).await.unwrap();
    let text = rest(stream).await;
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("request_too_large"), "{text}");
}
