//! Membership written straight from the semantics: go through the events and look. Nothing here comes from the crate.

use crate::history::Ev;
use crate::words::{Cond, Filter, Leaf, NUMBERS, SECOND, TEXTS, Test, Val, What, score_rules};

const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// What is known of a profile: its admitted events, and the e-mail address that it was sent by.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub events: &'a [&'a Ev],
    pub email: Option<&'a Val>,
}

/// Whether the condition holds at the instant.
pub fn holds(cond: &Cond, known: Known<'_>, now: i64) -> bool {
    match cond {
        Cond::All(parts) => parts.iter().all(|part| holds(part, known, now)),
        Cond::Any(parts) => parts.iter().any(|part| holds(part, known, now)),
        Cond::Not(part) => !holds(part, known, now),
        Cond::Event(leaf) => event_holds(leaf, known.events, now),
        Cond::Trait { path, tests } => passes(&trait_elements(known, path), tests),
        Cond::InNext { path, seconds } => trait_instants(known, path).any(|t| t - seconds * SECOND <= now && now < t),
        Cond::InLast { path, seconds } => trait_instants(known, path).any(|t| t <= now && now < t + seconds * SECOND),
        Cond::Score { score, at_least, bound } => {
            let bound = NUMBERS[*bound].1.expect("bounds are numbers");
            let points = points(*score, known.events);
            if *at_least { points >= bound } else { points <= bound }
        }
    }
}

/// The points of a score, in billionths.
pub fn points(score: usize, events: &[&Ev]) -> i128 {
    let rules = score_rules(score);
    let of = |event: &Ev| rules.iter().filter(|(filter, _)| meant(filter, event)).map(|(_, p)| p).sum::<i128>();
    events.iter().map(|event| of(event)).sum()
}

fn event_holds(leaf: &Leaf, events: &[&Ev], now: i64) -> bool {
    let in_window = |e: &Ev| e.at() <= now && leaf.within.is_none_or(|w| now - w * SECOND < e.at());
    let matching = || {
        events.iter().copied().filter(|e| {
            meant(&leaf.filter, e)
                && leaf.since.is_none_or(|since| since <= e.at())
                && leaf.until.is_none_or(|until| e.at() < until)
        })
    };
    let count = || matching().filter(|e| in_window(e)).count();
    let latest = || matching().max_by(|a, b| a.order().cmp(&b.order()));
    let followed = |a: &Ev, next: &Filter| {
        events.iter().any(|b| meant(next, b) && b.order() != a.order() && (b.at(), b.time) >= (a.at(), a.time))
    };
    match &leaf.what {
        What::Once => count() >= 1,
        What::AtLeast(n) => count() >= *n,
        What::AtMost(n) => count() <= *n,
        What::Exactly(n) => count() == *n,
        What::FollowedBy(next) => latest().is_some_and(|a| in_window(a) && followed(a, next)),
        What::NotFollowedBy(next, lasting) => latest()
            .is_some_and(|a| in_window(a) && !followed(a, next) && lasting.is_none_or(|d| a.at() + d * SECOND <= now)),
    }
}

fn meant(filter: &Filter, event: &Ev) -> bool {
    (if filter.event == "*" { !event.is_fact() } else { filter.event == event.name })
        && filter.tests.iter().all(|(path, tests)| {
            let mut found = Vec::new();
            if let Some(data) = &event.data {
                reach(data, &path.split('.').collect::<Vec<_>>(), &mut found);
            }
            passes(&found, tests)
        })
}

/// What a path reaches: through arrays and into them; null is nothing.
fn reach<'a>(value: &'a Val, path: &[&str], found: &mut Vec<&'a Val>) {
    match (value, path) {
        (Val::Null, _) => {}
        (Val::List(items), _) => items.iter().for_each(|item| reach(item, path, found)),
        (_, []) => found.push(value),
        (Val::Object(fields), [name, rest @ ..]) => {
            if let Some((_, inner)) = fields.iter().rev().find(|(field, _)| field == name) {
                reach(inner, rest, found);
            }
        }
        _ => {}
    }
}

/// One and the same element must pass all tests; nothing passes only `exists: false`.
fn passes(found: &[&Val], tests: &[Test]) -> bool {
    if found.is_empty() {
        return tests.iter().all(|test| matches!(test, Test::Exists(false)));
    }
    found.iter().any(|value| tests.iter().all(|test| passes_one(value, test)))
}

fn passes_one(value: &Val, test: &Test) -> bool {
    let text = |place: usize| TEXTS[place].0;
    match test {
        Test::Eq(with) => compare(value, with).is_some_and(|order| order.is_eq()),
        Test::Ne(with) => compare(value, with).is_some_and(|order| order.is_ne()),
        Test::Gt(with) => compare(value, with).is_some_and(|order| order.is_gt()),
        Test::Gte(with) => compare(value, with).is_some_and(|order| order.is_ge()),
        Test::Lt(with) => compare(value, with).is_some_and(|order| order.is_lt()),
        Test::Lte(with) => compare(value, with).is_some_and(|order| order.is_le()),
        Test::In(list) => list.iter().any(|with| compare(value, with).is_some_and(|order| order.is_eq())),
        Test::Contains(part) => matches!(value, Val::Text(t) if text(*t).contains(text(*part))),
        Test::StartsWith(part) => matches!(value, Val::Text(t) if text(*t).starts_with(text(*part))),
        Test::Exists(exists) => *exists,
    }
}

fn compare(a: &Val, b: &Val) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Num(a), Val::Num(b)) => Some(NUMBERS[*a].1?.cmp(&NUMBERS[*b].1?)),
        (Val::Text(a), Val::Text(b)) => Some(TEXTS[*a].0.chars().cmp(TEXTS[*b].0.chars())),
        _ => None,
    }
}

fn trait_elements<'a>(known: Known<'a>, path: &str) -> Vec<&'a Val> {
    let (register, rest) = path.split_once('.').map_or((path, Vec::new()), |(r, rest)| (r, rest.split('.').collect()));
    let mut found = Vec::new();
    if let Some(value) = trait_value(known, register) {
        reach(value, &rest, &mut found);
    }
    found
}

/// The latest write of a top-level trait.
fn trait_value<'a>(known: Known<'a>, name: &str) -> Option<&'a Val> {
    if name == "email" && known.email.is_some() {
        return known.email;
    }
    let mut facts: Vec<&&Ev> = known.events.iter().filter(|event| event.is_fact()).collect();
    facts.sort_by(|a, b| b.order().cmp(&a.order()));
    facts.into_iter().find_map(|fact| {
        let data = fact.data.as_ref()?;
        let beside = field(data, name).filter(|value| matches!(name, "name" | "email") && **value != Val::Null);
        beside.or_else(|| field(data, "traits").and_then(|traits| field(traits, name)))
    })
}

fn field<'a>(object: &'a Val, name: &str) -> Option<&'a Val> {
    let Val::Object(fields) = object else { return None };
    fields.iter().rev().find(|(field, _)| *field == name).map(|(_, value)| value)
}

/// The instants that a trait holds.
pub fn trait_instants<'a>(known: Known<'a>, path: &str) -> impl Iterator<Item = i64> + use<'a> {
    trait_elements(known, path)
        .into_iter()
        .filter_map(|value| match value {
            Val::Text(place) => TEXTS[*place].1,
            Val::Num(place) => i64::try_from(NUMBERS[*place].1?.div_euclid(1_000)).ok(),
            _ => None,
        })
        .filter(|instant| YEARS.contains(instant))
}
