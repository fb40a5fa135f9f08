//! A schema of its own in the server that the tests are given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;
use weir_store::conformance::Place;
use weir_store::{Fence, GenerationId, PgStore, Store, StoreError};

static PLACES: AtomicU32 = AtomicU32::new(0);

/// The server that the tests use.
pub fn server() -> String {
    std::env::var("WEIR_TEST_POSTGRES").expect(
        "WEIR_TEST_POSTGRES is not set: run deploy/test.sh, \
         or `eval \"$(deploy/services.sh env)\"` after `deploy/services.sh up`",
    )
}

/// The fence of somebody who claimed nothing.
pub fn fence(partition: u32, expected: u64, next: u64) -> Fence {
    Fence { partition, owner: Uuid::nil(), expected, next, newest_receipt: None }
}

/// Waits until it is so.
pub async fn until(mut so: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it never becomes so");
}

/// A name that no other test has.
pub struct Database {
    server: String,
    pub schema: String,
}

impl Database {
    pub fn new() -> Self {
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        Self { server: server(), schema: format!("weir_test_{}_{number}", std::process::id()) }
    }

    pub fn url(&self) -> String {
        format!("{}?schema={1}&application_name={1}", self.server, self.schema)
    }

    pub async fn open(&self) -> PgStore {
        PgStore::open(&self.url()).await.unwrap()
    }

    /// A connection of somebody else's.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.server).await.unwrap()
    }

    /// Runs statements as somebody else; `@S` stands for the schema's name.
    pub async fn sql(&self, statements: &str) -> Vec<PgRow> {
        let statements = statements.replace("@S", &self.schema);
        let mut connection = self.connection().await;
        let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// Whether a statement selects true.
    pub async fn asks(&self, statement: &str) -> bool {
        self.sql(statement).await[0].get(0)
    }
}

impl Drop for Database {
    /// On a thread of its own: a test's runtime can't wait here.
    fn drop(&mut self) {
        let schemas = format!(
            "SET client_min_messages = warning;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{0}';
             DO $$ DECLARE name text; BEGIN
               FOR name IN SELECT nspname FROM pg_namespace
                 WHERE nspname = '{0}' OR nspname ~ '^{0}_g[0-9]+$' LOOP
                 EXECUTE 'DROP SCHEMA ' || name || ' CASCADE';
               END LOOP; END $$",
            self.schema
        );
        let server = self.server.clone();
        let clean = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(schemas)).execute(&mut connection).await.unwrap();
            });
        };
        let cleaned = std::thread::spawn(clean).join();
        assert!(cleaned.is_ok() || std::thread::panicking(), "can't clean up");
    }
}

#[async_trait]
impl Place for Database {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(PgStore::open(&self.url()).await?))
    }

    async fn holds(&self, id: GenerationId) -> bool {
        self.asks(&format!("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = '@S_g{}')", id.0)).await
    }

    async fn lose(&self, id: GenerationId) {
        self.sql(&format!("DROP TABLE @S_g{}.scores", id.0)).await;
    }
}
