//! Laws about states: the order of events and the way they are put together don't matter.

use std::sync::LazyLock;
use weir_event::Decimal;

use proptest::prelude::*;
use weir_segment::{Catalog, Signal, SignalId, State, membership, points_of};

use crate::catalog::{COUNTERS, JOINS, definitions};
use crate::history::{Ev, History, compile_json, history};
use crate::naive;
use crate::words::SCORES;

static WHOLE: LazyLock<Catalog> =
    LazyLock::new(|| compile_json(&definitions(&[&JOINS[..], &COUNTERS[..]].concat()), true));
static JOINED: LazyLock<Catalog> = LazyLock::new(|| compile_json(&definitions(&JOINS), false));

fn bytes(state: State, catalog: &Catalog) -> Vec<u8> {
    state.normal(catalog).unwrap().encode()
}

/// The events in an order of their own, as the dice fell for each.
fn shuffled<'a>(history: &'a History, dice: &[u64]) -> Vec<&'a Ev> {
    let mut order: Vec<usize> = (0..history.events.len()).collect();
    order.sort_by_key(|place| dice[*place]);
    history.pick(&order)
}

/// The events whose bit is set, and the others.
fn split<'a>(events: &[&'a Ev], mask: u16) -> (Vec<&'a Ev>, Vec<&'a Ev>) {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for (place, event) in events.iter().enumerate() {
        if mask >> place & 1 == 1 { one.push(*event) } else { other.push(*event) }
    }
    (one, other)
}

fn dice() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 12)
}

fn joined(history: &History, parts: &[&[&Ev]], catalog: &Catalog) -> State {
    let states = parts.iter().map(|events| history.state(catalog, events));
    states.reduce(|all, part| all.join(&part, catalog).unwrap()).expect("there are parts")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_order_and_any_split_of_the_same_events_gives_the_same_bytes(
        history in history(12), first in dice(), second in dice(), masks in any::<(u16, u16)>(),
    ) {
        let all = history.events.iter().collect::<Vec<_>>();
        let expected = bytes(history.state(&WHOLE, &all), &WHOLE);
        let (one, rest) = split(&shuffled(&history, &first), masks.0);
        let (two, three) = split(&rest, masks.1);
        prop_assert_eq!(&bytes(history.state(&WHOLE, &shuffled(&history, &second)), &WHOLE), &expected);
        prop_assert_eq!(&bytes(joined(&history, &[&one, &rest], &WHOLE), &WHOLE), &expected);
        prop_assert_eq!(&bytes(joined(&history, &[&three, &one, &two], &WHOLE), &WHOLE), &expected);
        // A state that is joined and then folded into goes on as any other does.
        let mut state = joined(&history, &[&one, &two], &WHOLE);
        for event in &three {
            weir_segment::fold(&WHOLE, &mut state, &history.event(event)).unwrap();
        }
        prop_assert_eq!(&bytes(state, &WHOLE), &expected);
    }

    #[test]
    fn a_repeat_changes_nothing_but_counters(history in history(10), dice in dice(), again in any::<u16>()) {
        let all = history.events.iter().collect::<Vec<_>>();
        let once = history.state(&WHOLE, &all).normal(&WHOLE).unwrap();
        let (repeats, _) = split(&shuffled(&history, &dice), again);
        let twice = history.state(&WHOLE, &[&all[..], &repeats[..]].concat()).normal(&WHOLE).unwrap();
        for (id, signal) in WHOLE.signals().filter(|(_, signal)| matches!(signal, Signal::Recent(_))) {
            prop_assert_eq!(once.signal(id), twice.signal(id), "{:?}", signal);
        }
        prop_assert_eq!((&once.facts, once.horizon, once.created), (&twice.facts, twice.horizon, twice.created));
        let bytes_twice = bytes(history.state(&JOINED, &[&all[..], &repeats[..]].concat()), &JOINED);
        prop_assert_eq!(bytes(history.state(&JOINED, &all), &JOINED), bytes_twice);
    }

    #[test]
    fn join_is_commutative_and_associative(history in history(12), dice in dice(), masks in any::<(u16, u16)>()) {
        let (one, rest) = split(&shuffled(&history, &dice), masks.0);
        let (two, three) = split(&rest, masks.1);
        let [a, b, c] = [one, two, three].map(|events| history.state(&WHOLE, &events));
        let join = |a: &State, b: &State| a.clone().join(b, &WHOLE).unwrap();
        prop_assert_eq!(join(&a, &b).encode(), join(&b, &a).encode());
        prop_assert_eq!(join(&join(&a, &b), &c).encode(), join(&a, &join(&b, &c)).encode());
        prop_assert_eq!(join(&a, &State::default()).encode(), bytes(a, &WHOLE));
    }

    #[test]
    fn join_is_idempotent_without_counters(history in history(10), dice in dice(), mask in any::<u16>()) {
        let all = history.events.iter().collect::<Vec<_>>();
        let whole = history.state(&JOINED, &all).normal(&JOINED).unwrap();
        prop_assert_eq!(whole.clone().join(&whole, &JOINED).unwrap().encode(), whole.encode());
        // Parts that have events in common are one set all the same.
        let (one, _) = split(&shuffled(&history, &dice), mask);
        let part = history.state(&JOINED, &one);
        prop_assert_eq!(part.join(&whole, &JOINED).unwrap().encode(), whole.encode());
    }

    #[test]
    fn points_are_the_sum_over_the_events(history in history(12), dice in dice()) {
        let events = shuffled(&history, &dice);
        let state = history.state(&WHOLE, &events);
        for (place, score) in WHOLE.scores().iter().enumerate() {
            let points = points_of(&state, score.signal).unwrap();
            prop_assert_eq!(points.unwrap_or(Decimal::ZERO).billionths(), naive::points(place, &events));
        }
    }
}

