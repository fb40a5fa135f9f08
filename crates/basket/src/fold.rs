//! What an event does to a basket. **This is the rule**; everything else serves it.

use std::collections::BTreeMap;

use weir_event::{Decimal, EventKey};

use crate::change::{Change, Price};
use crate::history::History;
use crate::removal::{CheckedOut, Removal};

/// What a history comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basket {
    /// What lies in the basket, by product.
    pub lines: BTreeMap<String, Line>,
    /// What was taken out, in the order of events; of one event by product.
    pub removals: Vec<Removal>,
    /// When the latest basket event was; none without any.
    pub updated_at: Option<i64>,
    /// Removals before this one were checked out.
    drafts_from: usize,
}

/// A product in a basket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is called, as the latest addition says that says it.
    pub name: Option<String>,
    /// How much of it there is; never zero.
    pub quantity: Decimal,
    /// What one of it costs, likewise.
    pub price: Option<Price>,
    /// When it was last put in.
    pub added_at: i64,
}

impl Basket {
    /// Folds a history from its beginning.
    pub fn of(history: &History) -> Self {
        let mut basket = Self::default();
        for (key, change) in history.events() {
            basket.fold(key, change);
        }
        basket
    }

    fn fold(&mut self, key: &EventKey, change: &Change) {
        self.updated_at = Some(key.at);
        match change {
            Change::Added { product, quantity, price, name } => {
                self.add(key, product, *quantity, price.as_ref(), name.as_deref());
            }
            Change::Removed { product, quantity } => self.remove(key, product, *quantity),
            Change::Updated { product, quantity } => {
                let held = self.lines.get(product).map_or(Decimal::ZERO, |line| line.quantity);
                if *quantity > held {
                    self.add(key, product, quantity.saturating_sub(held), None, None);
                } else {
                    self.remove(key, product, Some(held.saturating_sub(*quantity)));
                }
            }
            Change::Cleared => {
                for product in self.lines.keys().cloned().collect::<Vec<_>>() {
                    self.remove(key, &product, None);
                }
            }
            Change::Ordered { order, products } => {
                match products {
                    None => self.lines.clear(),
                    Some(products) => products.iter().for_each(|(product, quantity)| {
                        self.take_out(product, *quantity);
                    }),
                }
                for removal in &mut self.removals[self.drafts_from..] {
                    removal.checked_out = Some(CheckedOut { at: key.at, order: order.clone() });
                }
                self.drafts_from = self.removals.len();
            }
        }
    }

    fn add(&mut self, key: &EventKey, product: &str, quantity: Decimal, price: Option<&Price>, name: Option<&str>) {
        if quantity == Decimal::ZERO {
            return;
        }
        let empty = || Line { name: None, quantity: Decimal::ZERO, price: None, added_at: key.at };
        let line = self.lines.entry(product.to_owned()).or_insert_with(empty);
        line.quantity = line.quantity.saturating_add(quantity);
        line.added_at = key.at;
        if let Some(price) = price {
            line.price = Some(price.clone());
        }
        if let Some(name) = name {
            line.name = Some(name.to_owned());
        }
    }

    fn remove(&mut self, key: &EventKey, product: &str, quantity: Option<Decimal>) {
        let Some((line, out)) = self.take_out(product, quantity) else { return };
        self.removals.push(Removal {
            event: key.clone(),
            product: product.to_owned(),
            name: line.name,
            quantity: out,
            price: line.price,
            added_at: line.added_at,
            checked_out: None,
        });
    }

    /// Takes so much of a product out, or all that there is. Answers the line as it was and how much went out; nothing if
    /// nothing did.
    fn take_out(&mut self, product: &str, quantity: Option<Decimal>) -> Option<(Line, Decimal)> {
        let line = self.lines.get_mut(product)?;
        let before = line.clone();
        let out = quantity.map_or(line.quantity, |quantity| quantity.min(line.quantity));
        if out == Decimal::ZERO {
            return None;
        }
        line.quantity = line.quantity.saturating_sub(out);
        if line.quantity == Decimal::ZERO {
            self.lines.remove(product);
        }
        Some((before, out))
    }
}
