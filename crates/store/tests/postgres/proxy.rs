//! A way to the server that can be cut, and that can fall silent.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex};

use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::place::server;

/// Forwards connections while it is open.
pub struct Proxy {
    port: u16,
    accepting: Mutex<Option<JoinHandle<()>>>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Proxy {
    /// A port that nobody listens on yet.
    pub async fn closed() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        Self { port, accepting: Mutex::default(), connections: Arc::default() }
    }

    /// The URL that leads through here.
    pub fn through(&self, url: &str) -> String {
        let target = PgConnectOptions::from_str(&server()).unwrap();
        let there = format!("{}:{}", target.get_host(), target.get_port());
        assert!(url.contains(&there), "{url} doesn't name {there}");
        url.replace(&there, &format!("127.0.0.1:{}", self.port))
    }

    /// Lets connections through from now on.
    pub async fn open(&self) {
        let target = PgConnectOptions::from_str(&server()).unwrap();
        let there = (target.get_host().to_owned(), target.get_port());
        let connections = self.connections.clone();
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let accepting = tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let there = there.clone();
                let forwarding = tokio::spawn(async move {
                    let mut far = TcpStream::connect(there).await.unwrap();
                    // Whoever ends it ends it.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
                connections.lock().unwrap().push(forwarding);
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }

    /// Takes connections from now on and never answers.
    pub async fn fall_silent(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        let accepting = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                held.push(listener.accept().await.unwrap());
            }
        });
        *self.accepting.lock().unwrap() = Some(accepting);
    }

    /// Cuts all connections and refuses new ones.
    pub async fn cut(&self) {
        let accepting = self.accepting.lock().unwrap().take().unwrap();
        accepting.abort();
        let _ = accepting.await;
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in connections {
            connection.abort();
            let _ = connection.await;
        }
    }
}
