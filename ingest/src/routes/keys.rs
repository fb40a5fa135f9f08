//! Keys of a workspace. A secret is shown once, in the answer to its making.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use weir_control::{Command, KeyCreated, KeyId, KeyRevoked, NewKey, Role, Secret};
use weir_http::{JsonObject, MediaType, Problem, Query, utf8};

use super::{Part, part};
use crate::bootstrap::random_id;
use crate::service::Ingest;
use crate::{answer, event};

/// Bytes of a key's name.
const NAME_BYTES: usize = 200;

#[derive(Serialize)]
struct Created<'a> {
    id: KeyId,
    role: Role,
    name: Option<&'a str>,
    key: &'a str,
}

/// `POST /api/keys`
pub(super) async fn create(State(ingest): State<Ingest>, request: Request) -> Result<Response, Problem> {
    let admin = ingest.admin(request.headers()).await?;
    let (_, _, body) = ingest.read(request, &[MediaType::Json]).await?;
    let (role, name) = asked(utf8(&body)?)?;
    let secret = Secret::new(role, &rand::random());
    let key = NewKey { id: KeyId(random_id()), role, name: name.clone(), sha256: secret.hash() };
    let answer = Created { id: key.id, role, name: name.as_deref(), key: secret.expose() };
    let workspace = Some(admin.workspace.as_ref().to_owned());
    let command = Command::KeyCreated(KeyCreated { workspace, key, by: admin.by(), at: ingest.clock().now() });
    let (_, position) = ingest.command(Some(&admin.workspace), &command).await?;
    Ok(answer::written(StatusCode::CREATED, &position, &answer))
}

fn asked(text: &str) -> Result<(Role, Option<String>), Problem> {
    let mut object = JsonObject::checked(text, &["role", "name"])?;
    object.require("role");
    let word = object.string("role");
    let role = word.as_deref().and_then(Role::parse).filter(|role| *role != Role::Operator);
    if word.is_some() && role.is_none() {
        object.refuse("field_invalid", "role", "must be write, read or admin");
    }
    let name = object.bounded("name", NAME_BYTES).map(String::from);
    Ok((event::finish(object, role)?, name))
}

/// `DELETE /api/keys/{id}`
pub(super) async fn revoke(State(ingest): State<Ingest>, path: Part, request: Request) -> Result<Response, Problem> {
    let admin = ingest.admin(request.headers()).await?;
    Query::parse(request.uri(), &[])?;
    let Ok(id) = part(path)?.parse::<KeyId>() else {
        return Err(Problem::not_found("unknown_key", "keys have a UUID as id; GET /api/keys lists the keys"));
    };
    let workspace = Some(admin.workspace.as_ref().to_owned());
    let command = Command::KeyRevoked(KeyRevoked { workspace, id, by: admin.by(), at: ingest.clock().now() });
    let (_, position) = ingest.command(Some(&admin.workspace), &command).await?;
    Ok(answer::done(&position))
}
