//! The fold's own memory: rows, redo, id chunks.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use weir_event::ProfileId;

use super::fences::fence;
use super::{Place, Random, fresh};
use crate::{Generation, IdChunk, MembershipBatch, ProfileKey, ProfileRow};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    rows_come_and_change(make).await;
    redo_is_kept_until_it_is_done(make).await;
    id_chunks_come_and_go(make).await;
}

pub(super) fn key(workspace: u64, profile: u128) -> ProfileKey {
    ProfileKey { workspace, profile: ProfileId(Uuid::from_u128(profile)) }
}

fn row(random: &mut Random, key: ProfileKey) -> ProfileRow {
    ProfileRow {
        key,
        last_offset: random.draw() >> 1,
        state: random.bytes(300),
        open_spans: random.bytes(40),
        event_ids: random.bytes(2_000),
        id_chunks: u32::try_from(random.below(9)).unwrap(),
    }
}

async fn read(generation: &dyn Generation, keys: &[ProfileKey]) -> BTreeMap<ProfileKey, ProfileRow> {
    let rows = generation.profiles(keys).await.unwrap();
    let count = rows.len();
    let by_key: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key, row)).collect();
    assert_eq!(by_key.len(), count, "a profile came twice");
    by_key
}

async fn rows_come_and_change<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let mut random = Random::new(11);
    let mut model: BTreeMap<ProfileKey, ProfileRow> = BTreeMap::new();
    // Counts around those at which statements are cut.
    for (round, count) in (0..).zip([0, 1, 2, 3, 511, 512, 513, 1_300]) {
        let drawn = (0..count).map(|_| key(random.below(3), u128::from(random.below(4_000)) << 60));
        let keys: BTreeSet<ProfileKey> = drawn.collect();
        let profiles: Vec<ProfileRow> = keys.iter().map(|key| row(&mut random, *key)).collect();
        model.extend(profiles.iter().map(|row| (row.key, row.clone())));
        let batch = MembershipBatch { profiles, ..MembershipBatch::default() };
        generation.commit_membership(fence(0, round, round + 1), &batch).await.unwrap();
        assert_eq!(read(&*generation, &model.keys().copied().collect::<Vec<_>>()).await, model);
    }
    // Other workspaces and unknown profiles have no rows.
    let (known, expected) = model.iter().nth(5).unwrap();
    let asked = [key(known.workspace + 10, known.profile.0.as_u128()), *known, key(0, 1)];
    assert_eq!(read(&*generation, &asked).await.into_values().collect::<Vec<_>>(), std::slice::from_ref(expected));
    assert!(generation.profiles(&[]).await.unwrap().is_empty());
}

async fn redo_is_kept_until_it_is_done<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let redo = |bytes: &[u8], redo_done| MembershipBatch { redo: bytes.to_vec(), redo_done, ..Default::default() };
    let large = vec![7; 2 << 20];
    generation.commit_membership(fence(0, 0, 10), &redo(&large, None)).await.unwrap();
    generation.commit_membership(fence(1, 0, 4), &redo(b"other", None)).await.unwrap();
    generation.commit_membership(fence(0, 10, 11), &redo(b"", None)).await.unwrap();
    generation.commit_membership(fence(0, 11, 300), &redo(b"three", None)).await.unwrap();
    assert_eq!(generation.redo(0).await.unwrap(), [large, b"three".to_vec()]);
    generation.commit_membership(fence(0, 300, 301), &redo(b"four", Some(10))).await.unwrap();
    assert_eq!(generation.redo(0).await.unwrap(), [b"three".to_vec(), b"four".to_vec()]);
    // What the batch itself brings is newer than what it is done with.
    generation.commit_membership(fence(0, 301, 302), &redo(b"five", Some(301))).await.unwrap();
    assert_eq!(generation.redo(0).await.unwrap(), [b"five".to_vec()]);
    assert_eq!(generation.redo(1).await.unwrap(), [b"other".to_vec()]);
    assert!(generation.redo(2).await.unwrap().is_empty());
}

async fn id_chunks_come_and_go<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let (one, other) = (key(1, 1), key(1, 2));
    let chunk = |key, chunk: u64, newest| IdChunk { key, chunk, newest, ids: vec![1; usize::try_from(chunk).unwrap()] };
    let chunks = vec![chunk(one, 3, -5), chunk(one, 200, 8), chunk(one, 300, 9), chunk(other, 3, 2)];
    let batch = MembershipBatch { id_chunks: chunks.clone(), ..MembershipBatch::default() };
    generation.commit_membership(fence(0, 0, 1), &batch).await.unwrap();
    assert_eq!(generation.id_chunks(one).await.unwrap(), chunks[..3]);
    // One leaves, one comes, the row counts them.
    let mut random = Random::new(3);
    let counting = ProfileRow { id_chunks: 3, ..row(&mut random, one) };
    let batch = MembershipBatch {
        profiles: vec![counting.clone()],
        id_chunks: vec![chunk(one, 400, 10)],
        dropped_chunks: vec![(one, 3), (one, 77)],
        ..MembershipBatch::default()
    };
    generation.commit_membership(fence(0, 1, 2), &batch).await.unwrap();
    let left = generation.id_chunks(one).await.unwrap();
    assert_eq!(left, [chunks[1].clone(), chunks[2].clone(), chunk(one, 400, 10)]);
    assert_eq!(read(&*generation, &[one]).await[&one], counting);
    assert_eq!(generation.id_chunks(other).await.unwrap(), chunks[3..]);
    assert!(generation.id_chunks(key(2, 1)).await.unwrap().is_empty());
}
