//! Comparing two generations at the same place.
//!
//! Both stop where the further one of them stands, one instant of each is kept open, both go on; then every table is
//! read. What is compared are normal forms, since two folds of one log may lay out their rows otherwise: rows that wait
//! count as those that moved, event ids count while the window looks at them. The digest of a table is the sum of its
//! rows' hashes in 4,096 buckets by profile, so that the order of rows doesn't matter and memory doesn't grow with the
//! tables; the rows of a bucket that differs are then looked at one by one, to name them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_event::{Envelope, ProfileId};
use weir_store::{
    Comparison, Contents, Difference, Generation, GenerationId, Progress, Store, StoreError, Table, TableRow,
};

use crate::contents::{Place, Row, next, visit};
use crate::error::FoldError;
use crate::generations::distance;
use crate::tree_check;

/// Buckets of a table.
const BUCKETS: usize = 4_096;
/// Differences that are named; all are counted.
const NAMED: usize = 1_000;
/// How long the two may take to come to one place.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the live one is paused at most for the other to come where it stands.
const PAUSE: Duration = Duration::from_millis(800);
/// For how long the other one is held; a crash ends it.
const LEASE: Duration = Duration::from_secs(10);

/// A comparison to make.
pub(crate) struct Task {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) live: GenerationId,
    pub(crate) next: GenerationId,
    /// The present instant, for the record.
    pub(crate) at: i64,
    /// For how long an id sent again is a repeat.
    pub(crate) window: i64,
}

impl Task {
    /// Makes it.
    pub(crate) async fn run(self) -> Result<Comparison, FoldError> {
        let (live, next) = (self.store.generation(self.live).await?, self.store.generation(self.next).await?);
        let [live, next] = self.side_by_side(&live, &next).await?;
        let (live, next) = tokio::join!(
            tokio::spawn(digest(live, self.live, self.window)),
            tokio::spawn(digest(next, self.next, self.window))
        );
        let (mut live, mut next) = (joined(live)?, joined(next)?);
        let mut found: BTreeSet<Difference> = live.wrong.drain(..).chain(next.wrong.drain(..)).collect();
        let rows = live.tables.iter().map(|(table, buckets)| {
            ((*table).to_owned(), buckets.iter().fold(0, |rows: u64, bucket| rows.wrapping_add(bucket.rows)))
        });
        let rows = rows.collect();
        let differing = differing(&live.tables, &next.tables);
        if !differing.is_empty() {
            let left = look(live.contents.as_mut(), &differing, self.window).await?;
            let right = look(next.contents.as_mut(), &differing, self.window).await?;
            let differ = differ(&left, &right);
            let mut owners = Owners::new();
            // Where both name one, that of the new generation counts: it was read from the log just now.
            for contents in [live.contents.as_mut(), next.contents.as_mut()] {
                find_owners(contents, &differ, &mut owners).await?;
            }
            found.extend(differ.iter().map(|key| difference(key, &owners)));
        }
        let count = found.len() as u64;
        Ok(Comparison { at: self.at, rows, found: count, differences: found.into_iter().take(NAMED).collect() })
    }

    /// A view of each, at the same place.
    async fn side_by_side(
        &self,
        live: &Arc<dyn Generation>,
        next: &Arc<dyn Generation>,
    ) -> Result<[Box<dyn Contents>; 2], FoldError> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let goal = furthest(&live.progress().await?, &next.progress().await?);
            next.hold(&goal, LEASE).await?;
            let met = self.meet(live, next, &goal).await;
            next.release().await?;
            if let Some(met) = met? {
                return Ok(met);
            }
        }
        Err(FoldError::Apart { seconds: PATIENCE.as_secs() })
    }

    /// Brings both to one place and opens their views; `None` if they didn't get there.
    async fn meet(
        &self,
        live: &Arc<dyn Generation>,
        next: &Arc<dyn Generation>,
        goal: &[Progress],
    ) -> Result<Option<[Box<dyn Contents>; 2]>, FoldError> {
        if !self.reaches(live, goal, LEASE / 2).await? {
            return Ok(None);
        }
        let paused = live.pause().await?;
        next.hold(paused.progress(), LEASE).await?;
        if !self.reaches(next, paused.progress(), PAUSE).await? {
            return Ok(None);
        }
        let mut views = [live.contents().await?, next.contents().await?];
        let [left, right] = &mut views;
        let (left, right) = (left.progress().await?, right.progress().await?);
        // A projection that began at neither has nothing to compare.
        let same = distance(&left, &right) == 0 && distance(&right, &left) == 0;
        Ok(same.then_some(views))
    }

    async fn reaches(
        &self,
        generation: &Arc<dyn Generation>,
        goal: &[Progress],
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let mut changed = self.store.changes();
        let reached = async {
            loop {
                changed.mark_unchanged();
                if distance(&generation.progress().await?, goal) == 0 {
                    return Ok(());
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(patience, reached).await.map_or(Ok(false), |reached| reached.map(|()| true))
    }
}

fn joined<T>(ended: Result<Result<T, FoldError>, tokio::task::JoinError>) -> Result<T, FoldError> {
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(FoldError::Apart { seconds: 0 }),
    }
}

/// On each partition of each projection, the further of two places.
fn furthest(left: &[Progress], right: &[Progress]) -> Vec<Progress> {
    let mut places: BTreeMap<_, Progress> = BTreeMap::new();
    for place in left.iter().chain(right) {
        let furthest = places.entry((place.projection, place.partition)).or_insert(*place);
        furthest.next = furthest.next.max(place.next);
    }
    places.into_values().collect()
}

/// The rows of a bucket, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    sum: u128,
}

