//! **The rule of membership**: who is in a segment is a function of the profile's state and the clock.
//!
//! [`membership`] answers for every instant from the state's horizon on, as a set of intervals: what holds if nothing
//! more happens. A leaf gives the interval in which it holds; `all`, `any` and `not` intersect, unite and complement.
//! Nothing else in Weir decides who is a member: tables store what this answers, and queries filter it by the instant
//! asked.
//!
//! "Three views within 7 days" is the third latest view's instant t: it holds while now < t + 7d. "Not followed for an
//! hour" holds from the event's instant plus one hour on. So entering and leaving by the mere passing of time is known
//! in advance and needs no sweep.

use std::borrow::Cow;

use serde_json::value::RawValue;
use weir_event::{Decimal, Timestamp};

use crate::catalog::{Rule, Segment};
use crate::definition::{ScoreBound, TraitTest, reaches_value};
use crate::interval::{ALWAYS, Intervals, NEVER, Span};
use crate::signal::counter;
use crate::signal::recent::Latest;
use crate::state::State;
use weir_event::codec::Damaged;
use weir_event::value::Json;

/// When the profile is a member, for instants from the state's horizon on.
///
/// # Errors
/// The state's bytes are damaged.
pub fn membership(segment: &Segment, state: &State) -> Result<Intervals, Damaged> {
    if segment.signals.iter().any(|signal| state.is_set_aside(*signal)) {
        return Ok(Intervals::none());
    }
    holds_of(&segment.rule, state)
}

/// When a rule holds.
pub(crate) fn holds_of(rule: &Rule, state: &State) -> Result<Intervals, Damaged> {
    match rule {
        Rule::All(parts) => parts.iter().try_fold(Intervals::all(), |all, part| Ok(holds_of(part, state)?.and(&all))),
        Rule::Any(parts) => parts.iter().try_fold(Intervals::none(), |any, part| Ok(any.or(holds_of(part, state)?))),
        Rule::Not(part) => Ok(holds_of(part, state)?.complement()),
        Rule::Count { signal, least, most, within } => {
            let latest = Latest::read(state.signal(*signal))?;
            // While the n-th latest event counts, at least n do.
            let at_least = |n| latest.nth(n).map_or_else(Intervals::none, |event| counting_from(event.at, *within));
            let enough = if *least == 0 { Intervals::all() } else { at_least(*least) };
            Ok(most.map_or(enough.clone(), |most| enough.and(&at_least(most + 1).complement())))
        }
        Rule::Sequence { first, next, followed, lasting, within } => {
            let first = Latest::read(state.signal(*first))?;
            let Some(a) = first.first() else { return Ok(Intervals::none()) };
            let is_followed = Latest::read(state.signal(*next))?.0.iter().any(|b| b.follows(a));
            if is_followed != *followed {
                return Ok(Intervals::none());
            }
            let decided = lasting.map_or(ALWAYS, |lasting| instant_after(a.at, lasting));
            Ok(counting_from(a.at, *within).from(decided))
        }
        Rule::Trait { path, what } => Ok(trait_holds(path, what, state)),
        Rule::Score { signal, bound } => {
            let points = counter::read(state.signal(*signal))?;
            Ok(Intervals::when(score_holds(points, *bound)))
        }
    }
}

/// When an event at `at` counts: for ever, or while now − W < at, so for now in [at, at + W). That the interval has
/// no start is right from the horizon on, before which nothing happened that the state has yet to hear of.
fn counting_from(at: i64, within: Option<i64>) -> Intervals {
    match within {
        None => Intervals::all(),
        Some(within) => Intervals::one(ALWAYS, crate::sabotage::window_end(instant_after(at, within))),
    }
}

/// The instant that lies so many microseconds after another; one beyond the year 9999 is never.
fn instant_after(instant: i64, micros: i64) -> i64 {
    let after = instant.saturating_add(micros);
    if after > Timestamp::MAX.micros() { NEVER } else { after }
}

fn score_holds(points: Decimal, bound: ScoreBound) -> bool {
    match bound {
        ScoreBound::AtLeast(least) => points >= least,
        ScoreBound::AtMost(most) => points <= most,
    }
}

fn trait_holds(path: &str, what: &TraitTest, state: &State) -> Intervals {
    let (register, rest) = match path.split_once('.') {
        Some((register, rest)) => (register, Some(rest)),
        None => (path, None),
    };
    let value = state.facts.value(register);
    let value = value.as_deref().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    match what {
        TraitTest::Passes(tests) => Intervals::when(reaches_value(value, rest, tests)),
        TraitTest::InNext(micros) => Intervals::from_spans(
            instants(value, rest).into_iter().map(|t| Span::new(t.saturating_sub(*micros), t)).collect(),
        ),
        TraitTest::InLast(micros) => Intervals::from_spans(
            instants(value, rest).into_iter().map(|t| Span::new(t, instant_after(t, *micros))).collect(),
        ),
    }
}

/// The instants that a trait's value holds: RFC 3339 text, or a number of Unix seconds.
fn instants(value: Option<&RawValue>, rest: Option<&str>) -> Vec<i64> {
    let mut found = Vec::new();
    if let Some(value) = value {
        weir_event::value::reach_value(value, rest, &mut |json| found.extend(instant(json)));
    }
    found
}

fn instant(json: Json<'_>) -> Option<i64> {
    let micros = match json {
        Json::Text(text) => Timestamp::parse(&Cow::into_owned(text)).ok()?.micros(),
        Json::Number(digits) => i64::try_from(Decimal::parse(digits)?.billionths().div_euclid(1_000)).ok()?,
        _ => return None,
    };
    (Timestamp::MIN.micros()..=Timestamp::MAX.micros()).contains(&micros).then_some(micros)
}
