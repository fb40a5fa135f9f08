//! Events: one for a profile, or many.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use weir_event::{ProfileId, Timestamp};
use weir_http::{MediaType, Problem, ProfileRef, utf8};

use super::{Part, part};
use crate::caller::Member;
use crate::id::{EventId, Idempotency};
use crate::record::{Event, Recorded, Recorder};
use crate::service::Ingest;
use crate::{answer, event, framing, measure};

#[derive(Serialize)]
struct Posted<'a> {
    id: &'a str,
    profile_id: ProfileId,
    name: &'a str,
    properties: &'a RawValue,
    timestamp: Timestamp,
    received_at: Timestamp,
}

/// `POST /api/profiles/{id}/events`
pub(super) async fn post_one(State(ingest): State<Ingest>, path: Part, request: Request) -> Result<Response, Problem> {
    let member = ingest.writer(request.headers()).await?;
    let profile = ProfileRef::parse(&part(path)?)?;
    let (parts, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let idempotency = Idempotency::of(&parts.headers, member.namespace, "event")?;
    let receipt = ingest.receipts().stamp().await;
    let posted = event::posted(utf8(&body)?.trim_ascii()).inspect_err(measure::rejected)?;
    let times = event::times(posted.timestamp, None, receipt.now).inspect_err(measure::rejected)?;
    let event = Event {
        id: match posted.id {
            Some(id) => EventId::Given(id),
            None => EventId::Made(ingest.event_id(idempotency.as_ref(), 0, receipt.now)),
        },
        name: posted.name,
        profile: profile.resolve(member.namespace),
        identifier: identifier_of(profile),
        times,
        data: Some(event::data(posted.properties)),
    };
    let recorded = one(&member, receipt.now, &event);
    let position = ingest.append(&member, receipt, recorded).await?;
    let answer = Posted {
        id: &event.id.to_string(),
        profile_id: event.profile,
        name: &event.name,
        properties: posted.properties.unwrap_or(empty_object()),
        timestamp: times.time,
        received_at: times.received,
    };
    Ok(answer::written(StatusCode::CREATED, &position, &answer))
}

#[derive(Serialize)]
struct Batch {
    accepted: usize,
    rejected: Vec<Rejected>,
    position: String,
}

#[derive(Serialize)]
struct Rejected {
    index: usize,
    code: &'static str,
    message: String,
}

/// `POST /api/events`
pub(super) async fn post_batch(State(ingest): State<Ingest>, request: Request) -> Result<Response, Problem> {
    let member = ingest.writer(request.headers()).await?;
    let (parts, media, body) = ingest.read(request, &[MediaType::Json, MediaType::Ndjson]).await?;
    let idempotency = Idempotency::of(&parts.headers, member.namespace, "events")?;
    let items = match media {
        MediaType::Json => framing::array(&body)?.into_iter().map(Ok).collect(),
        MediaType::Ndjson => framing::lines(&body)?,
    };
    let receipt = ingest.receipts().stamp().await;
    let mut rejected = Vec::new();
    let mut recorder = Recorder::new(&member.workspace, receipt.now, items.len(), body.len());
    for (index, item) in items.into_iter().enumerate() {
        let id = || ingest.event_id(idempotency.as_ref(), index, receipt.now);
        match item.and_then(|text| event::item(text, &member, receipt.now, id)) {
            Ok(event) => recorder.push(&event),
            Err(problem) => {
                measure::rejected(&problem);
                rejected.push(Rejected { index, code: problem.code(), message: problem.detail().to_owned() });
            }
        }
    }
    let accepted = recorder.len();
    let recorded = recorder.finish();
    let position = ingest.append(&member, receipt, recorded).await?;
    let answer = Batch { accepted, rejected, position: position.to_string() };
    Ok(answer::written(StatusCode::OK, &position, &answer))
}

/// The record of one event.
pub(super) fn one(member: &Member, now: Timestamp, event: &Event<'_>) -> Recorded {
    let bytes = event.data.as_ref().map_or(0, |data| data.len()) + event.name.len();
    let mut recorder = Recorder::new(&member.workspace, now, 1, bytes);
    recorder.push(event);
    recorder.finish()
}

/// The name that a path gives to a profile; none if it is named by its id.
pub(super) fn identifier_of(profile: ProfileRef) -> Option<weir_event::Identifier> {
    match profile {
        ProfileRef::Name(identifier) => Some(identifier),
        ProfileRef::Id(_) => None,
    }
}

/// What is answered for properties or traits that weren't sent.
pub(super) fn empty_object() -> &'static RawValue {
    serde_json::from_str("{}").expect("{} is JSON")
}
