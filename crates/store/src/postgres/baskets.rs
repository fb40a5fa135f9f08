//! Baskets, in the generation's schema.

use std::ops::Range;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use weir_basket::days;
use weir_event::ProfileId;

use super::contents::count;
use super::errors::sort_in;
use super::removal_days;
use super::rows::{ROWS, column, delete, limit_of};
use super::schema::{Schema, Text};
use super::sessions::{Bound, Session};
use super::timeline::PgTimeline;
use crate::baskets::{BasketBatch, BasketRow, BasketView, RemovalKey, RemovalRange, RemovalRow};
use crate::error::StoreError;
use crate::model::{CountRow, Fence, ProfileKey};
use crate::place;

/// What was done, for errors.
const SUMS: &str = "reading sums of removals";

pub(super) struct Statements {
    pub(super) read: Text,
    write: Text,
    pub(super) gone: Text,
    removals: Text,
    pub(super) days: removal_days::Statements,
    counts: Text,
    /// Removals of a range, from its beginning and after a place; without a product, and of one. Each of drafts or of
    /// others.
    pub(super) list: [[Text; 2]; 2],
    pub(super) latest: Text,
    all_counts: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        let list = |of: &str, order: &str, after: &str| {
            ["AND place < $4", after].map(|end| {
                schema.text(&format!(
                    "SELECT workspace, draft, place, profile, product, removal FROM @removals
                     WHERE workspace = $1 AND draft = $2 {of} AND place >= $3 {end} ORDER BY {order} LIMIT $5"
                ))
            })
        };
        Self {
            read: schema.text(
                "SELECT b.workspace, b.profile, b.state
                 FROM unnest($1::bigint[], $2::uuid[]) AS k (workspace, profile) CROSS JOIN LATERAL
                   (SELECT * FROM @baskets b WHERE b.workspace = k.workspace AND b.profile = k.profile OFFSET 0) AS b",
            ),
            write: schema.text(
                "INSERT INTO @baskets (workspace, profile, state)
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bytea[])
                 ON CONFLICT (workspace, profile) DO UPDATE SET state = excluded.state",
            ),
            gone: delete(
                schema,
                "@removals",
                "$1::bigint[], $2::boolean[], $3::bytea[], $4::uuid[], $5::text[]",
                &["workspace", "draft", "place", "profile", "product"],
            ),
            removals: schema.text(
                "INSERT INTO @removals (workspace, draft, place, profile, product, removal)
                 SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::bytea[], $4::uuid[], $5::text[], $6::bytea[])
                 ON CONFLICT (workspace, draft, place, profile, product) DO UPDATE SET removal = excluded.removal",
            ),
            days: removal_days::Statements::new(schema),
            counts: schema.text(
                "INSERT INTO @basket_counts AS c (workspace, partition, what, n)
                 SELECT k.workspace, $2, k.what, k.n
                 FROM unnest($1::bigint[], $3::text[], $4::bigint[]) AS k (workspace, what, n)
                 ON CONFLICT (workspace, partition, what) DO UPDATE SET n = c.n + excluded.n",
            ),
            list: [
                list(
                    "",
                    "place DESC, profile DESC, product DESC",
                    "AND (place, profile, product) < ($6, $7, $8) AND $4::bytea IS NOT NULL",
                ),
                list(
                    "AND product = $6",
                    "place DESC, profile DESC",
                    "AND (place, profile) < ($7, $8) AND $4::bytea IS NOT NULL",
                ),
            ],
            latest: schema.text(
                "SELECT r.* FROM unnest($5::text[]) AS k (product) CROSS JOIN unnest($2::boolean[]) AS d (draft)
                 CROSS JOIN LATERAL
                   (SELECT workspace, draft, place, profile, product, removal FROM @removals r
                    WHERE r.workspace = $1 AND r.draft = d.draft AND r.product = k.product AND r.place >= $3 AND r.place < $4
                    ORDER BY r.place DESC, r.profile DESC LIMIT 1) AS r",
            ),
            all_counts: schema
                .text("SELECT workspace, what, sum(n)::bigint FROM @basket_counts GROUP BY workspace, what"),
        }
    }

    /// Writes what a batch does to baskets.
    pub(super) async fn commit(
        &self,
        session: &mut Session,
        fence: Fence,
        batch: &BasketBatch,
    ) -> Result<(), sqlx::Error> {
        for rows in batch.baskets.chunks(ROWS) {
            let query = self
                .write
                .query()
                .bind(column(rows, |row| row.key.workspace.cast_signed()))
                .bind(column(rows, |row| row.key.profile.0))
                .bind(column(rows, |row| row.state.as_slice()));
            session.execute(query).await?;
        }
        for keys in batch.gone.chunks(ROWS) {
            session.execute(removal_keys(&self.gone, keys, |key| key)).await?;
        }
        for rows in batch.removals.chunks(ROWS) {
            let query = removal_keys(&self.removals, rows, |row| &row.key);
            session.execute(query.bind(column(rows, |row| row.removal.as_slice()))).await?;
        }
        if batch.counts.is_empty() {
            return Ok(());
        }
        let query = self
            .counts
            .query()
            .bind(column(&batch.counts, |row| row.workspace.map_or(-1, u64::cast_signed)))
            .bind(fence.partition.cast_signed())
            .bind(column(&batch.counts, |row| row.what.name()))
            .bind(column(&batch.counts, |row| row.n));
        session.execute(query).await.map(drop)
    }

    /// Asks for the states of profiles.
    pub(super) fn rows_of(&self, keys: &[ProfileKey]) -> Bound {
        let workspaces = column(keys, |key| key.workspace.cast_signed());
        self.read.query().bind(workspaces).bind(column(keys, |key| key.profile.0))
    }
}

