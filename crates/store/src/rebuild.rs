//! A rebuild: a generation filled beside the live one, compared with it, and read when an operator says so.
//!
//! Whoever is asked for something (the query API) notes the request; the projector that leads carries it out and notes
//! the answer. The note is one row, changed by compare-and-set: so two requests at once, or two projectors that both
//! believe that they lead, can't undo each other's work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::StoreError;
use crate::model::RebuildRow;
use crate::traits::Store;

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildState {
    /// From the first offset towards the log's end.
    Filling,
    /// At the log's end, and taking in what comes.
    Following,
    /// Compared with the live generation: the same.
    Verified,
    /// Compared with the live generation: not the same.
    Differs,
    /// Read in place of the one before.
    Promoted,
    /// Was read; the one before is read again.
    RolledBack,
    /// Given up, by an operator or because definitions changed.
    Aborted,
    /// It can't be filled.
    Failed,
}

impl RebuildState {
    /// Whether the generation is on its way to being read.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Filling | Self::Following | Self::Verified | Self::Differs | Self::RolledBack)
    }
}

/// What an operator can ask of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildRequest {
    /// Make its generation. What is noted of the generation counts once this is answered.
    Start,
    /// Compare it with the live generation.
    Verify,
    /// Read it from now on.
    Promote {
        /// Also where a comparison found differences.
        accept_differences: bool,
    },
    /// Read the one before again.
    Rollback,
    /// Give it up.
    Abort,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildRefusal {
    /// The problem's code.
    pub code: String,
    /// A sentence with the remedy.
    pub detail: String,
}

/// A row, or a profile's rows, that two generations don't agree on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The profile; null where the table's rows are of none, or it can't be told any more.
    pub profile_id: Option<Uuid>,
    /// Which row, where rows have a place of their own: those of no profile, and records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// When it was made, in microseconds.
    pub at: i64,
    /// Rows compared, by table, those of the live generation.
    pub rows: BTreeMap<String, u64>,
    /// How many differences there are.
    pub found: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// What is known of a rebuild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuild {
    /// The generation that is filled.
    pub generation: u64,
    /// The one that was live when it began.
    pub before: u64,
    /// Their definition set (see [`crate::GenerationInfo::bound`]).
    pub bound: u64,
    /// When it began, in microseconds.
    pub started_at: i64,
    /// How far it is.
    pub state: RebuildState,
    /// Why it failed or was given up.
    pub reason: Option<String>,
    /// The last comparison.
    pub comparison: Option<Comparison>,
    /// What is asked of it and not answered yet.
    pub asked: Option<RebuildRequest>,
    /// How many requests were answered.
    pub answered: u64,
    /// Why the last one answered was not carried out, if it was not.
    pub refused: Option<RebuildRefusal>,
}

/// A rebuild as it is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedRebuild {
    /// Which.
    pub id: Uuid,
    /// The revision of the note; 0 before it is noted.
    pub revision: u64,
    /// What is noted.
    pub rebuild: Rebuild,
}

impl NotedRebuild {
    /// A rebuild that is asked for. Nothing is noted yet.
    pub const fn asked_for(id: Uuid, started_at: i64) -> Self {
        let rebuild = Rebuild {
            generation: 0,
            before: 0,
            bound: 0,
            started_at,
            state: RebuildState::Filling,
            reason: None,
            comparison: None,
            asked: Some(RebuildRequest::Start),
            answered: 0,
            refused: None,
        };
        Self { id, revision: 0, rebuild }
    }

    /// Every rebuild of a store, the oldest first.
    ///
    /// # Errors
    /// The store can't be read, or a note is no note.
    pub async fn all(store: &dyn Store) -> Result<Vec<Self>, StoreError> {
        store.rebuilds().await?.into_iter().map(Self::read).collect()
    }

    fn read(row: RebuildRow) -> Result<Self, StoreError> {
        let rebuild = serde_json::from_slice(&row.note).map_err(|_| StoreError::Damaged("a note of a rebuild"))?;
        Ok(Self { id: row.id, revision: row.revision, rebuild })
    }

    /// Writes the note, unless somebody else has written it since it was read. Answers whether it was written.
    ///
    /// # Errors
    /// The store can't be written.
    pub async fn note(&mut self, store: &dyn Store) -> Result<bool, StoreError> {
        let note = serde_json::to_vec(&self.rebuild).map_err(|_| StoreError::Damaged("a note of a rebuild"))?;
        let written = store.note_rebuild(self.id, self.revision, &note).await?;
        self.revision += u64::from(written);
        Ok(written)
    }
}
