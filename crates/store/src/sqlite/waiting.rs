//! Rows by profile that wait for others of their page.
//!
//! Profiles come in no order, so a row written where it belongs dirties a page of its own: with a million profiles that
//! is most of what a batch would write. Such rows go into a small table first, and at every batch the next stretch of
//! profiles moves from there into the large one. Readers look into both. (States do the same, with the redo in the
//! small table's place.)

use std::sync::{Mutex, PoisonError};

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

/// Rows that may wait; from here on as many move as come. Few in tests, so that most have moved.
const ROOM: usize = if cfg!(test) { 300 } else { 300_000 };
/// After every profile there is.
const END: [u8; 17] = [0xff; 17];

/// A pair of tables: rows are written to `new` and move to `settled`.
pub(super) struct Waiting {
    /// The table that rows wait in. Its `profile` column sorts it, within `scope`.
    pub(super) new: &'static str,
    /// Moves the rows of profiles in (?1, ?2] and forgets them where they waited; run one after the other.
    pub(super) moves: &'static [&'static str],
    turn: Mutex<Turn>,
}

/// How far the present pass over the profiles is. Only a hint: a start begins a new pass.
#[derive(Clone, Default)]
struct Turn {
    waiting: Option<usize>,
    moved_to: Vec<u8>,
}

impl Waiting {
    pub(super) const fn new(new: &'static str, moves: &'static [&'static str]) -> Self {
        Self { new, moves, turn: Mutex::new(Turn { waiting: None, moved_to: Vec::new() }) }
    }

    /// Moves the rows whose turn it is, after so many were written.
    pub(super) async fn settle(&self, connection: &mut SqliteConnection, written: usize) -> Result<(), sqlx::Error> {
        if written == 0 {
            return Ok(());
        }
        let Turn { waiting, moved_to } = self.turn().clone();
        let waiting = match waiting {
            Some(waiting) => waiting + written,
            None => self.count(connection).await?,
        };
        let turn = (written * waiting).div_ceil(ROOM);
        let upto: Option<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(self.last_of_turn()))
            .bind(moved_to.clone())
            .bind(i64::try_from(turn).unwrap_or(i64::MAX) - 1)
            .fetch_optional(&mut *connection)
            .await?;
        let mut moved = 0;
        for statement in self.moves {
            let done = sqlx::query(*statement)
                .bind(moved_to.clone())
                .bind(upto.clone().unwrap_or(END.to_vec()))
                .execute(&mut *connection)
                .await?;
            // The last statement deletes what moved.
            moved = usize::try_from(done.rows_affected()).unwrap_or(0);
        }
        // Should the batch be rolled back, more wait than this says: the next pass finds them.
        *self.turn() = Turn { waiting: Some(waiting.saturating_sub(moved)), moved_to: upto.unwrap_or_default() };
        Ok(())
    }

    pub(super) fn last_of_turn(&self) -> String {
        format!("SELECT profile FROM {} WHERE profile > ?1 ORDER BY profile LIMIT 1 OFFSET ?2", self.new)
    }

    async fn count(&self, connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
        let counted: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {}", self.new)))
            .fetch_one(connection)
            .await?;
        Ok(usize::try_from(counted).unwrap_or(0))
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
