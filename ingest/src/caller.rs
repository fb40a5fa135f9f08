//! Who asks, and whether they may. The workspace comes from the key, never from the request.

use std::sync::Arc;

use axum::http::HeaderMap;
use uuid::Uuid;
use weir_control::{KeyId, Principal, Role, key_hash};
use weir_event::Stream;
use weir_http::{Problem, bearer};

use crate::answer;
use crate::control::PARTITION;
use crate::service::Ingest;

/// The workspace that a deployment without keys has.
const OPEN_WORKSPACE: &str = "default";

/// Somebody who acts in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) workspace: Arc<str>,
    pub(crate) namespace: Uuid,
    /// Whether they may do what admins do: import, for one.
    pub(crate) admin: bool,
    key: Option<KeyId>,
}

/// Somebody who acts for the deployment.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    key: Option<KeyId>,
}

impl Member {
    /// The name that records give to who asked.
    pub(crate) fn by(&self) -> String {
        name(self.key)
    }
}

impl Operator {
    /// The name that records give to who asked.
    pub(crate) fn by(&self) -> String {
        name(self.key)
    }
}

fn name(key: Option<KeyId>) -> String {
    key.map_or_else(|| "open".to_owned(), |id| id.to_string())
}

impl Ingest {
    /// Somebody who may post events: a write or admin key.
    pub(crate) async fn writer(&self, headers: &HeaderMap) -> Result<Member, Problem> {
        self.member(headers, &[Role::Write, Role::Admin]).await
    }

    /// Somebody who may change definitions and keys: an admin key.
    pub(crate) async fn admin(&self, headers: &HeaderMap) -> Result<Member, Problem> {
        self.member(headers, &[Role::Admin]).await
    }

    /// Somebody who may make workspaces: an operator key.
    pub(crate) async fn operator(&self, headers: &HeaderMap) -> Result<Operator, Problem> {
        let Some(principal) = self.principal(headers).await? else { return Ok(Operator { key: None }) };
        match principal.role {
            Role::Operator => Ok(Operator { key: Some(principal.key_id) }),
            role => Err(insufficient(role, &[Role::Operator])),
        }
    }

    async fn member(&self, headers: &HeaderMap, roles: &'static [Role]) -> Result<Member, Problem> {
        let (slug, role, key) = match self.principal(headers).await? {
            None => (Arc::from(OPEN_WORKSPACE), Role::Admin, None),
            Some(Principal { role, key_id, workspace: Some(slug) }) if roles.contains(&role) => {
                (slug, role, Some(key_id))
            }
            Some(principal) => return Err(insufficient(principal.role, roles)),
        };
        let namespace = self.control().ask(|state| state.workspace(&slug).map(|workspace| workspace.namespace));
        match namespace {
            Some(namespace) => Ok(Member { workspace: slug, namespace, admin: role == Role::Admin, key }),
            // Only a deployment without keys can ask for a workspace that isn't there.
            None => Err(Problem::not_found("unknown_workspace", "there is no workspace `default`; create it first")),
        }
    }

    /// Whom the key belongs to; `None` where none is asked for. A key that isn't known here is refused only after all
    /// that was on the log when the request arrived has been folded.
    async fn principal(&self, headers: &HeaderMap) -> Result<Option<Principal>, Problem> {
        if self.is_open() {
            return Ok(None);
        }
        let hash = key_hash(bearer(headers)?);
        let known = || self.control().ask(|state| state.authenticate(&hash));
        if let Some(principal) = known() {
            return Ok(Some(principal));
        }
        let bounds = self.log().bounds(Stream::Control, PARTITION).await;
        let end = bounds.map_err(|error| answer::not_followed(&error))?.end;
        self.control().reach(end).await.map_err(|error| answer::not_followed(&error))?;
        known().map(Some).ok_or_else(Problem::key_unknown)
    }
}

fn insufficient(role: Role, needed: &[Role]) -> Problem {
    let needed: Vec<_> = needed.iter().map(|role| role.as_str()).collect();
    let needed = needed.join(" or ");
    Problem::forbidden("role_insufficient", format!("this takes a key with the role {needed}, not {}", role.as_str()))
}
