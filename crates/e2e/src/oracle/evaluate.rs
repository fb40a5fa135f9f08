//! Whether a condition holds: the language's own words, over the records known at the instant.

use std::collections::BTreeSet;

use super::admission::Admitted;
use super::definition::{Bound, Condition, EventLeaf, Filter, Score, What};
use super::record::{Event, Order};
use super::{Decimal, instant, profile};

/// The records that are known at an instant: those whose horizon is not after it. As it never goes back, they are the
/// first ones.
pub(super) fn known(records: &[Admitted], now: i64) -> &[Admitted] {
    let unknown = records.iter().position(|record| record.horizon > now);
    &records[..unknown.unwrap_or(records.len())]
}

/// Whether `condition` holds at `now` for a profile of which nothing but `known` is known.
pub(super) fn holds(condition: &Condition, known: &[Admitted], now: i64) -> bool {
    match condition {
        Condition::All(inner) => inner.iter().all(|c| holds(c, known, now)),
        Condition::Any(inner) => inner.iter().any(|c| holds(c, known, now)),
        Condition::Not(inner) => !holds(inner, known, now),
        Condition::Event(leaf) => event(leaf, known, now),
        Condition::Trait(tests) => {
            let values = profile::trait_values(known, &tests.path);
            tests.pass_any(&values.iter().collect::<Vec<_>>())
        }
        Condition::InNext { path, duration } => {
            profile::trait_instants(known, path).into_iter().any(|t| t - duration <= now && now < t)
        }
        Condition::InLast { path, duration } => {
            profile::trait_instants(known, path).into_iter().any(|t| t <= now && now < t + duration)
        }
        Condition::Score { score, bound } => {
            let sum = score.sum(known.iter().map(|r| &r.event));
            match bound {
                Bound::AtLeast(least) => sum >= *least,
                Bound::AtMost(most) => sum <= *most,
            }
        }
    }
}

fn event(leaf: &EventLeaf, known: &[Admitted], now: i64) -> bool {
    let in_window = |e: &Event| e.at() <= now && leaf.within.is_none_or(|w| now - w < e.at());
    let matching: Vec<&Event> = known.iter().map(|r| &r.event).filter(|e| leaf.filter.matches(e)).collect();
    let count = || matching.iter().filter(|e| in_window(e)).map(|e| e.order()).collect::<BTreeSet<Order<'_>>>().len();
    let latest = || matching.iter().max_by_key(|e| e.order()).copied();
    match &leaf.what {
        What::AtLeast(n) => count() >= *n,
        What::AtMost(n) => count() <= *n,
        What::Exactly(n) => count() == *n,
        What::FollowedBy(next) => latest().is_some_and(|a| in_window(a) && followed(a, next, known)),
        What::NotFollowedBy(next, over) => latest().is_some_and(|a| {
            let is_over = over.is_none_or(|d| now >= a.at() + d);
            in_window(a) && is_over && !followed(a, next, known)
        }),
    }
}

/// Whether another event that `next` means is not before `a` by (at, time).
fn followed(a: &Event, next: &Filter, known: &[Admitted]) -> bool {
    known
        .iter()
        .map(|r| &r.event)
        .any(|b| next.matches(b) && b.order() != a.order() && (b.at(), b.time) >= (a.at(), a.time))
}

impl Filter {
    /// Whether the event is one of those meant.
    pub fn matches(&self, event: &Event) -> bool {
        let named = if self.event == "*" { !event.is_fact() } else { self.event == event.name };
        named
            && self.since.is_none_or(|since| since <= event.at())
            && self.until.is_none_or(|until| event.at() < until)
            && self.tests.iter().all(|tests| tests.pass(&event.data))
    }
}

impl Score {
    /// What one event adds.
    pub fn points(&self, event: &Event) -> Decimal {
        self.rules.iter().filter(|(filter, _)| filter.matches(event)).map(|(_, points)| *points).sum()
    }

    pub(super) fn sum<'a>(&self, events: impl Iterator<Item = &'a Event>) -> Decimal {
        events.map(|event| self.points(event)).sum()
    }
}

impl Condition {
    /// Every instant, within the years that there are, at which the answer may change by itself or by a record.
    pub(super) fn change_points(&self, records: &[Admitted]) -> BTreeSet<i64> {
        let mut points: BTreeSet<i64> = records.iter().map(|r| r.horizon).collect();
        self.add_change_points(records, &mut points);
        let around = points.iter().flat_map(|p| [p - 1, *p, p + 1]);
        around.filter(|p| (instant::FIRST..=instant::LAST).contains(p)).collect()
    }

    fn add_change_points(&self, records: &[Admitted], points: &mut BTreeSet<i64>) {
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|c| c.add_change_points(records, points)),
            Self::Not(inner) => inner.add_change_points(records, points),
            Self::Event(leaf) => {
                let over = match leaf.what {
                    What::NotFollowedBy(_, over) => over,
                    _ => None,
                };
                for duration in [leaf.within, over].into_iter().flatten() {
                    points.extend(records.iter().map(|r| r.event.at() + duration));
                }
            }
            Self::InNext { path, duration } | Self::InLast { path, duration } => {
                for end in 1..=records.len() {
                    let instants = profile::trait_instants(&records[..end], path);
                    points.extend(instants.into_iter().flat_map(|t| [t - duration, t, t + duration]));
                }
            }
            Self::Trait(_) | Self::Score { .. } => {}
        }
    }
}
