//! Cells added up over days, by product.

use std::collections::{BTreeMap, HashMap, HashSet};

use smallvec::SmallVec;
use weir_event::codec::Damaged;
use weir_event::{Decimal, ProfileId};

use super::cell::{self, Sink};
use super::{ChangedParts, Class, Parts, bucket, text};
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

    /// Adds sums whose currencies have the same numbers.
    fn merge(&mut self, other: Self) {
        self.draft += other.draft;
        self.checked_out += other.checked_out;
        self.profiles += other.profiles;
        self.quantity = self.quantity.wrapping_add(other.quantity);
        for (currency, count, amount) in other.amounts {
            self.amount(currency, count, amount);
        }
    }

    fn amount(&mut self, currency: usize, count: i64, amount: i128) {
        match self.amounts.iter_mut().find(|(own, ..)| *own == currency) {
            Some((_, own, sum)) => (*own, *sum) = (*own + count, sum.wrapping_add(amount)),
            None => self.amounts.push((currency, count, amount)),
        }
    }
}

/// A product with its sums. Ordered by share, then by product: as rows hold them.
#[derive(Debug)]
struct Product {
    bucket: i32,
    name: Box<str>,
    sums: Sums,
}

impl Product {
    fn place(&self) -> (i32, &str) {
        (self.bucket, &self.name)
    }
}

/// What removals of a class come to, on days from the first on, up to the second.
#[derive(Debug)]
pub struct Summary {
    class: Class,
    days: (i32, i32),
    /// In their order, each once.
    products: Vec<Product>,
    /// Currencies met, by number; the first stands for none.
    currencies: Vec<Option<String>>,
}

impl Summary {
    /// Of nothing.
    pub fn new(class: Class, days: (i32, i32)) -> Self {
        Self { class, days, products: Vec::new(), currencies: vec![None] }
    }

    /// Of rows of stretches within its days, each with its share of the products.
    ///
    /// # Errors
    /// A row isn't one that [`RowChanges::apply`](super::RowChanges::apply) made.
    pub fn of_rows(class: Class, days: (i32, i32), mut rows: Vec<(i32, Vec<u8>)>) -> Result<Self, Damaged> {
        let mut summary = Self::new(class, days);
        rows.sort_by_key(|(bucket, _)| *bucket);
        for rows in rows.chunk_by(|(one, _), (other, _)| one == other) {
            summary.add_share(rows[0].0, rows.iter().map(|(_, row)| row.as_slice()))?;
        }
        Ok(summary)
    }

    /// Adds the rows of one share. They name nearly the same products in one order, so none is searched for.
    fn add_share<'a>(&mut self, bucket: i32, rows: impl Iterator<Item = &'a [u8]>) -> Result<(), Damaged> {
        let mut rows: Vec<Run<'a>> = rows.map(Run::of).collect::<Result<_, _>>()?;
        while let Some(product) = rows.iter().filter_map(Run::product).min() {
            let mut sums = Sums::default();
            for row in &mut rows {
                if let Some(cell) = row.next_if(product)? {
                    cell::read(cell, &mut self.adding(&mut sums))?;
                }
            }
            self.products.push(Product { bucket, name: text(product)?.into(), sums });
        }
        Ok(())
    }

    /// Of what changes say of its days.
    ///
    /// # Errors
    /// The bytes aren't what [`Changes::encode`](super::Changes::encode) made.
    pub fn of_changes(class: Class, days: (i32, i32), changes: Vec<Vec<u8>>) -> Result<Self, Damaged> {
        let mut cells = Vec::new();
        for changes in &changes {
            for part in ChangedParts::of(changes)? {
                let (product, day, cell) = part?;
                if days.0 <= day && day < days.1 {
                    cells.push((product, cell));
                }
            }
        }
        cells.sort_by_key(|(product, _)| *product);
        let mut summary = Self::new(class, days);
        for cells in cells.chunk_by(|(one, _), (other, _)| one == other) {
            let mut sums = Sums::default();
            for (_, cell) in cells {
                cell::read(cell, &mut summary.adding(&mut sums))?;
            }
            let name = text(cells[0].0)?;
            summary.products.push(Product { bucket: bucket(name), name: name.into(), sums });
        }
        summary.products.sort_by_key(|product| product.bucket);
        Ok(summary)
    }

    fn adding<'s>(&'s mut self, sums: &'s mut Sums) -> Adding<'s> {
        Adding { class: self.class, from: self.days.0, sums, currencies: &mut self.currencies }
    }

    /// Adds another summary of the same class and days, of other rows or changes.
    pub fn merge(&mut self, other: Self) {
        let currencies: Vec<usize> =
            other.currencies.iter().map(|currency| number(&mut self.currencies, currency.as_deref())).collect();
        let first = other.products.first().map(Product::place);
        // Where the first one is, or would be: mostly behind all others.
        let mut at = self.products.partition_point(|own| first.is_some_and(|first| own.place() < first));
        let (length, mut in_order) = (self.products.len(), true);
        for mut other in other.products {
            other.sums.amounts.iter_mut().for_each(|(currency, ..)| *currency = currencies[*currency]);
            while at < length && self.products[at].place() < other.place() {
                at += 1;
            }
            if at < length && self.products[at].place() == other.place() {
                self.products[at].sums.merge(other.sums);
            } else {
                in_order &= at == length;
                self.products.push(other);
            }
        }
        if !in_order {
            self.products.sort_by(|one, other| one.place().cmp(&other.place()));
        }
    }

    /// The products that something was removed of, in no order.
    pub fn products(&self) -> impl Iterator<Item = (&str, &Sums)> {
        self.products.iter().filter(|product| product.sums.times() != 0).map(|product| (&*product.name, &product.sums))
    }

    /// What a product's removals cost, by currency, none first.
    pub fn value(&self, sums: &Sums) -> BTreeMap<Option<&str>, Decimal> {
        let amount = |(number, amount): (usize, i128)| {
            (self.currencies.get(number).and_then(Option::as_deref), Decimal::from_billionths(amount))
        };
        sums.valued().map(amount).collect()
    }
}

