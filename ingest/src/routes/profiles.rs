//! Facts about profiles. Ingest asks no table: what is answered is the request as it was recorded.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use weir_event::{Identifier, IdentifierKind, ProfileId, Timestamp};
use weir_http::{JsonObject, MediaType, Problem, ProfileRef, utf8};

use super::events::{empty_object, identifier_of, one};
use super::{Part, part};
use crate::caller::Member;
use crate::id::{EventId, Idempotency};
use crate::record::Event;
use crate::service::Ingest;
use crate::{answer, event, measure};

/// A fact as it lies on the log.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Recorded<'a> {
    id: ProfileId,
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    name: Option<&'a RawValue>,
    traits: &'a RawValue,
    received_at: Timestamp,
}

/// What a request says about a profile.
struct Fact<'a> {
    kind: &'static str,
    profile: ProfileId,
    identifier: Option<Identifier>,
    name: Option<&'a RawValue>,
    traits: Option<&'a RawValue>,
    timestamp: Option<Timestamp>,
}

/// `POST /api/profiles`
pub(super) async fn register(State(ingest): State<Ingest>, request: Request) -> Result<Response, Problem> {
    let member = ingest.writer(request.headers()).await?;
    let (parts, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let fact = registered(&body, &member).inspect_err(measure::rejected)?;
    record(&ingest, &member, &parts.headers, StatusCode::CREATED, fact).await
}

/// `PATCH /api/profiles/{id}`
pub(super) async fn update(State(ingest): State<Ingest>, path: Part, request: Request) -> Result<Response, Problem> {
    let member = ingest.writer(request.headers()).await?;
    let profile = ProfileRef::parse(&part(path)?)?;
    let (parts, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let fact = updated(&body, &member, profile).inspect_err(measure::rejected)?;
    record(&ingest, &member, &parts.headers, StatusCode::OK, fact).await
}

fn registered<'a>(body: &'a Bytes, member: &Member) -> Result<Fact<'a>, Problem> {
    const FIELDS: &[&str] = &["email", "user_id", "anonymous_id", "name", "traits", "timestamp"];
    let mut object = object(body, FIELDS)?;
    let identifier = event::identifier(&mut object).map_err(|missing| {
        utf8(body).map_or_else(|problem| problem, |text| event::unknown_first(text.trim_ascii(), FIELDS, missing))
    })?;
    let (name, traits, timestamp) = known(&mut object);
    let identifier = event::finish(object, identifier)?;
    let profile = identifier.profile_id(member.namespace);
    Ok(Fact { kind: "profile.registered", profile, identifier: Some(identifier), name, traits, timestamp })
}

fn updated<'a>(body: &'a Bytes, member: &Member, profile: ProfileRef) -> Result<Fact<'a>, Problem> {
    let mut object = object(body, &["name", "traits", "timestamp"])?;
    let (name, traits, timestamp) = known(&mut object);
    object.finish()?;
    if name.is_none() && traits.is_none() {
        return Err(Problem::invalid_field("field_missing", "", "changes nothing; send `name`, `traits` or both"));
    }
    let id = profile.resolve(member.namespace);
    Ok(Fact { kind: "profile.updated", profile: id, identifier: identifier_of(profile), name, traits, timestamp })
}

fn object<'a>(body: &'a Bytes, fields: &'static [&'static str]) -> Result<JsonObject<'a>, Problem> {
    let text = utf8(body)?.trim_ascii();
    event::check_size(text)?;
    JsonObject::checked(text, fields)
}

type Known<'a> = (Option<&'a RawValue>, Option<&'a RawValue>, Option<Timestamp>);

/// Name, traits and timestamp. The name is recorded as it was sent, so only whether it is a text matters here.
fn known<'a>(object: &mut JsonObject<'a>) -> Known<'a> {
    let name = object.string("name").and_then(|_| object.raw("name"));
    (name, object.object("traits"), object.instant("timestamp"))
}

async fn record(
    ingest: &Ingest,
    member: &Member,
    headers: &HeaderMap,
    status: StatusCode,
    fact: Fact<'_>,
) -> Result<Response, Problem> {
    let idempotency = Idempotency::of(headers, member.namespace, fact.kind)?;
    let receipt = ingest.receipts().stamp().await;
    let times = event::times(fact.timestamp, None, receipt.now).inspect_err(measure::rejected)?;
    let named = |kind| fact.identifier.as_ref().filter(|known| known.kind == kind).map(|known| known.value.as_str());
    let email = named(IdentifierKind::Email);
    let data = Data { email, name: fact.name, traits: fact.traits };
    let data = serde_json::to_string(&data).map_err(|error| Problem::internal(&error))?;
    let event = Event {
        id: EventId::Made(ingest.event_id(idempotency.as_ref(), 0, receipt.now)),
        name: fact.kind.into(),
        profile: fact.profile,
        identifier: fact.identifier.clone(),
        times,
        data: Some(data.into()),
    };
    let recorded = one(member, receipt.now, &event);
    let position = ingest.append(member, receipt, recorded).await?;
    let answer = Recorded {
        id: fact.profile,
        email,
        user_id: named(IdentifierKind::User),
        anonymous_id: named(IdentifierKind::Anonymous),
        name: fact.name,
        traits: fact.traits.unwrap_or(empty_object()),
        received_at: times.received,
    };
    Ok(answer::written(status, &position, &answer))
}
