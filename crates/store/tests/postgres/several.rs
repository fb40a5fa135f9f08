//! Several processes share a store.

use std::sync::Arc;

use uuid::Uuid;
use weir_event::ProfileId;
use weir_store::conformance::{Place as _, Random};
use weir_store::{
    Card, Count, CountRow, Generation, LogEnds as _, MembershipBatch, ProfileKey, Projection, Purpose, Rebuilds as _,
    SpanKey, SpanRow, Store as _, StoreError, TimelineBatch, count, tree,
};

use super::place::{Database, fence, until};

#[tokio::test(flavor = "multi_thread")]
async fn stores_see_what_others_do() {
    let database = Database::new();
    let (one, other) = (database.open().await, database.open().await);
    let mut changes = other.changes();
    let id = one.create(0, 1, Purpose::Switch).await.unwrap();
    changes.changed().await.unwrap();
    let generation = one.generation(id).await.unwrap();
    let same = other.generation(id).await.unwrap();
    for at in 0..20 {
        changes.mark_unchanged();
        generation.commit_membership(fence(0, at, at + 1), &MembershipBatch::default()).await.unwrap();
        changes.changed().await.unwrap();
        assert_eq!(same.progress().await.unwrap()[0].next, at + 1);
    }
    // Also where a batch takes its projection nowhere.
    changes.mark_unchanged();
    generation.commit_membership(fence(0, 20, 20), &MembershipBatch::default()).await.unwrap();
    changes.changed().await.unwrap();
    assert!(other.live().await.unwrap().is_none());
    one.promote(id, None).await.unwrap();
    until(async || other.live().await.unwrap().is_some_and(|live| live.id() == id)).await;
    let next = other.create(0, 2, Purpose::Rebuild).await.unwrap();
    assert!(matches!(other.promote(next, None).await, Err(StoreError::LiveMoved)));
    other.promote(next, Some(id)).await.unwrap();
    until(async || one.live().await.unwrap().is_some_and(|live| live.id() == next)).await;
    changes.mark_unchanged();
    assert!(one.note_rebuild(Uuid::from_u128(1), 0, b"asked").await.unwrap());
    changes.changed().await.unwrap();
}

