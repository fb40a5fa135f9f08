//! The connection that writes, and what is known of the file as long as it stands.
//!
//! Invariant: the ends known here are those in the file. So a link is given up at the first failure, whatever state its
//! connection is in, and the ends are read anew by the next one.

use std::collections::BTreeMap;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use weir_event::Stream;

use super::rows::Row;
use super::schema::{self, Tables};
use crate::ReadError;

/// The ends of the partitions as the file has them.
pub(super) type Tails = BTreeMap<(Stream, u32), u64>;

/// With every so many commits the ends are noted in the file.
const NOTE_EVERY: u32 = 100;

/// The connection, and the ends that were read from it.
pub(super) struct Link {
    pub(super) conn: SqliteConnection,
    pub(super) tails: Tails,
    /// What is noted in the file: no partition may be found shorter.
    noted: Tails,
    /// Commits since the last note.
    unnoted: u32,
}

impl Link {
    /// Reads the ends over a connection just opened.
    ///
    /// # Errors
    /// The last batch of a partition is damaged, can't be read, or isn't the last that there was.
    pub(super) async fn over(mut conn: SqliteConnection, tables: &Tables) -> Result<Self, ReadError> {
        schema::cut_wal(&mut conn).await;
        let (mut tails, mut noted) = (Tails::new(), Tails::new());
        for table in tables.all() {
            let place = (table.stream, table.partition);
            let tail = schema::tail(&mut conn, table).await?;
            let note = schema::note(&mut conn, table).await?;
            if tail < note {
                return Err(schema::damaged(table, tail, format!("it ends there, but had reached {note}")));
            }
            tails.insert(place, tail);
            noted.insert(place, note);
        }
        Ok(Self { conn, tails, noted, unnoted: NOTE_EVERY })
    }

    /// Begins a transaction and writes the rows, which bring the ends to `tails`. Takes the rows' bytes.
    pub(super) async fn insert(&mut self, tables: &Tables, rows: &mut [Row], tails: &Tails) -> Result<(), sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.conn).await?;
        for row in rows {
            let table = &tables.of(row.stream)[row.partition as usize];
            sqlx::query(table.insert.clone())
                .bind(row.first as i64)
                .bind(row.count)
                .bind(row.checksum)
                .bind(std::mem::take(&mut row.bytes))
                .execute(&mut self.conn)
                .await?;
        }
        if self.unnoted >= NOTE_EVERY { self.note(tails).await } else { Ok(()) }
    }

    async fn note(&mut self, tails: &Tails) -> Result<(), sqlx::Error> {
        for (place, tail) in tails.iter().filter(|(place, tail)| self.noted.get(place) != Some(tail)) {
            schema::set_note(&mut self.conn, *place, *tail).await?;
        }
        Ok(())
    }

    /// What was inserted is committed.
    pub(super) fn advance(&mut self, tails: Tails) {
        self.unnoted += 1;
        if self.unnoted > NOTE_EVERY {
            self.noted.clone_from(&tails);
            self.unnoted = 0;
        }
        self.tails = tails;
    }

    /// Whether the row is in the file.
    pub(super) async fn holds(&mut self, tables: &Tables, row: &Row) -> Result<bool, sqlx::Error> {
        let table = &tables.of(row.stream)[row.partition as usize];
        let found: Option<(i64, i64)> =
            sqlx::query_as(table.find.clone()).bind(row.first as i64).fetch_optional(&mut self.conn).await?;
        Ok(found == Some((i64::from(row.count), i64::from(row.checksum))))
    }

    /// Notes the ends and closes the connection.
    pub(super) async fn finish(mut self) {
        let tails = self.tails.clone();
        // Each note stands for itself, so a few of them are as good as all.
        if let Err(error) = self.note(&tails).await {
            tracing::warn!(%error, "noting the ends of the log failed");
        }
        self.give_up().await;
    }

    /// Closes the connection; what it had begun is rolled back by that.
    pub(super) async fn give_up(self) {
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "closing the log's connection failed");
        }
    }
}
