//! Laws about bytes and texts that anyone may hand in: they are read back as written, or refused, and never a panic.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use weir_event::Timestamp;
use weir_segment::{Catalog, Definition, OpenSpans, ScoreDefinition, Source, State, explain, membership};

use crate::catalog::{COUNTERS, JOINS, definitions};
use crate::history::{Ev, compile_json, history};

static WHOLE: LazyLock<Catalog> =
    LazyLock::new(|| compile_json(&definitions(&[&JOINS[..], &COUNTERS[..]].concat()), true));

/// Uses a state of whatever bytes in every way there is. Refusing it is fine; panicking isn't.
fn use_state(state: State) {
    let other = state.clone();
    for segment in WHOLE.segments() {
        let _ = membership(segment, &state);
        let _ = explain(segment, &state, Timestamp::from_micros(state.horizon.unwrap_or(0)))
            .map(|told| serde_json::to_string(&told));
    }
    let _ = state.clone().normal(&WHOLE);
    let _ = state.join(&other, &WHOLE);
}

fn word() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = "all any not event trait score at_least at_most exactly within since until where \
        followed_by not_followed_by for in_next in_last eq ne gt gte lt lte in contains starts_with exists first between \
        distinct sum same in_segment sample name description when rules points salt calendar time_zone"
        .split_whitespace()
        .collect();
    prop_oneof![20 => select(words).prop_map(str::to_owned), 1 => "[a-z./~\u{e9}]{0,6}"]
}

fn atom() -> impl Strategy<Value = Value> {
    let texts =
        ["a", "*", "profile.updated", "1h", "0s", "3651d", "7d", "2027-01-15T08:00:00Z", "p.k", "", ".", "\u{e9}"];
    prop_oneof![
        4 => select(texts.map(Value::from).to_vec()),
        2 => (-3_i64..12_000).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<String>().prop_map(Value::from),
    ]
}

/// JSON made of the language's words in any order.
fn babble() -> impl Strategy<Value = Value> {
    atom().prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4).prop_map(Value::Array),
            4 => vec((word(), inner), 0..4).prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    })
}

/// Something close to a definition: one that is right, with a part put in somewhere.
fn nearly() -> impl Strategy<Value = Value> {
    let right: Vec<Value> = JOINS.iter().chain(&COUNTERS).map(|text| serde_json::from_str(text).unwrap()).collect();
    (select(right), proptest::option::of((word(), babble())), 0..4_u8).prop_map(|(mut when, part, depth)| {
        if let (Value::Object(fields), Some((name, value))) = (&mut when, part) {
            fields.insert(name, value);
        }
        for _ in 0..depth {
            when = json!({ "all": [when] });
        }
        json!({ "when": when })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_state_is_read_back_as_it_was_written(history in history(12)) {
        let events: Vec<&Ev> = history.events.iter().collect();
        let state = history.state(&WHOLE, &events);
        let bytes = state.encode();
        prop_assert_eq!(State::decode(&bytes), Ok(state));
    }

    #[test]
    fn no_bytes_make_a_state_panic(bytes in vec(any::<u8>(), 0..80)) {
        for first in [bytes.first().copied(), Some(1)].into_iter().flatten() {
            let bytes: Vec<u8> = std::iter::once(first).chain(bytes.iter().copied()).collect();
            if let Ok(state) = State::decode(&bytes) {
                prop_assert_eq!(State::decode(&state.encode()), Ok(state.clone()));
                use_state(state);
            }
        }
        if let Ok(open) = OpenSpans::decode(&bytes) {
            prop_assert_eq!(OpenSpans::decode(&open.encode()), Ok(open));
        }
    }

    #[test]
    fn a_state_with_flipped_or_missing_bytes_is_refused_or_used_without_panic(
        history in history(6), flips in vec(any::<(u16, u8)>(), 0..4), cut in any::<Option<u16>>(),
    ) {
        let events: Vec<&Ev> = history.events.iter().collect();
        let mut bytes = history.state(&WHOLE, &events).encode();
        for (place, byte) in flips {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| usize::from(cut) % bytes.len()));
        if let Ok(mut state) = State::decode(&bytes) {
            for event in &events {
                if weir_segment::fold(&WHOLE, &mut state, &history.event(event)).is_err() {
                    break;
                }
            }
            use_state(state);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), babble in babble(), nearly in nearly()) {
        let _ = (Definition::parse(&text), ScoreDefinition::parse(&text));
        let wrapped = json!({"when": babble, "rules": [babble, {"event": babble, "points": babble}]});
        for value in [babble, wrapped, nearly] {
            let text = value.to_string();
            let _ = ScoreDefinition::parse(&text);
            match Definition::parse(&text) {
                Ok(definition) => {
                    // Spaces and the order of fields say nothing.
                    let again = Definition::parse(&serde_json::to_string_pretty(&value).unwrap());
                    prop_assert_eq!(again.as_ref(), Ok(&definition));
                    let named: Vec<&str> = definition.scores();
                    let score = |slug| Source { slug, version: 1, body: r#"{"rules":[{"event":"a","points":1}]}"# };
                    let source = Source { slug: "s", version: 1, body: &text };
                    let catalog = Catalog::compile(1, [source], named.into_iter().map(score));
                    prop_assert_eq!(catalog.failed(), []);
                    let holds = !membership(&catalog.segments()[0], &State::default()).unwrap().is_empty();
                    prop_assert_eq!(holds, weir_segment::true_of_empty_history(&definition));
                }
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    for problem in problems {
                        prop_assert!(value.pointer(&problem.pointer).is_some(), "{:?} points nowhere", problem);
                        prop_assert!(!problem.message.is_empty());
                    }
                }
            }
        }
    }
}
