//! What stops a projection, and what only holds it up.

use weir_event_log::ReadError;
use weir_store::{ProfileKey, StoreError};

use crate::admission::IdsDamaged;

/// A projection's error.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The store failed. Memory is thrown away, and the fold goes on from what the tables say.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The log can't be read.
    #[error("the log can't be read")]
    Log(#[from] ReadError),
    /// A state's bytes can't be read.
    #[error("a profile's state can't be read")]
    State(#[from] weir_event::codec::Damaged),
    /// Ids' bytes can't be read.
    #[error("a profile's event ids can't be read")]
    Ids(#[from] IdsDamaged),
    /// A record would be folded into a state that has it already, which would count it twice.
    #[error(
        "partition {partition}: the record at offset {offset} was to be folded into profile {} of workspace {}, whose state has \
         records up to {last} already; delete the store to have it rebuilt, and report this",
        key.profile, key.workspace
    )]
    FoldedTwice {
        /// Which partition.
        partition: u32,
        /// The record's offset.
        offset: u64,
        /// The profile.
        key: ProfileKey,
        /// The last offset in its state.
        last: u64,
    },
    /// Two generations could not be brought to one place.
    #[error("the two generations did not come to stand at one place within {seconds} s")]
    Apart {
        /// How long it was tried.
        seconds: u64,
    },
    /// The store stands behind the log's end: it isn't this log's, or the log lost records.
    #[error(
        "{projection} stands at offset {next} of partition {partition}, but the log ends at {end}: records that the tables know are \
         not on the log. Restore the log, or delete the store to have it rebuilt from what the log has"
    )]
    PastTheEnd {
        /// Which projection.
        projection: &'static str,
        /// Which partition.
        partition: u32,
        /// Where the tables stand.
        next: u64,
        /// Where the log ends.
        end: u64,
    },
}

impl FoldError {
    /// Whether it speaks of the tables of one generation, which another generation can be filled beside.
    pub fn is_of_tables(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::Damaged(_)),
            Self::State(_) | Self::Ids(_) | Self::FoldedTwice { .. } => true,
            Self::Log(_) | Self::Apart { .. } | Self::PastTheEnd { .. } => false,
        }
    }

    /// Whether going on from what the tables say may help. Otherwise somebody must look.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error, StoreError::Damaged(_) | StoreError::OtherLineage { .. }),
            Self::Log(error) => matches!(error, ReadError::Io { .. }),
            Self::Apart { .. } => true,
            Self::State(_) | Self::Ids(_) | Self::FoldedTwice { .. } | Self::PastTheEnd { .. } => false,
        }
    }
}
