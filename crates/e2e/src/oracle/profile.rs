//! What is known about a profile: registers, views, points.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::admission::Admitted;
use super::record::Event;
use super::{Decimal, Json, Score, Scores, instant};

/// A profile as `GET /api/profiles/{id}` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileView {
    /// The profile's id.
    pub id: Uuid,
    /// (kind, value) of the names that it was sent by, in order.
    pub identifiers: Vec<(String, String)>,
    /// The identity's e-mail, else the latest fact's.
    pub email: Option<Json>,
    /// The latest name.
    pub name: Option<Json>,
    /// The registers of `data.traits`.
    pub traits: BTreeMap<String, Json>,
    /// Points by score.
    pub scores: BTreeMap<String, Decimal>,
    /// The least receipt.
    pub created_at: i64,
    /// `at` of the latest fact.
    pub updated_at: Option<i64>,
}

/// A user as the points service shows it. Facts are left out of all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointsView {
    /// The user's profile.
    pub profile: Uuid,
    /// The sum.
    pub points: Decimal,
    /// Count and points per event type, by type.
    pub by_type: BTreeMap<String, (u64, Decimal)>,
    /// All events, newest first.
    pub events: Vec<EventPoints>,
}

/// An event of the points service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPoints {
    /// The event's id.
    pub id: String,
    /// Its name.
    pub event_type: String,
    /// When it happened, by the producer.
    pub timestamp: i64,
    /// What it added.
    pub points: Decimal,
}

/// The values of a trait's path.
pub(super) fn trait_values(known: &[Admitted], path: &[String]) -> Vec<Json> {
    let [key, rest @ ..] = path else { return Vec::new() };
    let register = match key.as_str() {
        "name" => name(known),
        "email" => email(known),
        other => register(known, |fact| fact.data.get("traits")?.get(other)),
    };
    register.map(|value| value.reached(rest).into_iter().cloned().collect()).unwrap_or_default()
}

/// Those of them that are instants.
pub(super) fn trait_instants(known: &[Admitted], path: &[String]) -> Vec<i64> {
    let moment = |value: &Json| match value {
        Json::Text(text) => instant::parse(text),
        // Units are 10⁻⁹ s; what is beyond the microsecond is cut off.
        Json::Number(digits) => instant::in_range(Decimal::parse(digits)?.0 / 1000),
        _ => None,
    };
    trait_values(known, path).iter().filter_map(moment).collect()
}

/// The value of a register: what the latest fact that writes it wrote; a null is a deletion.
fn register<'a>(known: &'a [Admitted], write: impl Fn(&'a Event) -> Option<&'a Json>) -> Option<Json> {
    let writes = known.iter().map(|r| &r.event).filter(|e| e.is_fact()).filter_map(|e| Some((e.order(), write(e)?)));
    let (_, value) = writes.max_by_key(|(order, _)| *order)?;
    Some(value.clone()).filter(|value| *value != Json::Null)
}

/// Beside the traits first; a null there is no write.
fn beside<'a>(fact: &'a Event, key: &str) -> Option<&'a Json> {
    let own = fact.data.get(key).filter(|value| **value != Json::Null);
    own.or_else(|| fact.data.get("traits")?.get(key))
}

fn name(known: &[Admitted]) -> Option<Json> {
    register(known, |fact| beside(fact, "name"))
}

fn email(known: &[Admitted]) -> Option<Json> {
    let identity = known.iter().find_map(|r| r.event.identifier.clone().filter(|(kind, _)| kind == "email"));
    identity.map(|(_, value)| Json::Text(value)).or_else(|| register(known, |fact| beside(fact, "email")))
}

pub(super) fn view(id: Uuid, known: &[Admitted], scores: &Scores) -> Option<ProfileView> {
    let events = || known.iter().map(|r| &r.event);
    let keys: BTreeSet<&String> = events()
        .filter(|e| e.is_fact())
        .filter_map(|e| match e.data.get("traits") {
            Some(Json::Object(traits)) => Some(traits.keys()),
            _ => None,
        })
        .flatten()
        .collect();
    let read = |key: &String| Some((key.clone(), register(known, |fact| fact.data.get("traits")?.get(key))?));
    let identifiers: BTreeSet<(String, String)> = events().filter_map(|e| e.identifier.clone()).collect();
    Some(ProfileView {
        id,
        identifiers: identifiers.into_iter().collect(),
        email: email(known),
        name: name(known),
        traits: keys.into_iter().filter_map(read).collect(),
        scores: scores.iter().map(|(slug, score)| (slug.clone(), score.sum(events()))).collect(),
        created_at: events().map(|e| e.received).min()?,
        updated_at: events().filter(|e| e.is_fact()).max_by_key(|e| e.order()).map(Event::at),
    })
}

/// Newest first.
pub(super) fn events(known: &[Admitted]) -> Vec<&Admitted> {
    let mut events: Vec<&Admitted> = known.iter().collect();
    events.sort_by(|a, b| b.event.order().cmp(&a.event.order()));
    events
}

pub(super) fn points(profile: Uuid, known: &[Admitted], score: &Score) -> PointsView {
    let counted = events(known).into_iter().map(|r| &r.event).filter(|e| !e.is_fact());
    let events: Vec<EventPoints> = counted
        .map(|e| EventPoints {
            id: e.id.clone(),
            event_type: e.name.clone(),
            timestamp: e.time,
            points: score.points(e),
        })
        .collect();
    let mut by_type = BTreeMap::<String, (u64, Decimal)>::new();
    for event in &events {
        let (count, points) = by_type.entry(event.event_type.clone()).or_default();
        *count += 1;
        *points = *points + event.points;
    }
    PointsView { profile, points: events.iter().map(|e| e.points).sum(), by_type, events }
}
