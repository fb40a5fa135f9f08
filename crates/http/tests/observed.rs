//! What operators see of requests: metrics by route, one log line a failure, nothing about people.

#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::ServiceExt as _;
use weir_http::{Problem, WrapOptions, wrap};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn profile(Path(id): Path<String>) -> Result<String, Problem> {
    match id.as_str() {
        "email:broken@example.com" => Err(Problem::internal(&io::Error::other("the disk is on fire"))),
        "email:later@example.com" => Err(Problem::unavailable("log_unavailable", "the log can't be reached", 1)
            .caused_by(&io::Error::other("broker 3 is gone"))),
        "email:backfilling@example.com" => Err(Problem::unavailable("segment_backfilling", "not yet", 1)),
        "email:bad@example.com" => Err(Problem::invalid_field("x", "", "no")),
        _ => Ok(id),
    }
}

fn service(lines: &Lines) -> (Router, tracing::subscriber::DefaultGuard) {
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let router = Router::new().route("/api/profiles/{id}", get(profile));
    (wrap(router, WrapOptions::default()), tracing::subscriber::set_default(subscriber))
}

async fn ask(router: &Router, path: &str) -> u16 {
    let request = Request::builder().uri(path).header("x-request-id", "r-7").body(Body::from("secret")).unwrap();
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn durations_are_counted_by_route() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (router, _subscriber) = service(&Lines::default());
    for (path, status) in [
        ("/api/profiles/email:ada@example.com", 200),
        ("/api/profiles/email:eda@example.com", 200),
        ("/api/profiles/email:bad@example.com", 422),
        ("/ada@example.com", 404),
    ] {
        assert_eq!(ask(&router, path).await, status);
    }
    let text = handle.render();
    let count = |route: &str, status: u16| {
        let labels = [
            "http_request_method=\"GET\"".to_owned(),
            format!("http_route=\"{route}\""),
            format!("http_response_status_code=\"{status}\""),
        ];
        let line = text.lines().find(|line| {
            line.starts_with("http_server_request_duration_seconds_count") && labels.iter().all(|l| line.contains(l))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!(count("/api/profiles/{id}", 200), Some(2), "{text}");
    assert_eq!(count("/api/profiles/{id}", 422), Some(1), "{text}");
    assert_eq!(count("unmatched", 404), Some(1), "{text}");
    assert!(!text.contains("example.com"), "{text}");
}

#[tokio::test]
async fn a_failure_is_one_line_with_its_cause_and_without_people() {
    let lines = Lines::default();
    let (router, _subscriber) = service(&lines);
    for (path, status) in [
        ("/api/profiles/email:broken@example.com", 500),
        ("/api/profiles/email:later@example.com", 503),
        ("/api/profiles/email:backfilling@example.com", 503),
        ("/api/profiles/email:bad@example.com", 422),
        ("/nowhere/ada@example.com", 404),
        ("/api/profiles/email:ada@example.com", 200),
    ] {
        assert_eq!(ask(&router, path).await, status);
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let logged: Vec<_> = text.lines().collect();
    assert_eq!(logged.len(), 2, "{text}");
    for (line, parts) in logged.iter().zip([["ERROR", "the disk is on fire"], ["WARN", "broker 3 is gone"]]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(line.contains("r-7") && line.contains("/api/profiles/{id}"), "{line}");
    }
    assert!(!text.contains("example.com") && !text.contains("secret"), "{text}");
}
