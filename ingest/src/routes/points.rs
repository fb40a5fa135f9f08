//! Events as a points service takes them.

use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use weir_event::{Identifier, IdentifierKind, Timestamp, is_reserved, limits};
use weir_http::{JsonObject, MediaType, Problem, utf8};

use super::events::one;
use crate::id::{EventId, Idempotency};
use crate::record::Event;
use crate::service::Ingest;
use crate::{answer, event, measure, unix_time};

#[derive(Serialize)]
struct Posted<'a> {
    id: &'a str,
    user_id: &'a str,
    event_type: &'a str,
    timestamp: Timestamp,
    received_at: Timestamp,
}

struct Asked<'a> {
    user: Identifier,
    event_type: Cow<'a, str>,
    timestamp: Option<Timestamp>,
}

/// `POST /v1/users/events`
pub(super) async fn post_event(State(ingest): State<Ingest>, request: Request) -> Result<Response, Problem> {
    let member = ingest.writer(request.headers()).await?;
    let (parts, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let idempotency = Idempotency::of(&parts.headers, member.namespace, "points")?;
    let receipt = ingest.receipts().stamp().await;
    let asked = asked(utf8(&body)?.trim_ascii()).inspect_err(measure::rejected)?;
    let times = event::times(asked.timestamp, None, receipt.now).inspect_err(measure::rejected)?;
    let event = Event {
        id: EventId::Made(ingest.event_id(idempotency.as_ref(), 0, receipt.now)),
        name: asked.event_type,
        profile: asked.user.profile_id(member.namespace),
        identifier: Some(asked.user.clone()),
        times,
        data: Some(event::data(None)),
    };
    let recorded = one(&member, receipt.now, &event);
    let position = ingest.append(&member, receipt, recorded).await?;
    let answer = Posted {
        id: &event.id.to_string(),
        user_id: &asked.user.value,
        event_type: &event.name,
        timestamp: times.time,
        received_at: times.received,
    };
    Ok(answer::written(StatusCode::CREATED, &position, &answer))
}

fn asked(text: &str) -> Result<Asked<'_>, Problem> {
    event::check_size(text)?;
    let mut object = JsonObject::checked(text, &["user_id", "event_type", "timestamp"])?;
    object.require("user_id");
    object.require("event_type");
    let (user, event_type) = (user(&mut object), object.bounded("event_type", limits::NAME_BYTES));
    if event_type.as_deref().is_some_and(is_reserved) {
        event::reserved(&mut object, "event_type");
    }
    let timestamp = instant(&mut object);
    let (user, event_type) = event::finish(object, user.zip(event_type))?;
    Ok(Asked { user, event_type, timestamp })
}

/// A number counts as its text.
fn user(object: &mut JsonObject<'_>) -> Option<Identifier> {
    let text = object.string_or_number("user_id")?;
    match Identifier::new(IdentifierKind::User, &text) {
        Ok(user) => Some(user),
        Err(error) => {
            object.refuse("field_invalid", "user_id", error.to_string());
            None
        }
    }
}

fn instant(object: &mut JsonObject<'_>) -> Option<Timestamp> {
    let raw = object.raw("timestamp")?.get();
    if raw.starts_with('"') {
        return object.instant("timestamp");
    }
    let number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let instant = number.then(|| unix_time::instant(raw)).flatten();
    if instant.is_none() {
        let message = "must be an RFC 3339 instant, or a number of Unix seconds (from 10^11 on milliseconds)";
        object.refuse("field_invalid", "timestamp", message);
    }
    instant
}
