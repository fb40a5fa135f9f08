//! The shell of a program that serves HTTP: port, health, metrics, tasks, signals.
//!
//! Invariant: the port answers from the first moment on, `/livez` and `/readyz` among it, whatever the service behind it
//! still waits for; every other path is 503 until then. Binding the port last was rejected: whoever watches a process
//! that waits for Kafka could not tell it from one that hangs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use weir_lifecycle::{Exit, Failure, Health, Metrics, Signal, Supervisor, causes, say, signals};

use crate::serve::{Routes, ServeOptions, serve};
use crate::surface;
use crate::wrap::{WrapOptions, wrap};

/// From the first signal on; connections are cut a little earlier.
const DEADLINE: Duration = Duration::from_secs(20);

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}")]
pub struct CantListen {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// Takes the port.
///
/// # Errors
/// It is in use, or not to be had.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, CantListen> {
    TcpListener::bind(address).await.map_err(|source| CantListen { address, source })
}

/// A program's port, and what runs behind it.
#[derive(Debug)]
pub struct Server {
    at: SocketAddr,
    health: Health,
    metrics: Metrics,
    routes: Routes,
    wrapping: WrapOptions,
    supervisor: Supervisor,
    signals: UnboundedReceiver<Signal>,
}

impl Server {
    /// Serves `/livez`, `/readyz` and `/metrics` on the port, and 503 on every other path; takes the process's signals.
    ///
    /// # Errors
    /// The process records metrics already, or has no handlers for signals.
    pub fn open(listener: TcpListener, wrapping: WrapOptions) -> Result<Self, Failure> {
        let at = listener.local_addr()?;
        let (metrics, health) = (Metrics::install()?, Health::default());
        let mut supervisor = Supervisor::new(DEADLINE);
        let starting = surface::while_starting(health.clone(), metrics.clone());
        let routes = Routes::from(wrap(starting, wrapping.clone()));
        let (stop, answering) = (supervisor.shutdown(), routes.clone());
        supervisor.spawn("http", async move {
            let cut = serve(listener, answering, stop, ServeOptions::default()).await;
            if cut > 0 {
                tracing::warn!(connections = cut, "connections were cut: they had not finished within the deadline");
            }
            io::Result::Ok(())
        });
        let (stop, kept) = (supervisor.shutdown(), metrics.clone());
        supervisor.spawn("metrics", async move {
            kept.keep(stop).await;
            io::Result::Ok(())
        });
        Ok(Self { at, health, metrics, routes, wrapping, supervisor, signals: signals()? })
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// What `/readyz` answers.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The token that tells every task to end.
    pub fn shutdown(&self) -> CancellationToken {
        self.supervisor.shutdown()
    }

    /// The tasks of the process.
    pub fn tasks(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }

    /// Does a part of the start that may take long; `None` if the process is to end before it is done. Then
    /// [`run`](Self::run) is what is left to do.
    pub async fn starting<T>(&mut self, start: impl Future<Output = T>) -> Option<T> {
        self.supervisor.starting(&mut self.signals, start).await
    }

    /// Serves the routes of the service, which can be asked from now on. Once.
    pub fn serve(&self, service: Router) {
        let surface = surface::routes(self.health.clone(), self.metrics.clone());
        self.routes.replace(wrap(service.merge(surface), self.wrapping.clone()));
    }

    /// Serves nothing but health and metrics: the service has no routes.
    pub fn serve_health(&self) {
        self.serve(Router::new());
    }

    /// Says on standard output that the port answers and the service has begun: the line that scripts wait for. Where
    /// nobody reads it, the service goes on: its clients are elsewhere.
    pub fn say_ready(&self) {
        if let Err(unsaid) = say(&format!("ready: http://{}", self.at)) {
            tracing::warn!(cause = causes(&unsaid), "nobody hears that it is ready");
        }
    }

    /// Runs until the process should end.
    pub async fn run(self) -> Exit {
        self.supervisor.run(self.signals).await
    }
}
