//! Scores: who has how many points.

use std::sync::Arc;
use weir_event::Decimal;

use axum::extract::State as Shared;
use axum::http::HeaderValue;
use axum::http::header::ETAG;
use axum::response::Response;
use serde::Serialize;
use weir_http::{Problem, Query};
use weir_segment::Score;

use crate::access::Access;
use crate::answer::{Asked, InPath, json, json_text};
use crate::cursor::ScorePlace;
use crate::definitions::Compiles;
use crate::failure;
use crate::people::{Person, no_parameters, people};
use crate::reading::Reading;
use crate::segments::expired;
use crate::service::Api;
use crate::wait::Need;

/// `GET /api/scores/{slug}`: the newest version as it was accepted.
pub(crate) async fn definition(
    Shared(api): Shared<Arc<Api>>,
    InPath(slug): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    body::<Score>(&api, &slug, &asked).await
}

/// A definition's newest version as its own JSON, so that it can be changed and put again; its number is the `ETag`.
pub(crate) async fn body<T: Compiles>(api: &Api, slug: &str, asked: &Asked) -> Result<Response, Problem> {
    let reading = api.read(asked, Access::Read, Need::CONTROL).await?;
    no_parameters(&asked.uri)?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let newest = catalogs.find::<T>(slug)?.newest;
    let mut response = json_text(newest.body.as_bytes().to_vec());
    let tag = HeaderValue::try_from(format!("\"{}\"", newest.number)).map_err(|error| Problem::internal(&error))?;
    response.headers_mut().insert(ETAG, tag);
    Ok(response)
}

#[derive(Serialize)]
struct Ranking<'a> {
    score: &'a str,
    profiles: Vec<Ranked>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Ranked {
    #[serde(flatten)]
    person: Person,
    points: Decimal,
}

/// `GET /api/scores/{slug}/profiles`: most points first, then by id.
pub(crate) async fn profiles(
    Shared(api): Shared<Arc<Api>>,
    InPath(slug): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::MEMBERSHIP).await?;
    let query = Query::parse(&asked.uri, &["limit", "cursor"])?;
    let limit = query.limit()?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let list = format!("score {} {slug}", catalogs.workspace.no);
    let place = query.cursor().map(|cursor| ScorePlace::open(&list, cursor)).transpose()?;
    let score = catalogs.find::<Score>(&slug)?.read()?;
    if place.is_some_and(|place| place.score != score.id) {
        return Err(expired());
    }
    let after = place.map(|place| place.after);
    let mut rows = reading.view.scores(score.id, after, limit + 1).await.map_err(failure::store)?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| ScorePlace { score: score.id, after: (last.points, last.profile) }.seal(&list));
    let ids = rows.iter().map(|row| row.profile);
    let people = people(reading.view.as_mut(), catalogs.workspace.no, ids).await?;
    let ranked = people
        .into_iter()
        .zip(&rows)
        .map(|(person, row)| Ranked { person, points: Decimal::from_billionths(row.points) });
    json(&Ranking { score: &slug, profiles: ranked.collect(), next_cursor: next })
}
