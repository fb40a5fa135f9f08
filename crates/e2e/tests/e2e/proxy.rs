//! A way to a server that can be cut, closed, and stopped between the fence of a transaction and its commit.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Statements that are kept back wherever they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// Of a batch: its fence is not passed yet.
    Begin,
    /// The fence is passed, and locked.
    Commit,
}

impl Trap {
    /// As PostgreSQL's protocol has it. It comes by itself: only after the answer to the statement before.
    fn matches(self, message: &[u8]) -> bool {
        let statement: &[u8] = match self {
            Self::Begin => b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE\0",
            Self::Commit => b"COMMIT\0",
        };
        is(message, statement)
    }
}

fn is(message: &[u8], statement: &[u8]) -> bool {
    message.first() == Some(&b'Q') && message.get(5..) == Some(statement)
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
    trap: watch::Sender<Option<Trap>>,
    kept: watch::Sender<usize>,
    /// Transactions with a statement that was kept back, and without an end.
    open: watch::Sender<usize>,
}

/// Such a transaction. It ends with its connection, too.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
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
            trap: watch::Sender::new(None),
            kept: watch::Sender::new(0),
            open: watch::Sender::new(0),
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

    /// Keeps such statements back from now on; returns when so many are.
    pub async fn trap(&self, trap: Trap, count: usize) -> Result<()> {
        self.shared.kept.send_replace(0);
        self.shared.trap.send_replace(Some(trap));
        self.shared.kept.subscribe().wait_for(|kept| *kept >= count).await?;
        Ok(())
    }

    /// Sends on what is kept back, if its connection is still there.
    pub fn release(&self) {
        self.shared.trap.send_replace(None);
    }

    /// Waits for the end of each transaction of which a statement was kept back.
    pub async fn ended(&self) -> Result<()> {
        self.shared.open.subscribe().wait_for(|open| *open == 0).await?;
        Ok(())
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
        connections.spawn(forward(near, shared.clone()));
    }
}

/// Until either side ends it.
async fn forward(near: TcpStream, shared: Arc<Shared>) {
    let Ok(far) = TcpStream::connect(&shared.target).await else { return };
    // A small answer must not wait for the next one.
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    let (from_near, mut to_near) = near.into_split();
    let (mut from_far, to_far) = far.into_split();
    tokio::select! {
        () = requests(from_near, to_far, &shared) => {}
        _ = tokio::io::copy(&mut from_far, &mut to_near) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buffer = vec![0; 1 << 16];
    let mut open = None;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let message = &buffer[..count];
        if shared.trap.borrow().is_some_and(|trap| trap.matches(message)) {
            open = Some(Open::new(shared));
            shared.kept.send_modify(|kept| *kept += 1);
            if shared.trap.subscribe().wait_for(Option::is_none).await.is_err() {
                return;
            }
        }
        if to.write_all(message).await.is_err() {
            return;
        }
        if open.is_some() && is(message, b"COMMIT\0") | is(message, b"ROLLBACK\0") {
            open = None;
        }
    }
}
