//! Laws about instants: what the crate answers is what a naive count says, at every edge and its neighbours.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use weir_event::Timestamp;
use weir_segment::{
    Explained, Intervals, NEVER, OpenSpans, Span, State, StoredSpan, advance, explain, fold, membership,
};

use crate::history::{Ev, History, compile, condition, edges, grid, history};
use crate::naive::{Known, holds};
use crate::words::Cond;

fn distinct_and_apart(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.enters < span.leaves) && spans.windows(2).all(|two| two[0].leaves < two[1].enters)
}

/// The spans table of one segment and profile, kept by applying changes.
#[derive(Default)]
struct Table(Vec<StoredSpan>);

impl Table {
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = self.0.iter().map(|stored| stored.span).collect();
        spans.sort_unstable();
        spans
    }

    /// Whether the profile is a member at the instant, as a query reads it.
    fn member(&self, instant: i64) -> bool {
        self.0.iter().any(|stored| stored.span.contains(instant))
    }
}

/// Folds the history in log order as a projector does: only segments that the fold names are asked again, and spans
/// that can't change are forgotten.
fn project(history: &History, conditions: &[Cond]) -> Result<Vec<Table>, TestCaseError> {
    let catalog = compile(conditions);
    let mut tables: BTreeMap<i64, Table> =
        catalog.segments().iter().map(|segment| (segment.id, Table::default())).collect();
    let (mut state, mut stored) = (State::default(), Vec::new());
    for ev in &history.events {
        let mut open = OpenSpans::decode(&stored).expect("bytes that were just written");
        let touched = fold(&catalog, &mut state, &history.event(ev)).expect("bytes that were just written");
        let horizon = state.horizon.expect("there is an event");
        open.prune(horizon);
        for place in touched.segments {
            let segment = &catalog.segments()[place];
            let intervals = membership(segment, &state).expect("bytes that were just written");
            let mut spans = open.0.remove(&segment.id).unwrap_or_default();
            let change = advance(&mut spans, intervals, horizon);
            open.0.extend((!spans.is_empty()).then_some((segment.id, spans)));
            let table = tables.get_mut(&segment.id).expect("every segment has a table");
            for removed in change.removed {
                let place = table.0.iter().position(|stored| *stored == removed);
                let place = place.ok_or_else(|| TestCaseError::fail(format!("{removed:?} wasn't there to remove")))?;
                table.0.remove(place);
            }
            for added in change.added {
                prop_assert!(table.0.iter().all(|stored| stored.span.enters != added.span.enters), "{:?}", added);
                prop_assert_eq!(added.past, added.span.leaves <= horizon, "{:?}", added);
                table.0.push(added);
            }
            prop_assert!(distinct_and_apart(&table.spans()), "{:?}", table.0);
        }
        stored = open.encode();
        prop_assert_eq!(OpenSpans::decode(&stored), Ok(open));
    }
    Ok(catalog.segments().iter().map(|segment| tables.remove(&segment.id).expect("every one has a table")).collect())
}

/// What was known at an instant: the records up to the first whose horizon lies after it.
fn seen(events: &[Ev], instant: i64) -> Vec<&Ev> {
    events.iter().take_while(|event| event.received <= instant).collect()
}

