//! What was taken out of baskets, the latest first.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_basket::{Basket, History, Removal};
use weir_event::{Decimal, ProfileId, Timestamp};
use weir_http::{ListForm, Problem, Query, list_form};
use weir_store::{ProfileKey, RemovalKey, RemovalRange, RemovalRow, TimelineView, place};

use crate::access::Access;
use crate::answer::{Asked, json};
use crate::cursor::RemovalPlace;
use crate::export::{self, Cell, Export, Gone, PAGE};
use crate::failure;
use crate::people::{Person, people};
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

/// Which removals: `None` is all of them.
pub(crate) const STATUS: [(&str, Option<bool>); 3] =
    [("all", None), ("draft", Some(true)), ("checked_out", Some(false))];

#[derive(Serialize)]
struct Removals {
    items: Vec<Row>,
    next_cursor: Option<String>,
}

/// A removal with who did it.
#[derive(Serialize)]
struct Row {
    profile_id: ProfileId,
    email: Option<String>,
    profile_name: Option<String>,
    product_id: String,
    name: Option<String>,
    quantity: Decimal,
    price: Option<Decimal>,
    currency: Option<String>,
    value: Option<Decimal>,
    added_at: Timestamp,
    removed_at: Timestamp,
    event_id: String,
    is_draft: bool,
    order_id: Option<String>,
    checked_out_at: Option<Timestamp>,
}

const COLUMNS: [&str; 15] = [
    "profile_id",
    "email",
    "profile_name",
    "product_id",
    "name",
    "quantity",
    "price",
    "currency",
    "value",
    "added_at",
    "removed_at",
    "event_id",
    "is_draft",
    "order_id",
    "checked_out_at",
];

impl Row {
    fn of(person: Person, removal: Removal) -> Self {
        let (value, is_draft) = (removal.value(), removal.is_draft());
        let (price, currency) = removal.price.map_or((None, None), |price| (Some(price.amount), price.currency));
        let (order_id, checked_out_at) =
            removal.checked_out.map_or((None, None), |order| (order.order, Some(Timestamp::from_micros(order.at))));
        Self {
            profile_id: person.id,
            email: person.email,
            profile_name: person.name,
            product_id: removal.product,
            name: removal.name,
            quantity: removal.quantity,
            price,
            currency,
            value,
            added_at: Timestamp::from_micros(removal.added_at),
            removed_at: Timestamp::from_micros(removal.event.at),
            event_id: removal.event.id.into(),
            is_draft,
            order_id,
            checked_out_at,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::plain(self.profile_id),
            Cell::text(self.email.as_deref()),
            Cell::text(self.profile_name.as_deref()),
            Cell::text(Some(&self.product_id)),
            Cell::text(self.name.as_deref()),
            Cell::plain(self.quantity),
            Cell::maybe(self.price),
            Cell::text(self.currency.as_deref()),
            Cell::maybe(self.value),
            Cell::plain(self.added_at),
            Cell::plain(self.removed_at),
            Cell::text(Some(&self.event_id)),
            Cell::plain(self.is_draft),
            Cell::text(self.order_id.as_deref()),
            Cell::maybe(self.checked_out_at),
        ]
    }
}

/// What is listed.
struct Listed {
    range: RemovalRange,
    /// Only of this profile.
    profile: Option<ProfileId>,
}

/// `GET /api/baskets/removed-items`: a page as JSON, or the whole list as CSV or an object a line.
pub(crate) async fn list(Shared(api): Shared<Arc<Api>>, asked: Asked) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::TIMELINE).await?;
    let query = Query::parse(&asked.uri, &["status", "product_id", "profile_id", "from", "to", "limit", "cursor"])?;
    let (limit, mut listed) = (query.limit()?, listed(&reading, &query)?);
    let list = format!("removals {listed:?}", listed = (&listed.range, listed.profile));
    if let Some(cursor) = query.cursor() {
        let RemovalPlace(place, profile, product) = RemovalPlace::open(&list, cursor)?;
        listed.range.after = Some((place, profile, product));
    }
    let form = list_form(&asked.headers);
    if form != ListForm::Json {
        let (export, response) = api.exports.begin(form, "removed-items")?;
        tokio::spawn(send(export, form, reading, listed));
        return Ok(response);
    }
    let mut rows = page(&mut reading, &listed, limit + 1).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| after(&last.key).seal(&list));
    let items = shown(&mut reading, listed.range.workspace, rows).await?;
    json(&Removals { items, next_cursor })
}

/// A bound of the time of removal, in microseconds.
pub(crate) fn bound(query: &Query, name: &str, otherwise: i64) -> Result<i64, Problem> {
    Ok(query.instant(name)?.map_or(otherwise, Timestamp::micros))
}

