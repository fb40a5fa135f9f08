//! Random histories of baskets: what shoppers do, and what shops get wrong when they tell it.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::records::{IDS, Sent, Who, pick, who};
use crate::oracle::instant;

/// Products that are named again and again. A number and the text of its digits are one product.
const PRODUCTS: [&str; 6] = ["\"p1\"", "\"p2\"", "7", "\"7\"", "\"é, \\\"x\\\"\"", "7.0"];
/// Others: in another order by UTF-16, to a spreadsheet formulas, and odd ones.
const RARE_PRODUCTS: [&str; 6] = ["\"\u{ffff}\"", "\"𝄞\"", "\"=1+1\"", "1e2", "\"\"", "\"a\\nb%&/+ \""];
const WRONG_IDS: [&str; 5] = ["null", "true", "{}", "[\"p1\"]", "[]"];
const QUANTITIES: [&str; 9] = ["1", "2", "3", "5", "0.5", "1e0", "0", "null", "0.000000001"];
const HUGE: [&str; 3] = ["999999999999999999", "999999999999999999.999999999", "123456789.123456789"];
const WRONG_NUMBERS: [&str; 6] = ["\"1\"", "1e18", "true", "[]", "{}", "-1"];
const PRICES: [&str; 10] =
    ["19.99", "0.7", "5", "5.00", "0", "-3", "0.333333333", "null", "0.000000005", "999999999999999999"];
const CURRENCIES: [&str; 5] = ["\"EUR\"", "\"USD\"", "\"eur\"", "null", "\"\""];
const NAMES: [&str; 7] =
    ["\"Shoe\"", "\"Hat, \\\"red\\\"\"", "\"=cmd|' /C'!A1\"", "null", "\"two\\r\\nlines\"", "\"+1\"", "\"\u{ffff}\""];
const WRONG_TEXTS: [&str; 4] = ["5", "true", "[]", "{\"a\":1}"];
const ORDERS: [&str; 6] = ["\"o-1\"", "\"o-2\"", "5", "null", "1.50", "\"@o\""];
const WRONG_PRODUCTS: [&str; 8] = [
    "\"p1\"",
    "5",
    "{}",
    "[\"p1\"]",
    "[null]",
    "[{\"product_id\":\"p1\"},{\"quantity\":1}]",
    "[{\"product_id\":\"p1\",\"quantity\":-1}]",
    "[[{\"product_id\":\"p1\"}]]",
];

/// Events and facts of a few shoppers, in the order that they are sent in, while the clock stands at `now`. They happened
/// within some days before, at a few instants that are shared, and some after.
pub fn baskets(rng: &mut StdRng, shoppers: usize, events: usize, now: i64) -> Vec<Sent> {
    let people: Vec<Who> = (0..shoppers).map(|n| who(rng, n)).collect();
    let label: u32 = rng.random();
    let mut sent: Vec<Sent> = Vec::new();
    for n in 0..events {
        let next = match sent.choose(rng).cloned() {
            Some(earlier) if rng.random_bool(0.08) => again(rng, earlier),
            _ => fresh(rng, &people, &format!("{label:x}-{n}"), now),
        };
        sent.push(next);
    }
    sent
}

/// The same id once more, at times with another body or time: it changes nothing.
fn again(rng: &mut StdRng, earlier: Sent) -> Sent {
    let time = if rng.random_bool(0.3) { time(rng, earlier.received) } else { earlier.time };
    let data = if rng.random_bool(0.3) { data(rng, &earlier.name) } else { earlier.data.clone() };
    let fact = earlier.name.starts_with("profile.");
    Sent { time, data: if fact { earlier.data.clone() } else { data }, ..earlier }
}

fn fresh(rng: &mut StdRng, people: &[Who], id: &str, now: i64) -> Sent {
    let who = pick(rng, people).clone();
    let name = match (rng.random_range(0..100), &who) {
        (0..47, _) => "cart.added",
        (47..72, _) => "cart.removed",
        (72..85, _) => "cart.updated",
        (85..88, _) => "cart.cleared",
        (88..94, _) => "order.completed",
        (94..97, _) => "product.viewed",
        (_, Who::Id(_)) => "profile.updated",
        _ => "profile.registered",
    };
    let import = rng.random_bool(0.05) && !name.starts_with("profile.");
    let (received, arrived) =
        if import { (now - rng.random_range(0..40) * instant::DAY, Some(now)) } else { (now, None) };
    // Short ids meet at one instant, and in another order than they were made in.
    let id = if rng.random_bool(0.05) { (*pick(rng, &IDS)).to_owned() } else { id.to_owned() };
    let id = if rng.random_bool(0.5) { format!("{}{id}", pick(rng, &IDS)) } else { id };
    Sent { time: time(rng, received), who, id, name: name.to_owned(), data: data(rng, name), received, arrived }
}

