//! A product's removals of one day, added up.

use std::collections::BTreeMap;

use weir_event::Decimal;
use weir_event::codec::{Damaged, Reader, put_bytes, put_u64};

use super::text;
use crate::change::{option, put_text};
use crate::removal::Removal;

/// Which removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Those that no order has come after.
    Draft,
    /// The others.
    CheckedOut,
    /// Both.
    All,
}

/// Removals of one class, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// How many.
    pub(crate) times: i64,
    /// How much went out, in billionths. Sums wrap around, so that what was added can be taken away: it takes 10^11
    /// removals of the largest quantity to get there.
    pub(crate) quantity: i128,
    /// By currency: how many have a value, and what it comes to in billionths.
    pub(crate) amounts: BTreeMap<Option<String>, (i64, i128)>,
}

impl Tally {
    pub(super) fn add(&mut self, removal: &Removal, sign: i64) {
        self.times += sign;
        self.quantity = self.quantity.wrapping_add(removal.quantity.billionths().wrapping_mul(sign.into()));
        if let Some(value) = removal.value() {
            let amount = self.amounts.entry(removal.currency().map(str::to_owned)).or_default();
            amount.0 += sign;
            amount.1 = amount.1.wrapping_add(value.billionths().wrapping_mul(sign.into()));
        }
        self.amounts.retain(|_, amount| *amount != (0, 0));
    }

    fn merge(&mut self, other: Self) {
        self.times += other.times;
        self.quantity = self.quantity.wrapping_add(other.quantity);
        for (currency, (count, amount)) in other.amounts {
            let own = self.amounts.entry(currency).or_default();
            own.0 += count;
            own.1 = own.1.wrapping_add(amount);
        }
        self.amounts.retain(|_, amount| *amount != (0, 0));
    }

    fn is_empty(&self) -> bool {
        (self.times, self.quantity) == (0, 0) && self.amounts.is_empty()
    }
}

/// A product's removals of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Drafts and what was checked out.
    tallies: [Tally; 2],
    /// For each [`Class`]: profiles by the day before this one on which they removed the product.
    profiles: [BTreeMap<Option<i32>, i64>; 3],
}

impl Cell {
    pub(super) fn tally(&mut self, class: Class) -> &mut Tally {
        &mut self.tallies[usize::from(class == Class::CheckedOut)]
    }

    pub(super) fn count_profile(&mut self, class: Class, before: Option<i32>, sign: i64) {
        let profiles = &mut self.profiles[class as usize];
        *profiles.entry(before).or_default() += sign;
        profiles.retain(|_, count| *count != 0);
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (own, other) in self.tallies.iter_mut().zip(other.tallies) {
            own.merge(other);
        }
        for (own, other) in self.profiles.iter_mut().zip(other.profiles) {
            for (before, count) in other {
                *own.entry(before).or_default() += count;
            }
            own.retain(|_, count| *count != 0);
        }
    }

    /// Without profiles whose day before is this one or later.
    pub(super) fn known_before(mut self, day: i32) -> Self {
        for profiles in &mut self.profiles {
            profiles.retain(|before, _| before.is_none_or(|before| before < day));
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tallies.iter().all(Tally::is_empty) && self.profiles.iter().all(BTreeMap::is_empty)
    }

    /// Tells every number with its name, that of the product in it.
    pub(super) fn numbers(&self, product: &str, each: &mut impl FnMut(&[u8], i128)) {
        let mut name = Vec::new();
        let mut tell = |what: u8, of: &dyn Fn(&mut Vec<u8>), number: i128| {
            name.clear();
            name.push(what);
            put_bytes(&mut name, product.as_bytes());
            of(&mut name);
            each(&name, number);
        };
        for (what, tally) in TIMES.into_iter().zip(&self.tallies) {
            tell(what, &|_| {}, tally.times.into());
            tell(what + 1, &|_| {}, tally.quantity);
            for (currency, (count, amount)) in &tally.amounts {
                let of = |name: &mut Vec<u8>| put_text(name, currency.as_deref());
                tell(what + 2, &of, (*count).into());
                tell(what + 3, &of, *amount);
            }
        }
        for (what, profiles) in (8..).zip(&self.profiles) {
            for (before, count) in profiles {
                tell(what, &|name| put_before(name, *before), (*count).into());
            }
        }
    }

    /// Flags, then what they say is there. Mostly a day has one class, and then both classes of profiles are the same.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let [draft, checked_out, all] = &self.profiles;
        let is_there = |n: usize| !self.tallies[n].is_empty() || !self.profiles[n].is_empty();
        let (first, second) = (is_there(0), is_there(1));
        let alike = (first && !second && draft == all) || (second && !first && checked_out == all);
        out.push(u8::from(first) | u8::from(second) << 1 | u8::from(alike) << 2);
        for n in (0..2).filter(|n| is_there(*n)) {
            let tally = &self.tallies[n];
            put_i64(out, tally.times);
            put_amount(out, tally.quantity);
            put_u64(out, tally.amounts.len() as u64);
            for (currency, (count, amount)) in &tally.amounts {
                put_text(out, currency.as_deref());
                put_i64(out, *count);
                put_amount(out, *amount);
            }
            put_profiles(out, &self.profiles[n]);
        }
        if !alike {
            put_profiles(out, all);
        }
    }
}

