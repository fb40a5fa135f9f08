//! Removals added up by product and stretch of days, so that a summary over days reads some thousand cells instead of a
//! million removals.
//!
//! Every number here is a sum over removals, so a removal that comes, goes or is checked out is added or taken away, in any
//! order. How many *profiles* removed a product within some days is no such sum: it is made one by counting each profile
//! on each of its days together with the day before that on which it did so last. Within `[from, to)` every profile is
//! then counted once, on its first day there: that whose day before lies before `from`.
//!
//! Stretches are of one day, of 2, 4 and so on ([`LENGTHS`]): any days are [covered](cover) by few of them. What a stretch
//! says of profiles leaves out those whose day before lies in it too: they have been counted in it.
//!
//! A row holds one stretch and one of [`BUCKETS`] shares of the products. [`Changes`] are kept beside the rows until there
//! are enough of them to be worth writing rows for, and readers add them up too. Adding up rows of an ordinary table
//! was rejected: 300,000 of them take ten times as long as these bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use sha2::{Digest as _, Sha256};
use weir_event::codec::{Damaged, Reader, put_bytes};

use crate::removal::Removal;

mod cell;
mod summary;

use cell::Cell;
pub use cell::Class;
pub use summary::{OneByOne, Summary, Sums};

/// Microseconds of a day; days are those of UTC.
pub const DAY: i64 = 86_400_000_000;
/// How many days stretches of each level have; each holds a whole number of those before it. Doubling makes a month eight of
/// them at the most. Beyond it more lengths would cost more when rows are written than they save.
pub const LENGTHS: [i32; 8] = [1, 2, 4, 8, 16, 32, 128, 512];
/// Shares of the products.
pub const BUCKETS: u8 = 64;

/// The day of an instant, counted from 1970-01-01.
pub fn day_of(at: i64) -> i32 {
    // Instants are those of the years 1 to 9999.
    i32::try_from(at.div_euclid(DAY)).unwrap_or(if at < 0 { i32::MIN } else { i32::MAX })
}

/// Stretches of one level, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretches {
    /// Which of [`LENGTHS`] each has.
    pub level: i32,
    /// Which: their days divided by their length.
    pub numbers: Range<i32>,
}

/// The fewest stretches that together are these days.
pub fn cover(days: Range<i32>) -> Vec<Stretches> {
    let mut found = Vec::new();
    let (mut from, mut to) = (days.start, days.end);
    for (level, length) in (0..).zip(LENGTHS) {
        // How many of them make one of the next level.
        let count = length_of(level + 1).map_or(1, |next| next / length);
        let up = from.div_euclid(count) + i32::from(from.rem_euclid(count) != 0);
        let down = to.div_euclid(count);
        if count == 1 || up >= down {
            found.push(Stretches { level, numbers: from..to });
            break;
        }
        found.push(Stretches { level, numbers: from..up * count });
        found.push(Stretches { level, numbers: down * count..to });
        (from, to) = (up, down);
    }
    found.retain(|stretches| !stretches.numbers.is_empty());
    found
}

fn length_of(level: i32) -> Option<i32> {
    LENGTHS.get(usize::try_from(level).ok()?).copied()
}

/// Names a row of sums. Wider than it need be: a row whose key was changed by hand can still be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which of [`LENGTHS`] its stretch has.
    pub level: i32,
    /// Which of that length: its days divided by the length.
    pub number: i32,
    /// Which share of the products.
    pub bucket: i32,
}

impl Place {
    /// The days that it sums up; none, if there is no such level.
    pub fn days(self) -> Range<i32> {
        let length = length_of(self.level).unwrap_or(0);
        let from = self.number.saturating_mul(length);
        from..from.saturating_add(length)
    }

    /// Where a day of a share of products is summed up.
    fn all(day: i32, bucket: i32) -> impl Iterator<Item = Self> {
        let place = move |(level, length): (i32, i32)| Self { level, number: day.div_euclid(length), bucket };
        (0..).zip(LENGTHS).map(place)
    }
}

/// The share of a product. The same on every machine: it is in tables.
fn bucket(product: &str) -> i32 {
    (Sha256::digest(product.as_bytes())[0] % BUCKETS).into()
}

