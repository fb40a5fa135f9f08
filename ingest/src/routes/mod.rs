//! The routes, a file a thing. Each handler reads as its contract: who may, what is read, what is written, the answer.

mod definitions;
mod events;
mod keys;
mod points;
mod profiles;
mod test_clock;
mod workspaces;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::routing::{delete, patch, post, put};
use weir_http::Problem;

use crate::service::Ingest;

pub(crate) fn all(ingest: &Ingest) -> Router {
    let router = Router::new()
        .route("/api/profiles", post(profiles::register))
        .route("/api/profiles/{id}", patch(profiles::update))
        .route("/api/profiles/{id}/events", post(events::post_one))
        .route("/api/events", post(events::post_batch))
        .route("/v1/users/events", post(points::post_event))
        .route("/v1/users/events/", post(points::post_event))
        .route("/api/workspaces", post(workspaces::create))
        .route("/api/keys", post(keys::create))
        .route("/api/keys/{id}", delete(keys::revoke))
        .route("/api/segments/{slug}", put(definitions::put_segment).delete(definitions::delete_segment))
        .route("/api/scores/{slug}", put(definitions::put_score).delete(definitions::delete_score));
    let router = if ingest.clock().is_test() { router.route("/test/clock", put(test_clock::set)) } else { router };
    router.with_state(ingest.clone())
}

/// The one variable part of a path.
type Part = Result<Path<String>, PathRejection>;

fn part(part: Part) -> Result<String, Problem> {
    let Path(text) = part?;
    Ok(text)
}
