//! Rows: what crosses the seam between the projections, the readers and a backend.

use uuid::Uuid;
use weir_event::{ProfileId, Stream};

use crate::baskets::BasketBatch;

/// A generation's number; each is greater than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GenerationId(pub u64);

/// A generation as the store lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Its number.
    pub id: GenerationId,
    /// Its definition set: definitions written before this offset of `control.v1`, and those that came with a
    /// workspace at or after it.
    pub bound: u64,
    /// When it was made, in microseconds.
    pub created_at: i64,
    /// What it was made for.
    pub purpose: Purpose,
    /// Whether it is the one that is read.
    pub live: bool,
}

/// What a generation is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To be read as soon as it stands where the live one stands: the first tables, or other definitions.
    Switch,
    /// To be compared with the live one, and read when an operator says so.
    Rebuild,
}

impl Purpose {
    /// Both purposes.
    pub const ALL: [Purpose; 2] = [Purpose::Switch, Purpose::Rebuild];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Rebuild => "rebuild",
        }
    }
}

/// What is noted of a rebuild. What is in the note is the business of those who ask for rebuilds and carry them out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildRow {
    /// Which rebuild; ids grow with time.
    pub id: Uuid,
    /// Raised with every change.
    pub revision: u64,
    /// The note.
    pub note: Vec<u8>,
}

/// What folds a stream into tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// `control.v1` into the control table.
    Control,
    /// `events.v1` into states, spans and what hangs on them.
    Membership,
    /// `events.v1` into the timeline, and what is folded from whole events beside it: baskets.
    Timeline,
}

impl Projection {
    /// Every projection.
    pub const ALL: [Projection; 3] = [Projection::Control, Projection::Membership, Projection::Timeline];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Membership => "membership",
            Self::Timeline => "timeline",
        }
    }

    /// The stream that it reads.
    pub const fn stream(self) -> Stream {
        match self {
            Self::Control => Stream::Control,
            Self::Membership | Self::Timeline => Stream::Events,
        }
    }
}

/// How far a projection has come on a partition of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    /// Which projection.
    pub projection: Projection,
    /// Which partition of its stream.
    pub partition: u32,
    /// The first offset that it has not taken in.
    pub next: u64,
    /// The largest receipt that it has taken in.
    pub newest_receipt: Option<i64>,
}

/// A batch's claim on a partition: it takes the projection from one offset to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Which partition.
    pub partition: u32,
    /// Who claimed the partition; a batch of anybody else doesn't count.
    pub owner: Uuid,
    /// Where the projection must stand for the batch to count.
    pub expected: u64,
    /// Where it stands afterwards.
    pub next: u64,
    /// The largest receipt in the batch.
    pub newest_receipt: Option<i64>,
}

/// Names a profile as sent in tables: a workspace is the offset on `control.v1` of the record that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileKey {
    /// The workspace's number.
    pub workspace: u64,
    /// The profile as sent.
    pub profile: ProfileId,
}

/// A profile's row. What is in the bytes is the business of the fold and of admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRow {
    /// Which profile.
    pub key: ProfileKey,
    /// The offset of the last record folded.
    pub last_offset: u64,
    /// [`weir_segment::State`].
    pub state: Vec<u8>,
    /// [`weir_segment::OpenSpans`].
    pub open_spans: Vec<u8>,
    /// The ids seen lately.
    pub event_ids: Vec<u8>,
    /// How many chunks of further ids there are.
    pub id_chunks: u32,
}

/// What a profile shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Which profile.
    pub key: ProfileKey,
    /// [`weir_segment::State`] with its facts and counters only ([`weir_segment::State::card`]).
    pub card: Vec<u8>,
}

/// Event ids that outgrew their profile's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdChunk {
    /// Whose.
    pub key: ProfileKey,
    /// The offset of the record that filled it: the chunk's name within the profile.
    pub chunk: u64,
    /// The latest arrival in it.
    pub newest: i64,
    /// The ids.
    pub ids: Vec<u8>,
}

/// A row of the spans table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanKey {
    /// The segment version's id.
    pub segment: i64,
    /// Whether it had ended when it was written.
    pub past: bool,
    /// When the span begins.
    pub enters: i64,
    /// Who.
    pub profile: ProfileId,
}

/// A span with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanRow {
    /// Which span.
    pub key: SpanKey,
    /// When it ends; `i64::MAX` is never.
    pub leaves: i64,
}

/// What is added to a row of the span tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRow {
    /// The segment version's id.
    pub segment: i64,
    /// A stretch is 2^level microseconds long.
    pub level: u32,
    /// The stretch.
    pub bucket: i64,
    /// Members entering less members leaving in it.
    pub delta: i64,
    /// Spans with `past` false and true that enter in it: how many more, and a bound on when they leave.
    pub rows: [TreeRows; 2],
}

