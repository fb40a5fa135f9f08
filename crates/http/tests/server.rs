//! The shell of a program while it starts, and once it serves.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_http::{Server, WrapOptions, bind};

async fn get(at: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn nothing_is_ready_before_it_is_served() {
    let server = Server::open(bind("127.0.0.1:0".parse().unwrap()).await.unwrap(), WrapOptions::default()).unwrap();
    // No component is declared yet: nobody has said that anything is ready.
    for path in ["/readyz", "/", "/api/events"] {
        let answer = get(server.at(), path).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""detail":"starting""#), "{path}: {answer}");
    }
    let component = server.health().component("log");
    assert!(get(server.at(), "/readyz").await.contains("log: starting"));
    component.ready();
    assert!(get(server.at(), "/readyz").await.starts_with("HTTP/1.1 503"), "its routes aren't there");
    for path in ["/livez", "/metrics"] {
        assert!(get(server.at(), path).await.starts_with("HTTP/1.1 200"));
    }
    server.serve(Router::new());
    assert!(get(server.at(), "/readyz").await.starts_with("HTTP/1.1 200"));
    component.not_ready("away");
    assert!(get(server.at(), "/readyz").await.contains("log: away"));
}
