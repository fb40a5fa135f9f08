//! What every program answers, without a key: whether it lives, whether it is ready, what it counts.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use weir_lifecycle::{Health, Metrics};

use crate::Problem;

#[derive(Clone)]
struct Surface {
    health: Health,
    metrics: Metrics,
}

/// `/livez`, `/readyz` and `/metrics`.
pub(crate) fn routes(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({"live": true})) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(rendered))
        .with_state(Surface { health, metrics })
}

/// The same, and 503 on every other path: what a service answers before it can be asked.
pub(crate) fn while_starting(health: Health, metrics: Metrics) -> Router {
    let waiting = health.clone();
    let not_yet = move || std::future::ready(not_ready(&waiting));
    routes(health, metrics).route("/", any(not_yet.clone())).route("/{*path}", any(not_yet))
}

async fn readyz(State(surface): State<Surface>) -> Response {
    let report = surface.health.report();
    if report.ready { Json(report).into_response() } else { not_ready(&surface.health).into_response() }
}

fn not_ready(health: &Health) -> Problem {
    Problem::unavailable("not_ready", health.report().reasons(), 1)
}

async fn rendered(State(surface): State<Surface>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], surface.metrics.render()).into_response()
}
