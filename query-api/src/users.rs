//! The points service: a user's events, counted and valued by type.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_event::{Decimal, Envelope, Event, Identifier, IdentifierKind, Timestamp, is_reserved};
use weir_http::{Problem, Query};
use weir_segment::{Score, points};
use weir_store::{ProfileKey, TimelineRow, TimelineView};

use crate::access::Access;
use crate::answer::{Asked, json};
use crate::cursor;
use crate::definitions::Catalogs;
use crate::failure;
use crate::people;
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

/// The score that the points are of.
const POINTS: &str = "points";
/// Records of the timeline read at a time.
const CHUNK: usize = 1_000;

#[derive(Serialize)]
struct Answer<'a> {
    user_id: &'a str,
    points: Option<Decimal>,
    by_type: Vec<ByType>,
    events: Vec<Row>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct ByType {
    event_type: String,
    count: u64,
    points: Option<Decimal>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    event_type: String,
    timestamp: Timestamp,
    points: Option<Decimal>,
    #[serde(skip)]
    place: Vec<u8>,
}

/// Counts all of a user's events and keeps a page of them. Points that went past what a number of ours holds are
/// `None`.
struct Tally<'a> {
    score: Option<&'a Score>,
    before: Option<Vec<u8>>,
    limit: usize,
    points: Option<Decimal>,
    by_type: BTreeMap<String, (u64, Option<Decimal>)>,
    page: Vec<Row>,
    more: bool,
}

impl<'a> Tally<'a> {
    fn new(score: Option<&'a Score>, before: Option<Vec<u8>>, limit: usize) -> Self {
        let (points, by_type) = (Some(Decimal::ZERO), BTreeMap::new());
        Self { score, before, limit, points, by_type, page: Vec::new(), more: false }
    }

    async fn read(&mut self, timeline: &mut dyn TimelineView, key: ProfileKey) -> Result<(), Problem> {
        let mut before: Option<Vec<u8>> = None;
        loop {
            let rows = timeline.events(key, before.as_deref(), CHUNK).await.map_err(failure::store)?;
            for row in &rows {
                self.add(row)?;
            }
            match rows.into_iter().nth(CHUNK - 1) {
                Some(last) => before = Some(last.place),
                None => return Ok(()),
            }
        }
    }

    fn add(&mut self, row: &TimelineRow) -> Result<(), Problem> {
        let envelope = Envelope::parse(&row.record).map_err(failure::unreadable)?;
        let points = match self.score {
            Some(score) => points(&score.definition.rules, &Event::of(&envelope)).unwrap_or(Some(Decimal::ZERO)),
            None => Some(Decimal::ZERO),
        };
        // A score may value a fact; the total is then still the score's.
        self.points = sum(self.points, points);
        if is_reserved(&envelope.name) {
            return Ok(());
        }
        let name = envelope.name.into_owned();
        let (count, of_type) = self.by_type.entry(name.clone()).or_insert((0, Some(Decimal::ZERO)));
        *count += 1;
        *of_type = sum(*of_type, points);
        if self.before.as_ref().is_some_and(|before| row.place >= *before) {
            return Ok(());
        }
        if self.page.len() == self.limit {
            self.more = true;
            return Ok(());
        }
        let (id, place) = (envelope.id.into_owned(), row.place.clone());
        self.page.push(Row { id, event_type: name, timestamp: envelope.time, points, place });
        Ok(())
    }
}

fn sum(a: Option<Decimal>, b: Option<Decimal>) -> Option<Decimal> {
    a.zip(b).and_then(|(a, b)| a.checked_add(b))
}

/// `GET /v1/users/events?user_id=…`. The score is read as it is served; without it an event has no points.
pub(crate) async fn events(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::TIMELINE).await?;
    let query = Query::parse(&asked.uri, &["user_id", "limit", "cursor"])?;
    let limit = query.limit()?;
    let user = user(&query)?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let key = people::key(catalogs.workspace, user.profile_id(catalogs.workspace.namespace));
    let list = format!("user {} {}", key.workspace, key.profile);
    let before = query.cursor().map(|cursor| cursor::open(&list, cursor)).transpose()?;
    people::shown(reading.view.as_mut(), key).await?;
    let mut tally = Tally::new(score(&catalogs)?, before, limit);
    tally.read(Reading::of_timeline(&mut reading.timeline)?, key).await?;
    let next_cursor = tally.page.last().filter(|_| tally.more).map(|last| cursor::seal(&list, last.place.clone()));
    let by_type = tally.by_type.into_iter();
    json(&Answer {
        user_id: &user.value,
        points: tally.points,
        by_type: by_type.map(|(event_type, (count, points))| ByType { event_type, count, points }).collect(),
        events: tally.page,
        next_cursor,
    })
}

fn user(query: &Query) -> Result<Identifier, Problem> {
    let missing = || Problem::malformed("parameter_missing", "name the user by the parameter `user_id`");
    let value = query.get("user_id").ok_or_else(missing)?;
    Identifier::new(IdentifierKind::User, value)
        .map_err(|error| Problem::invalid_field("identifier_invalid", "", format!("`user_id` {error}")))
}

/// The score `points`; `None` if it was deleted.
fn score<'a>(catalogs: &'a Catalogs<'_>) -> Result<Option<&'a Score>, Problem> {
    match catalogs.find::<Score>(POINTS) {
        Ok(standing) => standing.read().map(Some),
        Err(_) => Ok(None),
    }
}
