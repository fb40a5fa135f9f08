//! What was taken out of baskets, by product.
//!
//! Bounds that are days read sums by day ([`weir_basket::days`]); others read every removal between them.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;
use weir_basket::Removal;
use weir_basket::days::{BUCKETS, Class, DAY, OneByOne, Summary, Sums, cover, day_of};
use weir_event::codec::Damaged;
use weir_event::{Decimal, Timestamp};
use weir_http::{ListForm, Problem, Query, list_form};
use weir_store::{RemovalRange, RemovalRow, TimelineView};

use crate::access::Access;
use crate::answer::{Asked, json};
use crate::baskets::Amount;
use crate::cursor::SummaryPlace;
use crate::export::{self, Cell, PAGE};
use crate::failure;
use crate::reading::Reading;
use crate::removals::{STATUS, bound};
use crate::service::Api;
use crate::task::to_the_end;
use crate::wait::Need;

/// Shares of the products whose rows are read at once, and added up by one task. With 10,000 products and a month that is a
/// millisecond's work on 0.7 MB.
const SHARES: u8 = 16;
/// Tasks that may have something to add up while more is being read.
const AT_ONCE: usize = 2;

/// What comes first.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Times,
    Profiles,
    /// The largest of a product's amounts: amounts of different currencies are never added up.
    Value,
}

const SORTS: [(&str, Sort); 3] = [("times", Sort::Times), ("profiles", Sort::Profiles), ("value", Sort::Value)];

#[derive(Serialize)]
struct Products {
    products: Vec<Product>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Product {
    product_id: String,
    name: Option<String>,
    times: i64,
    profiles: i64,
    quantity: Decimal,
    value: Vec<Amount>,
    draft: i64,
    checked_out: i64,
    last_removed_at: Option<Timestamp>,
}

/// `GET /api/baskets/removed-items/summary`: a page as JSON, or the whole list as CSV or an object a line.
pub(crate) async fn list(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::TIMELINE).await?;
    let query = Query::parse(&asked.uri, &["sort", "status", "from", "to", "limit", "cursor"])?;
    let (limit, sort) = (query.limit()?, query.choice("sort", &SORTS)?);
    let range = RemovalRange {
        workspace: Reading::catalogs(&reading.folded, &reading.caller)?.workspace.no,
        draft: query.choice("status", &STATUS)?,
        product: None,
        from: bound(&query, "from", i64::MIN)?,
        to: bound(&query, "to", i64::MAX)?,
        after: None,
    };
    let list = format!("removed products {sort:?} {range:?}");
    let after = query.cursor().map(|cursor| SummaryPlace::open(&list, cursor)).transpose()?;
    let summary = summary(reading.timeline()?, &range).await?;
    let mut products: Vec<(Reverse<i128>, &str, &Sums)> = summary
        .products()
        .map(|(product, sums)| (Reverse(rank(sort, sums)), product, sums))
        .filter(|(rank, product, _)| {
            after.as_ref().is_none_or(|after| (*rank, *product) > (Reverse(after.0), &after.1))
        })
        .collect();
    let form = list_form(&asked.headers);
    let wanted = if form == ListForm::Json { limit.min(products.len()) } else { products.len() };
    let more = products.len() > wanted;
    if more {
        products.select_nth_unstable_by_key(wanted, |(rank, product, _)| (*rank, *product));
        products.truncate(wanted);
    }
    products.sort_unstable_by_key(|(rank, product, _)| (*rank, *product));
    let names: Vec<String> = products.iter().map(|(_, product, _)| (*product).to_owned()).collect();
    let mut latest = latest(reading.timeline()?, &range, &names).await?;
    let rows = products.iter().map(|(_, product, sums)| row(&summary, product, sums, latest.remove(*product)));
    let rows: Vec<Product> = rows.collect();
    match form {
        ListForm::Json => {
            let last = products.last().filter(|_| more);
            let next_cursor = last.map(|(rank, product, _)| SummaryPlace(rank.0, (*product).to_owned()).seal(&list));
            json(&Products { products: rows, next_cursor })
        }
        ListForm::Csv => Ok(export::whole(form, "removed-products", csv(&rows)?)),
        ListForm::Ndjson => Ok(export::whole(form, "removed-products", export::lines(&rows)?)),
    }
}

fn rank(sort: Sort, sums: &Sums) -> i128 {
    match sort {
        Sort::Times => sums.times().into(),
        Sort::Profiles => sums.profiles.into(),
        Sort::Value => sums.largest().unwrap_or(i128::MIN),
    }
}

async fn summary(timeline: &mut dyn TimelineView, range: &RemovalRange) -> Result<Summary, Problem> {
    let class = match range.draft {
        None => Class::All,
        Some(true) => Class::Draft,
        Some(false) => Class::CheckedOut,
    };
    let is_day = |instant: i64| instant == i64::MIN || instant == i64::MAX || instant % DAY == 0;
    let days = (day_of(range.from), day_of(range.to));
    if is_day(range.from) && is_day(range.to) {
        return of_days(timeline, range.workspace, class, days).await;
    }
    let (mut range, mut removals) = (range.clone(), OneByOne::default());
    loop {
        let rows = timeline.removals(&range, PAGE).await.map_err(failure::store)?;
        let Some(last) = rows.last() else { return Ok(removals.into_summary(class, days)) };
        range.after = Some((last.key.place.clone(), last.key.profile, last.key.product.clone()));
        for row in &rows {
            removals.add(row.key.profile, &Removal::decode(&row.removal).map_err(failure::damaged)?);
        }
    }
}

