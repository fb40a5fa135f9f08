//! What every answer has, whatever route made it: a request id, a problem for every error, a measured duration.

use std::any::Any;
use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::drain::Unread;
use crate::guard;
use crate::problem::{PROBLEM_JSON, Problem};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How [`wrap`] treats requests and answers.
#[derive(Clone, Debug, Default)]
pub struct WrapOptions {
    /// No key is asked for: only loopback `Host`s are answered, and a foreign `Origin` is refused.
    pub open: bool,
    /// Headers that every answer carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The id of a request: the caller's `x-request-id` if it is a sane one, else a UUID. It is in the request's
/// extensions, in every log line of the request, in the answer's `x-request-id` and in a problem's `request_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn of(headers: &HeaderMap) -> Self {
        let sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=100).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
        };
        match headers.get(X_REQUEST_ID).filter(sane) {
            Some(value) => Self(value.clone()),
            None => Self::made(),
        }
    }

    /// A UUID from keyed hashes of a counter: as unlikely to be met again as a random one, without a system call for
    /// each request. It is no secret.
    fn made() -> Self {
        static KEYS: LazyLock<(RandomState, RandomState)> = LazyLock::new(|| (RandomState::new(), RandomState::new()));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let bits = u128::from(KEYS.0.hash_one(count)) << 64 | u128::from(KEYS.1.hash_one(!count));
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-")))
    }
}

/// Gives a router what every answer has. Call it last, on the whole router.
///
/// Unknown paths, wrong methods, refused extractors and panics are answered as problems; durations go to the histogram
/// `http_server_request_duration_seconds` by method, matched route and status; a 5xx is logged once with its cause,
/// by route and never by the path as sent.
pub fn wrap(router: Router, options: WrapOptions) -> Router {
    router
        .fallback(|| async { Problem::route_unknown() })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::new(options), observe))
}

/// The panic itself is reported by the process's panic hook, inside the request's span; its payload may quote data.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal_error().into_response()
}

async fn observe(State(options): State<Arc<WrapOptions>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = method_name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!("request", request_id = id.as_str(), method, route);
    let unread = Unread::watch(&mut request);
    request.extensions_mut().insert(id.clone());

    let refused = if options.open { guard::check(&request).err() } else { None };
    let response = match refused {
        Some(problem) => {
            drop(request);
            problem.into_response()
        }
        None => next.run(request).instrument(span.clone()).await,
    };
    let took = started.elapsed();
    let (response, problem) = complete(response, &id, &options);
    measure(method, route, response.status(), took);
    if let Some(problem) = problem {
        span.in_scope(|| log_failure(&problem, took));
        // Who was too slow already isn't waited for again.
        if problem.status() != StatusCode::REQUEST_TIMEOUT {
            unread.discard().await;
        }
    }
    response
}

/// Makes every error a problem that names the request, and adds what all answers carry.
fn complete(mut response: Response, id: &RequestId, options: &WrapOptions) -> (Response, Option<Problem>) {
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        None if (status.is_client_error() || status.is_server_error()) && !is_json(response.headers()) => {
            Some(Problem::for_status(status))
        }
        known => known,
    };
    if let Some(problem) = &problem {
        *response.body_mut() = problem.body(Some(id.as_str()));
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
    }
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.0.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers are about people, and true for an instant.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in &options.headers {
        headers.insert(name.clone(), value.clone());
    }
    (response, problem)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| *value == PROBLEM_JSON || value.as_bytes() == b"application/json")
}

fn log_failure(problem: &Problem, took: Duration) {
    let (status, code) = (problem.status().as_u16(), problem.code());
    match (status, problem.cause()) {
        (503, Some(cause)) => tracing::warn!(status, code, cause, ?took, "request not served now"),
        // "Not now" without a cause is an ordinary answer, to a probe or to who polls a backfill.
        (..=499 | 503, _) => tracing::debug!(status, code, ?took, "request refused"),
        (_, cause) => tracing::error!(status, code, cause = cause.unwrap_or("-"), ?took, "request failed"),
    }
}

fn measure(method: &'static str, route: &str, status: StatusCode, took: Duration) {
    let status: Cow<'static, str> = match status.as_u16() {
        200 => "200".into(),
        201 => "201".into(),
        204 => "204".into(),
        other => other.to_string().into(),
    };
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "http_request_method" => method,
        "http_route" => route.to_owned(),
        "http_response_status_code" => status,
    )
    .record(took.as_secs_f64());
}

/// Methods are labels of metrics: callers can't make new ones.
fn method_name(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|name| method.as_str() == *name).unwrap_or("_OTHER")
}
