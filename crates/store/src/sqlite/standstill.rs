//! A generation whose writers wait: both of its files are held by a transaction that writes nothing.

use sqlx::Transaction;
use sqlx::sqlite::Sqlite;

use super::files::File;
use super::positions;
use crate::error::StoreError;
use crate::model::Progress;
use crate::traits::Paused;

/// The write locks of a generation's files, until it is dropped.
pub(super) struct Held {
    progress: Vec<Progress>,
    _tables: Transaction<'static, Sqlite>,
    _timeline: Transaction<'static, Sqlite>,
}

impl Held {
    /// Waits for the batches under way and takes the locks.
    pub(super) async fn take(tables: &File, timeline: &File) -> Result<Self, StoreError> {
        let (mut tables, mut timeline) = (tables.begin().await?, timeline.begin().await?);
        let mut progress = positions::read(&mut tables).await?;
        progress.extend(positions::read(&mut timeline).await?);
        progress.sort();
        Ok(Self { progress, _tables: tables, _timeline: timeline })
    }
}

impl Paused for Held {
    fn progress(&self) -> &[Progress] {
        &self.progress
    }
}
