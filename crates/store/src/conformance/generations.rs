//! Generations come, are promoted, and go; a store that is opened again is the same.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use weir_event::Stream;

use super::fences::fence;
use super::{Place, fresh};
use crate::{GenerationId, LogEnd, MembershipBatch, Progress, Projection, Purpose, Store, StoreError, TimelineBatch};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    a_new_store_reads_nothing(make).await;
    the_live_generation_is_the_promoted_one(make).await;
    what_was_committed_is_there_again(make).await;
    a_removed_generation_leaves_nothing(make).await;
    no_generation_number_comes_twice(make).await;
    a_generation_that_lost_its_tables_is_forgotten(make).await;
    a_store_belongs_to_one_log(make).await;
    ends_are_told(make).await;
}

async fn live(store: &Arc<dyn Store>) -> Option<GenerationId> {
    store.live().await.unwrap().map(|generation| generation.id())
}

async fn listed(store: &Arc<dyn Store>) -> Vec<(u64, u64, i64, bool)> {
    let all = store.generations().await.unwrap();
    all.iter().map(|info| (info.id.0, info.bound, info.created_at, info.live)).collect()
}

async fn a_new_store_reads_nothing<P: Place>(make: &impl AsyncFn() -> P) {
    let place = make().await;
    let store = place.open().await.unwrap();
    assert_eq!(listed(&store).await, []);
    assert_eq!(live(&store).await, None);
    let unknown = GenerationId(1);
    assert!(matches!(store.generation(unknown).await, Err(StoreError::NoGeneration(id)) if id == unknown));
    assert!(matches!(store.promote(unknown, None).await, Err(StoreError::NoGeneration(id)) if id == unknown));
    store.remove(unknown).await.unwrap();
}

async fn the_live_generation_is_the_promoted_one<P: Place>(make: &impl AsyncFn() -> P) {
    let place = make().await;
    let store = place.open().await.unwrap();
    let one = store.create(3, 100, Purpose::Switch).await.unwrap();
    assert_eq!(live(&store).await, None);
    store.promote(one, None).await.unwrap();
    assert_eq!(live(&store).await, Some(one));
    let other = store.create(8, 200, Purpose::Rebuild).await.unwrap();
    assert_eq!(live(&store).await, Some(one));
    let bound = store.generation(other).await.unwrap().bound();
    assert_eq!(bound, 8);
    for before in [None, Some(other)] {
        let refused = store.promote(other, before).await;
        assert!(matches!(refused, Err(StoreError::LiveMoved)), "{refused:?}");
        assert_eq!(live(&store).await, Some(one));
    }
    store.promote(other, Some(one)).await.unwrap();
    assert_eq!(live(&store).await, Some(other));
    assert_eq!(listed(&store).await, [(one.0, 3, 100, false), (other.0, 8, 200, true)]);
    assert!(matches!(store.remove(other).await, Err(StoreError::IsLive(id)) if id == other));
    let purposes: Vec<_> = store.generations().await.unwrap().iter().map(|info| info.purpose).collect();
    assert_eq!(purposes, [Purpose::Switch, Purpose::Rebuild]);
    store.promote(one, Some(other)).await.unwrap();
    assert_eq!(live(&store).await, Some(one));
}

async fn what_was_committed_is_there_again<P: Place>(make: &impl AsyncFn() -> P) {
    let (place, store, generation) = fresh(make).await;
    let batch = MembershipBatch { redo: b"kept".to_vec(), ..MembershipBatch::default() };
    generation.commit_membership(fence(1, 0, 7), &batch).await.unwrap();
    generation.commit_timeline(fence(1, 0, 6), &TimelineBatch::default()).await.unwrap();
    let id = generation.id();
    store.promote(id, None).await.unwrap();
    let filling = store.create(4, 2, Purpose::Switch).await.unwrap();
    let before = listed(&store).await;
    drop((store, generation));
    let store = place.open().await.unwrap();
    assert_eq!(listed(&store).await, before);
    let generation = store.live().await.unwrap().unwrap();
    assert_eq!(generation.id(), id);
    let at = |projection, next| Progress { projection, partition: 1, next, newest_receipt: None };
    assert_eq!(generation.progress().await.unwrap(), [at(Projection::Membership, 7), at(Projection::Timeline, 6)]);
    assert_eq!(generation.redo(1).await.unwrap(), [b"kept"]);
    assert_eq!(store.generation(filling).await.unwrap().progress().await.unwrap(), []);
    generation.commit_membership(fence(1, 7, 8), &MembershipBatch::default()).await.unwrap();
}

