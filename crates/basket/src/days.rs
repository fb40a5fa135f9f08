//! Removals added up by product and day, so that a summary over days reads a few thousand cells instead of a million
//! removals.
//!
//! Every number here is a sum over removals, so a removal that comes, goes or is checked out is added or taken away, in any
//! order. How many *profiles* removed a product within some days is no such sum: it is made one by counting each profile
//! on each of its days together with the day before that on which it did so last. Within `[from, to)` every profile is
//! then counted once, on its first day there: that whose day before lies before `from`.
//!
//! Cells lie in rows of [`BLOCK_DAYS`] days and one of [`BUCKETS`] shares of the products: few enough to be read at once,
//! small enough to be written with every batch. Adding up rows of an ordinary table was rejected: 300,000 of them take ten
//! times as long as these bytes.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use weir_event::codec::{Damaged, Reader, put_bytes, put_u64};

use crate::removal::Removal;

mod cell;
mod summary;

pub use cell::{Cell, Class, Tally};
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
        let mut cells = decode(row)?;
        for (key, change) in self.0 {
            let cell = cells.entry(key).or_default();
            cell.merge(change);
        }
        cells.retain(|_, cell| !cell.is_empty());
        Ok(encode(&cells))
    }
}

/// The first byte of a row: which encoding it is in.
const VERSION: u8 = 1;

/// Currencies in front; then each product with its days.
fn encode(cells: &Cells) -> Vec<u8> {
    if cells.is_empty() {
        return Vec::new();
    }
    let mut currencies: Vec<&str> = cells.values().flat_map(Cell::currencies).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let mut out = vec![VERSION];
    put_u64(&mut out, currencies.len() as u64);
    currencies.iter().for_each(|currency| put_bytes(&mut out, currency.as_bytes()));
    let mut rest = cells.iter().peekable();
    while let Some(((product, _), _)) = rest.peek() {
        let mut days = Vec::new();
        while let Some(((_, day), cell)) = rest.next_if(|((other, _), _)| other == product) {
            days.push((*day, cell));
        }
        put_bytes(&mut out, product.as_bytes());
        put_u64(&mut out, days.len() as u64);
        for (day, cell) in days {
            out.extend_from_slice(&day.to_be_bytes());
            cell.write(&currencies, &mut out);
        }
    }
    out
}

/// What a row of cells is read into.
trait Sink<'a> {
    /// A currency that amounts are of; they name it by its number from 0 on.
    fn currency(&mut self, currency: &'a str);
    /// What follows is of this product.
    fn product(&mut self, product: &'a str);
    /// What follows is of this day; answers whether it is wanted.
    fn day(&mut self, day: i32) -> bool;
    /// How often and how much was removed.
    fn removed(&mut self, class: Class, times: i64, quantity: i128);
    /// The value of how many removals, in a currency (`None`: of none).
    fn amount(&mut self, class: Class, currency: Option<usize>, count: i64, amount: i128);
    /// So many profiles, whose day before was this one.
    fn profiles(&mut self, class: Class, before: Option<i32>, count: i64);
}

fn read<'a>(row: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Damaged> {
    if row.is_empty() {
        return Ok(());
    }
    let mut reader = Reader(row);
    if reader.u8()? != VERSION {
        return Err(Damaged("cells of an unknown version"));
    }
    for _ in 0..reader.u64()? {
        sink.currency(reader.text()?);
    }
    while !reader.0.is_empty() {
        sink.product(reader.text()?);
        for _ in 0..reader.u64()? {
            let day = i32::from_be_bytes(reader.array()?);
            if sink.day(day) {
                cell::read(&mut reader, sink)?;
            } else {
                cell::read(&mut reader, &mut cell::Unwanted)?;
            }
        }
    }
    Ok(())
}

fn decode(row: &[u8]) -> Result<Cells, Damaged> {
    let mut decoded = cell::Decoded::default();
    read(row, &mut decoded)?;
    decoded.finish()
}
