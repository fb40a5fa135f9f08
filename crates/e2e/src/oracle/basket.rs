//! What lies in baskets, and what was taken out of them: every basket event of a profile, one after the other, each time
//! that it is asked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use uuid::Uuid;

use super::basket_event::{self, BasketEvent};
use super::record::{Event, Order};
use super::{Decimal, WorkspaceOracle};

/// Sums by currency; without one is a currency, too.
pub type Amounts = BTreeMap<Option<String>, Decimal>;

/// A profile's basket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasketView {
    /// What lies in it, by product.
    pub lines: BTreeMap<String, BasketLine>,
    /// What that costs.
    pub value: Amounts,
    /// `at` of the latest basket event, whatever it did.
    pub updated_at: Option<i64>,
}

/// A product in a basket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasketLine {
    /// What it was last called.
    pub name: Option<String>,
    /// How much of it there is, never nothing.
    pub quantity: Decimal,
    /// What one last cost.
    pub price: Option<Decimal>,
    /// In which currency.
    pub currency: Option<String>,
    /// When it was last put in.
    pub added_at: i64,
}

/// Something that went out of a basket other than by an order.
#[derive(Clone, Debug)]
pub struct RemovalView<'a> {
    /// Whose basket it was.
    pub profile: Uuid,
    /// The event that did it.
    pub event: &'a Event,
    /// Which product.
    pub product: String,
    /// What was in the basket before, but with the quantity that went out.
    pub line: BasketLine,
    /// Price times quantity; nothing without a price, and at 10¹⁸ and more.
    pub value: Option<Decimal>,
    /// The first order after it, if there is one: its id and when it was.
    pub checked_out: Option<(Option<String>, i64)>,
}

/// Which removals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All.
    All,
    /// Those that no order came after.
    Draft,
    /// Those that one came after.
    CheckedOut,
}

/// What comes first in a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The most removals.
    Times,
    /// The most profiles.
    Profiles,
    /// The largest amount of any one currency.
    Value,
}

/// A product of a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovedProduct {
    /// Which product.
    pub product: String,
    /// What it was called when it last went out.
    pub name: Option<String>,
    /// How often it went out.
    pub times: usize,
    /// Of how many profiles' baskets.
    pub profiles: usize,
    /// How much of it in all.
    pub quantity: Decimal,
    /// What that cost.
    pub value: Amounts,
    /// How many of the times no order came after.
    pub draft: usize,
    /// How many an order came after.
    pub checked_out: usize,
    /// When it last went out.
    pub last_removed_at: i64,
}

impl RemovalView<'_> {
    fn is_draft(&self) -> bool {
        self.checked_out.is_none()
    }
}

impl Status {
    /// Whether a removal is one of them.
    pub fn has(self, removal: &RemovalView<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Draft => removal.is_draft(),
            Self::CheckedOut => !removal.is_draft(),
        }
    }
}

impl WorkspaceOracle {
    /// What lies in a profile's basket.
    pub fn basket(&self, profile: Uuid) -> BasketView {
        let told = told(self, profile);
        let (lines, _) = walk(profile, &told);
        let worth = lines.values().filter_map(|line| Some((line.currency.clone(), value(line)?)));
        let (value, updated_at) = (added_up(worth), told.last().map(|(event, _)| event.at()));
        BasketView { lines, value, updated_at }
    }

    /// All removals, the latest first; of one instant and place by profile and product, the last first.
    pub fn removals(&self) -> Vec<RemovalView<'_>> {
        let of = |profile| walk(profile, &told(self, profile)).1;
        let mut removals: Vec<RemovalView<'_>> = self.profiles().flat_map(of).collect();
        removals.sort_by(|a, b| order(b).cmp(&order(a)));
        removals
    }

    /// The removals within the bounds, by product.
    pub fn removed_products(&self, status: Status, bounds: &Range<i64>, sort: Sort) -> Vec<RemovedProduct> {
        let removals = self.removals();
        let wanted = |r: &&RemovalView<'_>| status.has(r) && bounds.contains(&r.event.at());
        let mut by_product: BTreeMap<&str, Vec<&RemovalView<'_>>> = BTreeMap::new();
        for removal in removals.iter().filter(wanted) {
            by_product.entry(&removal.product).or_default().push(removal);
        }
        let mut products: Vec<RemovedProduct> =
            by_product.into_iter().filter_map(|(product, removals)| summed_up(product, &removals)).collect();
        // It keeps those of one rank by product.
        products.sort_by_key(|product| match sort {
            Sort::Times => Reverse(i128::try_from(product.times).ok()),
            Sort::Profiles => Reverse(i128::try_from(product.profiles).ok()),
            Sort::Value => Reverse(product.value.values().max().map(|amount| amount.0)),
        });
        products
    }

    /// How many admitted events have the name of a basket event, and properties that none has.
    pub fn not_basket_events(&self) -> usize {
        let wrong = |r: &&super::Admitted| matches!(basket_event::read(&r.event), Some(Err(_)));
        self.profiles.values().flatten().filter(wrong).count()
    }
}

fn order<'a>(removal: &'a RemovalView<'_>) -> (Order<'a>, Uuid, &'a str) {
    (removal.event.order(), removal.profile, &removal.product)
}

