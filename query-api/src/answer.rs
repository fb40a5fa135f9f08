//! What every answer from the tables carries: the generation it was read from, and whether the clock is a test's.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_http::Problem;
use weir_store::GenerationId;

const WEIR_GENERATION: HeaderName = HeaderName::from_static("weir-generation");
const WEIR_CLOCK: HeaderName = HeaderName::from_static("weir-clock");

/// Where a request notes which generation it is answered from; 0 is none yet (ids begin at 1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp(Arc<AtomicU64>);

impl Stamp {
    pub(crate) fn set(&self, generation: GenerationId) {
        self.0.store(generation.0, Ordering::Relaxed);
    }
}

/// Adds the headers; `test` says whether the clock is a test's.
pub(crate) async fn stamp(State(test): State<bool>, mut request: Request, next: Next) -> Response {
    let stamp = Stamp::default();
    request.extensions_mut().insert(stamp.clone());
    let mut response = next.run(request).await;
    let generation = stamp.0.load(Ordering::Relaxed);
    if generation > 0 {
        response.headers_mut().insert(WEIR_GENERATION, HeaderValue::from(generation));
    }
    if test {
        response.headers_mut().insert(WEIR_CLOCK, HeaderValue::from_static("test"));
    }
    response
}

/// What routes read of a request, the path apart.
pub(crate) struct Asked {
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    pub(crate) stamp: Stamp,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let stamp = parts.extensions.get::<Stamp>().cloned().unwrap_or_default();
        Ok(Self { headers: std::mem::take(&mut parts.headers), uri: parts.uri.clone(), stamp })
    }
}

/// Parameters of the path; what can't be read is a problem like any other.
pub(crate) struct InPath<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) = Path::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// 200 with a JSON body.
pub(crate) fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::internal(&error))?;
    Ok(json_text(body))
}

/// 200 with a body that is JSON already.
pub(crate) fn json_text(body: Vec<u8>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
