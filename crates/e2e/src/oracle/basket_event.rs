//! What a basket event says, read from its properties.

use super::record::Event;
use super::{Decimal, Json};

const PRODUCT_BYTES: usize = 200;

/// Amount and currency of one of a product.
pub(super) type Price = (Decimal, Option<String>);

/// What is to happen to a basket. A quantity that is not given is all that there is.
pub(super) enum BasketEvent {
    Added { product: String, quantity: Decimal, price: Option<Price>, name: Option<String> },
    Removed { product: String, quantity: Option<Decimal> },
    Updated { product: String, quantity: Decimal },
    Cleared,
    Ordered { order: Option<String>, products: Option<Vec<(String, Option<Decimal>)>> },
}

/// A property is missing or of the wrong type.
pub(super) struct Wrong;

/// Reads an event; nothing if its name is none of a basket's.
pub(super) fn read(event: &Event) -> Option<Result<BasketEvent, Wrong>> {
    let data = &event.data;
    match event.name.as_str() {
        "cart.added" => Some(added(data)),
        "cart.removed" => Some(line(data).map(|(product, quantity)| BasketEvent::Removed { product, quantity })),
        "cart.updated" => Some(
            line(data)
                .and_then(|(product, quantity)| Ok(BasketEvent::Updated { product, quantity: quantity.ok_or(Wrong)? })),
        ),
        "cart.cleared" => Some(Ok(BasketEvent::Cleared)),
        "order.completed" => Some(ordered(data)),
        _ => None,
    }
}

fn added(data: &Json) -> Result<BasketEvent, Wrong> {
    let (product, quantity) = line(data)?;
    let (currency, name) = (text(data, "currency")?, text(data, "name")?);
    id(data, "cart_id")?;
    let price = number(data, "price")?.map(|amount| (amount, currency));
    Ok(BasketEvent::Added { product, quantity: quantity.unwrap_or(Decimal(1_000_000_000)), price, name })
}

fn ordered(data: &Json) -> Result<BasketEvent, Wrong> {
    let products = match given(data, "products") {
        None => None,
        Some(Json::List(lines)) => Some(lines.iter().map(line).collect::<Result<_, _>>()?),
        Some(_) => return Err(Wrong),
    };
    Ok(BasketEvent::Ordered { order: id(data, "order_id")?, products })
}

/// Product and quantity. What is no object has neither.
fn line(data: &Json) -> Result<(String, Option<Decimal>), Wrong> {
    let product = id(data, "product_id")?.ok_or(Wrong)?;
    let quantity = number(data, "quantity")?;
    if product.len() > PRODUCT_BYTES || quantity.is_some_and(|quantity| quantity < Decimal(0)) {
        return Err(Wrong);
    }
    Ok((product, quantity))
}

/// null is as good as nothing.
fn given<'a>(data: &'a Json, name: &str) -> Option<&'a Json> {
    data.get(name).filter(|value| **value != Json::Null)
}

fn text(data: &Json, name: &str) -> Result<Option<String>, Wrong> {
    given(data, name).map(|value| value.text().map(str::to_owned).ok_or(Wrong)).transpose()
}

/// A number counts as its text, as it stands there.
fn id(data: &Json, name: &str) -> Result<Option<String>, Wrong> {
    match given(data, name) {
        None => Ok(None),
        Some(Json::Text(text) | Json::Number(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Wrong),
    }
}

/// Below 10¹⁸ in size.
fn number(data: &Json, name: &str) -> Result<Option<Decimal>, Wrong> {
    match given(data, name) {
        None => Ok(None),
        Some(Json::Number(digits)) => Decimal::parse(digits).ok_or(Wrong).map(Some),
        Some(_) => Err(Wrong),
    }
}
