//! What the program itself answers, without a key: whether it lives, whether it is ready, what it counts.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use weir_http::Problem;
use weir_lifecycle::{Health, Metrics};

#[derive(Clone)]
struct Surface {
    health: Health,
    metrics: Metrics,
}

/// `/livez`, `/readyz` and `/metrics`.
pub(crate) fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({"live": true})) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(rendered))
        .with_state(Surface { health, metrics })
}

async fn readyz(State(surface): State<Surface>) -> Response {
    let report = surface.health.report();
    if report.ready {
        return Json(report).into_response();
    }
    Problem::unavailable("not_ready", report.reasons(), 1).into_response()
}

async fn rendered(State(surface): State<Surface>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], surface.metrics.render()).into_response()
}
