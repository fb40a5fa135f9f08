//! Reading what people send into events that may be recorded.
//!
//! Invariant: an event that leaves here would be read back by [`Envelope::parse`](weir_event::Envelope::parse); what
//! would be poison on the log is refused at the door.

use std::borrow::Cow;

use serde_json::value::RawValue;
use uuid::Uuid;
use weir_event::{Identifier, IdentifierKind, ProfileId, Timestamp, is_reserved, json, limits};
use weir_http::{JsonObject, Problem};

use crate::caller::Member;
use crate::id::EventId;
use crate::record::{Event, Times};

/// The fields of an item of a batch.
const ITEM: &[&str] =
    &["name", "properties", "timestamp", "id", "received_at", "profile_id", "email", "user_id", "anonymous_id"];
/// The fields that name a profile, without its id.
const NAMES: [(&str, IdentifierKind); 3] =
    [("email", IdentifierKind::Email), ("user_id", IdentifierKind::User), ("anonymous_id", IdentifierKind::Anonymous)];

/// Reads an item of a batch that was received `now`. `id` makes one where none was sent.
pub(crate) fn item<'a>(
    text: &'a str,
    member: &Member,
    now: Timestamp,
    id: impl FnOnce() -> Uuid,
) -> Result<Event<'a>, Problem> {
    check_size(text)?;
    let mut object = JsonObject::parse(text, ITEM)?;
    let named = name_of(&mut object);
    let named_by = profile(&mut object, member.namespace);
    let (profile, identifier) = named_by.map_err(|missing| unknown_first(text, ITEM, missing))?;
    let (timestamp, received_at) = (object.instant("timestamp"), object.instant("received_at"));
    let (given, properties) = (given_id(&mut object), object.object("properties"));
    let name = finish(object, named)?;
    if let Some(properties) = properties {
        // The item itself is the first level.
        check_below(properties, "/properties", limits::JSON_DEPTH - 1)?;
    }
    if received_at.is_some() && !member.admin {
        let detail = "/received_at: only an admin key may say when an event was received; leave it out";
        return Err(Problem::forbidden("role_insufficient", detail));
    }
    let times = times(timestamp, received_at, now)?;
    let id = given.map_or_else(|| EventId::Made(id()), EventId::Given);
    Ok(Event { id, name, profile, identifier, times, data: Some(data(properties)) })
}

/// What `POST /api/profiles/{id}/events` sends.
pub(crate) struct Posted<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) properties: Option<&'a RawValue>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) id: Option<Cow<'a, str>>,
}

/// Reads an event for a profile that the path names.
pub(crate) fn posted(text: &str) -> Result<Posted<'_>, Problem> {
    check_size(text)?;
    let mut object = JsonObject::checked(text, &["name", "properties", "timestamp", "id"])?;
    let (name, properties) = (name_of(&mut object), object.object("properties"));
    let (timestamp, id) = (object.instant("timestamp"), given_id(&mut object));
    Ok(Posted { name: finish(object, name)?, properties, timestamp, id })
}

/// An event's size is that of the item as sent.
pub(crate) fn check_size(text: &str) -> Result<(), Problem> {
    if text.len() > limits::EVENT_BYTES { Err(Problem::event_too_large(text.len())) } else { Ok(()) }
}

