//! Batches count once, whole, and in order.

use super::{Place, fresh};
use uuid::Uuid;

use crate::{Count, CountRow, Fence, MembershipBatch, Progress, Projection, Purpose, StoreError, TimelineBatch};

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    a_batch_from_elsewhere_writes_nothing(make).await;
    projections_and_partitions_are_apart(make).await;
    the_newest_receipt_only_rises(make).await;
    progress_settles_a_commit_whose_answer_was_lost(make).await;
    of_two_writers_one_gets_through(make).await;
    only_the_owner_gets_through(make).await;
}

pub(super) const fn fence(partition: u32, expected: u64, next: u64) -> Fence {
    Fence { partition, owner: Uuid::nil(), expected, next, newest_receipt: None }
}

fn counted(n: i64) -> MembershipBatch {
    let counts = vec![CountRow { workspace: Some(3), what: Count::Duplicates, n }];
    MembershipBatch { counts, ..MembershipBatch::default() }
}

async fn a_batch_from_elsewhere_writes_nothing<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    assert_eq!(generation.progress().await.unwrap(), []);
    let refused = generation.commit_membership(fence(0, 5, 9), &counted(1)).await;
    assert!(
        matches!(refused, Err(StoreError::Fenced { projection: Projection::Membership, partition: 0, expected: 5 })),
        "{refused:?}"
    );
    assert_eq!(generation.progress().await.unwrap(), []);
    generation.commit_membership(fence(0, 0, 9), &counted(1)).await.unwrap();
    for expected in [0, 8, 10] {
        let refused = generation.commit_membership(fence(0, expected, 20), &counted(1)).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{expected}");
        let refused = generation.commit_control(fence(0, expected + 1, 20), &[(0, vec![1])], &[]).await;
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{expected}");
    }
    generation.commit_membership(fence(0, 9, 9), &counted(4)).await.unwrap();
    generation.commit_membership(fence(0, 9, 12), &counted(2)).await.unwrap();
    let mut view = generation.view().await.unwrap();
    assert_eq!(view.counts().await.unwrap(), counted(7).counts);
    assert_eq!(view.control(0).await.unwrap(), []);
}

async fn projections_and_partitions_are_apart<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, store, generation) = fresh(make).await;
    generation.commit_membership(fence(2, 0, 7), &counted(1)).await.unwrap();
    generation.commit_membership(fence(0, 0, 3), &counted(1)).await.unwrap();
    generation.commit_timeline(fence(0, 0, 2), &TimelineBatch::default()).await.unwrap();
    generation.commit_control(fence(0, 0, 5), &[], &[]).await.unwrap();
    generation.commit_timeline(fence(0, 2, 3), &TimelineBatch::default()).await.unwrap();
    let at = |projection, partition, next| Progress { projection, partition, next, newest_receipt: None };
    let (control, members, timeline) = (Projection::Control, Projection::Membership, Projection::Timeline);
    let all = [at(control, 0, 5), at(members, 0, 3), at(members, 2, 7), at(timeline, 0, 3)];
    assert_eq!(generation.progress().await.unwrap(), all);
    let mut seen = generation.view().await.unwrap().progress().await.unwrap();
    seen.sort();
    assert_eq!(seen, all[..3]);
    assert_eq!(generation.timeline().await.unwrap().progress().await.unwrap(), all[3..]);
    let other = store.create(0, 1, Purpose::Switch).await.unwrap();
    assert_eq!(store.generation(other).await.unwrap().progress().await.unwrap(), []);
}

async fn the_newest_receipt_only_rises<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let receipts = [(None, None), (Some(50), Some(50)), (Some(-7), Some(50)), (None, Some(50)), (Some(60), Some(60))];
    for (offset, (receipt, newest)) in (0..).zip(receipts) {
        let fence = Fence { newest_receipt: receipt, ..fence(0, offset, offset + 1) };
        generation.commit_membership(fence, &MembershipBatch::default()).await.unwrap();
        assert_eq!(generation.progress().await.unwrap()[0].newest_receipt, newest, "after {offset}");
    }
}

async fn progress_settles_a_commit_whose_answer_was_lost<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    generation.commit_membership(fence(0, 0, 4), &counted(3)).await.unwrap();
    let again = generation.commit_membership(fence(0, 0, 4), &counted(3)).await;
    assert!(matches!(again, Err(StoreError::Fenced { .. })));
    assert_eq!(generation.progress().await.unwrap()[0].next, 4);
    assert_eq!(generation.view().await.unwrap().counts().await.unwrap(), counted(3).counts);
}

async fn of_two_writers_one_gets_through<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    for round in 0..20 {
        let batch = counted(1);
        let commit = || generation.commit_membership(fence(0, round, round + 1), &batch);
        let (one, other) = tokio::join!(commit(), commit());
        assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    }
    assert_eq!(generation.view().await.unwrap().counts().await.unwrap(), counted(20).counts);
}

async fn only_the_owner_gets_through<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    let by = |owner, expected, next| Fence { owner: Uuid::from_u128(owner), ..fence(1, expected, next) };
    assert_eq!(generation.claim(Projection::Membership, 1, Uuid::from_u128(1)).await.unwrap(), 0);
    generation.commit_membership(by(1, 0, 4), &counted(1)).await.unwrap();
    assert_eq!(generation.claim(Projection::Membership, 1, Uuid::from_u128(2)).await.unwrap(), 4);
    // Where it stands doesn't matter: who was replaced writes nothing.
    for next in [4, 5] {
        let refused = generation.commit_membership(by(1, 4, next), &counted(1)).await;
        assert!(matches!(refused, Err(StoreError::Fenced { partition: 1, expected: 4, .. })), "{refused:?}");
    }
    generation.commit_membership(by(2, 4, 6), &counted(1)).await.unwrap();
    // A claim is of one projection on one partition.
    generation.commit_timeline(by(1, 0, 6), &TimelineBatch::default()).await.unwrap();
    assert_eq!(generation.claim(Projection::Timeline, 1, Uuid::from_u128(2)).await.unwrap(), 6);
    assert_eq!(generation.claim(Projection::Control, 0, Uuid::from_u128(3)).await.unwrap(), 0);
    let refused = generation.commit_control(Fence { partition: 0, ..by(1, 0, 1) }, &[], &[]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(generation.view().await.unwrap().counts().await.unwrap(), counted(2).counts);
}
