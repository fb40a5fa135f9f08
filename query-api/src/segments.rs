//! Segments: what there is, who is in one, how many.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_event::{ProfileId, Timestamp};
use weir_http::{Problem, Query};
use weir_segment::{Segment, end};
use weir_store::{ProfileKey, SpanRow};

use crate::access::Access;
use crate::answer::{Asked, InPath, json};
use crate::baskets::Shown;
use crate::cursor::MemberPlace;
use crate::definitions::Stage;
use crate::failure;
use crate::people::{Person, people};
use crate::reading::{Reading, spans};
use crate::scores::body;
use crate::service::Api;
use crate::wait::Need;

#[derive(Serialize)]
struct Segments<'a> {
    segments: Vec<Row<'a>>,
    as_of: Timestamp,
}

#[derive(Serialize)]
struct Row<'a> {
    slug: &'a str,
    name: Option<String>,
    version: u32,
    state: Stage,
    serving: Option<u32>,
    count: Option<i64>,
}

/// `GET /api/segments`.
pub(crate) async fn list(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::MEMBERSHIP).await?;
    let as_of = Query::parse(&asked.uri, &["as_of"])?.as_of()?.unwrap_or(reading.now);
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let mut segments = Vec::new();
    for standing in catalogs.all::<Segment>() {
        let count = match standing.serving {
            Some(segment) => {
                let count = weir_store::count(spans(&mut reading.view), segment.id, as_of.micros()).await;
                Some(count.map_err(failure::store)?)
            }
            None => None,
        };
        segments.push(Row {
            slug: standing.slug,
            name: standing.name(),
            version: standing.newest.number,
            state: standing.stage,
            serving: standing.serving.map(|segment| segment.version),
            count,
        });
    }
    json(&Segments { segments, as_of })
}

#[derive(Serialize)]
struct Members<'a> {
    segment: &'a str,
    profiles: Vec<Member>,
    next_cursor: Option<String>,
    as_of: Timestamp,
}

#[derive(Serialize)]
struct Member {
    #[serde(flatten)]
    person: Person,
    entered_at: Timestamp,
    leaves_at: Option<Timestamp>,
    /// Where it was asked for; `null` if it was set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    basket: Option<Option<Shown>>,
}

/// What lies in the baskets of members, those set aside not among them.
async fn baskets(
    reading: &mut Reading,
    workspace: u64,
    members: &[SpanRow],
) -> Result<HashMap<ProfileId, Shown>, Problem> {
    let keys: Vec<ProfileKey> = members.iter().map(|row| ProfileKey { workspace, profile: row.key.profile }).collect();
    let states = reading.timeline()?.baskets(&keys).await.map_err(failure::store)?;
    let states: HashMap<ProfileId, Vec<u8>> = states.into_iter().map(|row| (row.key.profile, row.state)).collect();
    let mut baskets = HashMap::with_capacity(keys.len());
    for key in keys {
        if let Some(shown) = Shown::of(states.get(&key.profile).map(Vec::as_slice))? {
            baskets.insert(key.profile, shown);
        }
    }
    Ok(baskets)
}

/// `GET /api/segments/{slug}`: a page of members, by (entered_at, id).
pub(crate) async fn members(
    Shared(api): Shared<Arc<Api>>,
    InPath(slug): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let query = Query::parse(&asked.uri, &["limit", "cursor", "as_of", "include"]);
    // Who may not read is told that first, whatever else is wrong.
    let included = query.as_ref().is_ok_and(|query| query.get("include").is_some());
    let need = if included { Need::TIMELINE } else { Need::MEMBERSHIP };
    let mut reading = api.read(&asked, Access::Read, need).await?;
    let query = query?;
    let with_baskets = included && query.choice("include", &[("basket", true)])?;
    let (limit, given) = (query.limit()?, query.as_of()?);
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let list = format!("members {} {slug}", catalogs.workspace.no);
    let place = query.cursor().map(|cursor| MemberPlace::open(&list, cursor)).transpose()?;
    let segment = catalogs.find::<Segment>(&slug)?.read()?;
    let (as_of, after) = match place {
        Some(place) if place.segment != segment.id => return Err(expired()),
        // The instant is the cursor's; another one can't go on from there.
        Some(place) if given.is_some_and(|given| given != place.as_of) => return Err(Problem::cursor_invalid()),
        Some(place) => (place.as_of, Some(place.after)),
        None => (given.unwrap_or(reading.now), None),
    };
    let page = weir_store::members(spans(&mut reading.view), segment.id, as_of.micros(), after, limit).await;
    let page = page.map_err(failure::store)?;
    let ids = page.rows.iter().map(|row| row.key.profile);
    let workspace = catalogs.workspace.no;
    let people = people(reading.view.as_mut(), workspace, ids).await?;
    let next = page.rows.last().filter(|_| page.more).map(|last| {
        let after = (last.key.enters, last.key.profile);
        MemberPlace { segment: segment.id, as_of, after }.seal(&list)
    });
    let mut baskets = if with_baskets { Some(baskets(&mut reading, workspace, &page.rows).await?) } else { None };
    let rows = people.into_iter().zip(&page.rows).map(|(person, row)| Member {
        basket: baskets.as_mut().map(|baskets| baskets.remove(&row.key.profile)),
        person,
        entered_at: Timestamp::from_micros(row.key.enters),
        leaves_at: end(row.leaves),
    });
    json(&Members { segment: &slug, profiles: rows.collect(), next_cursor: next, as_of })
}

/// 409 `cursor_expired`.
pub(crate) fn expired() -> Problem {
    Problem::conflict(
        "cursor_expired",
        "the definition changed since this cursor was made, and another version is read now; begin anew without cursor",
    )
}

/// `GET /api/segments/{slug}/count`.
pub(crate) async fn count(
    Shared(api): Shared<Arc<Api>>,
    InPath(slug): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Counted<'a> {
        segment: &'a str,
        count: i64,
        as_of: Timestamp,
    }
    let mut reading = api.read(&asked, Access::Read, Need::MEMBERSHIP).await?;
    let as_of = Query::parse(&asked.uri, &["as_of"])?.as_of()?.unwrap_or(reading.now);
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let segment = catalogs.find::<Segment>(&slug)?.read()?;
    let count = weir_store::count(spans(&mut reading.view), segment.id, as_of.micros()).await;
    json(&Counted { segment: &slug, count: count.map_err(failure::store)?, as_of })
}

/// `GET /api/segments/{slug}/definition`: the newest version as it was accepted, ready to be put again.
pub(crate) async fn definition(
    Shared(api): Shared<Arc<Api>>,
    InPath(slug): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    body::<Segment>(&api, &slug, &asked).await
}