/// The instants of an event, as it says them and as it was received.
pub(crate) fn times(
    timestamp: Option<Timestamp>,
    received_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Times, Problem> {
    if received_at.is_some_and(|received| received > now) {
        let message = "lies in the future; an import can only have been received before now";
        return Err(Problem::invalid_field("time_in_future", "/received_at", message));
    }
    let received = received_at.unwrap_or(now);
    let time = timestamp.unwrap_or(received);
    if time.micros().saturating_sub(received.micros()) > limits::FUTURE_MICROS {
        let message = "lies more than 24 hours after the receipt; check the sender's clock and time zone";
        return Err(Problem::invalid_field("time_in_future", "/timestamp", message));
    }
    Ok(Times { time, received, arrived: received_at.map(|_| now) })
}

/// The one name by which a profile is sent, when its id is no choice.
pub(crate) fn identifier(object: &mut JsonObject<'_>) -> Result<Option<Identifier>, Problem> {
    let (count, first) = (given(object).count(), given(object).next());
    match (count, first) {
        (1, Some((field, kind))) => Ok(object.identifier(field, kind)),
        (count, _) => Err(how_many(count, "")),
    }
}

/// The profile of an item, and the name that it was sent by. A fault of either is found by `finish`, so what stands in
/// its place then is of no consequence.
fn profile(object: &mut JsonObject<'_>, namespace: Uuid) -> Result<(ProfileId, Option<Identifier>), Problem> {
    match (object.has("profile_id"), given(object).count()) {
        (true, 0) => Ok((ProfileId(object.uuid("profile_id").unwrap_or_default()), None)),
        (false, 1) => {
            let found = identifier(object)?;
            Ok((found.as_ref().map_or(ProfileId(Uuid::nil()), |found| found.profile_id(namespace)), found))
        }
        (by_id, names) => Err(how_many(names + usize::from(by_id), "`profile_id`, ")),
    }
}

/// Who sends no identifier may have misspelt one: an unknown field is told first, with what it may have been meant for.
#[cold]
pub(crate) fn unknown_first(text: &str, fields: &'static [&'static str], missing: Problem) -> Problem {
    JsonObject::parse(text, fields).and_then(JsonObject::finish).err().unwrap_or(missing)
}

fn given(object: &JsonObject<'_>) -> impl Iterator<Item = (&'static str, IdentifierKind)> {
    NAMES.into_iter().filter(|(field, _)| object.has(field))
}

#[cold]
fn how_many(found: usize, more: &str) -> Problem {
    let code = if found == 0 { "identifier_missing" } else { "identifier_ambiguous" };
    let message = format!("names {found} profiles; send exactly one of {more}`email`, `user_id` and `anonymous_id`");
    Problem::invalid_field(code, "", message)
}

fn name_of<'a>(object: &mut JsonObject<'a>) -> Option<Cow<'a, str>> {
    object.require("name");
    let name = object.bounded("name", limits::NAME_BYTES)?;
    if is_reserved(&name) {
        reserved(object, "name");
        return None;
    }
    Some(name)
}

/// Collects the fault of a name that is kept for facts about profiles.
#[cold]
pub(crate) fn reserved(object: &mut JsonObject<'_>, field: &'static str) {
    let message = "is reserved for facts about profiles; register or change a profile with POST /api/profiles";
    object.refuse("reserved_event_name", field, message);
}

fn given_id<'a>(object: &mut JsonObject<'a>) -> Option<Cow<'a, str>> {
    object.bounded("id", limits::ID_BYTES)
}

/// Ends the reading of an object whose required value is `found`.
pub(crate) fn finish<T>(object: JsonObject<'_>, found: Option<T>) -> Result<T, Problem> {
    object.finish()?;
    // A required value that isn't there was collected as a fault; this is for a reader that forgot to.
    found.ok_or_else(|| Problem::invalid_field("field_missing", "", "a required field is missing"))
}

fn check_below(value: &RawValue, pointer: &str, levels: usize) -> Result<(), Problem> {
    json::check(value.get(), levels).map_err(|fault| {
        Problem::invalid_field(fault.kind.code(), format!("{pointer}{}", fault.pointer), fault.message)
    })
}

/// The text of a value that is recorded as it was sent.
///
/// Without properties it is an empty object, as answers show it: sent again with `{}` it is the same event.
pub(crate) fn data(properties: Option<&RawValue>) -> Cow<'_, str> {
    Cow::Borrowed(properties.map_or("{}", RawValue::get))
}
