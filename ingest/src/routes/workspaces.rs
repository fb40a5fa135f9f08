//! Workspaces, made by the operator.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use weir_control::{Refusal, Role, Secret, valid_slug};
use weir_http::{JsonObject, MediaType, Problem, utf8};

use crate::bootstrap::{FirstKeys, workspace_created};
use crate::service::Ingest;
use crate::{answer, event};

#[derive(Serialize)]
struct Created<'a> {
    workspace: &'a str,
    write: &'a str,
    read: &'a str,
    admin: &'a str,
}

/// `POST /api/workspaces`
pub(super) async fn create(State(ingest): State<Ingest>, request: Request) -> Result<Response, Problem> {
    let operator = ingest.operator(request.headers()).await?;
    let (_, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let mut object = JsonObject::checked(utf8(&body)?, &["slug"])?;
    object.require("slug");
    let slug = object.string("slug");
    let slug: Arc<str> = Arc::from(event::finish(object, slug)?);
    if !valid_slug(&slug) {
        return Err(answer::refused(&Refusal::InvalidSlug { slug: slug.as_ref().to_owned() }));
    }
    let [write, read, admin] = [Role::Write, Role::Read, Role::Admin].map(|role| Secret::new(role, &rand::random()));
    let keys = FirstKeys { write: write.hash(), read: read.hash(), admin: admin.hash(), operator: None };
    let command = workspace_created(&slug, &keys, &operator.by(), ingest.clock().now());
    let (_, position) = ingest.command(Some(&slug), &command).await?;
    let (write, read, admin) = (write.expose(), read.expose(), admin.expose());
    Ok(answer::written(StatusCode::CREATED, &position, &Created { workspace: &slug, write, read, admin }))
}
