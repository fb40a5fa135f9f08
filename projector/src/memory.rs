//! What the fold remembers of a partition's profiles while it owns the partition.
//!
//! Rows wait here before they are written where they belong: each batch appends the rows that it changed to the redo,
//! and moves the next stretch of waiting rows, in the order of their keys, into the states table. Writing each row at
//! every batch instead would dirty a page per event; waiting lets a page be written once for all of its rows. Whoever
//! takes the partition over reads the redo first, so nothing depends on this memory but speed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use weir_segment::{OpenSpans, State};
use weir_store::{Fence, Generation, MembershipBatch, ProfileKey, ProfileRow};

use crate::admission::SeenIds;
use crate::error::FoldError;
use crate::redo::{self, Entry};

/// Rows that may wait; from here on as many are moved as come in.
const WAITING: usize = 300_000;
/// A batch that changes so many rows writes them where they belong at once: it touches most pages anyway.
const DIRECT: usize = 100_000;
/// Bytes of rows kept, those that wait apart.
const KEPT_BYTES: usize = 1 << 30;

/// A profile as the fold holds it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The offset of the last record folded; none before the first.
    pub last_offset: Option<u64>,
    /// State bytes.
    pub state: Vec<u8>,
    /// Bytes of the spans that can still change.
    pub open_spans: Vec<u8>,
    /// What admission knows.
    pub ids: SeenIds,
    /// The checksum of the row in the states table that this one counts instead of; 0 while there is none.
    below: u64,
    /// What the batch in the making has folded of it: `state` and `open_spans` are those before the batch meanwhile.
    folding: Option<Box<Folding>>,
}

/// A profile while a batch folds it.
#[derive(Debug)]
pub(crate) struct Folding {
    pub state: State,
    pub open_spans: OpenSpans,
    /// Nothing of it was folded before the batch.
    pub is_new: bool,
}

/// The profiles of a partition.
#[derive(Debug)]
#[cfg_attr(feature = "sabotage", derive(Default))]
pub(crate) struct Memory {
    held: HashMap<ProfileKey, Held, rapidhash::fast::RandomState>,
    waiting: BTreeSet<ProfileKey>,
    /// Whether every profile of the partition is held, so that one that isn't is new.
    whole: bool,
    /// The last row moved in this pass over the keys.
    moved_to: Option<ProfileKey>,
    /// Where the partition stood when this pass began.
    pass_began: u64,
}

impl Memory {
    /// Takes over a partition that stands at `next`.
    pub(crate) async fn take_over(generation: &dyn Generation, partition: u32, next: u64) -> Result<Self, FoldError> {
        let mut memory = Self {
            held: HashMap::default(),
            waiting: BTreeSet::new(),
            whole: next == 0,
            moved_to: None,
            pass_began: next,
        };
        let mut rows = BTreeMap::new();
        for redo in generation.redo(partition).await? {
            for entry in redo::decode(&redo)? {
                match entry {
                    Entry::Row(row, below) => {
                        memory.waiting.insert(row.key);
                        rows.insert(row.key, (row, below));
                    }
                    Entry::Moved(key) => {
                        memory.waiting.remove(&key);
                        if let Some((row, below)) = rows.get_mut(&key) {
                            *below = redo::checksum(row);
                        }
                    }
                }
            }
        }
        memory.hold(generation, rows.into_values()).await?;
        Ok(memory)
    }

    /// Sees to it that the profiles that exist among these are held.
    pub(crate) async fn load(
        &mut self,
        generation: &dyn Generation,
        keys: impl Iterator<Item = ProfileKey>,
    ) -> Result<(), FoldError> {
        if self.whole {
            return Ok(());
        }
        let missing: BTreeSet<ProfileKey> = keys.filter(|key| !self.held.contains_key(key)).collect();
        let missing: Vec<ProfileKey> = missing.into_iter().collect();
        let rows = generation.profiles(&missing).await?;
        self.hold(generation, rows.into_iter().map(|row| (row.clone(), redo::checksum(&row)))).await
    }

    async fn hold(
        &mut self,
        generation: &dyn Generation,
        rows: impl Iterator<Item = (ProfileRow, u64)>,
    ) -> Result<(), FoldError> {
        for (row, below) in rows {
            let chunks = if row.id_chunks > 0 { generation.id_chunks(row.key).await? } else { Vec::new() };
            let ids = SeenIds::decode(&row.event_ids, &chunks)?;
            let (last_offset, state, open_spans) = (Some(row.last_offset), row.state, row.open_spans);
            self.held.insert(row.key, Held { last_offset, state, open_spans, ids, below, folding: None });
        }
        Ok(())
    }

    /// The profile, new if it isn't known.
    pub(crate) fn profile(&mut self, key: ProfileKey) -> &mut Held {
        self.held.entry(key).or_default()
    }

