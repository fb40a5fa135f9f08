//! The keys of a workspace. Their secrets are nowhere kept.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_control::{Key, KeyId, Role};
use weir_event::Timestamp;
use weir_http::Problem;

use crate::access::Access;
use crate::answer::{Asked, json};
use crate::people::no_parameters;
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

#[derive(Serialize)]
struct Keys<'a> {
    keys: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    id: KeyId,
    role: Role,
    name: Option<&'a str>,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

/// `GET /api/keys`: revoked ones too, the oldest first.
pub(crate) async fn list(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let reading = api.read(&asked, Access::Admin, Need::CONTROL).await?;
    no_parameters(&asked.uri)?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let mut keys: Vec<&Key> = catalogs.workspace.keys.values().collect();
    keys.sort_by_key(|key| (key.created_at, key.id));
    let row = |key: &&'_ Key| (key.id, key.role, key.created_at, key.revoked.as_ref().map(|revoked| revoked.at));
    let rows = keys.iter().map(|key| {
        let (id, role, created_at, revoked_at) = row(key);
        Row { id, role, name: key.name.as_deref(), created_at, revoked_at }
    });
    json(&Keys { keys: rows.collect() })
}
