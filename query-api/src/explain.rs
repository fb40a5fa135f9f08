//! Why a profile is a member, or isn't, at any instant.
//!
//! The profile is folded again from the timeline: its records in log order, as far as the largest receipt so far isn't
//! after the instant. That is what was known then, and what the spans of that time were made of. Folded states are not
//! used: the tables hold them for the fold alone, which may keep the newest ones in memory for a while, and a state
//! can't say what it was yesterday.
//!
//! Memberships are written before the timeline. So this first waits until the timeline has what the view has, and
//! never answers with a reason that contradicts the membership in the view.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_event::{Envelope, Event, Position, ProfileId, Stream, Timestamp};
use weir_http::{Problem, Query};
use weir_segment::{Catalog, Explanation, Segment, State, explain, fold};
use weir_store::{ProfileKey, Projection, TimelineRow, TimelineView};

use crate::access::Access;
use crate::answer::{Asked, InPath, json};
use crate::failure;
use crate::people::{self, named};
use crate::reading::Reading;
use crate::service::Api;
use crate::tables::{covers, next};
use crate::wait::{Need, not_reached};

/// Records of the timeline read at a time.
const CHUNK: usize = 1_000;

#[derive(Serialize)]
struct Answer<'a> {
    segment: &'a str,
    profile_id: ProfileId,
    version: u32,
    as_of: Timestamp,
    #[serde(flatten)]
    explanation: Explanation,
}

/// `GET /api/segments/{slug}/members/{profile_id}`.
pub(crate) async fn show(
    Shared(api): Shared<Arc<Api>>,
    InPath((slug, id)): InPath<(String, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::TIMELINE).await?;
    let given = Query::parse(&asked.uri, &["as_of"])?.as_of()?;
    let key = {
        let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
        catalogs.find::<Segment>(&slug)?.read()?;
        named(catalogs.workspace, &id)?
    };
    people::shown(reading.view.as_mut(), key).await?;
    reading = api.with_timeline(reading, &asked).await?;
    let as_of = given.unwrap_or(reading.now);
    let (records, complete) = reading.records(key).await?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let segment = catalogs.find::<Segment>(&slug)?.read()?;
    let state = fold_until(&catalogs.served.catalog, &records, as_of)?;
    let explanation = explain(segment, &state, as_of).map_err(failure::damaged)?;
    if !complete {
        let spans = reading.view.spans_of(key.profile, &[segment.id]).await.map_err(failure::store)?;
        let now = as_of.micros();
        if explanation.member != spans.iter().any(|span| span.key.enters <= now && now < span.leaves) {
            return Err(not_reached());
        }
    }
    json(&Answer { segment: &slug, profile_id: key.profile, version: segment.version, as_of, explanation })
}

/// The state that the records, given in log order, had left behind at the instant.
fn fold_until(catalog: &Catalog, records: &[TimelineRow], instant: Timestamp) -> Result<State, Problem> {
    let mut state = State::default();
    for row in records {
        let envelope = Envelope::parse(&row.record).map_err(failure::unreadable)?;
        // The first receipt after the instant raises the horizon beyond it for good.
        if envelope.received > instant {
            break;
        }
        fold(catalog, &mut state, &Event::of(&envelope)).map_err(failure::damaged)?;
    }
    Ok(state)
}

impl Api {
    /// Waits, as long as the request may, until the timeline has what the view has; then opens both anew, since a view
    /// is not held while waiting: there are few connections, and each keeps old pages from being written back.
    async fn with_timeline(&self, mut reading: Reading, asked: &Asked) -> Result<Reading, Problem> {
        let Some(log) = reading.folded.newest().log() else { return Ok(reading) };
        let mut wanted = Position::new(log.lineage);
        for progress in reading.progress.iter().filter(|progress| progress.projection == Projection::Membership) {
            wanted.raise(Stream::Events, progress.partition, progress.next);
        }
        let stands = reading.timeline()?.progress().await.map_err(failure::store)?;
        if covers(&stands, &wanted, Need { membership: false, timeline: true }) {
            return Ok(reading);
        }
        let Reading { caller, mut live, patience, view, timeline, .. } = reading;
        drop((view, timeline));
        self.wait(&mut live, &wanted, Need::TIMELINE, patience.until(), &asked.stamp).await?;
        self.open(caller, live, Need::TIMELINE, patience, &asked.stamp).await
    }
}

impl Reading {
    /// A profile's records that the view's memberships were folded from, in log order, and whether none is missing.
    async fn records(&mut self, key: ProfileKey) -> Result<(Vec<TimelineRow>, bool), Problem> {
        let timeline = Self::of_timeline(&mut self.timeline)?;
        let stands = timeline.progress().await.map_err(failure::store)?;
        let mut records = all(timeline, key).await?;
        // A profile as sent has all of its records on one partition.
        let Some(partition) = records.first().map(|row| row.partition) else { return Ok((records, false)) };
        let folded = next(&self.progress, Projection::Membership, partition);
        records.retain(|row| row.offset < folded);
        records.sort_unstable_by_key(|row| (row.partition, row.offset));
        Ok((records, next(&stands, Projection::Timeline, partition) >= folded))
    }
}

async fn all(timeline: &mut dyn TimelineView, key: ProfileKey) -> Result<Vec<TimelineRow>, Problem> {
    let mut records: Vec<TimelineRow> = Vec::new();
    loop {
        let before = records.last().map(|row| row.place.as_slice());
        let rows = timeline.events(key, before, CHUNK).await.map_err(failure::store)?;
        let last = rows.len() < CHUNK;
        records.extend(rows);
        if last {
            return Ok(records);
        }
    }
}
