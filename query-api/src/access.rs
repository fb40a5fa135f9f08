//! Who asks, and whether they may.
//!
//! A key is known from the tables. One that they don't know is refused only when they have taken in all control
//! records that were acknowledged before, so that a key works as soon as it was answered.

use std::sync::Arc;

use weir_control::{Principal, Role, State, key_hash};
use weir_event::{Position, Stream};
use weir_http::{Problem, bearer};

use crate::answer::Asked;
use crate::failure;
use crate::service::Api;
use crate::tables::Live;
use crate::wait::{Need, Patience, not_reached};

/// The workspace that `--open` answers for.
const OPEN_WORKSPACE: &str = "default";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The slug of the workspace; `None` for an operator key.
    pub(crate) workspace: Option<Arc<str>>,
    pub(crate) admin: bool,
    pub(crate) operator: bool,
    reads: bool,
}

impl Caller {
    fn of(principal: &Principal) -> Self {
        Self {
            workspace: principal.workspace.clone(),
            admin: principal.role == Role::Admin,
            operator: principal.role == Role::Operator,
            reads: matches!(principal.role, Role::Read | Role::Admin),
        }
    }

    /// Whoever asks where no key is asked for.
    fn anybody() -> Self {
        Self { workspace: Some(Arc::from(OPEN_WORKSPACE)), admin: true, operator: true, reads: true }
    }
}

/// Who may ask a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Keys of a workspace that may read.
    Read,
    /// Admin keys of a workspace.
    Admin,
    /// Keys that may read, and the operator's.
    Status,
    /// The operator's.
    Operator,
}

impl Access {
    /// # Errors
    /// 403 `role_insufficient`.
    pub(crate) fn check(self, caller: &Caller) -> Result<(), Problem> {
        let (allowed, detail) = match self {
            Self::Read if caller.operator => {
                (caller.reads, "the operator key belongs to no workspace; use a read or admin key of the workspace")
            }
            Self::Read => (caller.reads, "this key may only write; use a read or admin key"),
            Self::Admin => (caller.admin, "only an admin key of the workspace may ask this"),
            Self::Operator => (caller.operator, "only the operator key may ask this"),
            Self::Status => {
                (caller.reads || caller.operator, "this key may only write; use a read, admin or operator key")
            }
        };
        if allowed { Ok(()) } else { Err(Problem::forbidden("role_insufficient", detail)) }
    }
}

/// What a request shows of its key.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// None is asked for.
    Open,
    /// The hash of the key.
    Key([u8; 32]),
}

impl Shown {
    /// Whom the key belongs to, by that state.
    pub(crate) fn caller(self, control: &State) -> Option<Caller> {
        match self {
            Self::Open => Some(Caller::anybody()),
            Self::Key(hash) => control.authenticate(&hash).as_ref().map(Caller::of),
        }
    }
}

impl Api {
    /// The key that the request shows.
    ///
    /// # Errors
    /// 401 `key_missing`.
    pub(crate) fn shown(&self, asked: &Asked) -> Result<Shown, Problem> {
        if self.settings.open { Ok(Shown::Open) } else { bearer(&asked.headers).map(|key| Shown::Key(key_hash(key))) }
    }

    /// Whom the key belongs to.
    ///
    /// # Errors
    /// 401 `key_unknown`; 503 `position_not_reached` if that can't be said yet.
    pub(crate) async fn caller(
        &self,
        live: &mut Arc<Live>,
        shown: Shown,
        patience: &Patience,
        asked: &Asked,
    ) -> Result<Caller, Problem> {
        if let Some(caller) = shown.caller(live.folded().newest()) {
            return Ok(caller);
        }
        let folded = live.refresh().await.map_err(failure::store)?;
        if let Some(caller) = shown.caller(folded.newest()) {
            return Ok(caller);
        }
        // A token that can't be read is not what is wrong with a request whose key isn't known.
        let token = patience.tokens(folded.newest()).ok().flatten().and_then(|token| control_part(&token));
        let acknowledged = || self.acknowledged(None).and_then(|position| control_part(&position));
        let (position, until) = match token {
            Some(token) => (Some(token), patience.with_unknown_key()),
            None => (acknowledged(), patience.without_token()),
        };
        let Some(position) = position else { return Err(Problem::key_unknown()) };
        if !self.wait(live, &position, Need::CONTROL, until, &asked.stamp).await? {
            return Err(not_reached());
        }
        let folded = live.refresh().await.map_err(failure::store)?;
        shown.caller(folded.newest()).ok_or_else(Problem::key_unknown)
    }

    /// What had been acknowledged to the workspace; `None` where this process doesn't know.
    pub(crate) fn acknowledged(&self, workspace: Option<&str>) -> Option<Position> {
        self.settings.acknowledged.as_ref().and_then(|acknowledged| acknowledged.position(workspace))
    }
}

/// The part of a position that speaks of `control.v1`.
fn control_part(position: &Position) -> Option<Position> {
    let next = *position.next.get(&(Stream::Control, 0))?;
    let mut control = Position::new(position.lineage);
    control.raise(Stream::Control, 0, next);
    Some(control)
}
