//! Waiting until the tables contain what the caller knows of.
//!
//! A read with tokens waits for these; a read without one waits for what its workspace had been acknowledged when the
//! read arrived, if this process knows that. It waits for a change of the store, never in a polling loop.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_control::State;
use weir_event::Position;
use weir_http::{DEFAULT_WAIT, Problem, prefer_wait, weir_after};

use crate::answer::Stamp;
use crate::failure;
use crate::service::Api;
use crate::tables::Live;

/// How long a read without token waits at most.
const ACKNOWLEDGED_WAIT: Duration = Duration::from_secs(1);

/// What had been acknowledged, told by whoever acknowledges: ingest, where it runs in the same process.
pub trait Acknowledged: Send + Sync + 'static {
    /// What must be in the tables for a read of this workspace that arrives now. `None` for the workspace stands for a
    /// caller without one: an operator, or a key that isn't known yet. `None` as answer asks for no waiting.
    fn position(&self, workspace: Option<&str>) -> Option<Position>;
}

/// The projections over `events.v1` that a read reads; `control` is read always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) membership: bool,
    pub(crate) timeline: bool,
}

impl Need {
    /// Definitions and keys only.
    pub(crate) const CONTROL: Self = Self { membership: false, timeline: false };
    /// Profiles, segments, scores.
    pub(crate) const MEMBERSHIP: Self = Self { membership: true, timeline: false };
    /// Events, besides.
    pub(crate) const TIMELINE: Self = Self { membership: true, timeline: true };
}

/// What a request said about waiting.
pub(crate) struct Patience {
    /// The tokens; an error if one can't be read.
    tokens: Result<Vec<Position>, Problem>,
    arrived: Instant,
    preferred: Duration,
}

impl Patience {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { tokens: weir_after(headers), arrived: Instant::now(), preferred: prefer_wait(headers) }
    }

    /// The tokens as one position; `None` without any.
    ///
    /// # Errors
    /// 400 `position_invalid`; 409 `position_unknown` for a token of another log than the one in `control`.
    pub(crate) fn tokens(&self, control: &State) -> Result<Option<Position>, Problem> {
        let mut merged: Option<Position> = None;
        for token in self.tokens.clone()? {
            if control.log().is_some_and(|log| log.lineage != token.lineage) {
                return Err(Problem::conflict(
                    "position_unknown",
                    "the token in Weir-After is of another log; drop it and read without",
                ));
            }
            match &mut merged {
                Some(merged) => merged.merge(&token),
                None => merged = Some(token),
            }
        }
        Ok(merged)
    }

    /// Until when this read may wait for there to be tables at all.
    fn for_tables(&self) -> Instant {
        match &self.tokens {
            Ok(tokens) if !tokens.is_empty() => self.with_token(),
            _ => self.without_token(),
        }
    }

    /// Until when a read with tokens may wait.
    pub(crate) fn with_token(&self) -> Instant {
        self.arrived + self.preferred
    }

    /// Until when a key that isn't known may be waited for: it isn't for a stranger to say how long.
    pub(crate) fn with_unknown_key(&self) -> Instant {
        self.arrived + self.preferred.min(DEFAULT_WAIT)
    }

    /// Until when this read may wait.
    pub(crate) fn until(&self) -> Instant {
        if self.tokens.as_ref().is_ok_and(Vec::is_empty) { self.without_token() } else { self.with_token() }
    }

    /// Until when a read without token may wait.
    pub(crate) fn without_token(&self) -> Instant {
        self.arrived + self.preferred.min(ACKNOWLEDGED_WAIT)
    }
}

impl Api {
    /// The generation that is read. A start over an empty log, or over a short one without tables, has none for a moment:
    /// a read waits for that as it waits for what was written.
    ///
    /// # Errors
    /// 503 `rebuilding` when there still is none.
    pub(crate) async fn first_live(&self, patience: &Patience, stamp: &Stamp) -> Result<std::sync::Arc<Live>, Problem> {
        let mut changes = self.tables.store.changes();
        loop {
            changes.mark_unchanged();
            let refused = match self.live(stamp).await {
                Ok(live) => return Ok(live),
                Err(refused) => refused,
            };
            if !self.changed(&mut changes, patience.for_tables()).await? {
                return Err(refused);
            }
        }
    }

    /// Waits until the live generation contains the position; answers whether it does. Which generation is live may
    /// change meanwhile: then `live` is the new one.
    pub(crate) async fn wait(
        &self,
        live: &mut Arc<Live>,
        position: &Position,
        need: Need,
        until: Instant,
        stamp: &Stamp,
    ) -> Result<bool, Problem> {
        let begun = Instant::now();
        let reached = self.wait_on(live, position, need, until, stamp).await?;
        let outcome = if reached { "reached" } else { "late" };
        metrics::histogram!("weir_query_wait_seconds", "outcome" => outcome).record(begun.elapsed().as_secs_f64());
        Ok(reached)
    }

    async fn wait_on(
        &self,
        live: &mut Arc<Live>,
        position: &Position,
        need: Need,
        until: Instant,
        stamp: &Stamp,
    ) -> Result<bool, Problem> {
        let mut changes = self.tables.store.changes();
        loop {
            let now = *changes.borrow_and_update();
            // Asked after the mark: a switch that came before it would otherwise be waited for in vain.
            *live = self.live(stamp).await?;
            if live.contains(position, need, now).await.map_err(failure::store)? {
                return Ok(true);
            }
            if !self.changed(&mut changes, until).await? {
                return Ok(false);
            }
        }
    }
}

impl Api {
    /// Waits for the store to change; answers whether it did in time.
    ///
    /// # Errors
    /// 503 `shutting_down`: who waits keeps the process from ending.
    async fn changed(&self, changes: &mut watch::Receiver<u64>, until: Instant) -> Result<bool, Problem> {
        tokio::select! {
            biased;
            () = self.settings.shutdown.cancelled() => Err(failure::shutting_down()),
            // In time, but perhaps because the store is closed; or too late.
            changed = tokio::time::timeout_at(until, changes.changed()) => Ok(matches!(changed, Ok(Ok(())))),
        }
    }
}

/// 503 `position_not_reached`.
pub(crate) fn not_reached() -> Problem {
    Problem::unavailable(
        "position_not_reached",
        "the tables don't contain the position yet; repeat the request, or wait longer with `Prefer: wait=N`",
        1,
    )
}
