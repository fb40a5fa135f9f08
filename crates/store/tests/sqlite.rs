//! The suite over SQLite, and what only its files can do wrong.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use weir_store::conformance::{self, Place};
use weir_store::{GenerationId, SqliteStore, Store, StoreError};

/// A directory of its own.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("store.db")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.store()).await.unwrap()
    }
}

#[async_trait]
impl Place for Directory {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.store()).await?))
    }

    async fn holds(&self, id: GenerationId) -> bool {
        let prefix = format!("store.db.{}", id.0);
        self.names().iter().any(|name| name.starts_with(&prefix))
    }

    async fn lose(&self, id: GenerationId) {
        let timeline = format!("store.db.{}-timeline", id.0);
        std::fs::remove_file(self.0.path().join(timeline)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    conformance::run(async || Directory::new()).await;
}

#[tokio::test]
async fn sqlite_conforms_on_one_thread() {
    conformance::run(async || Directory::new()).await;
}

#[tokio::test]
async fn files_of_unknown_generations_are_deleted_and_no_others() {
    let directory = Directory::new();
    let store = directory.open().await;
    store.create(0, 1, weir_store::Purpose::Switch).await.unwrap();
    drop(store);
    let path = |name: &str| directory.0.path().join(name);
    let strangers = ["store.db.7", "store.db.7-wal", "store.db.7-timeline", "store.db.8-timeline-shm"];
    let others = ["store.db.bak", "store.db.1.bak", "store.db.", "other.db.7", "store.dbx.7"];
    for name in strangers.iter().chain(&others) {
        std::fs::write(path(name), b"something").unwrap();
    }
    drop(directory.open().await);
    let names = directory.names();
    assert!(strangers.iter().all(|name| !names.iter().any(|known| known == name)), "{names:?}");
    assert!(others.iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    assert!(path("store.db.1").exists() && path("store.db.1-timeline").exists());
}

/// Files are there for whoever has them open, and go with the last of them.
#[tokio::test]
async fn a_removed_generation_is_there_for_its_holders() {
    let directory = Directory::new();
    let store = directory.open().await;
    let id = store.create(0, 1, weir_store::Purpose::Switch).await.unwrap();
    let generation = store.generation(id).await.unwrap();
    let before = generation.view().await.unwrap();
    store.remove(id).await.unwrap();
    let mut views = vec![before];
    for _ in 0..5 {
        views.push(generation.view().await.unwrap());
    }
    for view in &mut views {
        assert_eq!(view.progress().await.unwrap(), []);
    }
    drop(views);
    assert!(directory.holds(id).await);
    drop(generation);
    assert!(!directory.holds(id).await);
    let next = store.create(0, 1, weir_store::Purpose::Switch).await.unwrap();
    store.remove(next).await.unwrap();
    assert!(!directory.holds(next).await, "at once, where nobody has it");
}

async fn run_sql(path: &Path, sql: &'static str) {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn another_programs_file_is_left_alone() {
    let directory = Directory::new();
    run_sql(&directory.store(), "CREATE TABLE theirs (x); PRAGMA user_version = 1").await;
    let refused = SqliteStore::open(&directory.store()).await.err().unwrap();
    assert!(matches!(&refused, StoreError::NotAStore(path) if path.ends_with("store.db")), "{refused}");
    run_sql(&directory.store(), "INSERT INTO theirs VALUES (1)").await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_damaged() {
    let directory = Directory::new();
    std::fs::write(directory.store(), [b'x'; 5_000]).unwrap();
    let refused = SqliteStore::open(&directory.store()).await.err().unwrap();
    assert!(matches!(refused, StoreError::Damaged(_)), "{refused}");
}

#[tokio::test]
async fn tables_of_another_release_are_filled_anew() {
    let directory = Directory::new();
    let store = directory.open().await;
    let id = store.create(0, 1, weir_store::Purpose::Switch).await.unwrap();
    store.promote(id, None).await.unwrap();
    drop(store);
    run_sql(&directory.0.path().join(format!("store.db.{}", id.0)), "PRAGMA user_version = 99").await;
    let store = directory.open().await;
    assert!(store.live().await.unwrap().is_none());
    assert_eq!(store.generations().await.unwrap(), []);
    let id = store.create(0, 1, weir_store::Purpose::Switch).await.unwrap();
    drop(store);
    run_sql(&directory.store(), "PRAGMA user_version = 99").await;
    let store = directory.open().await;
    assert_eq!(store.generations().await.unwrap(), []);
    assert!(!directory.holds(id).await);
}