async fn a_removed_generation_leaves_nothing<P: Place>(make: &impl AsyncFn() -> P) {
    let (place, store, generation) = fresh(make).await;
    generation.commit_membership(fence(0, 0, 1), &MembershipBatch::default()).await.unwrap();
    let id = generation.id();
    let mut view = generation.view().await.unwrap();
    store.remove(id).await.unwrap();
    assert!(matches!(store.generation(id).await, Err(StoreError::NoGeneration(_))));
    assert_eq!(listed(&store).await, []);
    // Whoever has a view can go on; without one, the generation is there or told to be gone.
    assert_eq!(view.progress().await.unwrap().len(), 1);
    assert_eq!(view.counts().await.unwrap(), []);
    match generation.view().await {
        Ok(mut later) => assert_eq!(later.progress().await.unwrap().len(), 1),
        Err(error) => assert!(matches!(error, StoreError::NoGeneration(gone) if gone == id), "{error:?}"),
    }
    assert!(place.holds(id).await, "a view is open");
    assert_eq!(view.quarantine(None, 9).await.unwrap(), []);
    drop((view, generation));
    gone(&place, id).await;
    let next = store.create(0, 1, Purpose::Switch).await.unwrap();
    assert!(place.holds(next).await);
    store.remove(next).await.unwrap();
    gone(&place, next).await;
    drop(store);
    assert_eq!(listed(&place.open().await.unwrap()).await, []);
}

/// Waits until nothing is left of a generation.
async fn gone<P: Place>(place: &P, id: GenerationId) {
    while place.holds(id).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn no_generation_number_comes_twice<P: Place>(make: &impl AsyncFn() -> P) {
    let place = make().await;
    let mut last = GenerationId(0);
    for _ in 0..3 {
        let store = place.open().await.unwrap();
        for _ in 0..2 {
            let id = store.create(0, 1, Purpose::Switch).await.unwrap();
            assert!(id > last, "{id:?} after {last:?}");
            store.remove(id).await.unwrap();
            last = id;
        }
    }
}

async fn a_generation_that_lost_its_tables_is_forgotten<P: Place>(make: &impl AsyncFn() -> P) {
    let (place, store, generation) = fresh(make).await;
    let id = generation.id();
    store.promote(id, None).await.unwrap();
    let other = store.create(6, 7, Purpose::Switch).await.unwrap();
    drop((store, generation));
    place.lose(id).await;
    let store = place.open().await.unwrap();
    assert_eq!(live(&store).await, None);
    assert_eq!(listed(&store).await, [(other.0, 6, 7, false)]);
    gone(&place, id).await;
    drop(store);
    assert_eq!(live(&place.open().await.unwrap()).await, None);
}

async fn a_store_belongs_to_one_log<P: Place>(make: &impl AsyncFn() -> P) {
    let place = make().await;
    let store = place.open().await.unwrap();
    let (ours, theirs) = (Uuid::from_u128(1), Uuid::from_u128(2));
    store.bind(ours).await.unwrap();
    store.bind(ours).await.unwrap();
    drop(store);
    let store = place.open().await.unwrap();
    let refused = store.bind(theirs).await;
    assert!(
        matches!(refused, Err(StoreError::OtherLineage { store, log }) if (store, log) == (ours, theirs)),
        "{refused:?}"
    );
    store.bind(ours).await.unwrap();
}

async fn ends_are_told<P: Place>(make: &impl AsyncFn() -> P) {
    let place = make().await;
    let store = place.open().await.unwrap();
    assert_eq!(store.ends().await.unwrap(), []);
    let (events, control) = (Stream::Events, Stream::Control);
    store.tell_ends(&[(events, 0, 50), (control, 0, 3), (events, 1, 7)], 1_000).await.unwrap();
    // Whoever looked earlier may tell it later.
    store.tell_ends(&[(events, 0, 49), (events, 1, 8)], 2_000).await.unwrap();
    let end = |stream, partition, next, seen_at| LogEnd { stream, partition, next, seen_at };
    let mut ends = store.ends().await.unwrap();
    ends.sort_by_key(|end| (end.stream.name(), end.partition));
    let expected = [end(control, 0, 3, 1_000), end(events, 0, 50, 2_000), end(events, 1, 8, 2_000)];
    assert_eq!(ends, expected);
}