/// What is to be added to sums, by product and day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<(String, i32), Cell>);

impl Changes {
    /// A profile's removals were `before`, and are `after`; each holds all of them.
    pub fn replace(&mut self, before: &[Removal], after: &[Removal]) {
        let (before, after) = (by_product(before), by_product(after));
        for (product, removals) in &before {
            if after.get(product) != Some(removals) {
                self.add(product, removals, -1);
            }
        }
        for (product, removals) in &after {
            if before.get(product) != Some(removals) {
                self.add(product, removals, 1);
            }
        }
    }

    fn add(&mut self, product: &str, removals: &[&Removal], sign: i64) {
        let mut days: BTreeMap<Class, Vec<i32>> = BTreeMap::new();
        for removal in removals {
            let day = day_of(removal.event.at);
            let class = if removal.is_draft() { Class::Draft } else { Class::CheckedOut };
            self.cell(product, day).tally(class).add(removal, sign);
            for class in [class, Class::All] {
                days.entry(class).or_default().push(day);
            }
        }
        for (class, mut days) in days {
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

    /// The changes as bytes: none, if they come to nothing.
    pub fn encode(&self) -> Vec<u8> {
        let (mut out, mut bytes) = (vec![VERSION], Vec::new());
        for ((product, day), cell) in self.0.iter().filter(|(_, cell)| !cell.is_empty()) {
            bytes.clear();
            cell.write(&mut bytes);
            put_bytes(&mut out, product.as_bytes());
            cell::put_i64(&mut out, (*day).into());
            put_bytes(&mut out, &bytes);
        }
        if out.len() > 1 { out } else { Vec::new() }
    }

    /// Adds changes from their bytes.
    ///
    /// # Errors
    /// The bytes aren't what [`Changes::encode`] made.
    pub fn add_encoded(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        for part in ChangedParts::of(bytes)? {
            let (product, day, cell) = part?;
            self.cell(text(product)?, day).merge(Cell::read(cell)?);
        }
        Ok(())
    }

    /// What is to be added to each row, the rows in order; what comes to nothing is left out.
    pub fn by_place(self) -> BTreeMap<Place, RowChanges> {
        let mut places: BTreeMap<Place, RowChanges> = BTreeMap::new();
        for ((product, day), cell) in self.0 {
            if cell.is_empty() {
                continue;
            }
            for place in Place::all(day, bucket(&product)) {
                let products = &mut places.entry(place).or_default().0;
                products.entry(product.clone()).or_default().merge(cell.clone().known_before(place.days().start));
            }
        }
        places
    }
}

fn by_product(removals: &[Removal]) -> BTreeMap<&str, Vec<&Removal>> {
    let mut products: BTreeMap<&str, Vec<&Removal>> = BTreeMap::new();
    for removal in removals {
        products.entry(&removal.product).or_default().push(removal);
    }
    products
}

/// What is to be added to one row, by product.
#[derive(Clone, Debug, Default)]
pub struct RowChanges(BTreeMap<String, Cell>);

impl RowChanges {
    /// Adds the changes to a row; no bytes are no sums, before and after.
    ///
    /// # Errors
    /// The row isn't what this function made.
    pub fn apply(self, row: &[u8]) -> Result<Vec<u8>, Damaged> {
        let mut out = Vec::with_capacity(row.len() + 32 * self.0.len());
        out.push(VERSION);
        let mut changes = self.0.into_iter().peekable();
        for part in Parts::of(row)? {
            let (product, bytes) = part?;
            let product = text(product)?;
            while let Some((product, cell)) = changes.next_if(|(changed, _)| changed.as_str() < product) {
                put_product(&mut out, &product, &cell);
            }
            match changes.next_if(|(changed, _)| changed == product) {
                Some((_, mut cell)) => {
                    cell.merge(Cell::read(bytes)?);
                    put_product(&mut out, product, &cell);
                }
                // Most of a row is as it was.
                None => {
                    put_bytes(&mut out, product.as_bytes());
                    put_bytes(&mut out, bytes);
                }
            }
        }
        for (product, cell) in changes {
            put_product(&mut out, &product, &cell);
        }
        Ok(if out.len() > 1 { out } else { Vec::new() })
    }
}

/// Tells every number of a row with its name, for whoever compares rows. Numbers of one name add up: those of a row and of
/// [changes](numbers_of_changes) that are still to be added to it are together those of the row afterwards.
///
/// # Errors
/// The row isn't, byte for byte, what [`RowChanges::apply`] makes.
pub fn numbers(row: &[u8], mut each: impl FnMut(&[u8], i128)) -> Result<(), Damaged> {
    let mut products = BTreeMap::new();
    for part in Parts::of(row)? {
        let (product, bytes) = part?;
        products.insert(text(product)?.to_owned(), Cell::read(bytes)?);
    }
    let products = RowChanges(products);
    products.0.iter().for_each(|(product, cell)| cell.numbers(product, &mut each));
    if products.apply(&[])? == row { Ok(()) } else { Err(Damaged("sums that nobody wrote so")) }
}

/// Whether a number of this name says how many removals there are.
pub fn counts_removals(name: &[u8]) -> bool {
    name.first().is_some_and(|what| cell::TIMES.contains(what))
}

/// Tells every number that changes add to rows, with the row's place and the number's name.
///
/// # Errors
/// The bytes aren't, byte for byte, what [`Changes::encode`] makes.
pub fn numbers_of_changes(bytes: &[u8], mut each: impl FnMut(Place, &[u8], i128)) -> Result<(), Damaged> {
    let mut changes = Changes::default();
    changes.add_encoded(bytes)?;
    if changes.encode() != bytes {
        return Err(Damaged("changes of sums that nobody wrote so"));
    }
    for (place, products) in changes.by_place() {
        products.0.iter().for_each(|(product, cell)| cell.numbers(product, &mut |name, n| each(place, name, n)));
    }
    Ok(())
}

/// The first byte of a row, and of changes: which encoding they are in.
const VERSION: u8 = 1;

/// Appends a product, unless nothing is left of it.
fn put_product(out: &mut Vec<u8>, product: &str, cell: &Cell) {
    if cell.is_empty() {
        return;
    }
    let mut bytes = Vec::new();
    cell.write(&mut bytes);
    put_bytes(out, product.as_bytes());
    put_bytes(out, &bytes);
}

fn begin(bytes: &[u8]) -> Result<Reader<'_>, Damaged> {
    let mut reader = Reader(bytes);
    if !bytes.is_empty() && reader.u8()? != VERSION {
        return Err(Damaged("sums of an unknown version"));
    }
    Ok(reader)
}

/// A product or a currency.
fn text(bytes: &[u8]) -> Result<&str, Damaged> {
    std::str::from_utf8(bytes).map_err(|_| Damaged("text is not UTF-8"))
}

/// The products of a row, each with the bytes of its cell.
struct Parts<'a>(Reader<'a>);

impl<'a> Parts<'a> {
    fn of(row: &'a [u8]) -> Result<Self, Damaged> {
        begin(row).map(Self)
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        next(&mut self.0, |reader| Ok((reader.bytes()?, reader.bytes()?)))
    }
}

/// The products and days of changes, each with the bytes of its cell.
struct ChangedParts<'a>(Reader<'a>);

impl<'a> ChangedParts<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, Damaged> {
        begin(bytes).map(Self)
    }
}

impl<'a> Iterator for ChangedParts<'a> {
    type Item = Result<(&'a [u8], i32, &'a [u8]), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        next(&mut self.0, |reader| Ok((reader.bytes()?, day(reader)?, reader.bytes()?)))
    }
}

/// The next part, if there is one; after one that can't be read there is none.
fn next<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Damaged>,
) -> Option<Result<T, Damaged>> {
    if reader.0.is_empty() {
        return None;
    }
    let part = read(reader);
    if part.is_err() {
        *reader = Reader(&[]);
    }
    Some(part)
}

fn day(reader: &mut Reader<'_>) -> Result<i32, Damaged> {
    i32::try_from(cell::read_i64(reader)?).map_err(|_| Damaged("a day is out of range"))
}