/// Spans that enter in a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeRows {
    /// How many.
    pub count: i64,
    /// None of them leaves later.
    pub last_leave: i64,
}

/// A place in a score's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScoreRow {
    /// The score version's id.
    pub score: i64,
    /// The points, in billionths.
    pub points: i128,
    /// Who.
    pub profile: ProfileId,
}

/// What is counted by workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Count {
    /// Records that repeat an admitted one.
    Duplicates,
    /// Repeats whose type or data differ from the admitted one.
    Conflicts,
    /// Records set aside.
    Quarantined,
    /// Signals of profiles set aside.
    SetAside,
    /// Events with the name of a basket event that say nothing to be folded into one.
    NotBasketEvents,
    /// Baskets set aside.
    BasketsSetAside,
}

impl Count {
    /// Everything counted.
    pub const ALL: [Count; 6] = [
        Count::Duplicates,
        Count::Conflicts,
        Count::Quarantined,
        Count::SetAside,
        Count::NotBasketEvents,
        Count::BasketsSetAside,
    ];

    /// The name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Duplicates => "duplicates",
            Self::Conflicts => "conflicts",
            Self::Quarantined => "quarantined",
            Self::SetAside => "set_aside",
            Self::NotBasketEvents => "not_basket_events",
            Self::BasketsSetAside => "baskets_set_aside",
        }
    }
}

/// A change of a count; `None` is no workspace that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountRow {
    /// Whose.
    pub workspace: Option<u64>,
    /// Of what.
    pub what: Count,
    /// How many (more).
    pub n: i64,
}

/// A record that no projection can take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it lies.
    pub stream: Stream,
    /// Where it lies.
    pub partition: u32,
    /// Where it lies.
    pub offset: u64,
    /// Why it was set aside.
    pub reason: String,
    /// The record.
    pub record: Vec<u8>,
}

/// All that a batch of one partition does to the tables of `membership`. Rows come sorted and each key once, so that
/// two writers can't wait for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipBatch {
    /// Rows that are known not to be there; those below may be.
    pub new: NewRows,
    /// Rows moved to where they belong.
    pub profiles: Vec<ProfileRow>,
    /// The rows that the batch changed, in the fold's own encoding; nothing is appended for nothing.
    pub redo: Vec<u8>,
    /// Redo of batches that left the partition at or before this offset is in `profiles` by now and goes.
    pub redo_done: Option<u64>,
    /// What profiles show, where that changed.
    pub cards: Vec<Card>,
    /// Ids moved out of rows.
    pub id_chunks: Vec<IdChunk>,
    /// Chunks that the window of repeats has left behind.
    pub dropped_chunks: Vec<(ProfileKey, u64)>,
    /// Spans that are no more.
    pub removed_spans: Vec<SpanKey>,
    /// Spans that are new or end otherwise.
    pub spans: Vec<SpanRow>,
    /// What to add to the span tree.
    pub tree: Vec<TreeRow>,
    /// Places in score lists that are no more.
    pub removed_scores: Vec<ScoreRow>,
    /// Places in score lists that are new.
    pub scores: Vec<ScoreRow>,
    /// What to add to counts.
    pub counts: Vec<CountRow>,
    /// Offsets that were not admitted.
    pub not_admitted: Vec<u64>,
    /// Records set aside.
    pub quarantine: Vec<Quarantined>,
}

/// Rows of a batch that no row of the tables has the key of, so that a backend may insert them without looking: to it a
/// conflict is damage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRows {
    /// Rows that come to where they belong for the first time.
    pub profiles: Vec<ProfileRow>,
    /// Of profiles that no card was written of.
    pub cards: Vec<Card>,
    /// With another profile, segment or beginning than any.
    pub spans: Vec<SpanRow>,
}

/// All that a batch of one partition does to the tables of `timeline`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimelineBatch {
    /// Admitted records, in log order.
    pub rows: Vec<TimelineRow>,
    /// What they do to baskets.
    pub baskets: BasketBatch,
}

impl From<Vec<TimelineRow>> for TimelineBatch {
    /// Records that do nothing to baskets.
    fn from(rows: Vec<TimelineRow>) -> Self {
        Self { rows, baskets: BasketBatch::default() }
    }
}

/// A record of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineRow {
    /// Whose.
    pub key: ProfileKey,
    /// Sorts as the order of events does (see [`crate::place`]).
    pub place: Vec<u8>,
    /// Where on the log it lies.
    pub partition: u32,
    /// Where on the log it lies.
    pub offset: u64,
    /// The record as it lies there.
    pub record: Vec<u8>,
}
