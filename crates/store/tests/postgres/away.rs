//! The server is away, goes away, comes back; sessions are lost halfway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use weir_store::{
    Count, CountRow, Fence, Generation, LogEnds as _, MembershipBatch, PgStore, Purpose, Store as _, StoreError,
    TimelineBatch,
};

use super::place::{Database, fence, until};
use super::proxy::Proxy;

fn counted(n: i64) -> MembershipBatch {
    let counts = vec![CountRow { workspace: Some(3), what: Count::Duplicates, n }];
    MembershipBatch { counts, ..MembershipBatch::default() }
}

async fn made(store: &PgStore) -> Arc<dyn Generation> {
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    store.generation(id).await.unwrap()
}

async fn counts(generation: &dyn Generation) -> Vec<CountRow> {
    generation.view().await.unwrap().counts().await.unwrap()
}

fn failed<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Failed { .. }))
}

#[tokio::test]
async fn a_store_is_opened_while_the_server_is_away() {
    let (database, proxy) = (Database::new(), Proxy::closed().await);
    let store = PgStore::open(&proxy.through(&database.url())).await.unwrap();
    let asked = Instant::now();
    assert!(failed(store.live().await) && failed(store.bind(Uuid::from_u128(1)).await));
    assert!(failed(store.create(0, 1, Purpose::Switch).await) && failed(store.ends().await));
    assert!(asked.elapsed() < Duration::from_secs(2), "whoever asks is told at once");
    proxy.fall_silent().await;
    assert!(failed(store.live().await));
    proxy.cut().await;
    proxy.open().await;
    store.bind(Uuid::from_u128(1)).await.unwrap();
    assert!(store.live().await.unwrap().is_none());
    let generation = made(&store).await;
    generation.commit_membership(fence(0, 0, 1), &counted(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let (database, proxy) = (Database::new(), Proxy::closed().await);
    proxy.open().await;
    let store = PgStore::open(&proxy.through(&database.url())).await.unwrap();
    let generation = made(&store).await;
    store.promote(generation.id(), None).await.unwrap();
    let other = database.open().await.generation(generation.id()).await.unwrap();
    let mut changes = store.changes();
    for round in 0..3 {
        // Several connections that lie idle, and one view that is open.
        let views = tokio::join!(generation.view(), generation.view(), generation.view());
        let mut open = views.0.unwrap();
        drop((views.1, views.2));
        generation.commit_membership(fence(0, round, round + 1), &counted(1)).await.unwrap();
        proxy.cut().await;
        assert!(failed(open.counts().await) && failed(open.counts().await), "a view ends with its connection");
        assert!(failed(generation.view().await) && failed(generation.progress().await));
        assert!(failed(generation.commit_membership(fence(0, round + 1, 99), &counted(1)).await));
        proxy.open().await;
        // At once, whatever connections there were.
        assert_eq!(generation.progress().await.unwrap()[0].next, round + 1);
        assert_eq!(store.live().await.unwrap().unwrap().id(), generation.id());
        assert_eq!(counts(&*generation).await[0].n, i64::try_from(round).unwrap() + 1);
        changes.mark_unchanged();
        other.commit_timeline(fence(0, round, round + 1), &TimelineBatch::default()).await.unwrap();
        changes.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_session_lost_between_fence_and_commit_leaves_nothing() {
    let database = Database::new();
    let store = database.open().await;
    let generation = made(&store).await;
    generation.commit_membership(fence(0, 0, 1), &counted(1)).await.unwrap();
    // The batch passes its fence and waits for the table.
    let table = format!("{}_g{}.counts", database.schema, generation.id().0);
    let mut lock = database.connection().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("BEGIN; LOCK TABLE {table}"))).execute(&mut lock).await.unwrap();
    let batch = counted(7);
    let mut commit = generation.commit_membership(fence(0, 1, 2), &batch);
    let killed = async {
        let ours = "application_name = '@S' AND wait_event_type = 'Lock'";
        until(async || database.asks(&format!("SELECT count(*) = 1 FROM pg_stat_activity WHERE {ours}")).await).await;
        database.sql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")).await;
    };
    let (refused, ()) = tokio::join!(&mut commit, killed);
    assert!(failed(refused));
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(generation.progress().await.unwrap()[0].next, 1);
    generation.commit_membership(fence(0, 1, 2), &counted(2)).await.unwrap();
    assert_eq!(counts(&*generation).await[0].n, 3);
}

/// A process that is stopped with the fence in its hands: the server ends its session.
#[tokio::test]
async fn whoever_stands_still_is_not_waited_for_long() {
    let database = Database::new();
    let (stopped, other) = (database.open().await, database.open().await);
    let generation = made(&stopped).await;
    let same = other.generation(generation.id()).await.unwrap();
    let _paused = generation.pause().await.unwrap();
    let asked = Instant::now();
    let owner = Uuid::from_u128(2);
    assert_eq!(same.claim(weir_store::Projection::Membership, 0, owner).await.unwrap(), 0);
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    same.commit_membership(Fence { owner, ..fence(0, 0, 1) }, &counted(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_given_up_halfway_leaves_no_transaction_open() {
    let database = Database::new();
    let store = database.open().await;
    let generation = made(&store).await;
    let mut at = 0;
    for micros in (0..3_000).step_by(30) {
        let patience = Duration::from_micros(micros);
        let _ = tokio::time::timeout(patience, generation.view()).await;
        let batch = counted(1);
        let commit = tokio::time::timeout(patience, generation.commit_membership(fence(0, at, at + 1), &batch)).await;
        if !matches!(commit, Ok(Ok(()))) {
            // Given up, it may have happened or be about to; the position settles it.
            let paused = generation.pause().await.unwrap();
            at = paused.progress().first().map_or(0, |place| place.next);
        } else {
            at += 1;
        }
    }
    let open = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '@S' AND state LIKE 'idle in%'";
    until(async || database.asks(open).await).await;
    generation.commit_membership(fence(0, at, at + 1), &counted(1)).await.unwrap();
    let mut views = Vec::new();
    for _ in 0..8 {
        views.push(generation.view().await.unwrap());
    }
    assert_eq!(views[7].counts().await.unwrap()[0].n.cast_unsigned(), at + 1);
}
