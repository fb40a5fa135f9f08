//! Notes on rebuilds, beside the generations.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PgStore;
use crate::error::StoreError;
use crate::model::RebuildRow;
use crate::traits::Rebuilds;

#[async_trait]
impl Rebuilds for PgStore {
    async fn rebuilds(&self) -> Result<Vec<RebuildRow>, StoreError> {
        self.shared.ready().await?;
        let rows = self.shared.links.askers.ask(&self.shared.statements.rebuilds).await;
        let rebuild = |row: &PgRow| RebuildRow {
            id: row.get(0),
            revision: row.get::<i64, _>(1).cast_unsigned(),
            note: row.get(2),
        };
        Ok(rows.map_err(self.shared.failed("reading the rebuilds"))?.iter().map(rebuild).collect())
    }

    async fn note_rebuild(&self, id: Uuid, revision: u64, note: &[u8]) -> Result<bool, StoreError> {
        self.shared.ready().await?;
        let failed = self.shared.failed("noting a rebuild");
        let statements = &self.shared.statements;
        let statement = if revision == 0 { &statements.first_note } else { &statements.next_note };
        let (mut session, _) = self.shared.links.steering.begin(&statements.begin).await.map_err(&failed)?;
        let query = statement.query().bind(note.to_vec()).bind(id).bind(revision.cast_signed());
        let written = session.execute(query).await.map_err(&failed)?;
        session.commit().await.map_err(&failed)?;
        if written == 0 {
            return Ok(false);
        }
        self.shared.links.changes.send_modify(|n| *n += 1);
        Ok(true)
    }
}
