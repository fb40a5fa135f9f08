//! Definitions of segments and scores. The fold decides; the door checks the grammar and gives them one form.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use weir_control::{Accepted, Command, DefinitionDeleted, DefinitionPut, Kind, Refusal, valid_slug};
use weir_http::{MediaType, Problem, Query, utf8};

use super::{Part, part};
use crate::answer;
use crate::definition::accept;
use crate::service::Ingest;

#[derive(Serialize)]
struct Put<'a> {
    slug: &'a str,
    version: u32,
}

/// `PUT /api/segments/{slug}`
pub(super) async fn put_segment(
    State(ingest): State<Ingest>,
    path: Part,
    request: Request,
) -> Result<Response, Problem> {
    put(&ingest, Kind::Segment, path, request).await
}

/// `PUT /api/scores/{slug}`
pub(super) async fn put_score(State(ingest): State<Ingest>, path: Part, request: Request) -> Result<Response, Problem> {
    put(&ingest, Kind::Score, path, request).await
}

/// `DELETE /api/segments/{slug}`
pub(super) async fn delete_segment(
    State(ingest): State<Ingest>,
    path: Part,
    request: Request,
) -> Result<Response, Problem> {
    delete(&ingest, Kind::Segment, path, request).await
}

/// `DELETE /api/scores/{slug}`
pub(super) async fn delete_score(
    State(ingest): State<Ingest>,
    path: Part,
    request: Request,
) -> Result<Response, Problem> {
    delete(&ingest, Kind::Score, path, request).await
}

async fn put(ingest: &Ingest, kind: Kind, path: Part, request: Request) -> Result<Response, Problem> {
    let admin = ingest.admin(request.headers()).await?;
    let slug = slug(path)?;
    let (_, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let put = DefinitionPut {
        workspace: admin.workspace.as_ref().to_owned(),
        definition: accept(kind, &slug, utf8(&body)?)?,
        if_version: None,
        by: admin.by(),
        at: ingest.clock().now(),
    };
    let command = match kind {
        Kind::Segment => Command::SegmentPut(put),
        Kind::Score => Command::ScorePut(put),
    };
    let (accepted, position) = ingest.command(Some(&admin.workspace), &command).await?;
    let (version, created) = match accepted {
        Accepted::Put { version, created, .. } => (version, created),
        other => return Err(Problem::internal(&std::io::Error::other(format!("a put came to {other:?}")))),
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::written(status, &position, &Put { slug: &slug, version }))
}

async fn delete(ingest: &Ingest, kind: Kind, path: Part, request: Request) -> Result<Response, Problem> {
    let admin = ingest.admin(request.headers()).await?;
    Query::parse(request.uri(), &[])?;
    let deleted = DefinitionDeleted {
        workspace: admin.workspace.as_ref().to_owned(),
        slug: slug(path)?,
        if_version: None,
        by: admin.by(),
        at: ingest.clock().now(),
    };
    let command = match kind {
        Kind::Segment => Command::SegmentDeleted(deleted),
        Kind::Score => Command::ScoreDeleted(deleted),
    };
    let (_, position) = ingest.command(Some(&admin.workspace), &command).await?;
    Ok(answer::done(&position))
}

fn slug(path: Part) -> Result<String, Problem> {
    let slug = part(path)?;
    if valid_slug(&slug) { Ok(slug) } else { Err(answer::refused(&Refusal::InvalidSlug { slug })) }
}
