//! How long a summary takes over a million removals: `cargo run --release -p weir-basket --example summary`.

#![allow(clippy::print_stdout)] // It is for people.

use std::collections::BTreeMap;
use std::time::Instant;

use weir_basket::days::{Changes, Class, DAY, Place, Summary, cover};
use weir_basket::{Price, Removal};
use weir_event::{Decimal, EventKey};

fn main() {
    let mut rows: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
    let mut state = 1_u64;
    let mut random = move |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    for _ in 0..50 {
        let mut changes = Changes::default();
        for _ in 0..20_000 {
            let product = random(10_000);
            let at = i64::try_from(random(30)).unwrap_or(0) * DAY;
            let removal = Removal {
                event: EventKey { at, time: at, id: "e".into(), received: at },
                product: format!("sku-{product}"),
                name: None,
                quantity: Decimal::ONE,
                price: Some(Price { amount: Decimal::from_billionths(19_990_000_000), currency: Some("EUR".into()) }),
                added_at: at,
                checked_out: None,
            };
            changes.replace(&[], &[removal]);
        }
        for (place, changes) in changes.by_place() {
            let before = rows.remove(&place).unwrap_or_default();
            if let Ok(row) = changes.apply(&before) {
                rows.insert(place, row);
            }
        }
    }
    let bytes: usize = rows.values().map(Vec::len).sum();
    println!("{} rows, {bytes} bytes", rows.len());
    for (name, days) in [("a day", (3, 4)), ("a week", (3, 10)), ("29 days", (1, 30)), ("all", (i32::MIN, i32::MAX))] {
        let covered = cover(days.0..days.1);
        let is_in =
            |place: &Place| covered.iter().any(|of| place.level == of.level && of.numbers.contains(&place.number));
        let wanted: Vec<(i32, Vec<u8>)> =
            rows.iter().filter(|(place, _)| is_in(place)).map(|(place, row)| (place.bucket, row.clone())).collect();
        let mut best = f64::MAX;
        let mut products = 0;
        for _ in 0..20 {
            let began = Instant::now();
            match Summary::of_rows(Class::All, days, wanted.clone()) {
                Ok(summary) => products = summary.products().count(),
                Err(error) => println!("{error}"),
            }
            best = best.min(began.elapsed().as_secs_f64() * 1e3);
        }
        println!("{name}: {products} products, {best:.2} ms");
    }
}
