//! What a start may find.

use weir_event::Stream;
use weir_store::conformance::Place as _;
use weir_store::{MembershipBatch, PgStore, Purpose, Quarantined, Store as _, StoreError};

use super::place::{Database, fence, until};

#[tokio::test(flavor = "multi_thread")]
async fn many_start_at_once() {
    let database = Database::new();
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { PgStore::open(&url).await })
        })
        .collect();
    let mut stores = Vec::new();
    for start in starts {
        stores.push(start.await.unwrap().unwrap());
    }
    let (one, other) = tokio::join!(stores[0].create(0, 1, Purpose::Switch), stores[5].create(0, 1, Purpose::Switch));
    assert!(one.unwrap() != other.unwrap());
    assert_eq!(stores[3].generations().await.unwrap().len(), 2);
}

#[tokio::test]
async fn another_programs_schema_is_left_alone() {
    let database = Database::new();
    database.sql("CREATE SCHEMA @S; CREATE TABLE @S.theirs (x int)").await;
    let refused = PgStore::open(&database.url()).await.err().unwrap();
    assert!(matches!(&refused, StoreError::NotAStore(name) if name.contains(&database.schema)), "{refused}");
    assert!(database.asks("SELECT to_regclass('@S.theirs') IS NOT NULL").await);
    // An empty one was made for Weir.
    database.sql("DROP TABLE @S.theirs").await;
    assert_eq!(database.open().await.generations().await.unwrap(), []);
}

#[tokio::test]
async fn tables_of_another_release_are_filled_anew() {
    let database = Database::new();
    let store = database.open().await;
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    store.promote(id, None).await.unwrap();
    drop(store);
    database.sql(&format!("COMMENT ON SCHEMA @S_g{} IS 'Weir generation, version 99'", id.0)).await;
    let store = database.open().await;
    assert!(store.live().await.unwrap().is_none());
    assert_eq!(store.generations().await.unwrap(), []);
    until(async || !database.holds(id).await).await;
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    drop(store);
    database.sql("COMMENT ON SCHEMA @S IS 'Weir store, version 99'").await;
    let store = database.open().await;
    assert_eq!(store.generations().await.unwrap(), []);
    until(async || !database.holds(id).await).await;
}

#[tokio::test]
async fn a_store_that_is_deleted_is_made_again() {
    let database = Database::new();
    let store = database.open().await;
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    let held = store.generation(id).await.unwrap();
    database.sql(&format!("DROP SCHEMA @S CASCADE; DROP SCHEMA @S_g{} CASCADE", id.0)).await;
    assert!(matches!(store.generations().await, Err(StoreError::Failed { .. })));
    assert_eq!(store.generations().await.unwrap(), []);
    assert!(matches!(held.view().await, Err(StoreError::NoGeneration(gone)) if gone == id));
}

#[tokio::test]
async fn a_refused_user_and_a_strange_url_are_told_at_the_start() {
    let database = Database::new();
    let missing = database.url().replace("/postgres?", "/no_such_database?");
    assert!(matches!(PgStore::open(&missing).await, Err(StoreError::Failed { .. })));
    let url: Result<weir_store::StoreUrl, String> = "postgres://db/shop?schema=Shop".parse();
    assert!(url.unwrap_err().contains("lower case"));
}

#[tokio::test]
async fn a_reason_may_hold_what_text_can_not() {
    let database = Database::new();
    let store = database.open().await;
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    let generation = store.generation(id).await.unwrap();
    let aside = Quarantined {
        stream: Stream::Events,
        partition: 0,
        offset: 0,
        reason: "a \0 in it".to_owned(),
        record: vec![0],
    };
    let batch = MembershipBatch { quarantine: vec![aside.clone()], ..MembershipBatch::default() };
    generation.commit_membership(fence(0, 0, 1), &batch).await.unwrap();
    assert_eq!(generation.view().await.unwrap().quarantine(None, 9).await.unwrap(), [aside]);
}