#[tokio::test]
async fn whoever_has_a_generation_that_others_removed_is_told() {
    let database = Database::new();
    let (one, other) = (database.open().await, database.open().await);
    let id = one.create(0, 1, Purpose::Switch).await.unwrap();
    let (generation, same) = (one.generation(id).await.unwrap(), other.generation(id).await.unwrap());
    let mut view = same.view().await.unwrap();
    one.remove(id).await.unwrap();
    assert!(matches!(other.generation(id).await, Err(StoreError::NoGeneration(gone)) if gone == id));
    // For as long as the view is open, and readers of other tables are not held up by attempts to drop them.
    for _ in 0..30 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(view.counts().await.unwrap(), []);
        drop(same.view().await.unwrap());
    }
    drop(view);
    until(async || !database.holds(id).await).await;
    let told = |result: Result<(), StoreError>| matches!(result, Err(StoreError::NoGeneration(gone)) if gone == id);
    assert!(told(same.view().await.map(drop)) && told(generation.timeline().await.map(drop)));
    assert!(told(same.progress().await.map(drop)) && told(generation.pause().await.map(drop)));
    assert!(told(same.commit_membership(fence(0, 0, 1), &MembershipBatch::default()).await));
    assert!(told(same.claim(Projection::Control, 0, Uuid::from_u128(1)).await.map(drop)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_must_be_new_and_is_there_is_damage() {
    let database = Database::new();
    let store = database.open().await;
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    let generation = store.generation(id).await.unwrap();
    let cards = |from: u128, to: u128| -> Vec<Card> {
        let key = |number| ProfileKey { workspace: 1, profile: ProfileId(Uuid::from_u128(number)) };
        (from..to).map(|number| Card { key: key(number), card: vec![1] }).collect()
    };
    let first = MembershipBatch { cards: cards(0, 1), ..MembershipBatch::default() };
    generation.commit_membership(fence(0, 0, 1), &first).await.unwrap();
    let mut again = MembershipBatch::default();
    again.new.cards = cards(0, 1_000);
    let refused = generation.commit_membership(fence(0, 1, 2), &again).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    again.new.cards = cards(1, 1_000);
    generation.commit_membership(fence(0, 1, 2), &again).await.unwrap();
}

/// One batch of a partition: profiles of its own, spans in segments that all partitions have, counts.
fn batch(random: &mut Random, partition: u32, round: u64) -> MembershipBatch {
    let mut spans: Vec<SpanRow> = Vec::new();
    for n in 0..60 {
        let profile = ProfileId(Uuid::from_u64_pair(random.draw(), u64::from(partition) << 32 | round << 8 | n));
        let enters = 1_760_000_000_000_000 + random.between(0, 1_000_000);
        let key = SpanKey { segment: random.between(1, 4), past: false, enters, profile };
        spans.push(SpanRow { key, leaves: i64::MAX });
    }
    spans.sort_unstable();
    let mut cards: Vec<Card> = spans
        .iter()
        .map(|row| Card { key: ProfileKey { workspace: 1, profile: row.key.profile }, card: vec![1] })
        .collect();
    cards.sort_by_key(|card| card.key);
    let counts = vec![CountRow { workspace: Some(1), what: Count::Duplicates, n: 1 }];
    MembershipBatch { tree: tree::rows([], spans.iter().copied()), spans, cards, counts, ..MembershipBatch::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_on_different_partitions_do_not_wait_for_each_other_in_circles() {
    const ROUNDS: u64 = 12;
    let database = Database::new();
    let stores = [database.open().await, database.open().await];
    let id = stores[0].create(0, 1, Purpose::Switch).await.unwrap();
    let mut writers = Vec::new();
    for partition in 0..12_u32 {
        let store = &stores[usize::try_from(partition % 2).unwrap()];
        let generation: Arc<dyn Generation> = store.generation(id).await.unwrap();
        writers.push(tokio::spawn(async move {
            let mut random = Random::new(partition.into());
            for round in 0..ROUNDS {
                let batch = batch(&mut random, partition, round);
                generation.commit_membership(fence(partition, round, round + 1), &batch).await.unwrap();
                generation
                    .commit_timeline(fence(partition, round, round + 1), &TimelineBatch::default())
                    .await
                    .unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let generation = stores[0].generation(id).await.unwrap();
    assert!(generation.progress().await.unwrap().iter().all(|place| place.next == ROUNDS));
    let mut view = generation.view().await.unwrap();
    let mut members = 0;
    for segment in 1..4 {
        members += count(&mut *view, segment, i64::MAX - 1).await.unwrap();
    }
    assert_eq!(members, 12 * 60 * i64::try_from(ROUNDS).unwrap());
    assert_eq!(view.counts().await.unwrap()[0].n, 12 * i64::try_from(ROUNDS).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_all_hold_a_view_and_need_more_wait_for_nobody() {
    // As many as there are connections for views.
    const READERS: usize = 8;
    let database = Database::new();
    let store = Arc::new(database.open().await);
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    let generation = store.generation(id).await.unwrap();
    let all_there = Arc::new(tokio::sync::Barrier::new(READERS));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        let (store, generation, all_there) = (store.clone(), generation.clone(), all_there.clone());
        readers.spawn(async move {
            let _view = generation.view().await.unwrap();
            all_there.wait().await;
            drop(generation.timeline().await.unwrap());
            generation.progress().await.unwrap();
            store.generations().await.unwrap();
        });
    }
    readers.join_all().await;
}

/// While two generations are paused and batches wait for them on every connection that there is for batches.
#[tokio::test(flavor = "multi_thread")]
async fn the_pointer_moves_while_batches_wait() {
    let database = Database::new();
    let store = database.open().await;
    let mut generations = Vec::new();
    for _ in 0..2 {
        let id = store.create(0, 1, Purpose::Switch).await.unwrap();
        generations.push(store.generation(id).await.unwrap());
    }
    store.promote(generations[0].id(), None).await.unwrap();
    let paused = (generations[0].pause().await.unwrap(), generations[1].pause().await.unwrap());
    let mut waiting = Vec::new();
    for partition in 0..6 {
        let generation = generations[usize::try_from(partition % 2).unwrap()].clone();
        waiting.push(tokio::spawn(async move {
            generation.commit_membership(fence(partition, 0, 1), &MembershipBatch::default()).await
        }));
    }
    let blocked = "SELECT count(*) = 4 FROM pg_stat_activity
                   WHERE application_name = '@S' AND wait_event_type = 'Lock'";
    until(async || database.asks(blocked).await).await;
    let asked = std::time::Instant::now();
    store.promote(generations[1].id(), Some(generations[0].id())).await.unwrap();
    assert!(asked.elapsed() < std::time::Duration::from_secs(1), "{:?}", asked.elapsed());
    drop(paused);
    for batch in waiting {
        batch.await.unwrap().unwrap();
    }
}
