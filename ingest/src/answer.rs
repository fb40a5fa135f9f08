//! The answers that several routes share.

use std::error::Error;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use weir_control::{Refusal, RefusalClass};
use weir_event::Position;
use weir_event_log::AppendError;
use weir_http::Problem;

const WEIR_POSITION: HeaderName = HeaderName::from_static("weir-position");

/// An accepted write: its status, where it lies, and what was recorded.
pub(crate) fn written(status: StatusCode, position: &Position, body: &impl Serialize) -> Response {
    let body = match serde_json::to_vec(body) {
        Ok(body) => body,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    at(response, position)
}

/// An accepted write of which there is nothing to say.
pub(crate) fn done(position: &Position) -> Response {
    at(StatusCode::NO_CONTENT.into_response(), position)
}

fn at(mut response: Response, position: &Position) -> Response {
    // A token is base64, which a header can always hold.
    if let Ok(token) = HeaderValue::from_str(&position.to_string()) {
        response.headers_mut().insert(WEIR_POSITION, token);
    }
    response
}

/// 503: the log did not take what was sent, or doesn't say whether it did.
pub(crate) fn not_appended(error: &AppendError) -> Problem {
    let (detail, seconds) = match error {
        error if error.is_disk_full() => ("nothing was stored: the log's disk is full; free space, then repeat", 10),
        error if error.is_busy() => ("nothing was stored: the log is busy; slow down and repeat", 1),
        AppendError::NotStored { .. } => ("nothing was stored: the log can't be written; repeat in a moment", 1),
        AppendError::Unknown { .. } => (
            "it isn't known whether the log stored this; repeat with the same ids or Idempotency-Key, then nothing is \
             counted twice",
            1,
        ),
    };
    Problem::unavailable("log_unavailable", detail, seconds).caused_by(error)
}

/// 503: the control state can't keep up with the log.
pub(crate) fn not_followed(error: &(dyn Error + 'static)) -> Problem {
    let detail = "the log can't be read to its end at the moment, so this can't be decided; repeat in a moment";
    Problem::unavailable("log_unavailable", detail, 1).caused_by(error)
}

/// The fold decided against a command.
pub(crate) fn refused(refusal: &Refusal) -> Problem {
    let status = match refusal.class() {
        RefusalClass::NotFound => StatusCode::NOT_FOUND,
        RefusalClass::Conflict => StatusCode::CONFLICT,
        RefusalClass::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        RefusalClass::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, refusal.code(), refusal.sentence())
}
