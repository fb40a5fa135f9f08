//! What an event does to a basket, read from its properties.
//!
//! Nothing is coerced but a number where an id is asked for: it counts as its text. null is absent. A property of the
//! wrong type makes the whole event none of the basket's: half of it would be a guess.

use std::borrow::Cow;

use serde_json::value::RawValue;
use weir_event::codec::{Damaged, Reader, put_bytes};
use weir_event::value::{Json, fields};
use weir_event::{Decimal, Event};

/// The names of the events that baskets are made of.
pub const NAMES: [&str; 5] = ["cart.added", "cart.removed", "cart.updated", "cart.cleared", "order.completed"];

/// Bytes of a product's id: it is part of keys of tables.
const PRODUCT_BYTES: usize = 200;

/// One step in the life of a basket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// More of a product.
    Added {
        /// Which product.
        product: String,
        /// How much more.
        quantity: Decimal,
        /// For how much each, if it was said.
        price: Option<Price>,
        /// What the product is called, if it was said.
        name: Option<String>,
    },
    /// Less of a product, down to none.
    Removed {
        /// Which product.
        product: String,
        /// How much less; `None` is all of it.
        quantity: Option<Decimal>,
    },
    /// So much of a product, whatever there was.
    Updated {
        /// Which product.
        product: String,
        /// How much from now on.
        quantity: Decimal,
    },
    /// Everything out.
    Cleared,
    /// An order.
    Ordered {
        /// Its id, if it has one.
        order: Option<String>,
        /// What was ordered, and how much of it (`None`: all that there is); `None` is everything.
        products: Option<Vec<(String, Option<Decimal>)>>,
    },
}

/// What one of a product costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// How much.
    pub amount: Decimal,
    /// Of which currency, if that was said.
    pub currency: Option<String>,
}

/// An event with the name of a basket event that says nothing to be folded: a property is missing or of the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property} must be {expected}")]
pub struct NotABasketEvent {
    /// Which property.
    pub property: &'static str,
    /// What it must be.
    pub expected: &'static str,
}

const fn wrong<T>(property: &'static str, expected: &'static str) -> Result<T, NotABasketEvent> {
    Err(NotABasketEvent { property, expected })
}

impl Change {
    /// The change that an event makes; `None` for an event with another name than [`NAMES`].
    ///
    /// # Errors
    /// A property that is needed is missing, or one is of the wrong type.
    pub fn of(event: &Event<'_>) -> Result<Option<Self>, NotABasketEvent> {
        if !NAMES.contains(&event.name) {
            return Ok(None);
        }
        let properties = Properties(event.data.map(fields).unwrap_or_default());
        Ok(Some(match event.name {
            "cart.added" => {
                properties.id("cart_id")?;
                let currency = properties.text("currency")?;
                Self::Added {
                    product: properties.product()?,
                    quantity: properties.quantity()?.unwrap_or(Decimal::ONE),
                    price: properties.number("price")?.map(|amount| Price { amount, currency }),
                    name: properties.text("name")?,
                }
            }
            "cart.removed" => Self::Removed { product: properties.product()?, quantity: properties.quantity()? },
            "cart.updated" => match properties.quantity()? {
                Some(quantity) => Self::Updated { product: properties.product()?, quantity },
                None => return wrong("quantity", "there: it is what the basket holds from now on"),
            },
            "cart.cleared" => Self::Cleared,
            _ => Self::Ordered { order: properties.id("order_id")?, products: properties.products()? },
        }))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Added { product, quantity, price, name } => {
                out.push(0);
                put_bytes(out, product.as_bytes());
                quantity.write(out);
                put_option(out, price.as_ref(), |price, out| {
                    price.amount.write(out);
                    put_text(out, price.currency.as_deref());
                });
                put_text(out, name.as_deref());
            }
            Self::Removed { product, quantity } => {
                out.push(1);
                put_bytes(out, product.as_bytes());
                put_option(out, quantity.as_ref(), Decimal::write);
            }
            Self::Updated { product, quantity } => {
                out.push(2);
                put_bytes(out, product.as_bytes());
                quantity.write(out);
            }
            Self::Cleared => out.push(3),
            Self::Ordered { order, products } => {
                out.push(4);
                put_text(out, order.as_deref());
                put_option(out, products.as_ref(), |products, out| {
                    weir_event::codec::put_u64(out, products.len() as u64);
                    for (product, quantity) in products {
                        put_bytes(out, product.as_bytes());
                        put_option(out, quantity.as_ref(), Decimal::write);
                    }
                });
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match reader.u8()? {
            0 => Self::Added {
                product: reader.text()?.to_owned(),
                quantity: Decimal::read(reader)?,
                price: option(reader, |reader| Ok(Price { amount: Decimal::read(reader)?, currency: text(reader)? }))?,
                name: text(reader)?,
            },
            1 => Self::Removed { product: reader.text()?.to_owned(), quantity: option(reader, Decimal::read)? },
            2 => Self::Updated { product: reader.text()?.to_owned(), quantity: Decimal::read(reader)? },
            3 => Self::Cleared,
            4 => Self::Ordered {
                order: text(reader)?,
                products: option(reader, |reader| {
                    let count = reader.u64()?;
                    (0..count).map(|_| Ok((reader.text()?.to_owned(), option(reader, Decimal::read)?))).collect()
                })?,
            },
            _ => return Err(Damaged("an unknown kind of change")),
        })
    }
}

