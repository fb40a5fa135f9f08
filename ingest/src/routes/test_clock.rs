//! The clock of a process that runs under a test clock. Without one the route doesn't exist.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use weir_event::Timestamp;
use weir_http::{JsonObject, MediaType, Problem, utf8};

use crate::canonical::compact;
use crate::service::Ingest;

/// `PUT /test/clock`
pub(super) async fn set(State(ingest): State<Ingest>, request: Request) -> Result<StatusCode, Problem> {
    ingest.operator(request.headers()).await?;
    let (_, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let now = asked(utf8(&body)?)?;
    let held = ingest.receipts().hold(now).await;
    held.map_err(|refused| Problem::invalid_field("clock_backwards", "/now", refused.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The instant to hold; none to free the clock. Here null says something, and absence doesn't stand for it.
fn asked(text: &str) -> Result<Option<Timestamp>, Problem> {
    let mut object = JsonObject::checked(text, &["now"])?;
    let now = object.instant("now");
    if compact(text) == "{}" {
        object.require("now");
    }
    object.finish()?;
    Ok(now)
}
