//! What every program answers, without a key: whether it lives, whether it is ready, what it counts.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use weir_lifecycle::{Health, Metrics};

use crate::Problem;

/// `/livez`, `/readyz` and `/metrics`.
pub(crate) fn routes(health: Health, metrics: Metrics) -> Router {
    alive(metrics).route("/readyz", get(readyz)).with_state(health)
}

/// The same, but never ready, and 503 on every other path: what a service answers before it can be asked, whether or not
/// its components are declared yet.
pub(crate) fn while_starting(health: Health, metrics: Metrics) -> Router {
    let not_yet = move || std::future::ready(not_ready(&health));
    alive(metrics).route("/", any(not_yet.clone())).route("/{*path}", any(not_yet))
}

fn alive<S: Clone + Send + Sync + 'static>(metrics: Metrics) -> Router<S> {
    let rendered = move || std::future::ready(rendered(&metrics));
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({"live": true})) }))
        .route("/metrics", get(rendered))
}

async fn readyz(State(health): State<Health>) -> Response {
    let report = health.report();
    if report.ready { Json(report).into_response() } else { not_ready(&health).into_response() }
}

fn not_ready(health: &Health) -> Problem {
    let reasons = health.report().reasons();
    Problem::unavailable("not_ready", if reasons.is_empty() { "starting".to_owned() } else { reasons }, 1)
}

fn rendered(metrics: &Metrics) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}