/// The basket events of a profile, in order.
fn told(shop: &WorkspaceOracle, profile: Uuid) -> Vec<(&Event, BasketEvent)> {
    let events = shop.records(profile).iter().map(|r| &r.event);
    let mut told: Vec<(&Event, BasketEvent)> =
        events.filter_map(|event| Some((event, basket_event::read(event)?.ok()?))).collect();
    told.sort_by(|(a, _), (b, _)| a.order().cmp(&b.order()));
    told
}

/// Plays the events; what is left, and what went out.
fn walk<'a>(profile: Uuid, told: &[(&'a Event, BasketEvent)]) -> (BTreeMap<String, BasketLine>, Vec<RemovalView<'a>>) {
    let (mut lines, mut removals) = (BTreeMap::<String, BasketLine>::new(), Vec::new());
    for (n, (event, what)) in told.iter().enumerate() {
        let held = |lines: &BTreeMap<String, BasketLine>, product: &str| lines.get(product).map(|line| line.quantity);
        let mut out: Vec<(String, Option<Decimal>)> = Vec::new();
        match what {
            BasketEvent::Added { product, quantity, price, name } => {
                put(&mut lines, product, *quantity, price.clone(), name.clone(), event.at());
            }
            BasketEvent::Updated { product, quantity } => {
                let now = held(&lines, product).unwrap_or_default();
                if *quantity >= now {
                    put(&mut lines, product, Decimal(quantity.0 - now.0), None, None, event.at());
                } else {
                    out.push((product.clone(), Some(Decimal(now.0 - quantity.0))));
                }
            }
            BasketEvent::Removed { product, quantity } => out.push((product.clone(), *quantity)),
            BasketEvent::Cleared => out.extend(lines.keys().map(|product| (product.clone(), None))),
            BasketEvent::Ordered { products: Some(products), .. } => {
                for (product, quantity) in products {
                    take(&mut lines, product, *quantity);
                }
            }
            BasketEvent::Ordered { products: None, .. } => lines.clear(),
        }
        for (product, quantity) in out {
            if let Some(line) = take(&mut lines, &product, quantity) {
                let (value, checked_out) = (value(&line), first_order(&told[n + 1..]));
                removals.push(RemovalView { profile, event, product, line, value, checked_out });
            }
        }
    }
    (lines, removals)
}

fn first_order(later: &[(&Event, BasketEvent)]) -> Option<(Option<String>, i64)> {
    later.iter().find_map(|(event, what)| match what {
        BasketEvent::Ordered { order, .. } => Some((order.clone(), event.at())),
        _ => None,
    })
}

fn put(
    lines: &mut BTreeMap<String, BasketLine>,
    product: &str,
    quantity: Decimal,
    price: Option<basket_event::Price>,
    name: Option<String>,
    at: i64,
) {
    if quantity == Decimal(0) {
        return;
    }
    let before = lines.remove(product);
    let said = before.as_ref().map(|line| (line.price, line.currency.clone())).unwrap_or_default();
    let (price, currency) = price.map_or(said, |(amount, currency)| (Some(amount), currency));
    let known = before.as_ref().and_then(|line| line.name.clone());
    let sum = before.map_or(quantity, |line| line.quantity + quantity);
    lines.insert(product.to_owned(), BasketLine { name: name.or(known), quantity: sum, price, currency, added_at: at });
}

/// Takes out so much, or all; the line as it was, with what went out. Nothing if nothing did.
fn take(lines: &mut BTreeMap<String, BasketLine>, product: &str, quantity: Option<Decimal>) -> Option<BasketLine> {
    let line = lines.remove(product)?;
    let out = quantity.unwrap_or(line.quantity).min(line.quantity);
    let left = Decimal(line.quantity.0 - out.0);
    if left > Decimal(0) {
        lines.insert(product.to_owned(), BasketLine { quantity: left, ..line.clone() });
    }
    Some(BasketLine { quantity: out, ..line }).filter(|line| line.quantity > Decimal(0))
}

fn value(line: &BasketLine) -> Option<Decimal> {
    line.price?.times(line.quantity)
}

fn added_up(amounts: impl Iterator<Item = (Option<String>, Decimal)>) -> Amounts {
    let mut sums = Amounts::new();
    for (currency, amount) in amounts {
        let sum = sums.entry(currency).or_default();
        *sum = *sum + amount;
    }
    sums
}

/// The removals of a product, the latest first.
fn summed_up(product: &str, removals: &[&RemovalView<'_>]) -> Option<RemovedProduct> {
    let latest = removals.first()?;
    let draft = removals.iter().filter(|r| r.is_draft()).count();
    Some(RemovedProduct {
        product: product.to_owned(),
        name: latest.line.name.clone(),
        times: removals.len(),
        profiles: removals.iter().map(|r| r.profile).collect::<BTreeSet<_>>().len(),
        quantity: removals.iter().map(|r| r.line.quantity).sum(),
        value: added_up(removals.iter().filter_map(|r| Some((r.line.currency.clone(), r.value?)))),
        draft,
        checked_out: removals.len() - draft,
        last_removed_at: latest.event.at(),
    })
}
