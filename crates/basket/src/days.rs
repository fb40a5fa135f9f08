//! Removals added up by product and day, so that a summary over days reads a few thousand cells instead of a million
//! removals.
//!
//! Every number here is a sum over removals, so a removal that comes, goes or is checked out is added or taken away, in any
//! order. How many *profiles* removed a product within some days is no such sum: it is made one by counting each profile
//! on each of its days together with the day before that on which it did so last. Within `[from, to)` every profile is
//! then counted once, on its first day there: that whose day before lies before `from`.
//!
//! Beside its days a product has their sum: bounds that hold all of its days in a row read that alone. What it says of
//! profiles leaves out those whose day before is in the row too: within such bounds they have been counted on it.
//!
//! Cells lie in rows of [`BLOCK_DAYS`] days and one of [`BUCKETS`] shares of the products: few enough to be read at once,
//! small enough to be written with every batch. Adding up rows of an ordinary table was rejected: 300,000 of them take ten
//! times as long as these bytes.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use weir_event::codec::{Damaged, Reader, put_bytes};

use crate::removal::Removal;

mod cell;
mod summary;

use cell::Cell;
pub use cell::Class;
pub use summary::{Summary, Sums};

/// Microseconds of a day; days are those of UTC.
pub const DAY: i64 = 86_400_000_000;
/// Days of a row.
pub const BLOCK_DAYS: i32 = 32;
/// Shares of the products.
pub const BUCKETS: u8 = 64;

/// The day of an instant, counted from 1970-01-01.
pub fn day_of(at: i64) -> i32 {
    // Instants are those of the years 1 to 9999.
    i32::try_from(at.div_euclid(DAY)).unwrap_or(if at < 0 { i32::MIN } else { i32::MAX })
}

/// Names a row of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which stretch of days: a day divided by [`BLOCK_DAYS`].
    pub block: i32,
    /// Which share of the products.
    pub bucket: u8,
}

impl Place {
    /// Where a product's cell of a day lies. The same on every machine: it is in tables.
    pub fn of(product: &str, day: i32) -> Self {
        Self { block: day.div_euclid(BLOCK_DAYS), bucket: Sha256::digest(product.as_bytes())[0] % BUCKETS }
    }
}

type Cells = BTreeMap<(String, i32), Cell>;

/// What is to be added to cells.
#[derive(Clone, Debug, Default)]
pub struct Changes(Cells);

impl Changes {
    /// A profile's removals were `before`, and are `after`. Both hold all of the profile's removals of each product that
    /// they hold.
    pub fn replace(&mut self, before: &[Removal], after: &[Removal]) {
        self.add(before, -1);
        self.add(after, 1);
    }

    fn add(&mut self, removals: &[Removal], sign: i64) {
        let mut days: BTreeMap<(&str, Class), Vec<i32>> = BTreeMap::new();
        for removal in removals {
            let day = day_of(removal.event.at);
            let class = if removal.is_draft() { Class::Draft } else { Class::CheckedOut };
            self.cell(&removal.product, day).tally(class).add(removal, sign);
            for class in [class, Class::All] {
                days.entry((&removal.product, class)).or_default().push(day);
            }
        }
        for ((product, class), mut days) in days {
            days.sort_unstable();
            days.dedup();
            let mut before = None;
            for day in days {
                self.cell(product, day).count_profile(class, before, sign);
                before = Some(day);
            }
        }
    }

    fn cell(&mut self, product: &str, day: i32) -> &mut Cell {
        self.0.entry((product.to_owned(), day)).or_default()
    }

    /// The changes of each row, the rows in order; what comes to nothing is left out.
    pub fn by_place(self) -> BTreeMap<Place, Changes> {
        let mut places: BTreeMap<Place, Changes> = BTreeMap::new();
        for ((product, day), cell) in self.0 {
            if !cell.is_empty() {
                places.entry(Place::of(&product, day)).or_default().0.insert((product, day), cell);
            }
        }
        places
    }

