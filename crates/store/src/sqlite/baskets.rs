//! Baskets, in the timeline's file.

use std::ops::Range;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, ValueRef as _};
use weir_basket::days;

use super::contents::{count, key};
use super::removal_days;
use super::rows::{Many, get, id, limit_of, profile_id};
use super::timeline::SqliteTimeline;
use crate::baskets::{BasketBatch, BasketRow, BasketView, RemovalKey, RemovalRange, RemovalRow};
use crate::error::StoreError;
use crate::model::{CountRow, Fence, ProfileKey};
use crate::place;

pub(super) const READ: Many = Many {
    head: "SELECT workspace, profile, state FROM baskets WHERE (workspace, profile) IN (",
    columns: 2,
    tail: ")",
};
const WRITE: Many = Many {
    head: "INSERT INTO baskets (workspace, profile, state)",
    columns: 3,
    tail: "ON CONFLICT DO UPDATE SET state = excluded.state",
};
pub(super) const GONE: Many =
    Many { head: "DELETE FROM removals WHERE (workspace, draft, place, profile, product) IN (", columns: 5, tail: ")" };
const REMOVALS: Many = Many {
    head: "INSERT INTO removals (workspace, draft, place, profile, product, removal)",
    columns: 6,
    tail: "ON CONFLICT DO UPDATE SET removal = excluded.removal",
};
const COUNTS: Many = Many {
    head: "INSERT INTO basket_counts (workspace, partition, what, n)",
    columns: 4,
    tail: "ON CONFLICT DO UPDATE SET n = n + excluded.n",
};
/// Writes what a batch does to baskets.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    fence: Fence,
    batch: &BasketBatch,
) -> Result<(), sqlx::Error> {
    let baskets = WRITE.write(connection, &batch.baskets, |query, row| {
        query.bind(row.key.workspace.cast_signed()).bind(id(row.key.profile)).bind(row.state.clone())
    });
    baskets.await?;
    let gone = GONE.write(connection, &batch.gone, |query, key| {
        let query = query.bind(key.workspace.cast_signed()).bind(key.draft).bind(key.place.clone());
        query.bind(id(key.profile)).bind(key.product.clone())
    });
    gone.await?;
    let removals = REMOVALS.write(connection, &batch.removals, |query, RemovalRow { key, removal }| {
        let query = query.bind(key.workspace.cast_signed()).bind(key.draft).bind(key.place.clone());
        query.bind(id(key.profile)).bind(key.product.clone()).bind(removal.clone())
    });
    removals.await?;
    let counts = COUNTS.write(connection, &batch.counts, |query, row| {
        let workspace = row.workspace.map_or(-1, u64::cast_signed);
        query.bind(workspace).bind(fence.partition).bind(row.what.name()).bind(row.n)
    });
    counts.await
}

/// The states of profiles.
pub(super) async fn read(connection: &mut SqliteConnection, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError> {
    let rows = READ.read(connection, keys, |query, key| query.bind(key.workspace.cast_signed()).bind(id(key.profile)));
    let rows = rows.await.map_err(|e| StoreError::from_sqlx("reading baskets", e))?;
    rows.iter().map(basket).collect()
}

/// A state from the columns workspace, profile and state.
pub(super) fn basket(row: &SqliteRow) -> Result<BasketRow, StoreError> {
    Ok(BasketRow { key: key(row)?, state: get(row, 2)? })
}

/// A removal from the columns workspace, draft, place, profile, product and removal.
pub(super) fn removal(row: &SqliteRow) -> Result<RemovalRow, StoreError> {
    let key = RemovalKey {
        workspace: get::<i64>(row, 0)?.cast_unsigned(),
        draft: get(row, 1)?,
        place: get(row, 2)?,
        profile: profile_id(get(row, 3)?)?,
        product: get(row, 4)?,
    };
    Ok(RemovalRow { key, removal: get(row, 5)? })
}

/// Removals of a range. ?1 workspace, ?2 from, ?3 to, ?4 how many, ?5 product, ?6 to ?8 the last one before.
pub(super) fn removals_query(draft: Option<bool>, product: bool, after: bool) -> String {
    // The end of the range is before the last one: the key must say which of them the index is entered by.
    let (order, last) = match product {
        false => ("place DESC, profile DESC, product DESC", "(place, profile, product) < (?6, ?7, ?8)"),
        true => ("place DESC, profile DESC", "(place, profile) < (?6, ?7)"),
    };
    let end = if after { last } else { "place < ?3" };
    // Of two keys that begin alike the planner, without statistics, prefers the table's own.
    let (table, of) =
        if product { ("removals INDEXED BY removals_by_product", "AND product = ?5") } else { ("removals", "") };
    let part = |draft: bool| {
        format!(
            "SELECT * FROM (SELECT workspace, draft, place, profile, product, removal FROM {table}
             WHERE workspace = ?1 AND draft = {} {of} AND place >= ?2 AND {end} ORDER BY {order} LIMIT ?4)",
            u8::from(draft)
        )
    };
    match draft {
        Some(draft) => part(draft),
        None => {
            format!("{} UNION ALL {} ORDER BY place DESC, profile DESC, product DESC LIMIT ?4", part(false), part(true))
        }
    }
}

