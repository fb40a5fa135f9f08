//! How far projections have come: the fence of every batch.

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::errors::sort_in;
use super::schema::{Schema, Text};
use super::sessions::Session;
use crate::error::StoreError;
use crate::model::{Fence, GenerationId, Progress, Projection};

pub(super) struct Statements {
    advance: Text,
    first: Text,
    /// The positions; begins a view.
    pub(super) view: Text,
    pub(super) read: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        const READ: &str = "SELECT projection, partition, next, newest_receipt FROM @positions";
        Self {
            // greatest() leaves NULL out.
            advance: schema.text(
                "UPDATE @positions SET next = $1, newest_receipt = greatest(newest_receipt, $2)
                 WHERE projection = $3 AND stream = $4 AND partition = $5 AND next = $6",
            ),
            // A partition that isn't there stands at 0.
            first: schema.text(
                "INSERT INTO @positions (projection, stream, partition, next, newest_receipt)
                 SELECT $3, $4, $5, $1, $2 WHERE $6 = 0 ON CONFLICT DO NOTHING",
            ),
            view: schema.text(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {READ}")),
            read: schema.text(READ),
        }
    }

    /// Moves the fence, or says that somebody else did.
    pub(super) async fn pass(
        &self,
        session: &mut Session,
        generation: GenerationId,
        projection: Projection,
        fence: Fence,
    ) -> Result<(), StoreError> {
        for statement in [&self.advance, &self.first] {
            let query = statement
                .query()
                .bind(fence.next.cast_signed())
                .bind(fence.newest_receipt)
                .bind(projection.name())
                .bind(projection.stream().name())
                .bind(fence.partition.cast_signed())
                .bind(fence.expected.cast_signed());
            let moved = session.execute(query).await.map_err(|e| sort_in(generation, "moving the fence", e))?;
            if moved == 1 {
                return Ok(());
            }
        }
        Err(StoreError::Fenced { projection, partition: fence.partition, expected: fence.expected })
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
