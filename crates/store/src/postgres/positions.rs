//! How far projections have come: the fence of every batch.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::errors::sort_in;
use super::rows::column;
use super::schema::{Schema, Text};
use super::sessions::{Session, Sessions};
use crate::error::StoreError;
use crate::model::{Fence, GenerationId, Progress, Projection};
use crate::traits::Paused;

/// The clock that holds are timed by.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

pub(super) struct Statements {
    advance: Text,
    first: Text,
    held: Text,
    claim: Text,
    hold: Text,
    release: Text,
    /// Begins a change that must not be lost when the server crashes.
    begin: Text,
    /// Makes batches wait, and answers the positions.
    pub(super) pause: Text,
    /// The positions; begins a view.
    pub(super) view: Text,
    /// The positions; begins a view in which whole tables are read.
    pub(super) view_all: Text,
    pub(super) read: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        const READ: &str = "SELECT projection, partition, next, newest_receipt FROM @positions";
        const VIEW: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;";
        const DURABLE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = on";
        const SAME: &str = "WHERE projection = $3 AND stream = $4 AND partition = $5 AND next = $6
                            AND (owner IS NULL OR owner = $7)";
        Self {
            // greatest() leaves NULL out.
            advance: schema.text(&crate::sabotage::advance(format!(
                "UPDATE @positions SET next = $1, newest_receipt = greatest(newest_receipt, $2)
                 {SAME} AND (hold IS NULL OR $1 <= hold OR held_until <= {})",
                now!()
            ))),
            // A partition that isn't there stands at 0.
            first: schema.text(
                "INSERT INTO @positions (projection, stream, partition, next, newest_receipt)
                 SELECT $3, $4, $5, $1, $2 WHERE $6 = 0 ON CONFLICT DO NOTHING",
            ),
            // How far a batch that was refused may go, if it is the hold alone that refuses it.
            held: schema.text(&format!("SELECT hold FROM @positions {SAME}")),
            claim: schema.text(
                "INSERT INTO @positions AS p (projection, stream, partition, next, owner) VALUES ($1, $2, $3, 0, $4)
                 ON CONFLICT (projection, stream, partition) DO UPDATE SET owner = excluded.owner RETURNING p.next",
            ),
            hold: schema.text(concat!(
                "INSERT INTO @positions (projection, stream, partition, next, hold, held_until)
                 SELECT k.projection, k.stream, k.partition, 0, k.hold, ",
                now!(),
                " + $5
                 FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[])
                   AS k (projection, stream, partition, hold)
                 ON CONFLICT (projection, stream, partition) DO UPDATE
                 SET hold = excluded.hold, held_until = excluded.held_until",
            )),
            release: schema.text("UPDATE @positions SET hold = NULL, held_until = NULL WHERE hold IS NOT NULL"),
            begin: schema.text(DURABLE),
            // A lock on the table: rows of partitions that aren't there yet wait too.
            pause: schema.text(&format!("BEGIN; LOCK TABLE @positions IN EXCLUSIVE MODE; {READ}")),
            view: schema.text(&format!("{VIEW} {READ}")),
            view_all: schema.text(&format!("{VIEW} SET LOCAL enable_seqscan = on; {READ}")),
            read: schema.text(READ),
        }
    }

    /// Moves the fence, or says why it can't be moved.
    pub(super) async fn pass(
        &self,
        session: &mut Session,
        generation: GenerationId,
        projection: Projection,
        fence: Fence,
    ) -> Result<(), StoreError> {
        let failed = |e| sort_in(generation, "moving the fence", e);
        let bound = |statement: &Text| {
            let query = statement.query().bind(fence.next.cast_signed()).bind(fence.newest_receipt);
            let query = query.bind(projection.name()).bind(projection.stream().name());
            query.bind(fence.partition.cast_signed()).bind(fence.expected.cast_signed()).bind(fence.owner)
        };
        for statement in [&self.advance, &self.first] {
            if session.execute(bound(statement)).await.map_err(failed)? == 1 {
                return Ok(());
            }
        }
        let held = session.row(bound(&self.held)).await.map_err(failed)?;
        let partition = fence.partition;
        Err(match held.and_then(|row| row.get::<Option<i64>, _>(0)) {
            Some(at) => StoreError::Held { projection, partition, at: at.cast_unsigned() },
            None => StoreError::Fenced { projection, partition, expected: fence.expected },
        })
    }

    /// Notes the owner of a partition; answers where the projection stands.
    pub(super) async fn claim(
        &self,
        sessions: &Arc<Sessions>,
        projection: Projection,
        partition: u32,
        owner: Uuid,
    ) -> Result<u64, sqlx::Error> {
        let (mut session, _) = sessions.begin(&self.begin).await?;
        let query = self.claim.query().bind(projection.name()).bind(projection.stream().name());
        let row = session.row(query.bind(partition.cast_signed()).bind(owner)).await?;
        let next: i64 = row.ok_or(sqlx::Error::RowNotFound)?.get(0);
        session.commit().await?;
        Ok(next.cast_unsigned())
    }

    /// Holds projections at their places.
    pub(super) async fn hold(
        &self,
        sessions: &Arc<Sessions>,
        at: &[Progress],
        lease: Duration,
    ) -> Result<(), sqlx::Error> {
        // In one order, so that two of them can't wait for each other.
        let mut at = at.to_vec();
        at.sort_unstable();
        let (mut session, _) = sessions.begin(&self.begin).await?;
        let query = self.hold.query().bind(column(&at, |place| place.projection.name()));
        let query = query.bind(column(&at, |place| place.projection.stream().name()));
        let query = query.bind(column(&at, |place| place.partition.cast_signed()));
        let query = query.bind(column(&at, |place| place.next.cast_signed()));
        session.execute(query.bind(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX >> 1))).await?;
        session.commit().await
    }

    /// Ends a hold.
    pub(super) async fn release(&self, sessions: &Arc<Sessions>) -> Result<(), sqlx::Error> {
        let (mut session, _) = sessions.begin(&self.begin).await?;
        session.execute(self.release.query()).await?;
        session.commit().await
    }
}

/// A generation whose batches wait, until it is dropped. If this process is stopped, the server ends the session.
pub(super) struct Pause {
    pub(super) progress: Vec<Progress>,
    pub(super) _session: Session,
}

impl Paused for Pause {
    fn progress(&self) -> &[Progress] {
        &self.progress
    }
}

/// Positions from their rows, sorted.
pub(super) fn progress(rows: &[PgRow]) -> Result<Vec<Progress>, StoreError> {
    let progress = |row: &PgRow| {
        let name: &str = row.get(0);
        let projection = Projection::ALL
            .into_iter()
            .find(|p| p.name() == name)
            .ok_or(StoreError::Damaged("an unknown projection"))?;
        let partition = row.get::<i32, _>(1).cast_unsigned();
        Ok(Progress { projection, partition, next: row.get::<i64, _>(2).cast_unsigned(), newest_receipt: row.get(3) })
    };
    let mut all = rows.iter().map(progress).collect::<Result<Vec<_>, StoreError>>()?;
    all.sort_unstable();
    Ok(all)
}