/// Whether every part of an explanation says what the same part of the condition says.
fn explains(told: &Explained, condition: &Cond, known: Known<'_>, now: i64) -> bool {
    let parts: Vec<&Cond> = match condition {
        Cond::All(parts) | Cond::Any(parts) => parts.iter().collect(),
        Cond::Not(part) => vec![part],
        _ => Vec::new(),
    };
    told.holds == holds(condition, known, now)
        && told.conditions.len() == parts.len()
        && told.conditions.iter().zip(parts).all(|(told, part)| explains(told, part, known, now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn membership_from_the_horizon_on_is_a_naive_count(
        history in history(10), condition in condition(), later in vec(grid(0..100), 4),
    ) {
        let catalog = compile(std::slice::from_ref(&condition));
        let events: Vec<&Ev> = history.events.iter().collect();
        let state = history.state(&catalog, &events);
        let horizon = state.horizon.expect("there is an event");
        let segment = &catalog.segments()[0];
        let intervals = membership(segment, &state).unwrap();
        prop_assert!(distinct_and_apart(intervals.spans()));
        let email = history.email(&events);
        let known = Known { events: &events, email: email.as_ref() };
        let asked = edges(std::slice::from_ref(&condition), &events, horizon);
        for instant in asked.into_iter().chain(later.into_iter().filter(|t| *t >= horizon)) {
            let expected = holds(&condition, known, instant);
            prop_assert_eq!(intervals.contains(instant), expected, "at {} of {:?}", instant, intervals);
        }
        // Pruning and storing change no answer.
        let stored = State::decode(&state.clone().normal(&catalog).unwrap().encode()).unwrap();
        prop_assert_eq!(membership(segment, &stored).unwrap().from(horizon), intervals.from(horizon));
    }

    #[test]
    fn spans_are_what_an_instantaneous_observer_saw(
        history in history(8), conditions in vec(condition(), 1..4), other in vec(grid(0..60), 4),
    ) {
        let tables = project(&history, &conditions)?;
        let events: Vec<&Ev> = history.events.iter().collect();
        let first = events.iter().map(|event| event.at()).min().expect("there is an event") - 2;
        let asked: Vec<i64> = edges(&conditions, &events, first).into_iter().chain(other).collect();
        for instant in asked {
            let seen = seen(&history.events, instant);
            let email = history.email(&seen);
            let known = Known { events: &seen, email: email.as_ref() };
            for (condition, table) in conditions.iter().zip(&tables) {
                let expected = !seen.is_empty() && holds(condition, known, instant);
                prop_assert_eq!(table.member(instant), expected, "{} at {}: {:?}", condition.json(), instant, table.0);
            }
        }
    }

    #[test]
    fn an_explanation_agrees_with_membership_in_every_part(
        history in history(8), condition in condition(), after in 0_i64..12_000_000,
    ) {
        let catalog = compile(std::slice::from_ref(&condition));
        let events: Vec<&Ev> = history.events.iter().collect();
        let state = history.state(&catalog, &events);
        let horizon = state.horizon.expect("there is an event");
        let email = history.email(&events);
        let known = Known { events: &events, email: email.as_ref() };
        let segment = &catalog.segments()[0];
        let edges = edges(std::slice::from_ref(&condition), &events, horizon);
        let somewhere = edges[usize::try_from(after).unwrap() % edges.len()];
        for now in [horizon, horizon + after, somewhere] {
            let told = explain(segment, &state, Timestamp::from_micros(now)).unwrap();
            prop_assert_eq!(told.member, holds(&condition, known, now));
            prop_assert!(explains(&told.conditions, &condition, known, now), "{:?}", told);
            let flip = edges.iter().copied().find(|t| *t > now && holds(&condition, known, *t) != told.member);
            prop_assert_eq!(told.next_flip.map(Timestamp::micros), flip);
            prop_assert_eq!(told.next_flip, told.conditions.next_flip);
            prop_assert!(serde_json::to_string(&told).is_ok());
        }
    }

    #[test]
    fn advancing_by_the_same_record_again_changes_nothing(
        cuts in vec((0_i64..40, vec((0_i64..60, 0_i64..20), 0..4)), 1..6),
    ) {
        let (mut open, mut horizon) = (Vec::new(), 0);
        for (step, spans) in cuts {
            horizon += step % 8;
            let spans = spans.into_iter().map(|(from, long)| Span::new(from, if long > 17 { NEVER } else { from + long }));
            let intervals = Intervals::from_spans(spans.collect());
            advance(&mut open, intervals.clone(), horizon);
            let kept = open.clone();
            let again = advance(&mut open, intervals.clone(), horizon);
            prop_assert_eq!((again.removed, again.added), (Vec::new(), Vec::new()));
            prop_assert_eq!(&open, &kept);
            let now = Intervals::from_spans(open.iter().map(|stored| stored.span).collect());
            prop_assert_eq!(now.from(horizon), intervals.from(horizon));
        }
    }
}
