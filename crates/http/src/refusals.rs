//! Constructors of the problems that several routes share: one place that says which status belongs to which code.

use std::borrow::Cow;
use std::error::Error;

use axum::extract::rejection::PathRejection;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use weir_event::json::{JsonFault, JsonFaultKind};
use weir_event::limits;

use crate::problem::{FieldError, Problem};

type Text = Cow<'static, str>;

impl Problem {
    /// 400: what was sent can't be read at all (no JSON, one of our fields twice, a bad cursor).
    pub fn malformed(code: &'static str, detail: impl Into<Text>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 400 `json_invalid`.
    pub fn json_invalid(detail: impl Into<Text>) -> Self {
        Self::malformed("json_invalid", detail)
    }

    /// 400 `duplicate_name`: one of our own fields stands twice in an object.
    pub fn duplicate_name(pointer: &str) -> Self {
        Self::malformed("duplicate_name", format!("{pointer} is given twice; send it once"))
            .with_errors(vec![FieldError::new(pointer, "is given twice; send it once")])
    }

    /// 400 `cursor_invalid`.
    pub fn cursor_invalid() -> Self {
        Self::malformed(
            "cursor_invalid",
            "not a cursor of this list; pass `next_cursor` as it came, or none to begin anew",
        )
    }

    /// 422 with one part at fault.
    pub fn invalid_field(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(code, vec![FieldError::new(pointer, message)])
    }

    /// 401 `key_missing`.
    pub fn key_missing() -> Self {
        let detail = "send your key as the header `Authorization: Bearer <key>`";
        Self::unauthorized("key_missing", detail, "Bearer realm=\"weir\"")
    }

    /// 401 `key_unknown`: no such key, or a revoked one.
    pub fn key_unknown() -> Self {
        let detail = "this key is unknown or revoked; ask an admin of the workspace for another";
        Self::unauthorized("key_unknown", detail, "Bearer realm=\"weir\", error=\"invalid_token\"")
    }

    fn unauthorized(code: &'static str, detail: &'static str, challenge: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// 403, such as `role_insufficient`: the key is known and may not do this.
    pub fn forbidden(code: &'static str, detail: impl Into<Text>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404, such as `profile_not_found`.
    pub fn not_found(code: &'static str, detail: impl Into<Text>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 404 `route_unknown`: no such path at all.
    pub fn route_unknown() -> Self {
        Self::not_found("route_unknown", "there is nothing at this path; docs/API.md lists the paths there are")
    }

    /// 400 `path_invalid`: a part of the path can't be decoded.
    fn path_invalid() -> Self {
        Self::malformed("path_invalid", "a part of the path can't be read; percent-encode it, as UTF-8")
    }

    /// 405. The router adds `Allow`.
    pub fn method_not_allowed() -> Self {
        let detail = "this path doesn't know the method; the header Allow names those that it knows";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    /// 408 `upload_timeout`; the connection is closed.
    pub fn upload_timeout() -> Self {
        let detail = "the body didn't arrive in time; send smaller batches or compress them with gzip";
        Self::new(StatusCode::REQUEST_TIMEOUT, "upload_timeout", detail)
            .with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// 409, such as `slug_taken`.
    pub fn conflict(code: &'static str, detail: impl Into<Text>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413 `request_too_large`, for a limit of `bytes`.
    pub fn request_too_large(bytes: usize) -> Self {
        let detail = format!("the request has more than {bytes} bytes (counted after decompression); split the batch");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", detail)
    }

    /// 413 `batch_too_large`.
    pub fn batch_too_large() -> Self {
        let detail = format!("the batch has more than {} items; split it", limits::BATCH_ITEMS);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_large", detail)
    }

    /// 413 `event_too_large`, for an event of `bytes`.
    pub fn event_too_large(bytes: usize) -> Self {
        let detail = format!("the event has {bytes} bytes; at most {} are accepted", limits::EVENT_BYTES);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "event_too_large", detail)
    }

    /// 415 `unsupported_media_type`.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let detail = format!("this media type isn't accepted here; send `Content-Type: {accepted}`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 415 `unsupported_coding`.
    pub fn unsupported_coding() -> Self {
        let detail = "this Content-Encoding isn't accepted; compress with gzip once, or not at all";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_coding", detail)
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
    }

    /// 429 `too_many_requests`.
    pub fn too_many_requests(retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests; slow down")
            .with_retry_after(retry_after_seconds)
    }

    /// 500 `internal_error`. `error` goes to the log, nothing of it into the answer.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        Self::internal_error().caused_by(error)
    }

    pub(crate) fn internal_error() -> Self {
        let detail = "something went wrong on our side; the log has it under the request_id of this answer";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// 503 for "not now", such as `log_unavailable` or `segment_backfilling`.
    pub fn unavailable(code: &'static str, detail: impl Into<Text>, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_retry_after(retry_after_seconds)
    }

    /// The problem that stands for an error answer which was made without one (by the router or an extractor).
    pub(crate) fn for_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::path_invalid(),
            StatusCode::NOT_FOUND => Self::route_unknown(),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::request_too_large(limits::REQUEST_BYTES),
            StatusCode::INTERNAL_SERVER_ERROR => Self::internal_error(),
            other => Self::new(other, "request_refused", other.canonical_reason().unwrap_or("refused")),
        }
    }
}

impl From<JsonFault> for Problem {
    /// No JSON is malformed, 400; what only breaks a limit of ours is valid JSON and so 422.
    fn from(fault: JsonFault) -> Self {
        let JsonFault { kind, pointer, message } = fault;
        match kind {
            JsonFaultKind::Syntax => Self::json_invalid(message),
            _ => Self::invalid_field(kind.code(), pointer, message),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        match rejection {
            PathRejection::FailedToDeserializePathParams(_) => Self::path_invalid(),
            other => Self::internal(&other),
        }
    }
}
