//! A disk without room: nothing is written, the error says so, and it goes on by itself.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqlitePool;
use tempfile::TempDir;
use uuid::Uuid;
use weir_event::ProfileId;

use super::SqliteStore;
use crate::StoreError;
use crate::model::{Fence, MembershipBatch, ProfileKey, ProfileRow, TimelineRow};
use crate::traits::Store as _;

/// Lets the file behind the connection grow by so many pages.
async fn leave_room(writer: &SqlitePool, pages: i64) {
    let now: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(writer).await.unwrap();
    let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {}", now + pages));
    sqlx::raw_sql(limit).execute(writer).await.unwrap();
}

fn key(n: u64) -> ProfileKey {
    ProfileKey { workspace: 1, profile: ProfileId(Uuid::from_u64_pair(n, 0)) }
}

fn rows(from: u64, count: u64) -> MembershipBatch {
    let row = |n| ProfileRow {
        key: key(n),
        last_offset: n,
        state: vec![1; 200],
        open_spans: vec![],
        event_ids: vec![],
        id_chunks: 0,
    };
    MembershipBatch { profiles: (from..from + count).map(row).collect(), ..MembershipBatch::default() }
}

fn records(count: u64) -> Vec<TimelineRow> {
    let row = |offset| TimelineRow { key: key(offset), place: vec![1], partition: 0, offset, record: vec![2; 400] };
    (0..count).map(row).collect()
}

#[tokio::test]
async fn a_full_disk_stops_a_batch_and_no_later_one() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(&directory.path().join("store.db")).await.unwrap();
    let id = store.create(0, 1, crate::Purpose::Switch).await.unwrap();
    let generation = store.known().get(id).unwrap();
    let tables = store.generation(id).await.unwrap();
    let fence = |expected, next| Fence { partition: 0, owner: uuid::Uuid::nil(), expected, next, newest_receipt: None };
    tables.commit_membership(fence(0, 1), &rows(0, 10)).await.unwrap();
    let mut at = 1;
    for pages in [0, 1, 3, 12] {
        leave_room(&generation.tables.writer, pages).await;
        let refused = tables.commit_membership(fence(at, at + 1), &rows(1_000 * at, 1_000)).await;
        assert!(matches!(refused, Err(StoreError::Full(_))), "{pages} pages: {refused:?}");
        assert_eq!(tables.progress().await.unwrap()[0].next, at);
        assert_eq!(tables.profiles(&[key(1_000 * at)]).await.unwrap(), []);
        leave_room(&generation.tables.writer, 100_000).await;
        tables.commit_membership(fence(at, at + 1), &rows(1_000 * at, 1_000)).await.unwrap();
        at += 1;
        assert_eq!(tables.progress().await.unwrap()[0].next, at);
    }
    leave_room(&generation.timeline.writer, 2).await;
    let refused = tables.commit_timeline(fence(0, 1), &records(1_000).into()).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    leave_room(&generation.timeline.writer, 100_000).await;
    tables.commit_timeline(fence(0, 1), &records(1_000).into()).await.unwrap();
    assert_eq!(tables.timeline().await.unwrap().events(key(7), None, 9).await.unwrap().len(), 1);
}

/// What SQLite does itself when a page finds no room.
#[tokio::test]
async fn a_connection_that_lost_its_transaction_is_replaced() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(&directory.path().join("store.db")).await.unwrap();
    let id = store.create(0, 1, crate::Purpose::Switch).await.unwrap();
    let file = &store.known().get(id).unwrap().tables;
    for _ in 0..3 {
        for mut transaction in [file.begin().await.unwrap(), file.view().await.unwrap()] {
            sqlx::raw_sql("ROLLBACK").execute(&mut *transaction).await.unwrap();
        }
    }
    let batch = store.generation(id).await.unwrap();
    let fence = Fence { partition: 0, owner: uuid::Uuid::nil(), expected: 0, next: 1, newest_receipt: None };
    batch.commit_membership(fence, &rows(0, 1)).await.unwrap();
    assert_eq!(batch.progress().await.unwrap()[0].next, 1);
}