impl Bucket {
    fn add(&mut self, row: &Row) {
        // What waits to be taken away from rows counts as less than nothing.
        self.rows = self.rows.wrapping_add(row.rows);
        self.sum = self.sum.wrapping_add(row.digest);
    }
}

type Tables = BTreeMap<&'static str, Vec<Bucket>>;

/// A generation, digested.
struct Digested {
    contents: Box<dyn Contents>,
    tables: Tables,
    /// What doesn't fit within the generation itself.
    wrong: Vec<Difference>,
}

async fn digest(mut contents: Box<dyn Contents>, id: GenerationId, window: i64) -> Result<Digested, FoldError> {
    let mut tables = Tables::new();
    let add = |row: Row| {
        let buckets = tables.entry(row.table).or_insert_with(|| vec![Bucket::default(); BUCKETS]);
        buckets[bucket(&row)].add(&row);
    };
    visit(contents.as_mut(), window, add).await?;
    let wrong = tree_check::check(contents.as_mut(), id).await?;
    Ok(Digested { contents, tables, wrong })
}

#[allow(clippy::cast_possible_truncation)] // The remainder is small.
fn bucket(row: &Row) -> usize {
    let number = match (row.profile, row.place) {
        (Some(profile), _) => profile.0.as_u64_pair().1,
        (None, place) => place.number(),
    };
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % BUCKETS
}

/// The buckets that two generations don't agree on.
fn differing(left: &Tables, right: &Tables) -> BTreeSet<(&'static str, usize)> {
    let empty = vec![Bucket::default(); BUCKETS];
    let names: BTreeSet<&'static str> = left.keys().chain(right.keys()).copied().collect();
    let of = |table: &'static str| {
        let (left, right) = (left.get(table).unwrap_or(&empty), right.get(table).unwrap_or(&empty));
        (0..BUCKETS).filter(|at| left[*at] != right[*at]).map(|at| (table, at)).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(of).collect()
}

/// Table, profile and place.
type Key = (&'static str, Option<ProfileId>, Place);
type Named = HashMap<Key, Bucket>;

/// The rows of some buckets, by profile.
async fn look(
    contents: &mut dyn Contents,
    buckets: &BTreeSet<(&'static str, usize)>,
    window: i64,
) -> Result<Named, FoldError> {
    let mut named = Named::new();
    let add = |row: Row| {
        if buckets.contains(&(row.table, bucket(&row))) {
            let place = if row.profile.is_some() { Place::None } else { row.place };
            named.entry((row.table, row.profile, place)).or_default().add(&row);
        }
    };
    visit(contents, window, add).await?;
    Ok(named)
}

/// What two generations don't agree on.
fn differ(left: &Named, right: &Named) -> HashSet<Key> {
    // Numbers that come to nothing, with what waits to be taken away from them, are as good as none.
    let of = |named: &Named, key| named.get(key).copied().unwrap_or_default();
    left.keys().chain(right.keys()).filter(|key| of(left, key) != of(right, key)).copied().collect()
}

/// Whose the records are, by their place.
type Owners = HashMap<Place, ProfileId>;

/// Notes whose the records are that differ: a record says it itself, if it can still be read.
async fn find_owners(
    contents: &mut dyn Contents,
    differ: &HashSet<Key>,
    owners: &mut Owners,
) -> Result<(), StoreError> {
    let table = Table::Records;
    if !differ.iter().any(|(of, ..)| *of == table.name()) {
        return Ok(());
    }
    let mut rows = contents.rows(table);
    while let Some(row) = next(&mut rows, |_| {}).await? {
        let TableRow::Record(partition, offset, record) = row else { continue };
        let place = Place::Offset(partition, offset);
        if differ.contains(&(table.name(), None, place))
            && let Ok(envelope) = Envelope::parse(&record)
        {
            owners.insert(place, envelope.subject);
        }
    }
    Ok(())
}

fn difference(&(table, profile, place): &Key, owners: &Owners) -> Difference {
    let owner = || owners.get(&place).filter(|_| table == Table::Records.name()).copied();
    Difference {
        table: table.to_owned(),
        profile_id: profile.or_else(owner).map(|profile| profile.0),
        row: place.describe(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_to_nothing_is_as_good_as_nothing() {
        let key = |offset| ("records", None, Place::Offset(0, offset));
        let left: Named = [(key(1), Bucket::default()), (key(2), Bucket { rows: 1, sum: 0 })].into();
        assert_eq!(differ(&left, &Named::new()), HashSet::from([key(2)]));
        assert_eq!(differ(&Named::new(), &left), HashSet::from([key(2)]));
        assert_eq!(differ(&left, &left), HashSet::new());
    }
}