/// What names of numbers begin with that say how many removals there are: of drafts, and of the others. Those after each
/// are of its other numbers, those from 8 on of profiles.
pub(super) const TIMES: [u8; 2] = [0, 4];

fn put_profiles(out: &mut Vec<u8>, profiles: &BTreeMap<Option<i32>, i64>) {
    put_u64(out, profiles.len() as u64);
    for (before, count) in profiles {
        put_before(out, *before);
        put_i64(out, *count);
    }
}

fn put_before(out: &mut Vec<u8>, before: Option<i32>) {
    // Days are far from the ends of i32: the number after the day is free to stand for none.
    put_i64(out, before.map_or(0, |day| if day >= 0 { i64::from(day) + 1 } else { i64::from(day) }));
}

pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

pub(super) fn read_i64(reader: &mut Reader<'_>) -> Result<i64, Damaged> {
    let value = reader.u64()?;
    Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
}

fn put_amount(out: &mut Vec<u8>, billionths: i128) {
    Decimal::from_billionths(billionths).write(out);
}

fn read_amount(reader: &mut Reader<'_>) -> Result<i128, Damaged> {
    Decimal::read(reader).map(Decimal::billionths)
}

/// What a cell is read into.
pub(super) trait Sink<'a> {
    /// How often and how much was removed.
    fn removed(&mut self, class: Class, times: i64, quantity: i128);
    /// The value of how many removals, in a currency (`None`: of none), which need not be UTF-8.
    fn amount(&mut self, class: Class, currency: Option<&'a [u8]>, count: i64, amount: i128) -> Result<(), Damaged>;
    /// So many profiles, whose day before was this one.
    fn profiles(&mut self, class: Class, before: Option<i32>, count: i64);
}

pub(super) fn read<'a>(bytes: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), Damaged> {
    let mut reader = Reader(bytes);
    let flags = reader.u8()?;
    if flags > 7 {
        return Err(Damaged("unknown flags of a cell"));
    }
    let alike = flags & 4 != 0;
    for (class, _) in [(Class::Draft, 1), (Class::CheckedOut, 2)].into_iter().filter(|(_, bit)| flags & bit != 0) {
        let times = read_i64(&mut reader)?;
        sink.removed(class, times, read_amount(&mut reader)?);
        for _ in 0..reader.u64()? {
            let currency = option(&mut reader, Reader::bytes)?;
            let count = read_i64(&mut reader)?;
            sink.amount(class, currency, count, read_amount(&mut reader)?)?;
        }
        for _ in 0..reader.u64()? {
            let (before, count) = read_profiles(&mut reader)?;
            sink.profiles(class, before, count);
            if alike {
                sink.profiles(Class::All, before, count);
            }
        }
    }
    if !alike {
        for _ in 0..reader.u64()? {
            let (before, count) = read_profiles(&mut reader)?;
            sink.profiles(Class::All, before, count);
        }
    }
    reader.finish()
}

fn read_profiles(reader: &mut Reader<'_>) -> Result<(Option<i32>, i64), Damaged> {
    let before = match read_i64(reader)? {
        0 => None,
        day => {
            let day = if day > 0 { day - 1 } else { day };
            Some(i32::try_from(day).map_err(|_| Damaged("a day is out of range"))?)
        }
    };
    Ok((before, read_i64(reader)?))
}

impl Cell {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut cell = Self::default();
        read(bytes, &mut cell)?;
        Ok(cell)
    }
}

impl Sink<'_> for Cell {
    fn removed(&mut self, class: Class, times: i64, quantity: i128) {
        let tally = self.tally(class);
        (tally.times, tally.quantity) = (times, quantity);
    }

    fn amount(&mut self, class: Class, currency: Option<&[u8]>, count: i64, amount: i128) -> Result<(), Damaged> {
        let currency = currency.map(text).transpose()?;
        self.tally(class).amounts.insert(currency.map(str::to_owned), (count, amount));
        Ok(())
    }

    fn profiles(&mut self, class: Class, before: Option<i32>, count: i64) {
        self.profiles[class as usize].insert(before, count);
    }
}
