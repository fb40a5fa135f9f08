//! What can go wrong under the writer, made to happen in tests.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

/// How the next step of a commit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault.
    None,
    /// The commit happens, but an error is reported.
    AnswerLost,
    /// The commit doesn't happen, and an error is reported.
    NotDone,
}

#[derive(Debug, Default)]
pub(crate) struct Failpoints {
    /// Faults of the commits, and of the writes that settle one, to come.
    faults: Mutex<VecDeque<Fault>>,
    /// The most pages that the file may have; 0 for any number.
    pages: AtomicU32,
}

impl Failpoints {
    pub(crate) fn plan(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// The disk is full from now on, or has room again.
    pub(crate) fn fill_disk(&self, full: bool) {
        self.pages.store(if full { 1 } else { u32::MAX - 1 }, Ordering::SeqCst);
    }

    pub(crate) async fn limit_pages(&self, conn: &mut SqliteConnection) {
        let pages = self.pages.load(Ordering::SeqCst);
        if pages > 0 {
            let pragma = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
            sqlx::query(pragma).execute(conn).await.unwrap();
        }
    }

    /// Plays the next fault over a statement that ends a transaction.
    pub(crate) async fn run(&self, conn: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        if fault != Fault::NotDone {
            sqlx::query(sql).execute(conn).await?;
        }
        if fault == Fault::None { Ok(()) } else { Err(sqlx::Error::WorkerCrashed) }
    }
}
