//! The one shape of every error answer: RFC 9457, `application/problem+json`.
//!
//! Invariant: a `Problem` is complete without its request, so it can be made anywhere; the request's id is added by
//! [`wrap`](crate::wrap()) when the answer leaves. The alternative, a task-local id that `into_response` reads, would
//! make what an answer says depend on where it was made.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type of every error answer.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error answer: status, stable code, a sentence that says what is wrong and how to mend it, and the parts at fault.
///
/// ```
/// use axum::http::StatusCode;
/// use weir_http::Problem;
/// let problem = Problem::new(StatusCode::CONFLICT, "slug_taken", "a workspace `shop` is there already");
/// assert_eq!(problem.status(), 409);
/// assert_eq!(problem.code(), "slug_taken");
/// ```
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// A part of the request that is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// A JSON Pointer to the part; empty for the whole.
    pub pointer: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl FieldError {
    /// A fault of the part at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with a stable `code` (`docs/errors` has a page for each) and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self(Box::new(Inner { status, code, detail, errors: Vec::new(), headers: Vec::new(), cause: None }))
    }

    /// 422: valid JSON of the wrong shape, with the parts at fault. The detail is the first part's sentence.
    pub fn invalid(code: &'static str, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => "the request is not valid".to_owned(),
            [one] => one.sentence(),
            [first, rest @ ..] => format!("{} (and {} more, see errors)", first.sentence(), rest.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with_errors(errors)
    }

    /// Names the parts at fault.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says after how many seconds a repetition makes sense.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Keeps `error` and its causes for the log; they are never part of the answer.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            next = cause.source();
        }
        self.0.cause = Some(chain);
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The sentence for people.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The parts at fault.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// What the log is told beyond the answer.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The answer's body.
    pub(crate) fn body(&self, request_id: Option<&str>) -> Body {
        let Inner { status, code, detail, errors, .. } = &*self.0;
        let kind = format!("/errors/{code}");
        let wire = Wire { kind, title: title(code), status: status.as_u16(), detail, code, request_id, errors };
        // Strings and numbers only: this can't fail, and an error answer must not panic.
        Body::from(serde_json::to_vec(&wire).unwrap_or_default())
    }
}

impl FieldError {
    fn sentence(&self) -> String {
        match self.pointer.as_str() {
            "" => self.message.clone(),
            pointer => format!("{pointer}: {}", self.message),
        }
    }
}

/// `json_too_deep` → `JSON too deep`.
fn title(code: &str) -> String {
    let mut words = code.replace('_', " ");
    if let Some(rest) = words.strip_prefix("json") {
        words = format!("JSON{rest}");
    } else if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body(None));
        *response.status_mut() = self.0.status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        for (name, value) in &self.0.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        // `wrap` takes it out again to add the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_names_the_first_part_and_counts_the_rest() {
        let errors =
            vec![FieldError::new("/name", "is required"), FieldError::new("", "x"), FieldError::new("/b", "y")];
        let problem = Problem::invalid("field_missing", errors);
        assert_eq!(problem.detail(), "/name: is required (and 2 more, see errors)");
        assert_eq!(Problem::invalid("x", vec![FieldError::new("", "must be an object")]).detail(), "must be an object");
        assert_eq!(problem.to_string(), "field_missing: /name: is required (and 2 more, see errors)");
    }

    #[test]
    fn a_title_is_made_of_the_code() {
        assert_eq!(title("json_too_deep"), "JSON too deep");
        assert_eq!(title("key_missing"), "Key missing");
        assert_eq!(title(""), "");
    }

    #[test]
    fn the_chain_of_causes_is_kept_for_the_log_only() {
        let inner = std::io::Error::other("disk on fire");
        let outer = std::io::Error::other(Problem::new(StatusCode::CONFLICT, "a", "b"));
        let problem = Problem::internal(&inner);
        assert_eq!(problem.cause(), Some("disk on fire"));
        assert!(!problem.detail().contains("fire"));
        assert_eq!(Problem::internal(&outer).cause(), Some("a: b"));
    }
}