    /// Adds the changes to a row; no bytes are no cells, before and after.
    ///
    /// # Errors
    /// The row isn't what this function made.
    pub fn apply(self, row: &[u8]) -> Result<Vec<u8>, Damaged> {
        let mut products: BTreeMap<String, BTreeMap<i32, Cell>> = BTreeMap::new();
        for ((product, day), cell) in self.0 {
            products.entry(product).or_default().insert(day, cell);
        }
        let mut out = Vec::with_capacity(row.len() + 64 * products.len());
        out.push(VERSION);
        let mut changes = products.into_iter().peekable();
        for part in Parts::of(row)? {
            let (product, days) = part?;
            while let Some((product, cells)) = changes.next_if(|(changed, _)| changed.as_str() < product) {
                put_product(&mut out, &product, cells);
            }
            match changes.next_if(|(changed, _)| changed == product) {
                Some((_, cells)) => put_product(&mut out, product, merged(days, cells)?),
                // Most of a row is as it was.
                None => {
                    put_bytes(&mut out, product.as_bytes());
                    put_bytes(&mut out, days);
                }
            }
        }
        for (product, cells) in changes {
            put_product(&mut out, &product, cells);
        }
        Ok(if out.len() > 1 { out } else { Vec::new() })
    }
}

/// The first byte of a row: which encoding it is in.
const VERSION: u8 = 1;

/// Appends a product with its days, unless nothing is left of it.
fn put_product(out: &mut Vec<u8>, product: &str, mut cells: BTreeMap<i32, Cell>) {
    cells.retain(|_, cell| !cell.is_empty());
    let (Some((first, _)), Some((last, _))) = (cells.first_key_value(), cells.last_key_value()) else { return };
    let (mut days, mut bytes, mut sum) = (Vec::new(), Vec::new(), Cell::default());
    cell::put_i64(&mut days, (*first).into());
    cell::put_i64(&mut days, (*last).into());
    let begin = first.div_euclid(BLOCK_DAYS) * BLOCK_DAYS;
    cells.values().for_each(|cell| sum.merge(cell.clone().known_before(begin)));
    sum.write(&mut bytes);
    put_bytes(&mut days, &bytes);
    for (day, cell) in cells {
        bytes.clear();
        cell.write(&mut bytes);
        cell::put_i64(&mut days, day.into());
        put_bytes(&mut days, &bytes);
    }
    put_bytes(out, product.as_bytes());
    put_bytes(out, &days);
}

/// A product's days with changes added.
fn merged(days: &[u8], changes: BTreeMap<i32, Cell>) -> Result<BTreeMap<i32, Cell>, Damaged> {
    let mut cells = changes;
    Product::read(days)?.each_day(|day, bytes| {
        let known = Cell::read(bytes)?;
        cells.entry(day).or_default().merge(known);
        Ok(())
    })?;
    Ok(cells)
}

/// What a row has of a product.
struct Product<'a> {
    /// The first day and the last.
    first: i32,
    last: i32,
    /// The bytes of the sum of all its days.
    sum: &'a [u8],
    days: Reader<'a>,
}

impl<'a> Product<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut days = Reader(bytes);
        Ok(Self { first: day(&mut days)?, last: day(&mut days)?, sum: days.bytes()?, days })
    }

    /// Calls `visit` with each day and the bytes of its cell.
    fn each_day(mut self, mut visit: impl FnMut(i32, &'a [u8]) -> Result<(), Damaged>) -> Result<(), Damaged> {
        while !self.days.0.is_empty() {
            let day = day(&mut self.days)?;
            visit(day, self.days.bytes()?)?;
        }
        Ok(())
    }
}

fn day(reader: &mut Reader<'_>) -> Result<i32, Damaged> {
    i32::try_from(cell::read_i64(reader)?).map_err(|_| Damaged("a day is out of range"))
}

/// The products of a row, each with the bytes of its days.
struct Parts<'a>(Reader<'a>);

impl<'a> Parts<'a> {
    fn of(row: &'a [u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(row);
        if !row.is_empty() && reader.u8()? != VERSION {
            return Err(Damaged("cells of an unknown version"));
        }
        Ok(Self(reader))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(&'a str, &'a [u8]), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let part = self.0.text().and_then(|product| Ok((product, self.0.bytes()?)));
        if part.is_err() {
            self.0 = Reader(&[]);
        }
        Some(part)
    }
}
