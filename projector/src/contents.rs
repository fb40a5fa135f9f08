//! Every row of a generation in its normal form, as a digest.

use std::collections::HashMap;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use sha2::{Digest as _, Sha256};
use weir_basket::days;
use weir_event::ProfileId;
use weir_store::{
    Contents, Count, DaysChanges, DaysKey, DaysRow, ProfileKey, ProfileRow, RemovalKey, SpanKey, StoreError, Table,
    TableRow,
};

use crate::admission::{IdsDamaged, SeenIds, ids_of};
use crate::error::FoldError;
use crate::redo::{self, Entry};

/// A row in its normal form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The table that it belongs to in the end.
    pub table: &'static str,
    /// Whose it is, if anybody's.
    pub profile: Option<ProfileId>,
    /// Which it is, if nobody's.
    pub place: Place,
    /// How many rows it stands for.
    pub rows: u64,
    /// What it holds; the sum, if it stands for several.
    pub digest: u128,
}

/// Names a row that is of no profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// It is of a profile.
    None,
    /// Partition and offset.
    Offset(u32, u64),
    /// Sums of removals.
    Days(DaysKey),
    /// Workspace, partition, and what is counted.
    Count(Option<u64>, u32, Count),
    /// Not known: the row can't be read. What is the matter with it.
    Unreadable(&'static str),
}

impl Place {
    /// A number that rows of other places mostly don't have.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::None | Self::Unreadable(_) => 0,
            Self::Offset(partition, offset) => offset.rotate_left(24) ^ partition as u64,
            Self::Days(DaysKey { workspace, place }) => {
                let place = (place.number as u64) << 16 | (place.level as u64) << 8 | place.bucket as u64;
                workspace.rotate_left(24) ^ place.rotate_left(40)
            }
            Self::Count(workspace, partition, what) => {
                let workspace = match workspace {
                    Some(number) => number,
                    None => u64::MAX,
                };
                workspace.rotate_left(24) ^ ((partition as u64) << 8) ^ what as u64
            }
        }
    }

    /// For people.
    pub(crate) fn describe(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Offset(partition, offset) => Some(format!("partition {partition}, offset {offset}")),
            Self::Days(DaysKey { workspace, place }) => {
                let (days, bucket) = (place.days(), place.bucket);
                let days = format!("days {} to {} since 1970", days.start, days.end.saturating_sub(1));
                Some(format!("of workspace {workspace}, {days}, share {bucket} of the products"))
            }
            Self::Count(workspace, partition, what) => {
                let of = workspace.map_or("of no workspace".to_owned(), |number| format!("of workspace {number}"));
                Some(format!("{} {of}, partition {partition}", what.name()))
            }
            Self::Unreadable(what) => Some(format!("one that can't be read: {what}")),
        }
    }
}

/// Tells every row of a generation but those of the span tree, which is compared with the spans that it sums up.
pub(crate) async fn visit(
    contents: &mut dyn Contents,
    window: i64,
    mut each: impl FnMut(Row) + Send,
) -> Result<(), FoldError> {
    states(contents, window, &mut each).await?;
    profile_spans(contents, &mut each).await?;
    for table in [
        Table::Control,
        Table::Profiles,
        Table::Spans,
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
    ] {
        let mut rows = contents.rows(table);
        while let Some(row) = next(&mut rows, |what| each(unreadable(table, what))).await? {
            match &row {
                TableRow::RemovalDays(row) => sums(row, &mut each),
                TableRow::RemovalDaysNew(partition, next, row) => changes(*partition, *next, row, &mut each),
                row => each(plain(table, row)),
            }
        }
    }
    Ok(())
}

