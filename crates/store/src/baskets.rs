//! Baskets: the rows of what is folded into them, and what projections and readers ask for.

use std::ops::Range;

use async_trait::async_trait;
use weir_basket::days;
use weir_event::ProfileId;

use crate::error::StoreError;
use crate::model::{CountRow, ProfileKey};

/// A profile's basket events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasketRow {
    /// Whose.
    pub key: ProfileKey,
    /// [`weir_basket::History`].
    pub state: Vec<u8>,
}

/// Names a removal. In the order of the list, which goes backwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemovalKey {
    /// The workspace's number.
    pub workspace: u64,
    /// Whether no order has come after it.
    pub draft: bool,
    /// The [place](crate::place::of_event) of the event that did it.
    pub place: Vec<u8>,
    /// Whose.
    pub profile: ProfileId,
    /// Of which product.
    pub product: String,
}

/// A removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalRow {
    /// Which.
    pub key: RemovalKey,
    /// [`weir_basket::Removal`].
    pub removal: Vec<u8>,
}

/// Names a row of removals added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DaysKey {
    /// The workspace's number.
    pub workspace: u64,
    /// Which days, and which share of the products.
    pub place: days::Place,
}

/// Removals added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaysRow {
    /// Which.
    pub key: DaysKey,
    /// [`weir_basket::days`]; without any bytes the row goes.
    pub sums: Vec<u8>,
}

/// What is to be added to the rows of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaysChanges {
    /// The workspace's number.
    pub workspace: u64,
    /// [`days::Changes`].
    pub changes: Vec<u8>,
}

/// What a batch of one partition does to the tables of baskets. Rows come sorted and each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasketBatch {
    /// States that are new or others.
    pub baskets: Vec<BasketRow>,
    /// Removals that are no more.
    pub gone: Vec<RemovalKey>,
    /// Removals that are new or others.
    pub removals: Vec<RemovalRow>,
    /// What is to be added to sums, by workspace. It waits beside them until there is enough of it.
    pub days: Vec<DaysChanges>,
    /// What to add to counts.
    pub counts: Vec<CountRow>,
}

/// What a fold of baskets must know of the profiles that it meets.
#[async_trait]
pub trait BasketMemory: Send + Sync + 'static {
    /// The states of those profiles that have one, in no order.
    async fn baskets(&self, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError>;
}

/// Baskets as they were at one instant.
#[async_trait]
pub trait BasketView {
    /// The states of those profiles that have one, in no order.
    async fn baskets(&mut self, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError>;
    /// The latest removals of a range, the latest first.
    async fn removals(&mut self, range: &RemovalRange, limit: usize) -> Result<Vec<RemovalRow>, StoreError>;
    /// The latest removals of a range of each of those products that have any, in no order: one, or one of drafts and one of
    /// others. The range's own product and place don't matter.
    async fn latest_removals(
        &mut self,
        range: &RemovalRange,
        products: &[String],
    ) -> Result<Vec<RemovalRow>, StoreError>;
    /// The sums of removals of stretches and of some shares of the products, each with its share, in any order.
    async fn removal_days(
        &mut self,
        workspace: u64,
        stretches: &[days::Stretches],
        buckets: Range<i32>,
    ) -> Result<Vec<(i32, Vec<u8>)>, StoreError>;
    /// What is to be added to the sums of a workspace.
    async fn removal_changes(&mut self, workspace: u64) -> Result<Vec<Vec<u8>>, StoreError>;
    /// All counts of baskets, of all partitions together.
    async fn basket_counts(&mut self) -> Result<Vec<CountRow>, StoreError>;
}

/// Removals, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalRange {
    /// The workspace's number.
    pub workspace: u64,
    /// Only drafts, or only others.
    pub draft: Option<bool>,
    /// Only of this product.
    pub product: Option<String>,
    /// Only from this instant on.
    pub from: i64,
    /// Only before this one.
    pub to: i64,
    /// Only those that the list has after this one.
    pub after: Option<(Vec<u8>, ProfileId, String)>,
}