/// Products of one statement of [`latest_query`].
const LATEST: usize = 512;

/// The latest removal of each of so many products, nulls where there is none. ?1 workspace, ?2 from, ?3 to; then draft and
/// product of each. (A select for each, joined by `UNION ALL`, takes ten milliseconds to be planned.)
pub(super) fn latest_query(products: usize) -> String {
    let asked: Vec<String> = (0..products).map(|n| format!("(?{}, ?{})", 4 + 2 * n, 5 + 2 * n)).collect();
    let latest = |column: &str| {
        format!(
            "(SELECT {column} FROM removals INDEXED BY removals_by_product
              WHERE workspace = ?1 AND draft = t.column1 AND product = t.column2 AND place >= ?2 AND place < ?3
              ORDER BY place DESC, profile DESC LIMIT 1)"
        )
    };
    format!(
        "SELECT ?1, t.column1, {}, {}, t.column2, {} FROM (VALUES {}) AS t",
        latest("place"),
        latest("profile"),
        latest("removal"),
        asked.join(", ")
    )
}

#[async_trait]
impl BasketView for SqliteTimeline {
    async fn baskets(&mut self, keys: &[ProfileKey]) -> Result<Vec<BasketRow>, StoreError> {
        read(&mut self.0, keys).await
    }

    async fn removals(&mut self, range: &RemovalRange, limit: usize) -> Result<Vec<RemovalRow>, StoreError> {
        let text = removals_query(range.draft, range.product.is_some(), range.after.is_some());
        let mut query = sqlx::query(AssertSqlSafe(text))
            .bind(range.workspace.cast_signed())
            .bind(place::at(range.from).to_vec())
            .bind(place::at(range.to).to_vec())
            .bind(limit_of(limit))
            .bind(range.product.clone());
        if let Some((place, profile, product)) = &range.after {
            query = query.bind(place.clone()).bind(id(*profile)).bind(product.clone());
        }
        let rows = query.fetch_all(&mut *self.0).await;
        let rows = rows.map_err(|e| StoreError::from_sqlx("reading removals", e))?;
        rows.iter().map(removal).collect()
    }

    async fn latest_removals(
        &mut self,
        range: &RemovalRange,
        products: &[String],
    ) -> Result<Vec<RemovalRow>, StoreError> {
        let drafts = range.draft.map_or(vec![false, true], |draft| vec![draft]);
        let asked: Vec<(bool, &String)> =
            products.iter().flat_map(|product| drafts.iter().map(move |draft| (*draft, product))).collect();
        let mut found = Vec::with_capacity(asked.len());
        for part in asked.chunks(LATEST) {
            let mut query = sqlx::query(AssertSqlSafe(latest_query(part.len())))
                .bind(range.workspace.cast_signed())
                .bind(place::at(range.from).to_vec())
                .bind(place::at(range.to).to_vec());
            for (draft, product) in part {
                query = query.bind(*draft).bind(product.as_str());
            }
            let rows = query.fetch_all(&mut *self.0).await;
            found.extend(rows.map_err(|e| StoreError::from_sqlx("reading removals", e))?);
        }
        found.iter().filter(|row| !row.try_get_raw(2).is_ok_and(|place| place.is_null())).map(removal).collect()
    }

    async fn removal_days(
        &mut self,
        workspace: u64,
        stretches: &[days::Stretches],
        buckets: Range<i32>,
    ) -> Result<Vec<(i32, Vec<u8>)>, StoreError> {
        removal_days::read(&mut self.0, workspace, stretches, buckets).await
    }

    async fn removal_changes(&mut self, workspace: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        removal_days::changes(&mut self.0, workspace).await
    }

    async fn basket_counts(&mut self) -> Result<Vec<CountRow>, StoreError> {
        let rows = sqlx::query("SELECT 0, workspace, what, sum(n) FROM basket_counts GROUP BY workspace, what")
            .fetch_all(&mut *self.0)
            .await
            .map_err(|e| StoreError::from_sqlx("reading counts of baskets", e))?;
        rows.iter().map(count).collect()
    }
}
