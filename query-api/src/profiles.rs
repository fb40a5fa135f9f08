//! Profiles: one by id or name, by a parameter, and the segments that one is in.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use weir_event::{Decimal, Timestamp};
use weir_http::{Problem, Query};
use weir_segment::{Score, Segment, State, end, points_of};

use crate::access::Access;
use crate::answer::{Asked, InPath, json};
use crate::definitions::{Catalogs, Stage};
use crate::failure;
use crate::people::{self, Person, named, no_parameters};
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

#[derive(Serialize)]
struct Profile<'a> {
    #[serde(flatten)]
    person: Person,
    traits: BTreeMap<&'a str, &'a RawValue>,
    /// `null` where a sum went past what a number of ours holds.
    scores: BTreeMap<&'a str, Option<Decimal>>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl<'a> Profile<'a> {
    fn of(person: Person, state: &'a State, catalogs: &'a Catalogs<'_>) -> Result<Self, Problem> {
        let traits = state.facts.traits().filter_map(|(name, json)| Some((name, serde_json::from_str(json).ok()?)));
        let mut scores = BTreeMap::new();
        for standing in catalogs.all::<Score>() {
            if let Some(score) = standing.serving {
                scores.insert(standing.slug, points(state, score)?);
            }
        }
        Ok(Self {
            person,
            traits: traits.collect(),
            scores,
            created_at: state.created.map(Timestamp::from_micros),
            updated_at: state.facts.updated.map(Timestamp::from_micros),
        })
    }
}

/// A profile's points: zero before any event matched a rule, `None` where the sum was set aside.
fn points(state: &State, score: &Score) -> Result<Option<Decimal>, Problem> {
    if state.is_set_aside(score.signal) {
        return Ok(None);
    }
    points_of(state, score.signal).map(|points| Some(points.unwrap_or_default())).map_err(failure::damaged)
}

/// `GET /api/profiles/{id}`.
pub(crate) async fn show(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::MEMBERSHIP).await?;
    no_parameters(&asked.uri)?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let key = named(catalogs.workspace, &id)?;
    let state = people::shown(reading.view.as_mut(), key).await?;
    json(&Profile::of(Person::of(key.profile, &state.facts), &state, &catalogs)?)
}

/// `GET /api/profiles?email=…`: the profile with that name, or none.
pub(crate) async fn find(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Found<'a> {
        profiles: Vec<Profile<'a>>,
    }
    let mut reading = api.read(&asked, Access::Read, Need::MEMBERSHIP).await?;
    let query = Query::parse(&asked.uri, &["email", "user_id", "anonymous_id"])?;
    let identifier = query.identifier()?.ok_or_else(|| {
        Problem::malformed("parameter_missing", "name a profile by `email`, `user_id` or `anonymous_id`")
    })?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let key = people::key(catalogs.workspace, identifier.profile_id(catalogs.workspace.namespace));
    let state = people::found(reading.view.as_mut(), key).await?;
    let Some(state) = state else { return json(&Found { profiles: Vec::new() }) };
    json(&Found { profiles: vec![Profile::of(Person::of(key.profile, &state.facts), &state, &catalogs)?] })
}

#[derive(Serialize)]
struct Memberships<'a> {
    segments: Vec<Membership<'a>>,
    pending: Vec<&'a str>,
    as_of: Timestamp,
}

#[derive(Serialize)]
struct Membership<'a> {
    slug: &'a str,
    name: Option<&'a str>,
    entered_at: Timestamp,
    leaves_at: Option<Timestamp>,
}

/// `GET /api/profiles/{id}/segments`.
pub(crate) async fn segments(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::MEMBERSHIP).await?;
    let as_of = Query::parse(&asked.uri, &["as_of"])?.as_of()?.unwrap_or(reading.now);
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let key = named(catalogs.workspace, &id)?;
    people::shown(reading.view.as_mut(), key).await?;
    let mut pending = Vec::new();
    let mut serving: BTreeMap<i64, (&str, &Segment)> = BTreeMap::new();
    for standing in catalogs.all::<Segment>() {
        match standing.serving {
            Some(segment) => drop(serving.insert(segment.id, (standing.slug, segment))),
            None if standing.stage == Stage::Backfilling => pending.push(standing.slug),
            None => {}
        }
    }
    let ids: Vec<i64> = serving.keys().copied().collect();
    let spans = reading.view.spans_of(key.profile, &ids).await.map_err(failure::store)?;
    let now = as_of.micros();
    let mut segments: Vec<Membership<'_>> = spans
        .iter()
        .filter(|span| span.key.enters <= now && now < span.leaves)
        .filter_map(|span| Some((span, serving.get(&span.key.segment)?)))
        .map(|(span, (slug, segment))| Membership {
            slug,
            name: segment.definition.name.as_deref(),
            entered_at: Timestamp::from_micros(span.key.enters),
            leaves_at: end(span.leaves),
        })
        .collect();
    segments.sort_by_key(|membership| membership.slug);
    json(&Memberships { segments, pending, as_of })
}
