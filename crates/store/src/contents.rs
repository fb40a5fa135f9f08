//! All rows of a generation, for a comparison of two of them.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::baskets::{BasketRow, DaysChanges, DaysRow, RemovalRow};
use crate::error::StoreError;
use crate::model::{
    Card, CountRow, IdChunk, ProfileRow, Progress, Quarantined, ScoreRow, SpanKey, SpanRow, TimelineRow, TreeRow,
};

/// A table of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// The records of `control.v1`.
    Control,
    /// What profiles show.
    Profiles,
    /// Rows of the fold that wait.
    StateRedo,
    /// Rows of the fold.
    States,
    /// Event ids that outgrew their profile's row.
    EventIds,
    /// Who is in which segment version from when until when.
    Spans,
    /// The same by profile, where it waits.
    ProfileSpansNew,
    /// The same by profile.
    ProfileSpans,
    /// Spans summed up over time.
    SpanTree,
    /// Points.
    Scores,
    /// Counts by workspace and partition.
    Counts,
    /// Offsets that were not admitted.
    NotAdmitted,
    /// Records set aside.
    Quarantine,
    /// Admitted records.
    Records,
    /// Their order per profile, where it waits.
    TimelineNew,
    /// Their order per profile.
    Timeline,
    /// Basket events of profiles.
    Baskets,
    /// What was taken out of baskets.
    Removals,
    /// What is to be added to sums by product and day.
    RemovalDaysNew,
    /// Removals added up by product and day.
    RemovalDays,
    /// Counts of baskets by workspace and partition.
    BasketCounts,
}

impl Table {
    /// Every table but that of positions.
    pub const ALL: [Table; 21] = [
        Table::Control,
        Table::Profiles,
        Table::StateRedo,
        Table::States,
        Table::EventIds,
        Table::Spans,
        Table::ProfileSpansNew,
        Table::ProfileSpans,
        Table::SpanTree,
        Table::Scores,
        Table::Counts,
        Table::NotAdmitted,
        Table::Quarantine,
        Table::Records,
        Table::TimelineNew,
        Table::Timeline,
        Table::Baskets,
        Table::Removals,
        Table::RemovalDaysNew,
        Table::RemovalDays,
        Table::BasketCounts,
    ];

    /// The table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Profiles => "profiles",
            Self::StateRedo => "state_redo",
            Self::States => "states",
            Self::EventIds => "event_ids",
            Self::Spans => "spans",
            Self::ProfileSpansNew => "profile_spans_new",
            Self::ProfileSpans => "profile_spans",
            Self::SpanTree => "span_tree",
            Self::Scores => "scores",
            Self::Counts => "counts",
            Self::NotAdmitted => "not_admitted",
            Self::Quarantine => "quarantine",
            Self::Records => "records",
            Self::TimelineNew => "timeline_new",
            Self::Timeline => "timeline",
            Self::Baskets => "baskets",
            Self::Removals => "removals",
            Self::RemovalDaysNew => "removal_days_new",
            Self::RemovalDays => "removal_days",
            Self::BasketCounts => "basket_counts",
        }
    }
}

/// A row of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableRow {
    /// Of [`Table::Control`]: offset and record.
    Control(u64, Vec<u8>),
    /// Of [`Table::Profiles`].
    Card(Card),
    /// Of [`Table::StateRedo`], by partition in the order of batches: the rows that a batch changed, as the fold wrote them.
    Redo(u32, Vec<u8>),
    /// Of [`Table::States`].
    State(ProfileRow),
    /// Of [`Table::EventIds`].
    IdChunk(IdChunk),
    /// Of [`Table::Spans`].
    Span(SpanRow),
    /// Of [`Table::ProfileSpansNew`] and [`Table::ProfileSpans`]: a span and when it ends; `None`: it is no more.
    ProfileSpan(SpanKey, Option<i64>),
    /// Of [`Table::SpanTree`], by partition.
    Tree(u32, TreeRow),
    /// Of [`Table::Scores`].
    Score(ScoreRow),
    /// Of [`Table::Counts`] and [`Table::BasketCounts`], by partition.
    Count(u32, CountRow),
    /// Of [`Table::NotAdmitted`]: partition and offset.
    NotAdmitted(u32, u64),
    /// Of [`Table::Quarantine`].
    Quarantined(Quarantined),
    /// Of [`Table::Records`]: partition, offset, record.
    Record(u32, u64, Vec<u8>),
    /// Of [`Table::TimelineNew`] and [`Table::Timeline`]; without the record.
    Place(TimelineRow),
    /// Of [`Table::Baskets`].
    Basket(BasketRow),
    /// Of [`Table::Removals`].
    Removal(RemovalRow),
    /// Of [`Table::RemovalDaysNew`]: the partition, and where the batch left it.
    RemovalDaysNew(u32, u64, DaysChanges),
    /// Of [`Table::RemovalDays`].
    RemovalDays(DaysRow),
}

/// All rows of a generation as they were at one instant.
#[async_trait]
pub trait Contents: Send {
    /// Where its projections stood, sorted.
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError>;
    /// The rows of a table, in any order but where [`TableRow`] says otherwise.
    fn rows(&mut self, table: Table) -> BoxStream<'_, Result<TableRow, StoreError>>;
}
