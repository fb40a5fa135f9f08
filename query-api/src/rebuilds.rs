//! Rebuilds, for the operator: the one thing that is changed by way of the query API, since it speaks of this store and
//! not of the log.
//!
//! Answers come from the notes on rebuilds and not from a generation's tables, so they don't name one in
//! `Weir-Generation`: the one that knows the key may be another than the one that is read when a promotion is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use uuid::Uuid;
use weir_event::Timestamp;
use weir_http::{BodyLimits, JsonObject, MediaType, Problem, media_type, read_body, utf8};
use weir_store::{Comparison, Difference, GenerationId, GenerationInfo, NotedRebuild, RebuildRequest, RebuildState};

use crate::access::Access;
use crate::answer::{Asked, InPath, Stamp, json};
use crate::asking::{self, not_found};
use crate::failure;
use crate::filling::ALMOST;
use crate::people::no_parameters;
use crate::service::Api;
use crate::wait::Need;

#[derive(Serialize)]
struct Rebuilds {
    rebuilds: Vec<Row>,
}

#[derive(Serialize)]
struct Started {
    id: Uuid,
    generation: u64,
    state: RebuildState,
}

#[derive(Serialize)]
struct Row {
    id: Uuid,
    generation: u64,
    before: u64,
    state: RebuildState,
    reason: Option<String>,
    /// What is asked of it and not answered yet.
    asked: Option<&'static str>,
    started_at: Timestamp,
    #[serde(flatten)]
    way: Way,
    differences: Vec<Difference>,
    differences_total: u64,
    compared: Option<Compared>,
}

/// How far a rebuild is along the log.
#[derive(Default, Serialize)]
struct Way {
    progress: Option<f64>,
    /// Events a second.
    rate: Option<f64>,
    eta_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Compared {
    at: Timestamp,
    rows: BTreeMap<String, u64>,
}

impl Api {
    async fn row(&self, noted: NotedRebuild, generations: &[GenerationInfo]) -> Result<Row, Problem> {
        let NotedRebuild { id, rebuild, .. } = noted;
        let way = self.way(rebuild.state, GenerationId(rebuild.generation), generations).await?;
        let comparison = rebuild.comparison;
        let compared = |Comparison { at, rows, .. }| Compared { at: Timestamp::from_micros(at), rows };
        Ok(Row {
            id,
            generation: rebuild.generation,
            before: rebuild.before,
            state: rebuild.state,
            reason: rebuild.reason,
            asked: rebuild.asked.map(asking::name),
            started_at: Timestamp::from_micros(rebuild.started_at),
            way,
            differences_total: comparison.as_ref().map_or(0, |comparison| comparison.found),
            differences: comparison.as_ref().map(|comparison| comparison.differences.clone()).unwrap_or_default(),
            compared: comparison.map(compared),
        })
    }

    /// Nothing is known of tables that are gone.
    async fn way(&self, state: RebuildState, id: GenerationId, generations: &[GenerationInfo]) -> Result<Way, Problem> {
        let far = match state {
            RebuildState::Aborted | RebuildState::Failed => return Ok(Way::default()),
            _ => self.far(id, generations).await.map_err(failure::store)?,
        };
        let rate = far.and_then(|far| far.rate).map(|rate| (rate * 10.0).round() / 10.0);
        Ok(match (state, far) {
            (RebuildState::Filling, None) => Way::default(),
            (RebuildState::Filling, Some(far)) => {
                Way { progress: Some(far.share().min(ALMOST)), rate, eta_seconds: far.eta_seconds() }
            }
            // It caught up once; what it is behind now is a moment's.
            _ => Way { progress: Some(1.0), rate, eta_seconds: Some(0) },
        })
    }

    /// Whether the caller is an operator.
    async fn operator(&self, asked: &mut Asked) -> Result<(), Problem> {
        asked.stamp = Stamp::default();
        // The view that this opens is closed again: nobody keeps one while waiting for a projector.
        self.read(asked, Access::Operator, Need::CONTROL).await.map(drop)
    }

    async fn rebuild(&self, noted: NotedRebuild) -> Result<Response, Problem> {
        let generations = self.tables.store.generations().await.map_err(failure::store)?;
        json(&self.row(noted, &generations).await?)
    }

