//! A way to a server that can be cut, closed, and stopped between the fence of a transaction and its commit.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// `COMMIT` as PostgreSQL's protocol has it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What happens to a `COMMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    Pass,
    /// The next one is kept back.
    Trap,
    /// One is; all others pass.
    Kept,
}

/// Forwards connections to one address.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

struct Shared {
    /// Host and port.
    target: String,
    connections: Mutex<JoinSet<()>>,
    closed: watch::Sender<bool>,
    commits: watch::Sender<Commits>,
}

impl Proxy {
    /// To HOST:PORT.
    pub async fn open(target: &str) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            connections: Mutex::default(),
            closed: watch::Sender::new(false),
            commits: watch::Sender::new(Commits::Pass),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { port, shared, accepting })
    }

    /// The URL of the server, by way of this.
    pub fn through(&self, url: &str) -> Result<String> {
        url.contains(&self.shared.target).then_some(()).with_context(|| format!("{url} leads elsewhere"))?;
        Ok(url.replace(&self.shared.target, &format!("127.0.0.1:{}", self.port)))
    }

    /// Cuts what is connected; others may connect.
    pub fn cut(&self) {
        self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Whether new connections are refused from now on.
    pub fn close(&self, closed: bool) {
        self.shared.closed.send_replace(closed);
        if closed {
            self.cut();
        }
    }

    /// Waits for the next `COMMIT`, and keeps it back: the transaction's fence is passed, and locked.
    pub async fn trap_commit(&self) -> Result<()> {
        self.shared.commits.send_replace(Commits::Trap);
        self.shared.commits.subscribe().wait_for(|commits| *commits == Commits::Kept).await?;
        Ok(())
    }

    /// Sends on what is kept back, if its connection is still there.
    pub fn release_commit(&self) {
        self.shared.commits.send_replace(Commits::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { return };
        if *shared.closed.borrow() {
            continue;
        }
        let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        connections.spawn(forward(near, shared.target.clone(), shared.commits.clone()));
    }
}

/// Until either side ends it.
async fn forward(near: TcpStream, target: String, commits: watch::Sender<Commits>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    // A small answer must not wait for the next one.
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    let (from_near, mut to_near) = near.into_split();
    let (mut from_far, to_far) = far.into_split();
    tokio::select! {
        () = requests(from_near, to_far, commits) => {}
        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, commits: watch::Sender<Commits>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        // It comes by itself: only after the answer to the statement before.
        let trap = |commits: &mut Commits| {
            let trapped = *commits == Commits::Trap && buffer[..count] == *COMMIT;
            if trapped {
                *commits = Commits::Kept;
            }
            trapped
        };
        if commits.send_if_modified(trap)
            && commits.subscribe().wait_for(|commits| *commits != Commits::Kept).await.is_err()
        {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