    /// Completes a batch: settles the ids of the profiles that it changed, appends them to the redo, and moves the rows
    /// whose turn it is.
    pub(crate) fn complete(&mut self, batch: &mut MembershipBatch, changed: &[ProfileKey], fence: Fence, window: i64) {
        for &key in changed {
            let held = self.held.entry(key).or_default();
            if let Some(folding) = held.folding.take() {
                held.state = folding.state.encode();
                held.open_spans = folding.open_spans.encode();
            }
            let changes = held.ids.settle(key, held.last_offset.unwrap_or(0), window);
            batch.id_chunks.extend(changes.full);
            batch.dropped_chunks.extend(changes.dropped.into_iter().map(|chunk| (key, chunk)));
        }
        self.waiting.extend(changed);
        if changed.len() >= DIRECT {
            for key in std::mem::take(&mut self.waiting) {
                self.place(key, batch);
            }
            batch.redo_done = Some(fence.expected);
            (self.moved_to, self.pass_began) = (None, fence.next);
            return;
        }
        for key in changed {
            redo::row(&self.row(*key), self.held.get(key).map_or(0, |held| held.below), &mut batch.redo);
        }
        self.move_rows(batch, changed.len(), fence);
    }

    /// Moves waiting rows in the order of their keys: the fuller the waiting room, the more.
    fn move_rows(&mut self, batch: &mut MembershipBatch, changed: usize, fence: Fence) {
        let count = (changed * self.waiting.len()).div_ceil(WAITING);
        let from = self.moved_to.map_or(Bound::Unbounded, Bound::Excluded);
        let moved: Vec<ProfileKey> = self.waiting.range((from, Bound::Unbounded)).take(count).copied().collect();
        for key in &moved {
            self.waiting.remove(key);
            redo::moved(*key, &mut batch.redo);
            self.place(*key, batch);
        }
        self.moved_to = moved.last().copied();
        if moved.len() < count {
            // The pass is over: whatever waited when it began has been moved.
            batch.redo_done = Some(self.pass_began);
            (self.moved_to, self.pass_began) = (None, fence.next);
        }
    }

    /// Whether more may be held than should be.
    pub(crate) fn is_full(&self) -> bool {
        const ROW_BYTES: usize = 256;
        self.held.len() * ROW_BYTES >= KEPT_BYTES
    }

    /// Lets go of rows that don't wait, where too much is held. Every batch must be committed.
    pub(crate) fn shrink(&mut self) {
        if !self.is_full() {
            return;
        }
        let bytes: usize = self.held.values().map(Held::bytes).sum();
        let mut excess = bytes.saturating_sub(KEPT_BYTES);
        if excess == 0 {
            return;
        }
        excess += KEPT_BYTES / 4;
        self.held.retain(|key, held| {
            if excess == 0 || self.waiting.contains(key) {
                return true;
            }
            excess = excess.saturating_sub(held.bytes());
            self.whole = false;
            false
        });
    }

    /// Writes a row where it belongs.
    fn place(&mut self, key: ProfileKey, batch: &mut MembershipBatch) {
        let row = self.row(key);
        let below = std::mem::replace(&mut self.profile(key).below, redo::checksum(&row));
        let rows = if below == 0 { &mut batch.new.profiles } else { &mut batch.profiles };
        rows.push(row);
    }

    fn row(&self, key: ProfileKey) -> ProfileRow {
        // Rows that wait are never let go of; a key that isn't held could only be one that nothing was folded for.
        let empty = Held::default();
        let held = self.held.get(&key).unwrap_or(&empty);
        ProfileRow {
            key,
            last_offset: held.last_offset.unwrap_or(0),
            state: held.state.clone(),
            open_spans: held.open_spans.clone(),
            event_ids: held.ids.encode(),
            id_chunks: u32::try_from(held.ids.chunks()).unwrap_or(u32::MAX),
        }
    }
}

impl Held {
    /// Whether the batch in the making has folded anything of it.
    pub(crate) fn is_folding(&self) -> bool {
        self.folding.is_some()
    }

    /// The profile as the batch in the making has folded it so far.
    pub(crate) fn folding(&mut self) -> Result<&mut Folding, FoldError> {
        let folding = match self.folding.take() {
            Some(folding) => folding,
            None => Box::new(Folding {
                state: if self.state.is_empty() { State::default() } else { State::decode(&self.state)? },
                open_spans: OpenSpans::decode(&self.open_spans)?,
                is_new: self.last_offset.is_none(),
            }),
        };
        Ok(self.folding.insert(folding))
    }

    fn bytes(&self) -> usize {
        size_of::<(ProfileKey, Self)>() + self.state.capacity() + self.open_spans.capacity() + self.ids.bytes()
    }
}