/// Mostly one of a few instants a day, so that many events meet; at midnight and next to it, too.
fn time(rng: &mut StdRng, received: i64) -> i64 {
    let day = received.div_euclid(instant::DAY) - rng.random_range(0..6);
    match rng.random_range(0..10) {
        0 => day * instant::DAY + rng.random_range(-1..=1),
        1 => received + rng.random_range(0..20) * 3_600 * instant::SECOND,
        2 => received - rng.random_range(0..70 * instant::DAY),
        3..7 => day * instant::DAY + rng.random_range(0..8) * 3_600 * instant::SECOND,
        _ => received - rng.random_range(0..12) * 3_600 * instant::SECOND - rng.random_range(0..2),
    }
}

fn data(rng: &mut StdRng, name: &str) -> String {
    let mut fields = Fields::default();
    match name {
        "cart.added" => {
            fields.line(rng, 0.6);
            fields.maybe(rng, 0.7, "price", &PRICES, &WRONG_NUMBERS);
            fields.maybe(rng, 0.7, "currency", &CURRENCIES, &WRONG_TEXTS);
            fields.maybe(rng, 0.5, "name", &NAMES, &WRONG_TEXTS);
            fields.maybe(rng, 0.3, "cart_id", &ORDERS, &WRONG_IDS[1..]);
        }
        "cart.removed" => fields.line(rng, 0.5),
        "cart.updated" => fields.line(rng, 0.95),
        "order.completed" => {
            fields.maybe(rng, 0.8, "order_id", &ORDERS, &WRONG_IDS[1..]);
            if rng.random_bool(0.5) {
                let list = format!("[{}]", lines(rng).join(","));
                fields.maybe(rng, 1.0, "products", &[list.as_str(), "null"], &WRONG_PRODUCTS);
            }
        }
        "profile.registered" | "profile.updated" => return facts(rng),
        // Nobody asks what else there is.
        _ => fields.maybe(rng, 0.5, "product_id", &PRODUCTS, &WRONG_IDS),
    }
    fields.0.push("\"more\":{\"price\":\"x\"}".to_owned());
    format!("{{{}}}", fields.0.join(","))
}

fn facts(rng: &mut StdRng) -> String {
    let name = pick(rng, &["\"Ada\"", "\"=Ada\"", "\"O'Hara, \\\"Bo\\\"\"", "\"\u{ffff}\""]);
    let plan = rng.random_range(0..3);
    format!("{{\"name\":{name},\"traits\":{{\"plan\":{plan},\"email\":\"t{plan}@example.com\"}}}}")
}

/// Lines of an order.
fn lines(rng: &mut StdRng) -> Vec<String> {
    let line = |rng: &mut StdRng| {
        let mut fields = Fields::default();
        fields.right_line(rng);
        format!("{{{}}}", fields.0.join(","))
    };
    (0..rng.random_range(0..=3)).map(|_| line(rng)).collect()
}

#[derive(Default)]
struct Fields(Vec<String>);

impl Fields {
    /// A field that is there with that probability; at times it is wrong.
    fn maybe(&mut self, rng: &mut StdRng, there: f64, name: &str, values: &[&str], wrong: &[&str]) {
        if rng.random_bool(there) {
            let from = if rng.random_bool(0.01) { wrong } else { values };
            self.0.push(format!("\"{name}\":{}", pick(rng, from)));
        }
    }

    fn line(&mut self, rng: &mut StdRng, quantity: f64) {
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
        let product = match rng.random_range(0..90) {
            0 => (*pick(rng, &WRONG_IDS)).to_owned(),
            1 => long(200),
            2 => long(201),
            4..=10 => (*pick(rng, &RARE_PRODUCTS)).to_owned(),
            3 => return,
            _ => (*pick(rng, &PRODUCTS)).to_owned(),
        };
        self.0.push(format!("\"product_id\":{product}"));
        let huge = rng.random_bool(0.06);
        self.maybe(rng, quantity, "quantity", if huge { &HUGE } else { &QUANTITIES }, &WRONG_NUMBERS);
    }

    fn right_line(&mut self, rng: &mut StdRng) {
        self.0.push(format!("\"product_id\":{}", pick(rng, &PRODUCTS)));
        if rng.random_bool(0.5) {
            self.0.push(format!("\"quantity\":{}", pick(rng, &QUANTITIES)));
        }
    }
}