/// Some shares of the products after others: what was read is added up by tasks of its own while more is being read.
async fn of_days(
    timeline: &mut dyn TimelineView,
    workspace: u64,
    class: Class,
    days: (i32, i32),
) -> Result<Summary, Problem> {
    let (mut summary, stretches) = (Summary::new(class, days), cover(days.0..days.1));
    let changes = timeline.removal_changes(workspace).await.map_err(failure::store)?;
    let changes = added_up(Summary::of_changes, (class, days), changes);
    let mut parts = VecDeque::new();
    for first in (0..BUCKETS).step_by(SHARES.into()) {
        let buckets = first.into()..(first + SHARES).into();
        let rows = timeline.removal_days(workspace, &stretches, buckets).await.map_err(failure::store)?;
        parts.push_back(added_up(Summary::of_rows, (class, days), rows));
        if parts.len() > AT_ONCE
            && let Some(part) = parts.pop_front()
        {
            summary.merge(part.await?);
        }
    }
    // Changes are of any share: last, so that those before are only put one behind the other.
    for part in parts.into_iter().chain([changes]) {
        summary.merge(part.await?);
    }
    Ok(summary)
}

fn added_up<T: Send + 'static>(
    add_up: impl FnOnce(Class, (i32, i32), T) -> Result<Summary, Damaged> + Send + 'static,
    (class, days): (Class, (i32, i32)),
    from: T,
) -> BoxFuture<'static, Result<Summary, Problem>> {
    to_the_end(async move { add_up(class, days, from).map_err(failure::damaged) }).boxed()
}

/// The latest removal of each product.
async fn latest(
    timeline: &mut dyn TimelineView,
    range: &RemovalRange,
    products: &[String],
) -> Result<HashMap<String, Removal>, Problem> {
    let mut latest: HashMap<String, RemovalRow> = HashMap::with_capacity(products.len());
    for row in timeline.latest_removals(range, products).await.map_err(failure::store)? {
        let place = |row: &RemovalRow| (row.key.place.clone(), row.key.profile);
        match latest.entry(row.key.product.clone()) {
            Entry::Occupied(mut known) if place(known.get()) < place(&row) => drop(known.insert(row)),
            Entry::Occupied(_) => {}
            Entry::Vacant(unknown) => drop(unknown.insert(row)),
        }
    }
    let decode = |(product, row): (String, RemovalRow)| Ok((product, Removal::decode(&row.removal)?));
    latest.into_iter().map(decode).collect::<Result<_, Damaged>>().map_err(failure::damaged)
}

/// A product with what its latest removal says of it.
fn row(summary: &Summary, product: &str, sums: &Sums, latest: Option<Removal>) -> Product {
    let amount = |(currency, amount): (Option<&str>, Decimal)| Amount { currency: currency.map(str::to_owned), amount };
    Product {
        product_id: product.to_owned(),
        last_removed_at: latest.as_ref().map(|removal| Timestamp::from_micros(removal.event.at)),
        name: latest.and_then(|removal| removal.name),
        times: sums.times(),
        profiles: sums.profiles,
        quantity: Decimal::from_billionths(sums.quantity),
        value: summary.value(sums).into_iter().map(amount).collect(),
        draft: sums.draft,
        checked_out: sums.checked_out,
    }
}

/// A column for each currency: a spreadsheet can't add up cells with two amounts.
fn csv(rows: &[Product]) -> Result<Vec<u8>, Problem> {
    let mut currencies: Vec<Option<&str>> =
        rows.iter().flat_map(|row| row.value.iter().map(|amount| amount.currency.as_deref())).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let mut header: Vec<Cell> =
        ["product_id", "name", "times", "profiles", "quantity", "draft", "checked_out", "last_removed_at"]
            .iter()
            .map(Cell::plain)
            .collect();
    header.extend(currencies.iter().map(|currency| match currency {
        Some(currency) => Cell::text(Some(&format!("value_{currency}"))),
        None => Cell::plain("value"),
    }));
    let cells = |row: &Product| {
        let mut cells = vec![
            Cell::text(Some(&row.product_id)),
            Cell::text(row.name.as_deref()),
            Cell::plain(row.times),
            Cell::plain(row.profiles),
            Cell::plain(row.quantity),
            Cell::plain(row.draft),
            Cell::plain(row.checked_out),
            Cell::maybe(row.last_removed_at),
        ];
        let of = |currency: Option<&str>| row.value.iter().find(|amount| amount.currency.as_deref() == currency);
        cells.extend(currencies.iter().map(|currency| Cell::maybe(of(*currency).map(|amount| amount.amount))));
        cells
    };
    export::csv(std::iter::once(header).chain(rows.iter().map(cells)))
}
