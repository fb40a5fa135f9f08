//! The server shell: connections in, answers out, and an end that is in order.
//!
//! Not `axum::serve`: it lets a half-sent header stand open for ever, and its graceful shutdown has no deadline.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

const OPEN_CONNECTIONS: &str = "http_server_open_connections";

/// The times of [`serve`].
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// How long a request's header may take to arrive. It is also how long an idle connection is kept, so it must be
    /// longer than clients keep theirs for reuse.
    pub header_timeout: Duration,
    /// How long requests in flight may take to end after `shutdown`.
    pub deadline: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { header_timeout: Duration::from_secs(30), deadline: Duration::from_secs(10) }
    }
}

/// What a server answers by: a router from the start, and another one once the service behind it is there. Clones are the
/// same routes.
#[derive(Clone, Debug)]
pub struct Routes(Arc<Answering>);

#[derive(Debug)]
struct Answering {
    first: Router,
    then: OnceLock<Router>,
}

impl Routes {
    /// Answers by `router` from now on, for requests that begin from now on. It can be done once; whatever comes later
    /// changes nothing.
    pub fn replace(&self, router: Router) {
        // Somebody was first.
        let _ = self.0.then.set(router);
    }

    fn now(&self) -> &Router {
        self.0.then.get().unwrap_or(&self.0.first)
    }
}

impl From<Router> for Routes {
    fn from(first: Router) -> Self {
        Self(Arc::new(Answering { first, then: OnceLock::new() }))
    }
}

/// Serves `routes` on `listener` until `shutdown`, then finishes the requests in flight, at most until the deadline.
/// Answers how many connections had to be cut.
///
/// A failing accept (no file descriptors left, for example) is survived: it is tried again after a pause.
pub async fn serve(
    listener: TcpListener,
    routes: impl Into<Routes>,
    shutdown: CancellationToken,
    options: ServeOptions,
) -> usize {
    let routes = routes.into();
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let shell = Arc::new(Shell { builder: builder(options), routes, shutdown: shutdown.clone(), options });
    while let Some(stream) = accept(&listener, &shutdown).await {
        let (shell, cut) = (shell.clone(), cut.clone());
        connections.spawn(async move {
            let _open = Open::new();
            tokio::select! {
                () = shell.connection(stream) => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(options.deadline, connections.wait()).await.is_ok() {
        return 0;
    }
    let late = connections.len();
    tracing::warn!(connections = late, "cut connections whose requests did not end before the deadline");
    cut.cancel();
    connections.wait().await;
    late
}

fn builder(options: ServeOptions) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(options.header_timeout));
    builder
}

/// The next connection, or `None` at shutdown.
async fn accept(listener: &TcpListener, shutdown: &CancellationToken) -> Option<TcpStream> {
    let mut pause = Duration::from_millis(5);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        let error = match accepted {
            Ok((stream, _)) => {
                // Answers are small and whole: waiting to fill a packet only costs time. A failure costs just that.
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => error,
        };
        if concerns_one_connection(&error) {
            continue;
        }
        tracing::warn!(%error, "cannot accept a connection, trying again");
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(1)),
        }
    }
}

/// The client went away before it was accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

struct Shell {
    builder: Builder<TokioExecutor>,
    routes: Routes,
    shutdown: CancellationToken,
    options: ServeOptions,
}

impl Shell {
    async fn connection(&self, stream: TcpStream) {
        let begun = Arc::new(Notify::new());
        let service = service_fn({
            let (begun, routes) = (begun.clone(), self.routes.clone());
            move |request: Request<Incoming>| {
                begun.notify_one();
                routes.now().clone().oneshot(request.map(Body::new))
            }
        });
        let mut connection = std::pin::pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        // hyper's timeout begins when it knows the protocol; a client that sends nothing never gets that far.
        let first = tokio::time::timeout(self.options.header_timeout, begun.notified());
        let mut first = std::pin::pin!(first);
        let mut waiting = true;
        let outcome = loop {
            tokio::select! {
                outcome = connection.as_mut() => break outcome,
                begun = first.as_mut(), if waiting => match begun {
                    Ok(()) => waiting = false,
                    Err(_) => return,
                },
                () = self.shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    break connection.as_mut().await;
                }
            }
        };
        if let Err(error) = outcome {
            // Clients break off all the time; this is of interest only when one looks for it.
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// Counts a connection while it lives.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!(OPEN_CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(OPEN_CONNECTIONS).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_went_away_is_passed_over_at_once() {
        assert!(concerns_one_connection(&io::ErrorKind::ConnectionAborted.into()));
        // 24 is EMFILE: trying again at once would spin.
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(24)));
    }
}
