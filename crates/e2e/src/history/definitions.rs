//! Random definitions. They name what random histories have, and their windows are as long as the steps there, so that
//! edges are met.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use super::records::EVENTS;
use crate::oracle::instant;

const DURATIONS: [&str; 6] = ["1s", "2s", "3s", "5s", "10s", "1m"];

/// A definition whose `score` conditions name one of `scores`; its instants lie in the minute after `start`.
pub fn definition(rng: &mut StdRng, scores: &[&str], start: i64) -> Value {
    json!({ "when": condition(rng, scores, start, 3) })
}

fn condition(rng: &mut StdRng, scores: &[&str], start: i64, depth: u32) -> Value {
    let several = |rng: &mut StdRng| -> Vec<Value> {
        (0..rng.random_range(1..=3)).map(|_| condition(rng, scores, start, depth - 1)).collect()
    };
    match rng.random_range(0..10) {
        0 if depth > 0 => json!({ "all": several(rng) }),
        1 if depth > 0 => json!({ "any": several(rng) }),
        2 if depth > 0 => json!({ "not": condition(rng, scores, start, depth - 1) }),
        3 | 4 => trait_leaf(rng),
        5 => score_leaf(rng, scores),
        _ => event_leaf(rng, start),
    }
}

fn pick<'a, T>(rng: &mut StdRng, from: &'a [T]) -> &'a T {
    from.choose(rng).expect("nothing is chosen from an empty list")
}

fn event_leaf(rng: &mut StdRng, start: i64) -> Value {
    let mut leaf = filter(rng);
    let moment = |rng: &mut StdRng| {
        let edge = rng.random_range(-1..=1) * i64::from(rng.random_bool(0.3));
        json!(instant::format(start + rng.random_range(0..60) * instant::SECOND + edge))
    };
    match rng.random_range(0..6) {
        0..=2 => {
            leaf.insert("within".into(), json!(pick(rng, &DURATIONS)));
        }
        3 => {
            let both: [&[&str]; 3] = [&["since"], &["until"], &["since", "until"]];
            let ends = *pick(rng, &both);
            for end in ends {
                leaf.insert((*end).into(), moment(rng));
            }
        }
        _ => {}
    }
    match rng.random_range(0..8) {
        0 | 1 => leaf.insert("at_least".into(), json!(rng.random_range(1..=4))),
        2 => leaf.insert("at_most".into(), json!(rng.random_range(0..=3))),
        3 => leaf.insert("exactly".into(), json!(rng.random_range(0..=3))),
        4 => leaf.insert("followed_by".into(), Value::Object(filter(rng))),
        5 | 6 => {
            if rng.random_bool(0.6) {
                leaf.insert("for".into(), json!(pick(rng, &DURATIONS)));
            }
            leaf.insert("not_followed_by".into(), Value::Object(filter(rng)))
        }
        _ => None,
    };
    Value::Object(leaf)
}

fn filter(rng: &mut StdRng) -> Map<String, Value> {
    let mut filter = Map::new();
    let name = match rng.random_range(0..12) {
        0 => "*",
        1 => "profile.updated",
        _ => pick(rng, &EVENTS),
    };
    filter.insert("event".into(), json!(name));
    if rng.random_bool(0.35) {
        let mut paths = Map::new();
        for _ in 0..rng.random_range(1..=2) {
            let path = *pick(rng, &["category", "price", "items.sku", "items.qty", "gift", "items", "absent"]);
            paths.insert(path.into(), test(rng, path));
        }
        filter.insert("where".into(), Value::Object(paths));
    }
    filter
}

/// A test of a value such as the path has, mostly.
fn test(rng: &mut StdRng, path: &str) -> Value {
    match path {
        "price" | "items.qty" | "age" => number_test(rng),
        "gift" => {
            pick(rng, &[json!(true), json!({"eq": false}), json!({"ne": true}), json!({"exists": false})]).clone()
        }
        "items" | "absent" => json!({ "exists": rng.random_bool(0.5) }),
        _ => text_test(rng),
    }
}

fn number_test(rng: &mut StdRng) -> Value {
    let number = |rng: &mut StdRng| {
        pick(rng, &[json!(0.7), json!(0.8), json!(1), json!(2), json!(-1), json!(999_999_999_999_999_999_i64)]).clone()
    };
    let a = number(rng);
    match rng.random_range(0..8) {
        0 => a,
        1 => json!({ "ne": a }),
        2 => json!({ "gt": a }),
        3 => json!({ "gte": a, "lt": number(rng) }),
        4 => json!({ "lte": a }),
        5 => json!({ "in": [a, number(rng), "shoes"] }),
        6 => json!({ "exists": rng.random_bool(0.5) }),
        _ => json!({ "eq": a, "exists": true }),
    }
}

fn text_test(rng: &mut StdRng) -> Value {
    let text = |rng: &mut StdRng| *pick(rng, &["shoes", "hats", "a", "b", "pro", "free", "Ada", "\u{ffff}", "𝄞"]);
    let a = text(rng);
    match rng.random_range(0..9) {
        0 | 1 => json!(a),
        2 => json!({ "ne": a }),
        3 => json!({ "gt": a }),
        4 => json!({ "lte": a }),
        5 => json!({ "in": if rng.random_bool(0.2) { json!([]) } else { json!([a, text(rng), 1]) } }),
        6 => json!({ "contains": pick(rng, &["o", "a", "ee", ""]) }),
        7 => json!({ "starts_with": pick(rng, &["s", "ha", "shoes!", "𝄞"]) }),
        _ => json!({ "exists": rng.random_bool(0.5) }),
    }
}

fn trait_leaf(rng: &mut StdRng) -> Value {
    if rng.random_bool(0.4) {
        let form = *pick(rng, &["in_next", "in_last"]);
        return json!({ "trait": "renews_at", form: pick(rng, &DURATIONS) });
    }
    let path = *pick(rng, &["plan", "age", "name", "email", "address.city", "tags", "absent"]);
    let mut leaf = match test(rng, path) {
        Value::Object(tests) => tests,
        scalar => Map::from_iter([("eq".to_owned(), scalar)]),
    };
    leaf.insert("trait".into(), json!(path));
    Value::Object(leaf)
}

fn score_leaf(rng: &mut StdRng, scores: &[&str]) -> Value {
    let Some(slug) = scores.choose(rng) else { return trait_leaf(rng) };
    let bound = *pick(rng, &["at_least", "at_most"]);
    let number = pick(rng, &[json!(0), json!(0.8), json!(1), json!(-0.5), json!(10), json!(21)]).clone();
    json!({ "score": slug, bound: number })
}