fn listed(reading: &Reading, query: &Query) -> Result<Listed, Problem> {
    let workspace = Reading::catalogs(&reading.folded, &reading.caller)?.workspace;
    let profile = query.get("profile_id").map(weir_http::ProfileRef::parse).transpose()?;
    let range = RemovalRange {
        workspace: workspace.no,
        draft: query.choice("status", &STATUS)?,
        product: query.get("product_id").map(str::to_owned),
        from: bound(query, "from", i64::MIN)?,
        to: bound(query, "to", i64::MAX)?,
        after: None,
    };
    Ok(Listed { range, profile: profile.map(|profile| profile.resolve(workspace.namespace)) })
}

fn after(key: &RemovalKey) -> RemovalPlace {
    RemovalPlace(key.place.clone(), key.profile, key.product.clone())
}

async fn page(reading: &mut Reading, listed: &Listed, limit: usize) -> Result<Vec<RemovalRow>, Problem> {
    let Some(profile) = listed.profile else {
        return reading.timeline()?.removals(&listed.range, limit).await.map_err(failure::store);
    };
    of_profile(reading.timeline()?, &listed.range, profile, limit).await
}

/// A profile's removals are in its state, which is bounded.
async fn of_profile(
    timeline: &mut dyn TimelineView,
    range: &RemovalRange,
    profile: ProfileId,
    limit: usize,
) -> Result<Vec<RemovalRow>, Problem> {
    let key = ProfileKey { workspace: range.workspace, profile };
    let states = timeline.baskets(&[key]).await.map_err(failure::store)?;
    let Some(state) = states.first() else { return Ok(Vec::new()) };
    let removals = Basket::of(&History::decode(&state.state).map_err(failure::damaged)?).removals;
    let wanted = |removal: &Removal| {
        range.draft.is_none_or(|draft| draft == removal.is_draft())
            && range.product.as_ref().is_none_or(|product| *product == removal.product)
            && (range.from..range.to).contains(&removal.event.at)
    };
    let row = |removal: Removal| RemovalRow {
        key: RemovalKey {
            workspace: range.workspace,
            draft: removal.is_draft(),
            place: place::of_event(&removal.event),
            profile,
            product: removal.product.clone(),
        },
        removal: removal.encode(),
    };
    let rows = removals.into_iter().rev().filter(wanted).map(row);
    let mut rows: Vec<RemovalRow> =
        rows.filter(|row| range.after.as_ref().is_none_or(|after| order(row) < *after)).collect();
    rows.sort_by_cached_key(|row| std::cmp::Reverse(order(row)));
    rows.truncate(limit);
    Ok(rows)
}

fn order(row: &RemovalRow) -> (Vec<u8>, ProfileId, String) {
    (row.key.place.clone(), row.key.profile, row.key.product.clone())
}

async fn shown(reading: &mut Reading, workspace: u64, rows: Vec<RemovalRow>) -> Result<Vec<Row>, Problem> {
    let ids = rows.iter().map(|row| row.key.profile);
    let people = people(reading.view.as_mut(), workspace, ids).await?;
    let row = |(person, row): (Person, RemovalRow)| {
        Ok(Row::of(person, Removal::decode(&row.removal).map_err(failure::damaged)?))
    };
    people.into_iter().zip(rows).map(row).collect()
}

/// Sends all pages.
async fn send(export: Export, form: ListForm, mut reading: Reading, mut listed: Listed) {
    let header = || export::csv([COLUMNS.iter().map(Cell::plain).collect()]);
    let mut part = if form == ListForm::Csv { header() } else { Ok(Vec::new()) };
    loop {
        let sent = match part {
            Ok(part) => export.send(part).await,
            Err(problem) => return export.fail(problem).await,
        };
        if let Err(Gone) = sent {
            return;
        }
        part = match next_part(form, &mut reading, &mut listed).await {
            Ok(Some(part)) => Ok(part),
            Ok(None) => return export.finish().await,
            Err(problem) => Err(problem),
        };
    }
}

async fn next_part(form: ListForm, reading: &mut Reading, listed: &mut Listed) -> Result<Option<Vec<u8>>, Problem> {
    let rows = page(reading, listed, PAGE).await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let RemovalPlace(place, profile, product) = after(&last.key);
    listed.range.after = Some((place, profile, product));
    let rows = shown(reading, listed.range.workspace, rows).await?;
    let part = if form == ListForm::Csv { export::csv(rows.iter().map(Row::cells)) } else { export::lines(&rows) };
    part.map(Some)
}