/// A row that is being read, a product after the other.
struct Run<'a> {
    parts: Parts<'a>,
    next: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Run<'a> {
    fn of(row: &'a [u8]) -> Result<Self, Damaged> {
        let mut parts = Parts::of(row)?;
        let next = parts.next().transpose()?;
        Ok(Self { parts, next })
    }

    fn product(&self) -> Option<&'a [u8]> {
        self.next.map(|(product, _)| product)
    }

    /// The cell of the product, if that is the next one.
    fn next_if(&mut self, product: &[u8]) -> Result<Option<&'a [u8]>, Damaged> {
        let Some((_, cell)) = self.next.filter(|(next, _)| *next == product) else { return Ok(None) };
        self.next = self.parts.next().transpose()?;
        if self.product().is_some_and(|next| next <= product) {
            return Err(Damaged("sums name products in another order than theirs"));
        }
        Ok(Some(cell))
    }
}

/// Removals added up one by one, for bounds that aren't days.
#[derive(Debug)]
pub struct OneByOne {
    products: HashMap<String, (Sums, HashSet<ProfileId>)>,
    currencies: Vec<Option<String>>,
}

impl Default for OneByOne {
    fn default() -> Self {
        Self { products: HashMap::new(), currencies: vec![None] }
    }
}

impl OneByOne {
    /// Adds a removal of a profile.
    pub fn add(&mut self, profile: ProfileId, removal: &Removal) {
        let (sums, profiles) = self.products.entry(removal.product.clone()).or_default();
        if removal.is_draft() {
            sums.draft += 1
        } else {
            sums.checked_out += 1
        }
        sums.profiles += i64::from(profiles.insert(profile));
        sums.quantity = sums.quantity.wrapping_add(removal.quantity.billionths());
        if let Some(value) = removal.value() {
            sums.amount(number(&mut self.currencies, removal.currency()), 1, value.billionths());
        }
    }

    /// What they come to.
    pub fn into_summary(self, class: Class, days: (i32, i32)) -> Summary {
        let product =
            |(name, (sums, _)): (String, (Sums, _))| Product { bucket: bucket(&name), name: name.into(), sums };
        let mut products: Vec<Product> = self.products.into_iter().map(product).collect();
        products.sort_by(|one, other| one.place().cmp(&other.place()));
        Summary { class, days, products, currencies: self.currencies }
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

    fn amount(&mut self, class: Class, currency: Option<&'a [u8]>, count: i64, amount: i128) -> Result<(), Damaged> {
        if self.wants(class) {
            let known = self.currencies.iter().position(|own| own.as_ref().map(String::as_bytes) == currency);
            let number = match known {
                Some(number) => number,
                None => number(self.currencies, currency.map(text).transpose()?),
            };
            self.sums.amount(number, count, amount);
        }
        Ok(())
    }

    fn profiles(&mut self, class: Class, before: Option<i32>, count: i64) {
        // Counted on its first day within the bounds.
        if class == self.class && before.is_none_or(|before| before < self.from) {
            self.sums.profiles += count;
        }
    }
}