fn removal_keys<R>(statement: &Text, rows: &[R], key: impl Fn(&R) -> &RemovalKey) -> Bound {
    statement
        .query()
        .bind(column(rows, |row| key(row).workspace.cast_signed()))
        .bind(column(rows, |row| key(row).draft))
        .bind(column(rows, |row| key(row).place.as_slice()))
        .bind(column(rows, |row| key(row).profile.0))
        .bind(column(rows, |row| key(row).product.as_str()))
}

/// A state from [`Statements::rows_of`].
pub(super) fn basket(row: &PgRow) -> BasketRow {
    let key = ProfileKey { workspace: row.get::<i64, _>(0).cast_unsigned(), profile: ProfileId(row.get(1)) };
    BasketRow { key, state: row.get(2) }
}

/// A removal from the columns workspace, draft, place, profile, product and removal.
pub(super) fn removal(row: &PgRow) -> RemovalRow {
    let key = RemovalKey {
        workspace: row.get::<i64, _>(0).cast_unsigned(),
        draft: row.get(1),
        place: row.get(2),
        profile: ProfileId(row.get(3)),
        product: row.get(4),
    };
    RemovalRow { key, removal: row.get(5) }
}

impl PgTimeline {
    async fn ask(&mut self, what: &'static str, query: Bound) -> Result<Vec<PgRow>, StoreError> {
        self.session.rows(query).await.map_err(|e| sort_in(self.generation, what, e))
    }

    /// Removals of one kind.
    async fn removals_of(
        &mut self,
        draft: bool,
        range: &RemovalRange,
        limit: usize,
    ) -> Result<Vec<RemovalRow>, StoreError> {
        let lists = &self.statements.baskets.list[usize::from(range.product.is_some())];
        let mut query = lists[usize::from(range.after.is_some())]
            .query()
            .bind(range.workspace.cast_signed())
            .bind(draft)
            .bind(place::at(range.from).to_vec())
            .bind(place::at(range.to).to_vec())
            .bind(limit_of(limit));
        if let Some(product) = &range.product {
            query = query.bind(product.clone());
        }
        if let Some((place, profile, product)) = &range.after {
            query = query.bind(place.clone()).bind(profile.0);
            if range.product.is_none() {
                query = query.bind(product.clone());
            }
        }
        Ok(self.ask("reading removals", query).await?.iter().map(removal).collect())
    }
}

#[async_trait]
impl BasketView for PgTimeline {
    async fn baskets(&mut self, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError> {
        let query = self.statements.baskets.rows_of(keys);
        Ok(self.ask("reading baskets", query).await?.iter().map(basket).collect())
    }

    async fn removals(&mut self, range: &RemovalRange, limit: usize) -> Result<Vec<RemovalRow>, StoreError> {
        if let Some(draft) = range.draft {
            return self.removals_of(draft, range, limit).await;
        }
        let mut rows = self.removals_of(true, range, limit).await?;
        rows.extend(self.removals_of(false, range, limit).await?);
        let order = |row: &RemovalRow| (row.key.place.clone(), row.key.profile, row.key.product.clone());
        rows.sort_by_cached_key(|row| std::cmp::Reverse(order(row)));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn latest_removals(
        &mut self,
        range: &RemovalRange,
        products: &[String],
    ) -> Result<Vec<RemovalRow>, StoreError> {
        let drafts = range.draft.map_or(vec![false, true], |draft| vec![draft]);
        let query = self.statements.baskets.latest.query();
        let query = query.bind(range.workspace.cast_signed()).bind(drafts).bind(place::at(range.from).to_vec());
        let query = query.bind(place::at(range.to).to_vec()).bind(products.to_vec());
        Ok(self.ask("reading removals", query).await?.iter().map(removal).collect())
    }

    async fn removal_days(
        &mut self,
        workspace: u64,
        stretches: &[days::Stretches],
        buckets: Range<i32>,
    ) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
        let query = self.statements.baskets.days.stretches(workspace, stretches, buckets);
        Ok(self.ask(SUMS, query).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn removal_changes(&mut self, workspace: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let query = self.statements.baskets.days.changes.query().bind(workspace.cast_signed());
        Ok(self.ask(SUMS, query).await?.iter().map(|row| row.get(0)).collect())
    }

    async fn basket_counts(&mut self) -> Result<Vec<CountRow>, StoreError> {
        let query = self.statements.baskets.all_counts.query();
        self.ask("reading counts of baskets", query).await?.iter().map(|row| count(row, 0)).collect()
    }
}
