//! One read of the tables: who asks, one view, one instant.
//!
//! Invariant: everything in an answer comes from one generation and, the timeline apart, from one view of it. The
//! generation is chosen before the wait and chosen anew while waiting, since one that is no longer live may not be
//! written any more; when the wait is over it stays.

use std::sync::Arc;

use weir_control::Workspace;
use weir_event::Timestamp;
use weir_http::Problem;
use weir_store::{Progress, Projection, SpanView, StoreError, View};

use crate::access::{Access, Caller};
use crate::answer::{Asked, Stamp};
use crate::definitions::Catalogs;
use crate::failure;
use crate::folded::Folded;
use crate::instant::reading_instant;
use crate::service::Api;
use crate::tables::Live;
use crate::wait::{Need, Patience, not_reached};

/// A read under way.
pub(crate) struct Reading {
    pub(crate) caller: Caller,
    pub(crate) live: Arc<Live>,
    pub(crate) folded: Arc<Folded>,
    pub(crate) view: Box<dyn View>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) patience: Patience,
    /// The instant that a question without `as_of` is about.
    pub(crate) now: Timestamp,
}

impl Api {
    /// The generation that is read now.
    ///
    /// # Errors
    /// 503 `rebuilding` before there is one.
    pub(crate) async fn live(&self, stamp: &Stamp) -> Result<Arc<Live>, Problem> {
        let live = self.tables.live().await.map_err(failure::store)?.ok_or_else(failure::rebuilding)?;
        stamp.set(live.generation.id());
        Ok(live)
    }

    /// Begins a read: checks the key, waits for what the caller knows of, opens the view.
    ///
    /// # Errors
    /// 503 `rebuilding`, 401, 403, 400 `position_invalid`, 409 `position_unknown`, 503 `position_not_reached`.
    pub(crate) async fn read(&self, asked: &Asked, access: Access, need: Need) -> Result<Reading, Problem> {
        let patience = Patience::of(&asked.headers);
        let mut live = self.live(&asked.stamp).await?;
        let shown = self.shown(asked)?;
        let caller = self.caller(&mut live, shown, &patience, asked).await?;
        access.check(&caller)?;
        match patience.tokens(live.folded().newest())? {
            Some(token) => {
                if !self.wait(&mut live, &token, need, patience.with_token(), &asked.stamp).await? {
                    return Err(not_reached());
                }
            }
            None => {
                if let Some(position) = self.acknowledged(caller.workspace.as_deref()) {
                    // Too late is no error here: the answer is what the tables hold.
                    self.wait(&mut live, &position, need, patience.without_token(), &asked.stamp).await?;
                }
            }
        }
        let (live, view) = self.open(live, &asked.stamp).await?;
        let reading = self.begin(caller, live, view, patience).await.map_err(failure::store)?;
        // The view may know that the key was revoked a moment ago.
        let caller = shown.caller(reading.folded.newest()).ok_or_else(Problem::key_unknown)?;
        access.check(&caller)?;
        Ok(reading)
    }

    /// Opens a view. A generation may have been removed since it was chosen; then another one is live.
    async fn open(&self, live: Arc<Live>, stamp: &Stamp) -> Result<(Arc<Live>, Box<dyn View>), Problem> {
        let error = match live.generation.view().await {
            Ok(view) => return Ok((live, view)),
            Err(error) => error,
        };
        let other = self.live(stamp).await?;
        if other.generation.id() == live.generation.id() {
            return Err(failure::store(error));
        }
        let view = other.generation.view().await.map_err(failure::store)?;
        Ok((other, view))
    }

    async fn begin(
        &self,
        caller: Caller,
        live: Arc<Live>,
        mut view: Box<dyn View>,
        patience: Patience,
    ) -> Result<Reading, StoreError> {
        let progress = view.progress().await?;
        let folded = live.fold(view.as_mut(), &progress).await?;
        let newest = progress.iter().filter(|p| p.projection == Projection::Membership).filter_map(|p| p.newest_receipt);
        let now = reading_instant(self.settings.clock.now(), newest.max().map(Timestamp::from_micros));
        Ok(Reading { caller, live, folded, view, progress, patience, now })
    }
}

impl Reading {
    /// The caller's workspace, and its definitions.
    ///
    /// # Errors
    /// 403 for a caller without one; 503 `rebuilding` where the tables don't have it yet (with `--open`, in the first
    /// moments of a log).
    pub(crate) fn catalogs<'a>(folded: &'a Folded, caller: &Caller) -> Result<Catalogs<'a>, Problem> {
        let slug = caller.workspace.as_deref().ok_or_else(|| {
            Problem::forbidden("role_insufficient", "the operator key belongs to no workspace; use one of its keys")
        })?;
        let workspace = folded.newest().workspace(slug).ok_or_else(failure::rebuilding)?;
        Ok(Self::catalogs_of(folded, workspace))
    }

    /// The definitions of a workspace.
    pub(crate) fn catalogs_of<'a>(folded: &'a Folded, workspace: &'a Workspace) -> Catalogs<'a> {
        let (newest, served) = folded.compiled(workspace.no);
        Catalogs { workspace, newest, served }
    }
}

/// The part of a view that lists and counts members.
pub(crate) fn spans(view: &mut Box<dyn View>) -> &mut (dyn SpanView + Send) {
    view.as_mut()
}
