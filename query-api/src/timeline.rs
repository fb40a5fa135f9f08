//! A profile's events.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use weir_event::{Envelope, ProfileId, Timestamp};
use weir_http::{Problem, Query};

use crate::access::Access;
use crate::answer::{Asked, InPath, json};
use crate::cursor;
use crate::failure;
use crate::people::{self, named};
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

#[derive(Serialize)]
struct Events<'a> {
    events: Vec<Event<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Event<'a> {
    id: Cow<'a, str>,
    profile_id: ProfileId,
    name: Cow<'a, str>,
    properties: &'a RawValue,
    timestamp: Timestamp,
    received_at: Timestamp,
    at: Timestamp,
}

impl<'a> Event<'a> {
    fn of(envelope: Envelope<'a>, nothing: &'a RawValue) -> Self {
        Self {
            at: envelope.at(),
            id: envelope.id,
            profile_id: envelope.subject,
            name: envelope.name,
            properties: envelope.data.filter(|data| data.get() != "null").unwrap_or(nothing),
            timestamp: envelope.time,
            received_at: envelope.received,
        }
    }
}

/// `GET /api/profiles/{id}/events`: newest first, facts too.
pub(crate) async fn list(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::TIMELINE).await?;
    let query = Query::parse(&asked.uri, &["limit", "cursor"])?;
    let limit = query.limit()?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let key = named(catalogs.workspace, &id)?;
    let list = format!("events {} {}", key.workspace, key.profile);
    let before = query.cursor().map(|cursor| cursor::open(&list, cursor)).transpose()?;
    people::shown(reading.view.as_mut(), key).await?;
    let mut rows = reading.timeline()?.events(key, before.as_deref(), limit + 1).await.map_err(failure::store)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor::seal(&list, last.place.clone()));
    let nothing = RawValue::from_string("{}".to_owned()).map_err(|error| Problem::internal(&error))?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let envelope = Envelope::parse(&row.record).map_err(failure::unreadable)?;
        events.push(Event::of(envelope, &nothing));
    }
    json(&Events { events, next_cursor })
}
