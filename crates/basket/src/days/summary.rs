//! Cells added up over days, by product.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use smallvec::SmallVec;
use weir_event::Decimal;
use weir_event::codec::Damaged;

use super::cell::{self, Sink};
use super::{ChangedParts, Class, Parts};
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
    /// By the number of the currency (0 is none): how many have a value, and what it comes to in billionths.
    amounts: SmallVec<[(usize, i64, i128); 1]>,
}

impl Sums {
    /// How many removals.
    pub fn times(&self) -> i64 {
        self.draft + self.checked_out
    }

    /// The largest of its amounts, of whatever currency: what it is worth in an order by value. `None` without any.
    pub fn largest(&self) -> Option<i128> {
        self.valued().map(|(_, amount)| amount).max()
    }

    /// Amounts of currencies that there is anything of.
    fn valued(&self) -> impl Iterator<Item = (usize, i128)> {
        self.amounts.iter().filter(|(_, count, _)| *count != 0).map(|(currency, _, amount)| (*currency, *amount))
    }

    /// Adds sums whose currencies have other numbers: `currencies` says which.
    fn merge(&mut self, other: Self, currencies: &[usize]) {
        self.draft += other.draft;
        self.checked_out += other.checked_out;
        self.profiles += other.profiles;
        self.quantity = self.quantity.wrapping_add(other.quantity);
        for (currency, count, amount) in other.amounts {
            self.amount(currencies[currency], count, amount);
        }
    }

    fn amount(&mut self, currency: usize, count: i64, amount: i128) {
        match self.amounts.iter_mut().find(|(own, ..)| *own == currency) {
            Some((_, own, sum)) => (*own, *sum) = (*own + count, sum.wrapping_add(amount)),
            None => self.amounts.push((currency, count, amount)),
        }
    }
}

/// Products that there is room for from the beginning.
const ROOM: usize = 1_024;

/// The sums of each product. Rows of one share name nearly the same products in one order, so most need not be searched for.
#[derive(Debug)]
struct Products {
    sums: IndexMap<Box<str>, Sums, rapidhash::fast::RandomState>,
    /// The place of the product that is likely to come next.
    next: usize,
}

impl Products {
    fn new() -> Self {
        Self { sums: IndexMap::with_capacity_and_hasher(ROOM, rapidhash::fast::RandomState::default()), next: 0 }
    }

    fn of(&mut self, product: &str) -> &mut Sums {
        let expected = self.sums.get_index(self.next).is_some_and(|(known, _)| **known == *product);
        let place = if expected { Some(self.next) } else { self.sums.get_index_of(product) };
        let place = place.unwrap_or_else(|| self.sums.insert_full(product.into(), Sums::default()).0);
        self.next = place + 1;
        &mut self.sums[place]
    }
}

/// A summary in the making.
#[derive(Debug)]
pub struct Summary {
    class: Class,
    /// From the first on, up to the second.
    days: (i32, i32),
    products: Products,
    /// Currencies met, by number; the first stands for none.
    currencies: Vec<Option<String>>,
}

impl Summary {
    /// An empty summary of removals of a class, on days from the first on, up to the second.
    pub fn new(class: Class, days: (i32, i32)) -> Self {
        Self { class, days, products: Products::new(), currencies: vec![None] }
    }

    /// Adds a row of a stretch within its days. Rows may come in any order.
    ///
    /// # Errors
    /// The row isn't one that [`RowChanges::apply`](super::RowChanges::apply) made.
    pub fn add(&mut self, row: &[u8]) -> Result<(), Damaged> {
        for part in Parts::of(row)? {
            let (product, bytes) = part?;
            cell::read(bytes, &mut self.adding(product))?;
        }
        Ok(())
    }

    /// Adds what changes say of its days.
    ///
    /// # Errors
    /// The bytes aren't what [`Changes::encode`](super::Changes::encode) made.
    pub fn add_changes(&mut self, changes: &[u8]) -> Result<(), Damaged> {
        let (from, to) = self.days;
        for part in ChangedParts::of(changes)? {
            let (product, day, bytes) = part?;
            if from <= day && day < to {
                cell::read(bytes, &mut self.adding(product))?;
            }
        }
        Ok(())
    }

    fn adding(&mut self, product: &str) -> Adding<'_> {
        let sums = self.products.of(product);
        Adding { class: self.class, from: self.days.0, sums, currencies: &mut self.currencies }
    }

    /// Adds another summary of the same class and days, of other rows.
    pub fn merge(&mut self, other: Self) {
        let currencies: Vec<usize> =
            other.currencies.iter().map(|currency| number(&mut self.currencies, currency.as_deref())).collect();
        for (product, sums) in other.products.sums {
            self.products.of(&product).merge(sums, &currencies);
        }
    }

    /// Adds a single removal, for bounds that are no days. Whether its profile is the first one of the product is for the
    /// caller to know.
    pub fn add_removal(&mut self, removal: &Removal, new_profile: bool) {
        let number = number(&mut self.currencies, removal.currency());
        let sums = self.products.of(&removal.product);
        if removal.is_draft() {
            sums.draft += 1
        } else {
            sums.checked_out += 1
        }
        sums.profiles += i64::from(new_profile);
        sums.quantity = sums.quantity.wrapping_add(removal.quantity.billionths());
        if let Some(value) = removal.value() {
            sums.amount(number, 1, value.billionths());
        }
    }

    /// The products that something was removed of, in no order.
    pub fn products(&self) -> impl Iterator<Item = (&str, &Sums)> {
        self.products.sums.iter().filter(|(_, sums)| sums.times() != 0).map(|(product, sums)| (&**product, sums))
    }

    /// What a product's removals cost, by currency, none first.
    pub fn value(&self, sums: &Sums) -> BTreeMap<Option<&str>, Decimal> {
        let amount = |(number, amount): (usize, i128)| {
            (self.currencies.get(number).and_then(Option::as_deref), Decimal::from_billionths(amount))
        };
        sums.valued().map(amount).collect()
    }
}

/// The number of a currency; one that is new gets the next.
fn number(currencies: &mut Vec<Option<String>>, currency: Option<&str>) -> usize {
    let known = currencies.iter().position(|own| own.as_deref() == currency);
    known.unwrap_or_else(|| {
        currencies.push(currency.map(str::to_owned));
        currencies.len() - 1
    })
}

/// Adds a cell to the sums of its product.
struct Adding<'s> {
    class: Class,
    /// The first of the summary's days.
    from: i32,
    sums: &'s mut Sums,
    currencies: &'s mut Vec<Option<String>>,
}

impl Adding<'_> {
    fn wants(&self, class: Class) -> bool {
        self.class == Class::All || self.class == class
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

    fn amount(&mut self, class: Class, currency: Option<&'a str>, count: i64, amount: i128) {
        if self.wants(class) {
            self.sums.amount(number(self.currencies, currency), count, amount);
        }
    }

    fn profiles(&mut self, class: Class, before: Option<i32>, count: i64) {
        // Counted on its first day within the bounds.
        if class == self.class && before.is_none_or(|before| before < self.from) {
            self.sums.profiles += count;
        }
    }
}