#[test]
fn a_sum_past_i128_sets_the_profile_aside_also_under_not() {
    let bodies = definitions(&[r#"{"not":{"score":"points","at_most":0}}"#, r#"{"score":"points","at_most":0}"#]);
    let catalog = compile_json(&bodies, true);
    let key = weir_event::EventKey { at: 1, time: 1, id: "e".into(), received: 1 };
    let event = weir_event::Event { key, name: "a", data: None, identifier: None };
    let mut state = State::default();
    weir_segment::fold(&catalog, &mut state, &event).unwrap();
    // Every join of the state with itself doubles the points, until i128 has no room for them.
    let doublings = (1..200).find(|_| {
        let other = state.clone();
        state = std::mem::take(&mut state).join(&other, &catalog).unwrap();
        state.set_aside() > 0
    });
    // 1.7 points are below 2^31 billionths.
    assert_eq!(doublings, Some(97));
    for segment in catalog.segments() {
        assert!(membership(segment, &state).unwrap().is_empty(), "{}", segment.slug);
    }
    assert!(state.is_set_aside(catalog.score(SCORES[0].0).unwrap().signal));
    assert_eq!(State::decode(&state.encode()), Ok(state.clone()));
    // It stays so, whatever comes.
    weir_segment::fold(&catalog, &mut state, &event).unwrap();
    assert_eq!(points_of(&state, catalog.score(SCORES[0].0).unwrap().signal), Ok(None));
    assert_eq!(state.join(&State::default(), &catalog).unwrap().set_aside(), 1);
}

#[test]
fn signals_are_shared_and_named_alike_for_ever() {
    let id = |condition: &str| -> Vec<SignalId> {
        let catalog = compile_json(&definitions(&[condition]), true);
        catalog.segments()[0].signals.clone()
    };
    // State bytes are found by these: a release that words a signal differently reads none of the states that there are.
    let golden: [(&str, &[u64]); 6] = [
        (r#"{"event":"a"}"#, &[0xcff1_d480_1102_9f42]),
        (r#"{"event":"*","at_least":3,"within":"7d"}"#, &[0x6487_6eb1_31ef_1576]),
        (
            r#"{"event":"a","at_most":3,"since":"2027-01-15T08:00:00Z","until":"2028-01-15T08:00:00Z"}"#,
            &[0xb71c_5aaa_fe1d_1d8c],
        ),
        (
            r#"{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"1h"}"#,
            &[0xe561_000e_1e2b_189f, 0xe66f_7f08_c455_747a],
        ),
        (
            r#"{"event":"b","where":{"p.k":{"eq":"a\"\u00e9","ne":true,"gt":0.5,"gte":1,"lt":1e3,"lte":-7},"q":{"in":[1,"x"],"contains":"y","starts_with":"z","exists":true}}}"#,
            &[0xc52f_7bdb_f962_5b48],
        ),
        (r#"{"score":"points","at_least":1}"#, &[0xf82d_9c66_0a0a_30ce]),
    ];
    let found: Vec<Vec<u64>> = golden.iter().map(|(when, _)| id(when).iter().map(|id| id.0).collect()).collect();
    assert_eq!(found, golden.map(|(_, ids)| ids.to_vec()));
    // What needs the same thing is the same signal, however it is written and whoever asks.
    assert_eq!(
        id(r#"{"event":"a","where":{"p":1.0}}"#),
        id(r#"{"at_least":1,"where":{"p":{"eq":10e-1}},"event":"a"}"#)
    );
    assert_eq!(id(r#"{"event":"a","at_most":2}"#), id(r#"{"event":"a","at_least":3}"#));
    assert_ne!(id(r#"{"event":"a","where":{"p":1}}"#), id(r#"{"event":"a","where":{"p":"1"}}"#));
    assert_ne!(id(r#"{"event":"a","within":"1s"}"#), id(r#"{"event":"a"}"#));
    assert_ne!(id(r#"{"event":"any"}"#), id(r#"{"event":"*"}"#));
}
