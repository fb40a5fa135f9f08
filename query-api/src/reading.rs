//! One read of the tables: who asks, one view, one instant.
//!
//! Invariant: everything in an answer comes from one generation and, the timeline apart, from one view of it. The
//! generation is chosen before the wait and chosen anew while waiting, since one that is no longer live may not be
//! written any more; when the wait is over it stays.

use std::sync::Arc;

use weir_control::Workspace;
use weir_event::Timestamp;
use weir_http::Problem;
use weir_store::{Progress, Projection, SpanView, StoreError, TimelineView, View};

use crate::access::{Access, Caller};
use crate::answer::{Asked, Stamp};
use crate::definitions::Catalogs;
use crate::failure;
use crate::folded::Folded;
use crate::instant::reading_instant;
use crate::service::Api;
use crate::tables::Live;
use crate::wait::{Need, Patience, not_reached};

/// A route asked for the timeline without having said that it needs it.
#[derive(Debug, thiserror::Error)]
#[error("the timeline was not opened for this route")]
struct NotOpened;

/// A read under way.
pub(crate) struct Reading {
    pub(crate) caller: Caller,
    pub(crate) live: Arc<Live>,
    pub(crate) folded: Arc<Folded>,
    pub(crate) view: Box<dyn View>,
    /// Opened after the view, where the route needs it.
    pub(crate) timeline: Option<Box<dyn TimelineView>>,
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
        let mut live = self.first_live(&patience, &asked.stamp).await?;
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
        let reading = self.open(caller, live, need, patience, &asked.stamp).await?;
        // The view may know that the key was revoked a moment ago.
        let caller = shown.caller(reading.folded.newest()).ok_or_else(Problem::key_unknown)?;
        access.check(&caller)?;
        Ok(reading)
    }

    /// Opens the views. A generation may have been removed since it was chosen; then another one is live.
    pub(crate) async fn open(
        &self,
        caller: Caller,
        mut live: Arc<Live>,
        need: Need,
        patience: Patience,
        stamp: &Stamp,
    ) -> Result<Reading, Problem> {
        let opened = match views(&live, need).await {
            Ok(opened) => opened,
            Err(error) => {
                let other = self.live(stamp).await?;
                if other.generation.id() == live.generation.id() {
                    return Err(failure::store(error));
                }
                live = other;
                views(&live, need).await.map_err(failure::store)?
            }
        };
        let Opened { view, timeline, progress, folded } = opened;
        let newest =
            progress.iter().filter(|p| p.projection == Projection::Membership).filter_map(|p| p.newest_receipt);
        let now = reading_instant(self.settings.clock.now(), newest.max().map(Timestamp::from_micros));
        Ok(Reading { caller, live, folded, view, timeline, progress, patience, now })
    }
}

/// The views of a generation, and what the first of them says.
struct Opened {
    view: Box<dyn View>,
    timeline: Option<Box<dyn TimelineView>>,
    progress: Vec<Progress>,
    folded: Arc<Folded>,
}

async fn views(live: &Live, need: Need) -> Result<Opened, StoreError> {
    let mut view = live.generation.view().await?;
    let progress = view.progress().await?;
    let folded = live.fold(view.as_mut(), &progress).await?;
    let timeline = if need.timeline { Some(live.generation.timeline().await?) } else { None };
    Ok(Opened { view, timeline, progress, folded })
}

impl Reading {
    /// The timeline of a route that needs it.
    pub(crate) fn timeline(&mut self) -> Result<&mut dyn TimelineView, Problem> {
        Self::of_timeline(&mut self.timeline)
    }

    /// The same, where the rest of the reading is in use.
    pub(crate) fn of_timeline(slot: &mut Option<Box<dyn TimelineView>>) -> Result<&mut dyn TimelineView, Problem> {
        match slot {
            Some(timeline) => Ok(timeline.as_mut()),
            None => Err(Problem::internal(&NotOpened)),
        }
    }

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