/// The next row of a table. One that can't be read as what it should be is told, and passed over: so it can be named, and
/// a rebuild can mend it.
pub(crate) async fn next(
    rows: &mut BoxStream<'_, Result<TableRow, StoreError>>,
    mut unreadable: impl FnMut(&'static str),
) -> Result<Option<TableRow>, StoreError> {
    loop {
        match rows.next().await.transpose() {
            Err(StoreError::Damaged(what)) => unreadable(what),
            row => return row,
        }
    }
}

/// A row of which no more is known.
fn unreadable(table: Table, what: &'static str) -> Row {
    let table = match table {
        Table::StateRedo => "states",
        Table::ProfileSpansNew => "profile_spans",
        Table::TimelineNew => "timeline",
        Table::RemovalDaysNew => "removal_days",
        table => table.name(),
    };
    at(table, Place::Unreadable(what), &[what.as_bytes()])
}

/// What the fold knows of profiles: the last redo that has a row counts, else the row in its place.
async fn states(
    contents: &mut dyn Contents,
    window: i64,
    each: &mut (impl FnMut(Row) + Send),
) -> Result<(), FoldError> {
    let mut waiting: HashMap<ProfileKey, Waiting> = HashMap::new();
    let mut redo = contents.rows(Table::StateRedo);
    while let Some(row) = next(&mut redo, |what| each(unreadable(Table::StateRedo, what))).await? {
        let TableRow::Redo(_, rows) = row else { continue };
        let Ok(entries) = redo::decode(&rows) else {
            each(unreadable(Table::StateRedo, "rows that wait, but not as a batch leaves them"));
            continue;
        };
        for entry in entries {
            match entry {
                Entry::Row(row, below) => {
                    let own = redo::checksum(&row);
                    waiting.insert(row.key, Waiting { digest: Folded::of(&row, window), own, below });
                }
                Entry::Moved(key) => {
                    if let Some(row) = waiting.get_mut(&key) {
                        row.below = row.own;
                    }
                }
            }
        }
    }
    drop(redo);
    // Profiles with chunks, and the latest arrival of each: it says which ids are still looked at.
    let mut chunked: HashMap<ProfileKey, i64> = HashMap::new();
    for (key, row) in &waiting {
        row.digest.tell(*key, &mut chunked, each);
    }
    let mut rows = contents.rows(Table::States);
    while let Some(row) = next(&mut rows, |what| each(unreadable(Table::States, what))).await? {
        let TableRow::State(row) = row else { continue };
        match waiting.get(&row.key) {
            None => Folded::of(&row, window).tell(row.key, &mut chunked, each),
            Some(instead) if instead.below == redo::checksum(&row) => {}
            // Nobody reads it at present, but it isn't what was written there.
            Some(_) => each(of_profile("states", row.key.profile, digest(&[&[2], &row.state, &row.open_spans]))),
        }
    }
    drop(rows);
    let mut chunks = contents.rows(Table::EventIds);
    while let Some(row) = next(&mut chunks, |what| each(unreadable(Table::EventIds, what))).await? {
        let TableRow::IdChunk(chunk) = row else { continue };
        let (Some(newest), Ok(known)) = (chunked.get(&chunk.key), ids_of(&chunk)) else {
            // Nobody reads it, and no fold left it there; or it can't be read.
            each(ids(chunk.key, digest(&[&[1], &chunk.chunk.to_be_bytes(), &chunk.ids])));
            continue;
        };
        let oldest = newest.saturating_sub(window);
        for id in known.filter(|(_, _, arrival)| *arrival >= oldest) {
            each(ids(chunk.key, id_digest(chunk.key, id)));
        }
    }
    Ok(())
}

/// A row that waits.
struct Waiting {
    digest: Folded,
    /// Its checksum.
    own: u64,
    /// The checksum of the row that lies in its place meanwhile.
    below: u64,
}

/// What the fold knows of a profile, digested.
struct Folded {
    state: u128,
    ids: (u64, u128),
    newest: i64,
    chunks: bool,
}

impl Folded {
    fn of(row: &ProfileRow, window: i64) -> Self {
        // Ids that can't be read count as they lie there.
        let (own, strange) = match SeenIds::decode(&row.event_ids, &[]) {
            Ok(own) => (own, &[][..]),
            Err(IdsDamaged) => (SeenIds::default(), &row.event_ids[..]),
        };
        let state = digest(&[
            &row.key.workspace.to_be_bytes(),
            row.key.profile.0.as_bytes(),
            &row.last_offset.to_be_bytes(),
            &own.newest().to_be_bytes(),
            &row.state,
            &row.open_spans,
            strange,
        ]);
        let add = |(rows, sum): (u64, u128), id| (rows + 1, sum.wrapping_add(id_digest(row.key, id)));
        let ids = own.within(window).fold((0, 0), add);
        Self { state, ids, newest: own.newest(), chunks: row.id_chunks > 0 }
    }

    fn tell(&self, key: ProfileKey, chunked: &mut HashMap<ProfileKey, i64>, each: &mut impl FnMut(Row)) {
        if self.chunks {
            chunked.insert(key, self.newest);
        }
        each(of_profile("states", key.profile, self.state));
        each(Row { rows: self.ids.0, ..ids(key, self.ids.1) });
    }
}

fn ids(key: ProfileKey, digest: u128) -> Row {
    of_profile("event_ids", key.profile, digest)
}

fn id_digest(key: ProfileKey, (id, print, arrival): (u128, u64, i64)) -> u128 {
    digest(&[
        &key.workspace.to_be_bytes(),
        key.profile.0.as_bytes(),
        &id.to_be_bytes(),
        &print.to_be_bytes(),
        &arrival.to_be_bytes(),
    ])
}

/// Spans by profile: one that waits counts instead of one in its place.
async fn profile_spans(contents: &mut dyn Contents, each: &mut (impl FnMut(Row) + Send)) -> Result<(), FoldError> {
    let mut waiting: HashMap<(ProfileId, i64, i64), ()> = HashMap::new();
    let name = |key: &SpanKey| (key.profile, key.segment, key.enters);
    let mut new = contents.rows(Table::ProfileSpansNew);
    while let Some(row) = next(&mut new, |what| each(unreadable(Table::ProfileSpansNew, what))).await? {
        let TableRow::ProfileSpan(key, leaves) = row else { continue };
        waiting.insert(name(&key), ());
        if let Some(leaves) = leaves {
            each(of_profile("profile_spans", key.profile, span_digest(key, leaves)));
        }
    }
    drop(new);
    let mut settled = contents.rows(Table::ProfileSpans);
    while let Some(row) = next(&mut settled, |what| each(unreadable(Table::ProfileSpans, what))).await? {
        let TableRow::ProfileSpan(key, Some(leaves)) = row else { continue };
        if !waiting.contains_key(&name(&key)) {
            each(of_profile("profile_spans", key.profile, span_digest(key, leaves)));
        }
    }
    Ok(())
}

fn span_digest(key: SpanKey, leaves: i64) -> u128 {
    digest(&[
        key.profile.0.as_bytes(),
        &key.segment.to_be_bytes(),
        &key.enters.to_be_bytes(),
        &[u8::from(key.past)],
        &crate::sabotage::digested(leaves).to_be_bytes(),
    ])
}

/// Sums of removals, number by number: so they add up with what waits beside them.
fn sums(row: &DaysRow, each: &mut (impl FnMut(Row) + Send)) {
    let told = days::numbers(&row.sums, |name, n| each(number(row.key, name, n)));
    if told.is_err() {
        each(at("removal_days", Place::Days(row.key), &[&row.sums]));
    }
}

/// What a batch adds to sums.
fn changes(partition: u32, next: u64, row: &DaysChanges, each: &mut (impl FnMut(Row) + Send)) {
    let key = |place| DaysKey { workspace: row.workspace, place };
    let told = days::numbers_of_changes(&row.changes, |place, name, n| each(number(key(place), name, n)));
    if told.is_err() {
        each(at("removal_days", Place::Offset(partition, next), &[&row.workspace.to_be_bytes(), &row.changes]));
    }
}

/// A number among sums; such rows are counted by removals, each on its day.
fn number(key: DaysKey, name: &[u8], n: i128) -> Row {
    let place = key.place;
    let (workspace, level) = (key.workspace.to_be_bytes(), place.level.to_be_bytes());
    let (number, bucket) = (place.number.to_be_bytes(), place.bucket.to_be_bytes());
    let parts: [&[u8]; 5] = [&workspace, &level, &number, &bucket, name];
    // An odd factor: none but zero comes to nothing.
    let digest = (digest(&parts) | 1).wrapping_mul(n.cast_unsigned());
    let is_counted = place.level == 0 && days::counts_removals(name);
    #[allow(clippy::cast_possible_truncation)] // Sums wrap around, here as there.
    let rows = if is_counted { n as u64 } else { 0 };
    Row { table: "removal_days", profile: None, place: Place::Days(key), rows, digest }
}

/// A row that is its own normal form.
fn plain(table: Table, row: &TableRow) -> Row {
    match row {
        TableRow::Control(offset, record) => at("control", Place::Offset(0, *offset), &[record]),
        TableRow::Card(card) => {
            let parts: [&[u8]; 2] = [&card.key.workspace.to_be_bytes(), &card.card];
            of_profile("profiles", card.key.profile, digest(&[card.key.profile.0.as_bytes(), parts[0], parts[1]]))
        }
        TableRow::Span(row) => of_profile("spans", row.key.profile, span_digest(row.key, row.leaves)),
        TableRow::Score(row) => {
            let sum = digest(&[row.profile.0.as_bytes(), &row.score.to_be_bytes(), &row.points.to_be_bytes()]);
            of_profile("scores", row.profile, sum)
        }
        TableRow::Count(partition, row) => {
            at(table.name(), Place::Count(row.workspace, *partition, row.what), &[&row.n.to_be_bytes()])
        }
        TableRow::NotAdmitted(partition, offset) => at("not_admitted", Place::Offset(*partition, *offset), &[]),
        TableRow::Quarantined(row) => at(
            "quarantine",
            Place::Offset(row.partition, row.offset),
            &[row.stream.name().as_bytes(), row.reason.as_bytes(), &row.record],
        ),
        TableRow::Record(partition, offset, record) => at("records", Place::Offset(*partition, *offset), &[record]),
        TableRow::Place(row) => {
            let sum = digest(&[
                row.key.profile.0.as_bytes(),
                &row.key.workspace.to_be_bytes(),
                &row.place,
                &row.partition.to_be_bytes(),
                &row.offset.to_be_bytes(),
            ]);
            of_profile("timeline", row.key.profile, sum)
        }
        TableRow::Basket(row) => {
            let parts: [&[u8]; 3] = [row.key.profile.0.as_bytes(), &row.key.workspace.to_be_bytes(), &row.state];
            of_profile("baskets", row.key.profile, digest(&parts))
        }
        TableRow::Removal(row) => {
            let RemovalKey { workspace, draft, place, profile, product } = &row.key;
            let sum = digest(&[
                profile.0.as_bytes(),
                &workspace.to_be_bytes(),
                &[u8::from(*draft)],
                place,
                product.as_bytes(),
                &row.removal,
            ]);
            of_profile("removals", *profile, sum)
        }
        // These have functions of their own.
        TableRow::Redo(..)
        | TableRow::State(_)
        | TableRow::IdChunk(_)
        | TableRow::ProfileSpan(..)
        | TableRow::RemovalDaysNew(..)
        | TableRow::RemovalDays(_)
        | TableRow::Tree(..) => at("", Place::None, &[]),
    }
}

fn of_profile(table: &'static str, profile: ProfileId, digest: u128) -> Row {
    Row { table, profile: Some(profile), place: Place::None, rows: 1, digest }
}

fn at(table: &'static str, place: Place, parts: &[&[u8]]) -> Row {
    let number = place.number().to_be_bytes();
    let all: Vec<&[u8]> = std::iter::once(&number[..]).chain(parts.iter().copied()).collect();
    Row { table, profile: None, place, rows: 1, digest: digest(&all) }
}

/// The first 128 bits of the SHA-256 of the parts, each with its length.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    u128::from_be_bytes(first)
}
