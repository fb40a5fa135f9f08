//! The service over a log in memory, asked without a network.
#![allow(dead_code)]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use weir_control::{Role, Secret};
use weir_event::{Clock, Stream};
use weir_event_log::{EventLog, LogReader, LogRecord, MemoryLog};
use weir_http::{WrapOptions, wrap};
use weir_ingest::bootstrap::{FirstKeys, OpenSettings, make_workspace, open_log};
use weir_ingest::{Ingest, Settings};
use weir_lifecycle::Health;

pub struct House {
    pub ingest: Ingest,
    pub router: Router,
    pub log: Arc<dyn EventLog>,
    pub clock: Clock,
    pub health: Health,
    pub write: String,
    pub read: String,
    pub admin: String,
    pub operator: String,
    shutdown: CancellationToken,
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("-")
    }

    pub fn position(&self) -> weir_event::Position {
        weir_event::Position::parse(self.headers["weir-position"].to_str().unwrap()).unwrap()
    }
}

fn secret(role: Role, seed: u8) -> Secret {
    Secret::new(role, &[seed; 32])
}

impl House {
    /// Keys are asked for, the clock is the system's.
    pub async fn new() -> Self {
        Self::over(Arc::new(MemoryLog::new(2).unwrap()), Clock::system(), false).await
    }

    pub async fn under_test_clock() -> Self {
        Self::over(Arc::new(MemoryLog::new(2).unwrap()), Clock::test(), false).await
    }

    pub async fn open() -> Self {
        Self::over(Arc::new(MemoryLog::new(1).unwrap()), Clock::system(), true).await
    }

    /// Over a log that may be there already.
    pub async fn over(log: Arc<dyn EventLog>, clock: Clock, open: bool) -> Self {
        Self::with_service_log(Arc::clone(&log), log, clock, open).await
    }

    /// The first workspace is made on `log`, the service runs over `served`.
    pub async fn with_service_log(log: Arc<dyn EventLog>, served: Arc<dyn EventLog>, clock: Clock, open: bool) -> Self {
        let [write, read, admin, operator] =
            [Role::Write, Role::Read, Role::Admin, Role::Operator].map(|r| secret(r, 1));
        let keys =
            FirstKeys { write: write.hash(), read: read.hash(), admin: admin.hash(), operator: Some(operator.hash()) };
        open_log(&*log, &OpenSettings::default(), &clock).await.unwrap();
        make_workspace(&*log, "default", &keys, "test", &clock).await.unwrap();
        let settings = Settings { open, ..Settings::new(clock.clone()) };
        let (ingest, follower) = loop {
            match Ingest::start(Arc::clone(&served), settings.clone()).await {
                Ok(started) => break started,
                Err(weir_ingest::StartError::Read(_)) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(follower.run(shutdown.clone()));
        let router = wrap(ingest.router(), WrapOptions::default());
        let [write, read, admin, operator] = [write, read, admin, operator].map(|key| key.expose().to_owned());
        Self { ingest, router, log, clock, health: settings.health, write, read, admin, operator, shutdown }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn call(&self, method: &str, path: &str, key: &str, body: impl Into<Body>) -> Answer {
        self.call_with(method, path, key, &[], body).await
    }

    pub async fn call_with(
        &self,
        method: &str,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// With the admin key.
    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.call("POST", path, &self.admin, body).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.call("PUT", path, &self.admin, body).await
    }

    pub async fn records(&self, stream: Stream) -> Vec<LogRecord> {
        records(&*self.log, stream).await
    }

    /// The records of `events.v1` as JSON.
    pub async fn events(&self) -> Vec<Value> {
        let records = self.records(Stream::Events).await;
        for record in &records {
            let envelope = weir_event::Envelope::parse(&record.value).unwrap();
            assert_eq!(record.key, envelope.key().as_bytes());
        }
        records.iter().map(|record| serde_json::from_slice(&record.value).unwrap()).collect()
    }
}

pub async fn records(log: &dyn EventLog, stream: Stream) -> Vec<LogRecord> {
    let mut all = Vec::new();
    for partition in 0..LogReader::partitions(log, stream) {
        let end = log.bounds(stream, partition).await.unwrap().end;
        let mut next = 0;
        while next < end {
            let chunk = log.read(stream, partition, next, 1_000_000).await.unwrap();
            next = chunk.next;
            all.extend(chunk.records);
        }
    }
    all
}
