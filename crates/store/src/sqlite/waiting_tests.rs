//! The suite once more, with so little room to wait that most rows have moved when they are read.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::SqliteStore;
use super::files::Files;
use crate::StoreError;
use crate::conformance::{self, Place, Random};
use crate::model::{Fence, GenerationId, ProfileKey, TimelineRow};
use crate::traits::Store;

struct Directory(TempDir);

impl Directory {
    fn store(&self) -> PathBuf {
        self.0.path().join("store.db")
    }
}

#[async_trait]
impl Place for Directory {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.store()).await?))
    }

    async fn holds(&self, id: GenerationId) -> bool {
        let files = Files::of(&self.store(), id);
        files.tables.exists() || files.timeline.exists()
    }

    async fn lose(&self, id: GenerationId) {
        std::fs::remove_file(Files::of(&self.store(), id).tables).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms_when_rows_move_at_once() {
    conformance::run(async || Directory(TempDir::new().unwrap())).await;
}

/// Rows wait, but not for ever and not too many; a batch that is refused moves nothing.
#[tokio::test]
async fn rows_move_as_they_come() {
    let directory = Directory(TempDir::new().unwrap());
    let mut random = Random::new(4);
    let mut at = 0;
    for _ in 0..3 {
        let store = SqliteStore::open(&directory.store()).await.unwrap();
        let id = match store.generations().await.unwrap().first() {
            Some(info) => info.id,
            None => store.create(0, 1, crate::Purpose::Switch).await.unwrap(),
        };
        let generation = store.generation(id).await.unwrap();
        for _ in 0..60 {
            let rows: Vec<TimelineRow> = (0..40).map(|i| record(&mut random, at + i)).collect();
            let fence = |expected| Fence {
                partition: 0,
                owner: uuid::Uuid::nil(),
                expected,
                next: at + 40,
                newest_receipt: None,
            };
            assert!(generation.commit_timeline(fence(at + 1), &rows.clone().into()).await.is_err());
            generation.commit_timeline(fence(at), &rows.into()).await.unwrap();
            at += 40;
        }
        let file = &store.known().get(id).unwrap().timeline;
        let count =
            async |table: &'static str| -> i64 { sqlx::query_scalar(table).fetch_one(&file.readers).await.unwrap() };
        let waiting = count("SELECT count(*) FROM timeline_new").await;
        let settled = count("SELECT count(*) FROM timeline").await;
        assert_eq!((waiting + settled).cast_unsigned(), at);
        assert!((1..1_000).contains(&waiting), "{waiting} wait");
    }
}

fn record(random: &mut Random, offset: u64) -> TimelineRow {
    let profile = weir_event::ProfileId(uuid::Uuid::from_u64_pair(random.draw(), 0));
    let key = ProfileKey { workspace: 1, profile };
    TimelineRow { key, place: offset.to_be_bytes().to_vec(), partition: 0, offset, record: vec![] }
}