    /// The rebuild that a path names.
    async fn named(&self, id: &str) -> Result<NotedRebuild, Problem> {
        let mut all = asking::all(self.tables.store.as_ref()).await?;
        if id == "latest" {
            return all.pop().ok_or_else(not_found);
        }
        let id = Uuid::try_parse(id).map_err(|_| not_found())?;
        all.into_iter().find(|noted| noted.id == id).ok_or_else(not_found)
    }
}

/// `GET /api/rebuilds`: the newest first.
pub(crate) async fn list(Shared(api): Shared<Arc<Api>>, mut asked: Asked) -> Result<Response, Problem> {
    api.operator(&mut asked).await?;
    no_parameters(&asked.uri)?;
    let noted = asking::all(api.tables.store.as_ref()).await?;
    let generations = api.tables.store.generations().await.map_err(failure::store)?;
    let mut rebuilds = Vec::new();
    for noted in noted.into_iter().rev() {
        rebuilds.push(api.row(noted, &generations).await?);
    }
    json(&Rebuilds { rebuilds })
}

/// `GET /api/rebuilds/{id}`; `latest` is an id too.
pub(crate) async fn show(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    mut asked: Asked,
) -> Result<Response, Problem> {
    api.operator(&mut asked).await?;
    no_parameters(&asked.uri)?;
    api.rebuild(api.named(&id).await?).await
}

/// `POST /api/rebuilds` → 201 as soon as the generation is made.
pub(crate) async fn start(Shared(api): Shared<Arc<Api>>, mut asked: Asked, body: Body) -> Result<Response, Problem> {
    api.operator(&mut asked).await?;
    no_body(&asked, body).await?;
    let noted = asking::start(api.clone()).await?;
    let generation = GenerationId(noted.rebuild.generation);
    // The first look: the pace is taken from here.
    let generations = api.tables.store.generations().await.map_err(failure::store)?;
    api.far(generation, &generations).await.map_err(failure::store)?;
    let mut response = json(&Started { id: noted.id, generation: generation.0, state: noted.rebuild.state })?;
    *response.status_mut() = StatusCode::CREATED;
    let place = HeaderValue::try_from(format!("/api/rebuilds/{}", noted.id));
    response.headers_mut().insert(LOCATION, place.map_err(|error| Problem::internal(&error))?);
    Ok(response)
}

/// `POST /api/rebuilds/{id}/verify` → 200 when the comparison is made, whatever it found.
pub(crate) async fn verify(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
    body: Body,
) -> Result<Response, Problem> {
    plain(api, &id, asked, body, RebuildRequest::Verify).await
}

/// `POST /api/rebuilds/{id}/rollback` → 200 when the generation before is read again.
pub(crate) async fn roll_back(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
    body: Body,
) -> Result<Response, Problem> {
    plain(api, &id, asked, body, RebuildRequest::Rollback).await
}

/// `POST /api/rebuilds/{id}/abort` → 200 when it is given up.
pub(crate) async fn abort(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
    body: Body,
) -> Result<Response, Problem> {
    plain(api, &id, asked, body, RebuildRequest::Abort).await
}

/// `POST /api/rebuilds/{id}/promote` → 200 when it is read.
pub(crate) async fn promote(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    mut asked: Asked,
    body: Body,
) -> Result<Response, Problem> {
    api.operator(&mut asked).await?;
    let text = text(&asked, body).await?;
    let mut object = JsonObject::checked(&text, &["accept_differences"])?;
    let accept_differences = object.boolean("accept_differences").unwrap_or(false);
    object.finish()?;
    carried_out(api, &id, RebuildRequest::Promote { accept_differences }).await
}

async fn plain(
    api: Arc<Api>,
    id: &str,
    mut asked: Asked,
    body: Body,
    request: RebuildRequest,
) -> Result<Response, Problem> {
    api.operator(&mut asked).await?;
    no_body(&asked, body).await?;
    carried_out(api, id, request).await
}

async fn carried_out(api: Arc<Api>, id: &str, request: RebuildRequest) -> Result<Response, Problem> {
    let named = api.named(id).await?;
    let noted = asking::ask(api.clone(), named.id, request).await?;
    api.rebuild(noted).await
}

/// No body, or an object without fields.
async fn no_body(asked: &Asked, body: Body) -> Result<(), Problem> {
    let text = text(asked, body).await?;
    JsonObject::checked(&text, &[])?.finish()
}

/// The body; an empty one is an empty object.
async fn text(asked: &Asked, body: Body) -> Result<String, Problem> {
    no_parameters(&asked.uri)?;
    let body = read_body(&asked.headers, body, &BodyLimits::default()).await?;
    if body.is_empty() {
        return Ok("{}".to_owned());
    }
    media_type(&asked.headers, &[MediaType::Json])?;
    utf8(&body).map(str::to_owned)
}
