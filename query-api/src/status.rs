//! How the deployment is doing: generation, lag, counts, and how each segment stands.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_control::Workspace;
use weir_http::Problem;
use weir_segment::Segment;
use weir_store::{Count, CountRow, View};

use crate::access::{Access, Caller};
use crate::answer::{Asked, json};
use crate::definitions::Stage;
use crate::failure;
use crate::filling::{Filling, Partition};
use crate::folded::Folded;
use crate::people::no_parameters;
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

/// Quarantined records that the operator is shown.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct Status {
    /// The generation that is read; `null` while the first one is filled.
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partitions: Option<Vec<Partition>>,
    lag: Option<u64>,
    /// Of the partition that is furthest behind.
    lag_seconds: Option<f64>,
    #[serde(flatten)]
    counts: Counts,
    segments: Vec<SegmentRow>,
    /// The generation that is being filled, if one is.
    filling: Option<Filling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<Vec<QuarantineRow>>,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    duplicates: Option<i64>,
    conflicts: Option<i64>,
    quarantined: Option<i64>,
    set_aside: Option<i64>,
    /// Events with the name of a basket event that say nothing to be folded into one.
    not_basket_events: Option<i64>,
    baskets_set_aside: Option<i64>,
}

#[derive(Serialize)]
struct SegmentRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<String>,
    slug: String,
    version: u32,
    state: Stage,
    serving: Option<u32>,
    progress: Option<f64>,
    eta_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_reason: Option<String>,
}

#[derive(Serialize)]
struct QuarantineRow {
    stream: &'static str,
    partition: u32,
    offset: u64,
    reason: String,
}

/// `GET /api/status`. Before the first generation is complete it is answered to anybody, since no key can be known;
/// it then says nothing of any workspace.
pub(crate) async fn show(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    no_parameters(&asked.uri)?;
    if api.tables.live().await.map_err(failure::store)?.is_none() {
        return json(&api.rebuilding().await.map_err(failure::store)?);
    }
    let mut reading = api.read(&asked, Access::Status, Need::MEMBERSHIP).await?;
    let filling = api.filling().await.map_err(failure::store)?;
    let positions = reading.live.generation.progress().await.map_err(failure::store)?;
    let count = reading.folded.newest().log().map_or(1, |log| log.events_partitions);
    let partitions = api.partitions(&positions, count).await.map_err(failure::store)?;
    let lag = partitions.iter().map(|partition| partition.lag).sum();
    let lag_seconds = partitions.iter().try_fold(0.0_f64, |most, p| p.lag_seconds.map(|seconds| most.max(seconds)));
    let view = reading.view.as_mut();
    let mut counted = view.counts().await.map_err(failure::store)?;
    let quarantine = if reading.caller.operator { Some(quarantine(view).await?) } else { None };
    // Not by `Need::TIMELINE`: how things stand is told without waiting for what is behind.
    let mut timeline = reading.live.generation.timeline().await.map_err(failure::store)?;
    counted.extend(timeline.basket_counts().await.map_err(failure::store)?);
    json(&Status {
        generation: Some(reading.live.generation.id().0),
        partitions: reading.caller.operator.then_some(partitions),
        lag,
        lag_seconds,
        counts: counts(&counted, &reading.folded, &reading.caller),
        segments: segments(&reading.folded, &reading.caller, filling)?,
        filling,
        quarantine,
    })
}

impl Api {
    /// The status while no generation is read.
    async fn rebuilding(&self) -> Result<Status, weir_store::StoreError> {
        Ok(Status {
            generation: None,
            partitions: None,
            lag: None,
            lag_seconds: None,
            counts: Counts::default(),
            segments: Vec::new(),
            filling: self.filling().await?,
            quarantine: None,
        })
    }
}

/// The counts that the caller may see: its workspace's, or all, those of no known workspace too.
fn counts(rows: &[CountRow], folded: &Folded, caller: &Caller) -> Counts {
    let own =
        caller.workspace.as_deref().and_then(|slug| folded.newest().workspace(slug)).map(|workspace| workspace.no);
    let of = |what| {
        let seen = |row: &&CountRow| row.what == what && (caller.operator || (own.is_some() && row.workspace == own));
        Some(rows.iter().filter(seen).map(|row| row.n).sum())
    };
    Counts {
        duplicates: of(Count::Duplicates),
        conflicts: of(Count::Conflicts),
        quarantined: of(Count::Quarantined),
        set_aside: of(Count::SetAside),
        not_basket_events: of(Count::NotBasketEvents),
        baskets_set_aside: of(Count::BasketsSetAside),
    }
}

async fn quarantine(view: &mut dyn View) -> Result<Vec<QuarantineRow>, Problem> {
    let rows = view.quarantine(None, SHOWN).await.map_err(failure::store)?;
    let row = |row: weir_store::Quarantined| QuarantineRow {
        stream: row.stream.name(),
        partition: row.partition,
        offset: row.offset,
        reason: row.reason,
    };
    Ok(rows.into_iter().map(row).collect())
}

/// How the segments stand that the caller may see. The operator sees those of all workspaces.
fn segments(folded: &Folded, caller: &Caller, filling: Option<Filling>) -> Result<Vec<SegmentRow>, Problem> {
    let mut rows = Vec::new();
    if caller.operator {
        for workspace in folded.newest().workspaces() {
            workspace_segments(folded, workspace, true, filling, &mut rows);
        }
    } else {
        let workspace = Reading::catalogs(folded, caller)?.workspace;
        workspace_segments(folded, workspace, false, filling, &mut rows);
    }
    Ok(rows)
}

fn workspace_segments(
    folded: &Folded,
    workspace: &Workspace,
    named: bool,
    filling: Option<Filling>,
    rows: &mut Vec<SegmentRow>,
) {
    let catalogs = Reading::catalogs_of(folded, workspace);
    for standing in catalogs.all::<Segment>() {
        // A generation whose definition set ends before the definition was put doesn't fill it; the next one will.
        let filled = filling.filter(|filling| standing.newest.offset < filling.bound);
        let (progress, eta_seconds) = match standing.stage {
            Stage::Ready => (Some(1.0), Some(0)),
            Stage::Backfilling => (Some(filled.map_or(0.0, |f| f.progress)), filled.and_then(|f| f.eta_seconds)),
            Stage::Failed => (None, None),
        };
        rows.push(SegmentRow {
            workspace: named.then(|| workspace.slug.to_string()),
            slug: standing.slug.to_owned(),
            version: standing.newest.number,
            state: standing.stage,
            serving: standing.serving.map(|segment| segment.version),
            progress,
            eta_seconds,
            failed_reason: standing.reason,
        });
    }
}
