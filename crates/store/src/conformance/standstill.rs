//! Generations stand still for a while, and go on.

use std::time::Duration;

use super::fences::fence;
use super::{Place, fresh};
use crate::{MembershipBatch, Progress, Projection, StoreError, TimelineBatch};

const LONG: Duration = Duration::from_secs(60);

pub(super) async fn run<P: Place>(make: &impl AsyncFn() -> P) {
    batches_wait_while_a_generation_is_paused(make).await;
    a_hold_is_not_passed(make).await;
    a_hold_ends_by_itself(make).await;
}

const fn at(projection: Projection, partition: u32, next: u64) -> Progress {
    Progress { projection, partition, next, newest_receipt: None }
}

async fn batches_wait_while_a_generation_is_paused<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, store, generation) = fresh(make).await;
    generation.commit_membership(fence(0, 0, 5), &MembershipBatch::default()).await.unwrap();
    generation.commit_timeline(fence(0, 0, 3), &TimelineBatch::default()).await.unwrap();
    let paused = generation.pause().await.unwrap();
    assert_eq!(paused.progress(), [at(Projection::Membership, 0, 5), at(Projection::Timeline, 0, 3)]);
    let batch = MembershipBatch::default();
    let mut membership = generation.commit_membership(fence(0, 5, 9), &batch);
    let nothing = TimelineBatch::default();
    let mut timeline = generation.commit_timeline(fence(0, 3, 5), &nothing);
    let through = async {
        tokio::select! {
            done = &mut membership => done,
            done = &mut timeline => done,
        }
    };
    let through = tokio::time::timeout(Duration::from_millis(200), through).await;
    assert!(through.is_err(), "{through:?}");
    // Readers and other generations don't wait.
    assert_eq!(generation.progress().await.unwrap(), paused.progress());
    assert_eq!(generation.view().await.unwrap().progress().await.unwrap(), paused.progress()[..1]);
    let other = store.create(0, 1, crate::Purpose::Rebuild).await.unwrap();
    let other = store.generation(other).await.unwrap();
    other.commit_membership(fence(0, 0, 5), &MembershipBatch::default()).await.unwrap();
    drop(paused);
    membership.await.unwrap();
    timeline.await.unwrap();
    assert!(
        generation.pause().await.unwrap().progress()
            == [at(Projection::Membership, 0, 9), at(Projection::Timeline, 0, 5)]
    );
}

async fn a_hold_is_not_passed<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    generation.commit_membership(fence(0, 0, 5), &MembershipBatch::default()).await.unwrap();
    let places = [at(Projection::Membership, 0, 7), at(Projection::Membership, 1, 2), at(Projection::Timeline, 0, 7)];
    generation.hold(&places, LONG).await.unwrap();
    let held = |refused: Result<(), StoreError>, place: Progress| {
        let Err(StoreError::Held { projection, partition, at }) = refused else { panic!("{refused:?}") };
        assert_eq!((projection, partition, at), (place.projection, place.partition, place.next));
    };
    held(generation.commit_membership(fence(0, 5, 8), &MembershipBatch::default()).await, places[0]);
    held(generation.commit_membership(fence(1, 0, 3), &MembershipBatch::default()).await, places[1]);
    held(generation.commit_timeline(fence(0, 0, 8), &TimelineBatch::default()).await, places[2]);
    let elsewhere = generation.commit_membership(fence(0, 4, 8), &MembershipBatch::default()).await;
    assert!(matches!(elsewhere, Err(StoreError::Fenced { .. })), "{elsewhere:?}");
    generation.commit_membership(fence(0, 5, 7), &MembershipBatch::default()).await.unwrap();
    generation.commit_membership(fence(1, 0, 2), &MembershipBatch::default()).await.unwrap();
    generation.commit_membership(fence(2, 0, 9), &MembershipBatch::default()).await.unwrap();
    // A hold replaces the one before.
    generation.hold(&[at(Projection::Membership, 0, 8)], LONG).await.unwrap();
    generation.commit_membership(fence(0, 7, 8), &MembershipBatch::default()).await.unwrap();
    generation.release().await.unwrap();
    generation.commit_membership(fence(0, 8, 20), &MembershipBatch::default()).await.unwrap();
    generation.commit_timeline(fence(0, 0, 8), &TimelineBatch::default()).await.unwrap();
}

async fn a_hold_ends_by_itself<P: Place>(make: &impl AsyncFn() -> P) {
    let (_place, _store, generation) = fresh(make).await;
    generation.hold(&[at(Projection::Membership, 0, 1)], Duration::ZERO).await.unwrap();
    generation.commit_membership(fence(0, 0, 5), &MembershipBatch::default()).await.unwrap();
}
