//! Cells added up over days, by product.

use std::collections::BTreeMap;
use std::collections::hash_map::HashMap;

use weir_event::Decimal;
use weir_event::codec::Damaged;

use super::cell::{self, Sink};
use super::{Class, Parts, Product};
use crate::removal::Removal;

/// What a product's removals come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many that no order has come after.
    pub draft: i64,
    /// How many others.
    pub checked_out: i64,
    /// How many profiles they are of.
    pub profiles: i64,
    /// How much went out, in billionths.
    pub quantity: i128,
    /// What it cost, in billionths, by the number of the currency; 0 is none.
    amounts: Vec<(usize, i128)>,
}

impl Sums {
    /// How many removals.
    pub fn times(&self) -> i64 {
        self.draft + self.checked_out
    }

    /// The largest of its amounts, of whatever currency: what it is worth in an order by value. `None` without any.
    pub fn largest(&self) -> Option<i128> {
        self.amounts.iter().map(|(_, amount)| *amount).max()
    }

    fn amount(&mut self, currency: usize, amount: i128) {
        match self.amounts.iter_mut().find(|(own, _)| *own == currency) {
            Some((_, sum)) => *sum = sum.wrapping_add(amount),
            None => self.amounts.push((currency, amount)),
        }
    }
}

/// Products that there is room for from the beginning.
const ROOM: usize = 16_384;

/// A summary in the making.
#[derive(Debug)]
pub struct Summary {
    class: Class,
    /// From the first on, up to the second.
    days: (i32, i32),
    products: HashMap<Box<str>, Sums, rapidhash::fast::RandomState>,
    /// Currencies met, by number; the first stands for none.
    currencies: Vec<Option<String>>,
}

impl Summary {
    /// An empty summary of removals of a class, on days from the first on, up to the second.
    pub fn new(class: Class, days: (i32, i32)) -> Self {
        // Room for a shop's products: growing to it takes as long as adding up.
        let products = HashMap::with_capacity_and_hasher(ROOM, rapidhash::fast::RandomState::default());
        Self { class, days, products, currencies: vec![None] }
    }

    /// Adds a row of cells. Rows of one product's days may come in any order.
    ///
    /// # Errors
    /// The row isn't one that [`Changes::apply`](super::Changes::apply) made.
    pub fn add(&mut self, row: &[u8]) -> Result<(), Damaged> {
        let (from, to) = self.days;
        for part in Parts::of(row)? {
            let (product, days) = part?;
            let mut adding = Adding { to: self, sums: Sums::default() };
            let days = Product::read(days)?;
            if from <= days.first && days.last < to {
                cell::read(days.sum, &mut adding)?;
            } else {
                days.each_day(
                    |day, bytes| {
                        if from <= day && day < to { cell::read(bytes, &mut adding) } else { Ok(()) }
                    },
                )?;
            }
            let sums = adding.sums;
            self.settle(product, sums);
        }
        Ok(())
    }

    fn settle(&mut self, product: &str, sums: Sums) {
        if sums.times() == 0 {
            return;
        }
        let Some(own) = self.products.get_mut(product) else {
            self.products.insert(product.into(), sums);
            return;
        };
        own.draft += sums.draft;
        own.checked_out += sums.checked_out;
        own.profiles += sums.profiles;
        own.quantity = own.quantity.wrapping_add(sums.quantity);
        sums.amounts.into_iter().for_each(|(currency, amount)| own.amount(currency, amount));
    }

    /// Adds a single removal, for bounds that are no days. Whether its profile is the first one of the product is for the
    /// caller to know.
    pub fn add_removal(&mut self, removal: &Removal, new_profile: bool) {
        let number = removal.currency().map_or(0, |currency| self.number(currency));
        let sums = self.products.entry(removal.product.as_str().into()).or_default();
        if removal.is_draft() {
            sums.draft += 1
        } else {
            sums.checked_out += 1
        }
        sums.profiles += i64::from(new_profile);
        sums.quantity = sums.quantity.wrapping_add(removal.quantity.billionths());
        if let Some(value) = removal.value() {
            sums.amount(number, value.billionths());
        }
    }

    /// The products that something was removed of, in no order.
    pub fn products(&self) -> impl Iterator<Item = (&str, &Sums)> {
        self.products.iter().map(|(product, sums)| (&**product, sums))
    }

    /// What a product's removals cost, by currency, none first.
    pub fn value(&self, sums: &Sums) -> BTreeMap<Option<&str>, Decimal> {
        let amount = |(number, amount): &(usize, i128)| {
            (self.currencies.get(*number).and_then(Option::as_deref), Decimal::from_billionths(*amount))
        };
        sums.amounts.iter().map(amount).collect()
    }

    fn number(&mut self, currency: &str) -> usize {
        let known = self.currencies.iter().position(|own| own.as_deref() == Some(currency));
        known.unwrap_or_else(|| {
            self.currencies.push(Some(currency.to_owned()));
            self.currencies.len() - 1
        })
    }
}

/// Adds up what a row has of a product, before the product is looked for.
struct Adding<'s> {
    to: &'s mut Summary,
    sums: Sums,
}

impl Adding<'_> {
    fn wants(&self, class: Class) -> bool {
        self.to.class == Class::All || self.to.class == class
    }
}

impl<'a> Sink<'a> for Adding<'_> {
    fn removed(&mut self, class: Class, times: i64, quantity: i128) {
        if self.wants(class) {
            match class {
                Class::Draft => self.sums.draft += times,
                _ => self.sums.checked_out += times,
            }
            self.sums.quantity = self.sums.quantity.wrapping_add(quantity);
        }
    }

    fn amount(&mut self, class: Class, currency: Option<&'a str>, _: i64, amount: i128) {
        if self.wants(class) {
            let number = currency.map_or(0, |currency| self.to.number(currency));
            self.sums.amount(number, amount);
        }
    }

    fn profiles(&mut self, class: Class, before: Option<i32>, count: i64) {
        // Counted on its first day within the bounds.
        if class == self.to.class && before.is_none_or(|before| before < self.to.days.0) {
            self.sums.profiles += count;
        }
    }
}
