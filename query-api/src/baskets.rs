//! What lies in a profile's basket.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use serde::Serialize;
use weir_basket::{Basket, History, Line};
use weir_event::{Decimal, Timestamp};
use weir_http::Problem;

use crate::access::Access;
use crate::answer::{Asked, InPath, json};
use crate::failure;
use crate::people::{self, named, no_parameters};
use crate::reading::Reading;
use crate::service::Api;
use crate::wait::Need;

/// A basket as answers show it.
#[derive(Serialize)]
pub(crate) struct Shown {
    items: Vec<Item>,
    value: Vec<Amount>,
    updated_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Item {
    product_id: String,
    name: Option<String>,
    quantity: Decimal,
    price: Option<Decimal>,
    currency: Option<String>,
    added_at: Timestamp,
}

/// A sum in one currency; `null` is that of what came without one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Amount {
    pub(crate) currency: Option<String>,
    pub(crate) amount: Decimal,
}

impl Shown {
    /// The basket of a state, and of no state an empty one; `None` if it was set aside.
    pub(crate) fn of(state: Option<&[u8]>) -> Result<Option<Self>, Problem> {
        let history = state.map(History::decode).transpose().map_err(failure::damaged)?.unwrap_or_default();
        if history.is_set_aside() {
            return Ok(None);
        }
        let basket = Basket::of(&history);
        let mut sums: BTreeMap<Option<String>, Decimal> = BTreeMap::new();
        for line in basket.lines.values() {
            let Some(price) = &line.price else { continue };
            if let Some(value) = price.amount.checked_mul(line.quantity) {
                let sum = sums.entry(price.currency.clone()).or_default();
                *sum = sum.saturating_add(value);
            }
        }
        Ok(Some(Self {
            items: basket.lines.into_iter().map(Item::of).collect(),
            value: sums.into_iter().map(|(currency, amount)| Amount { currency, amount }).collect(),
            updated_at: basket.updated_at.map(Timestamp::from_micros),
        }))
    }
}

impl Item {
    fn of((product_id, line): (String, Line)) -> Self {
        let (price, currency) = line.price.map_or((None, None), |price| (Some(price.amount), price.currency));
        let added_at = Timestamp::from_micros(line.added_at);
        Self { product_id, name: line.name, quantity: line.quantity, price, currency, added_at }
    }
}

/// `GET /api/profiles/{id}/basket`.
pub(crate) async fn show(
    Shared(api): Shared<Arc<Api>>,
    InPath(id): InPath<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    let mut reading = api.read(&asked, Access::Read, Need::TIMELINE).await?;
    no_parameters(&asked.uri)?;
    let catalogs = Reading::catalogs(&reading.folded, &reading.caller)?;
    let key = named(catalogs.workspace, &id)?;
    people::shown(reading.view.as_mut(), key).await?;
    let states = reading.timeline()?.baskets(&[key]).await.map_err(failure::store)?;
    let shown = Shown::of(states.first().map(|row| row.state.as_slice()))?;
    json(&shown.ok_or_else(failure::basket_set_aside)?)
}
