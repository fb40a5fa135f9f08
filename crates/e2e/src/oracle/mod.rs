//! What Weir should have answered, from the raw log.
//!
//! Invariant: an answer is worked out when it is asked, from the records alone, by the words of the language. There are
//! no signals, no intervals, no states that are carried on; rejected was a second, smaller fold, since it would make the
//! same mistakes.

mod admission;
mod basket;
mod basket_event;
#[cfg(test)]
mod basket_tests;
mod decimal;
mod definition;
mod evaluate;
pub mod instant;
mod json;
mod predicate;
mod profile;
mod record;
#[cfg(test)]
mod tests;
mod workspace;

use std::collections::BTreeMap;

pub use admission::{Admitted, Quarantined, Repeat};
pub use basket::{Amounts, BasketLine, BasketView, RemovalView, RemovedProduct, Sort, Status};
pub use decimal::Decimal;
pub use definition::{Definition, Filter, Refused, Score, Scores};
pub use json::Json;
pub use profile::{EventPoints, PointsView, ProfileView};
pub use record::{Event, FACTS, Order};
pub use workspace::{Member, Span, WorkspaceOracle};

/// The definitions that every workspace starts with.
pub mod builtin {
    /// The score `points`.
    pub const POINTS: &str = r#"{"rules":[{"event":"LOGIN","points":1},{"event":"PURCHASE","points":10},
        {"event":"REFERRAL","points":20}]}"#;
    /// The segment `abandoned-cart`.
    pub const ABANDONED_CART: &str = r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"}}}"#;
    /// The segment `abandoned-cart-never-ordered`.
    pub const ABANDONED_CART_NEVER_ORDERED: &str =
        r#"{"when":{"all":[{"event":"cart.added"},{"not":{"event":"order.completed"}}]}}"#;
    /// The segment `removed-before-checkout`.
    pub const REMOVED_BEFORE_CHECKOUT: &str =
        r#"{"when":{"event":"cart.removed","not_followed_by":{"event":"order.completed"}}}"#;
}

/// The whole log, admitted.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    workspaces: BTreeMap<String, WorkspaceOracle>,
    quarantined: Vec<Quarantined>,
    nobody: WorkspaceOracle,
}

impl Oracle {
    /// Reads a log: the records of each partition in order of their offsets, from 0. Every workspace that a record
    /// names is known.
    pub fn new(partitions: &[Vec<Vec<u8>>], dedup_window_micros: i64) -> Self {
        Self::read(partitions, dedup_window_micros, None)
    }

    /// The same, but records of other workspaces than these are poison.
    pub fn with_workspaces(partitions: &[Vec<Vec<u8>>], dedup_window_micros: i64, workspaces: &[&str]) -> Self {
        Self::read(partitions, dedup_window_micros, Some(workspaces))
    }

    fn read(partitions: &[Vec<Vec<u8>>], window: i64, known: Option<&[&str]>) -> Self {
        let mut oracle = Self::default();
        for (partition, records) in (0u32..).zip(partitions) {
            for (offset, record) in (0u64..).zip(records) {
                let taken = admission::admit(&mut oracle.workspaces, known, (partition, offset), record, window);
                if let Err(aside) = taken {
                    if let Some(slug) = &aside.workspace {
                        oracle.workspaces.entry(slug.clone()).or_default().quarantined += 1;
                    }
                    oracle.quarantined.push(aside);
                }
            }
        }
        oracle
    }

    /// A workspace; one that no record names is empty.
    pub fn workspace(&self, slug: &str) -> &WorkspaceOracle {
        self.workspaces.get(slug).unwrap_or(&self.nobody)
    }

    /// All workspaces that a record names.
    pub fn workspaces(&self) -> impl Iterator<Item = (&str, &WorkspaceOracle)> {
        self.workspaces.iter().map(|(slug, workspace)| (slug.as_str(), workspace))
    }

    /// All poison records, in log order.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }
}
