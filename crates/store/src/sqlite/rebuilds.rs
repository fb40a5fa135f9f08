//! Notes on rebuilds, beside the generations.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use super::rows::get;
use crate::error::StoreError;
use crate::model::RebuildRow;
use crate::traits::Rebuilds;

const FIRST: &str = "INSERT INTO rebuilds (note, id, revision) VALUES (?, ?, ? + 1) ON CONFLICT DO NOTHING";
const NEXT: &str = "UPDATE rebuilds SET note = ?, revision = revision + 1 WHERE id = ? AND revision = ?";

#[async_trait]
impl Rebuilds for SqliteStore {
    async fn rebuilds(&self) -> Result<Vec<RebuildRow>, StoreError> {
        let rows = sqlx::query("SELECT id, revision, note FROM rebuilds ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("reading the rebuilds", e))?;
        let rebuild = |row: &SqliteRow| {
            let id = Uuid::from_slice(get(row, 0)?).map_err(|_| StoreError::Damaged("a rebuild's id is no UUID"))?;
            Ok(RebuildRow { id, revision: get::<i64>(row, 1)?.cast_unsigned(), note: get(row, 2)? })
        };
        rows.iter().map(rebuild).collect()
    }

    async fn note_rebuild(&self, id: Uuid, revision: u64, note: &[u8]) -> Result<bool, StoreError> {
        let written = sqlx::query(if revision == 0 { FIRST } else { NEXT })
            .bind(note)
            .bind(id.as_bytes().as_slice())
            .bind(revision.cast_signed())
            .execute(&self.pool)
            .await
            .map_err(|e| StoreError::from_sqlx("noting a rebuild", e))?;
        if written.rows_affected() == 0 {
            return Ok(false);
        }
        self.changes.send_modify(|n| *n += 1);
        Ok(true)
    }
}