pub(crate) fn put_option<T: ?Sized>(out: &mut Vec<u8>, value: Option<&T>, write: impl FnOnce(&T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(value, out);
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    put_option(out, text, |text, out| put_bytes(out, text.as_bytes()));
}

pub(crate) fn option<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Damaged>,
) -> Result<Option<T>, Damaged> {
    match reader.u8()? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        _ => Err(Damaged("neither there nor not")),
    }
}

pub(crate) fn text(reader: &mut Reader<'_>) -> Result<Option<String>, Damaged> {
    option(reader, |reader| reader.text().map(str::to_owned))
}

/// An object's values by name, each name once.
struct Properties<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Properties<'a> {
    /// A value; none for null.
    fn get(&self, name: &str) -> Option<Json<'a>> {
        let at = self.0.binary_search_by(|(own, _)| own.as_ref().cmp(name)).ok()?;
        Some(Json::of(self.0[at].1)).filter(|value| !matches!(value, Json::Null))
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, NotABasketEvent> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.into_owned())),
            Some(_) => wrong(name, "a text"),
        }
    }

    /// Text; a number counts as its text.
    fn id(&self, name: &'static str) -> Result<Option<String>, NotABasketEvent> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.into_owned())),
            Some(Json::Number(number)) => Ok(Some(number.to_owned())),
            Some(_) => wrong(name, "a text or a number"),
        }
    }

    fn product(&self) -> Result<String, NotABasketEvent> {
        match self.id("product_id")? {
            Some(product) if product.len() > PRODUCT_BYTES => wrong("product_id", "at most 200 bytes long"),
            Some(product) => Ok(product),
            None => wrong("product_id", "there: it says which product"),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<Decimal>, NotABasketEvent> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Number(number)) => match Decimal::parse(number) {
                Some(number) => Ok(Some(number)),
                None => wrong(name, "smaller than 10^18"),
            },
            Some(_) => wrong(name, "a number"),
        }
    }

    fn quantity(&self) -> Result<Option<Decimal>, NotABasketEvent> {
        match self.number("quantity")? {
            Some(quantity) if quantity < Decimal::ZERO => wrong("quantity", "0 or more"),
            quantity => Ok(quantity),
        }
    }

    fn products(&self) -> Result<Option<Vec<(String, Option<Decimal>)>>, NotABasketEvent> {
        const EXPECTED: &str = "a list of objects with a product_id";
        match self.get("products") {
            None => Ok(None),
            Some(Json::Array(items)) => {
                let item = |item: &'a RawValue| {
                    if !matches!(Json::of(item), Json::Object(_)) {
                        return wrong("products", EXPECTED);
                    }
                    let item = Properties(fields(item));
                    Ok((item.product()?, item.quantity()?))
                };
                items.into_iter().map(item).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => wrong("products", EXPECTED),
        }
    }
}
