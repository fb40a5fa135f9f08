//! The laws of baskets, on random histories, against a recomputation that shares nothing with the crate: a list of events
//! in order, walked through with the rules as `docs/BASKETS.md` has them, on whole numbers.
#![allow(clippy::unwrap_used)] // A test that fails here is one that failed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use weir_basket::days::{Changes, Class, DAY, Place, Summary, cover, numbers, numbers_of_changes};
use weir_basket::{Basket, Change, History, Inserted, Removal};
use weir_event::{Decimal, Event, EventKey};

/// An event as it was sent.
#[derive(Clone, Debug)]
struct Sent {
    key: (i64, i64, String, i64),
    name: &'static str,
    data: Value,
}

impl Sent {
    fn event<'a>(&'a self, data: &'a RawValue) -> Event<'a> {
        let (at, time, id, received) = self.key.clone();
        Event {
            key: EventKey { at, time, id: id.into(), received },
            name: self.name,
            data: Some(data),
            identifier: None,
        }
    }
}

fn change(sent: &Sent) -> Option<(EventKey, Change)> {
    let data = RawValue::from_string(sent.data.to_string()).unwrap();
    let event = sent.event(&data);
    let change = Change::of(&event).ok().flatten()?;
    Some((event.key, change))
}

fn product() -> impl Strategy<Value = Value> {
    prop_oneof![6 => prop_oneof![Just(json!("a")), Just(json!("b")), Just(json!(7))], 1 => Just(json!(null)), 1 => Just(json!({}))]
}

fn quantity() -> impl Strategy<Value = Value> {
    prop_oneof![3 => Just(json!(null)), 6 => (0_u8..4).prop_map(|n| json!(n)), 1 => Just(json!("2")), 1 => Just(json!(-1))]
}

fn sent() -> impl Strategy<Value = Sent> {
    let added = (
        product(),
        quantity(),
        prop_oneof![Just(json!(null)), (0_u8..9).prop_map(|n| json!(n)), Just(json!("9"))],
        prop_oneof![Just(json!(null)), Just(json!("EUR")), Just(json!("USD"))],
        prop_oneof![Just(json!(null)), Just(json!("shoe"))],
    );
    let added = added.prop_map(|(product_id, quantity, price, currency, name)| {
        let mut data = json!({"product_id": product_id, "price": price, "currency": currency, "name": name});
        if !quantity.is_null() {
            data["quantity"] = quantity;
        }
        ("cart.added", data)
    });
    let named = |name: &'static str| {
        (product(), quantity())
            .prop_map(move |(product_id, quantity)| (name, json!({"product_id": product_id, "quantity": quantity})))
    };
    let line = (product(), quantity())
        .prop_map(|(product_id, quantity)| json!({"product_id": product_id, "quantity": quantity}));
    let products = prop_oneof![
        2 => Just(json!(null)),
        3 => proptest::collection::vec(line, 0..3).prop_map(Value::from),
        1 => Just(json!("a"))
    ];
    let ordered = (products, prop_oneof![Just(json!(null)), Just(json!("o1")), Just(json!(5)), Just(json!(true))])
        .prop_map(|(products, order_id)| ("order.completed", json!({"products": products, "order_id": order_id})));
    let what = prop_oneof![
        5 => added,
        3 => named("cart.removed"),
        2 => named("cart.updated"),
        1 => Just(("cart.cleared", json!({"product_id": {}}))),
        2 => ordered,
        1 => Just(("product.viewed", json!({"product_id": "a"}))),
    ];
    // Few instants, so that many events share one; days apart, so that sums have something to add up.
    let key = (0_i64..4, 0_i64..3, 0_i64..3, "[ab]{1,2}", 0_i64..2);
    (key, what).prop_map(|((day, at, ahead, id, late), (name, data))| {
        // The last two are in another stretch of 2 to 32 days than the others.
        let at = (30 + day) * DAY + at;
        Sent { key: (at, at + ahead, id, at + late), name, data }
    })
}

/// What a removal is, in the words of the page: whole numbers, and text.
type Row = (String, Option<String>, i64, Option<i64>, Option<String>, i64, i64, String, Option<(Option<String>, i64)>);

/// A product in the naive basket.
#[derive(Clone, Default)]
struct Held {
    quantity: i64,
    name: Option<String>,
    price: Option<(i64, Option<String>)>,
    added_at: i64,
}

#[derive(Default)]
struct Naive {
    held: BTreeMap<String, Held>,
    removals: Vec<Row>,
    last: Option<i64>,
}

fn text_or_number(value: &Value) -> Result<Option<String>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(()),
    }
}

fn number(value: &Value) -> Result<Option<i64>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => number.as_i64().filter(|n| *n >= 0).map(Some).ok_or(()),
        _ => Err(()),
    }
}

fn text(value: &Value) -> Result<Option<String>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(()),
    }
}

impl Naive {
    fn of(events: &[Sent]) -> Self {
        let mut naive = Self::default();
        let mut ordered: Vec<&Sent> = events.iter().collect();
        ordered.sort_by(|a, b| a.key.cmp(&b.key));
        ordered.dedup_by(|a, b| a.key == b.key);
        for sent in ordered {
            // What isn't a basket event does nothing.
            let _ = naive.step(sent);
        }
        naive
    }

    fn step(&mut self, sent: &Sent) -> Result<(), ()> {
        let (at, data) = (sent.key.0, &sent.data);
        match sent.name {
            "cart.added" => {
                let product = text_or_number(&data["product_id"])?.ok_or(())?;
                let quantity = number(&data["quantity"])?.unwrap_or(1);
                let (price, currency, name) = (number(&data["price"])?, text(&data["currency"])?, text(&data["name"])?);
                self.last = Some(at);
                if quantity > 0 {
                    let held = self.held.entry(product).or_default();
                    held.quantity += quantity;
                    held.added_at = at;
                    held.price = price.map(|price| (price, currency)).or(held.price.take());
                    held.name = name.or(held.name.take());
                }
            }
            "cart.removed" => {
                let product = text_or_number(&data["product_id"])?.ok_or(())?;
                let quantity = number(&data["quantity"])?;
                self.last = Some(at);
                self.out(sent, &product, quantity.unwrap_or(i64::MAX), true);
            }
            "cart.updated" => {
                let product = text_or_number(&data["product_id"])?.ok_or(())?;
                let quantity = number(&data["quantity"])?.ok_or(())?;
                self.last = Some(at);
                let now = self.held.get(&product).map_or(0, |held| held.quantity);
                if quantity > now {
                    let held = self.held.entry(product).or_default();
                    held.quantity = quantity;
                    held.added_at = at;
                } else {
                    self.out(sent, &product, now - quantity, true);
                }
            }
            "cart.cleared" => {
                self.last = Some(at);
                for product in self.held.keys().cloned().collect::<Vec<_>>() {
                    self.out(sent, &product, i64::MAX, true);
                }
            }
            "order.completed" => {
                let order = text_or_number(&data["order_id"])?;
                let mut lines = Vec::new();
                match &data["products"] {
                    Value::Null => lines.extend(self.held.keys().map(|product| (product.clone(), None))),
                    Value::Array(products) => {
                        for line in products {
                            lines.push((text_or_number(&line["product_id"])?.ok_or(())?, number(&line["quantity"])?));
                        }
                    }
                    _ => return Err(()),
                }
                self.last = Some(at);
                for (product, quantity) in lines {
                    self.out(sent, &product, quantity.unwrap_or(i64::MAX), false);
                }
                for removal in self.removals.iter_mut().filter(|removal| removal.8.is_none()) {
                    removal.8 = Some((order.clone(), at));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn out(&mut self, sent: &Sent, product: &str, quantity: i64, is_removal: bool) {
        let Some(held) = self.held.get_mut(product) else { return };
        let out = quantity.min(held.quantity);
        if out == 0 {
            return;
        }
        held.quantity -= out;
        let Held { name, price, added_at, .. } = held.clone();
        if held.quantity == 0 {
            self.held.remove(product);
        }
        if is_removal {
            let (price, currency) = price.map_or((None, None), |(price, currency)| (Some(price), currency));
            let id = sent.key.2.clone();
            self.removals.push((product.to_owned(), name, out, price, currency, added_at, sent.key.0, id, None));
        }
    }
}

fn whole(decimal: Decimal) -> i64 {
    decimal.to_string().parse().unwrap()
}

fn row(removal: &Removal) -> Row {
    let price = removal.price.as_ref().map(|price| whole(price.amount));
    let value = removal.value().map(whole);
    assert_eq!(value, price.map(|price| price * whole(removal.quantity)));
    (
        removal.product.clone(),
        removal.name.clone(),
        whole(removal.quantity),
        price,
        removal.currency().map(str::to_owned),
        removal.added_at,
        removal.event.at,
        removal.event.id.to_string(),
        removal.checked_out.as_ref().map(|order| (order.order.clone(), order.at)),
    )
}

fn history(events: &[Sent]) -> History {
    let mut history = History::default();
    for (key, change) in events.iter().filter_map(change) {
        assert_ne!(history.insert(key, change, usize::MAX), Inserted::SetAside);
    }
    history
}

/// Events whose keys differ: admission lets an id by once.
fn events(count: usize) -> impl Strategy<Value = Vec<Sent>> {
    proptest::collection::vec(sent(), 0..count).prop_map(|events| {
        let mut known = BTreeSet::new();
        events.into_iter().filter(|sent| known.insert(sent.key.clone())).collect()
    })
}

/// What a summary over the removals of several profiles says of a product: draft, checked out, profiles, quantity, value.
type Sum = (i64, i64, i64, i64, BTreeMap<Option<String>, i64>);

fn naive_summary(profiles: &[Vec<Removal>], class: Class, days: (i64, i64)) -> BTreeMap<String, Sum> {
    let mut sums: BTreeMap<String, (Sum, BTreeSet<usize>)> = BTreeMap::new();
    for (profile, removals) in profiles.iter().enumerate() {
        for removal in removals {
            let day = removal.event.at.div_euclid(DAY);
            let is_wanted = class == Class::All || (class == Class::Draft) == removal.is_draft();
            if day < days.0 || day >= days.1 || !is_wanted {
                continue;
            }
            let (sum, known) = sums.entry(removal.product.clone()).or_default();
            if removal.is_draft() {
                sum.0 += 1
            } else {
                sum.1 += 1
            }
            known.insert(profile);
            sum.3 += whole(removal.quantity);
            if let Some(value) = removal.value() {
                *sum.4.entry(removal.currency().map(str::to_owned)).or_default() += whole(value);
            }
        }
    }
    sums.into_iter()
        .map(|(product, (sum, known))| (product, (sum.0, sum.1, known.len() as i64, sum.3, sum.4)))
        .collect()
}

/// Rows, and changes that wait beside them.
#[derive(Default)]
struct Kept {
    rows: BTreeMap<Place, Vec<u8>>,
    waiting: Vec<Vec<u8>>,
}

impl Kept {
    fn add(&mut self, before: &[Removal], after: &[Removal]) {
        let mut changes = Changes::default();
        changes.replace(before, after);
        self.waiting.push(changes.encode());
    }

    /// Adds the first so many of what waits to the rows.
    fn merge(&mut self, count: usize) {
        let mut changes = Changes::default();
        for bytes in self.waiting.drain(..count.min(self.waiting.len())) {
            changes.add_encoded(&bytes).unwrap();
        }
        for (place, changes) in changes.by_place() {
            let row = changes.apply(self.rows.get(&place).map_or(&[], Vec::as_slice)).unwrap();
            if row.is_empty() {
                self.rows.remove(&place)
            } else {
                self.rows.insert(place, row)
            };
        }
    }

    fn summary(&self, class: Class, days: (i64, i64)) -> BTreeMap<String, Sum> {
        let days = (days.0 as i32, days.1 as i32);
        let covered = cover(days.0..days.1);
        let of = |place: &Place| covered.iter().any(|of| place.level == of.level && of.numbers.contains(&place.number));
        let rows = self.rows.iter().filter(|(place, _)| of(place)).map(|(place, row)| (place.bucket, row.clone()));
        let mut summary = Summary::of_changes(class, days, self.waiting.clone()).unwrap();
        // In parts: whatever a part is of, they add up to the same.
        for n in 0..3 {
            let part = rows.clone().skip(n).step_by(3).collect();
            summary.merge(Summary::of_rows(class, days, part).unwrap());
        }
        let products = summary.products().map(|(product, sums)| {
            let value = summary.value(sums).into_iter();
            let value = value.map(|(currency, amount)| (currency.map(str::to_owned), whole(amount))).collect();
            let quantity = whole(Decimal::from_billionths(sums.quantity));
            (product.to_owned(), (sums.draft, sums.checked_out, sums.profiles, quantity, value))
        });
        products.collect()
    }

    /// All numbers by name.
    fn numbers(&self) -> BTreeMap<(Place, Vec<u8>), i128> {
        let mut all: BTreeMap<(Place, Vec<u8>), i128> = BTreeMap::new();
        let mut add = |place, name: &[u8], n| *all.entry((place, name.to_vec())).or_default() += n;
        for (place, row) in &self.rows {
            numbers(row, |name, n| add(*place, name, n)).unwrap();
        }
        self.waiting.iter().for_each(|changes| numbers_of_changes(changes, &mut add).unwrap());
        all.retain(|_, n| *n != 0);
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn any_order_and_any_repetition_give_the_same_bytes(events in events(25), order in proptest::collection::vec(0_usize..1_000, 0..40)) {
        let mut shuffled = events.clone();
        for (at, with) in order.iter().enumerate().filter(|_| !events.is_empty()) {
            shuffled.swap(at % events.len(), with % events.len());
        }
        shuffled.extend(order.iter().filter_map(|n| events.get(*n).cloned()));
        prop_assert_eq!(history(&shuffled).encode(), history(&events).encode());
    }

    #[test]
    fn state_bytes_are_read_as_written_at_any_place(events in events(25), cut in 0_usize..25) {
        let (first, second) = events.split_at(cut.min(events.len()));
        let mut resumed = History::decode(&history(first).encode()).unwrap();
        for (key, change) in second.iter().filter_map(change) {
            resumed.insert(key, change, usize::MAX);
        }
        prop_assert_eq!(&resumed, &history(&events));
        for removal in Basket::of(&resumed).removals {
            prop_assert_eq!(Removal::decode(&removal.encode()).unwrap(), removal);
        }
    }

    #[test]
    fn a_basket_is_what_a_naive_walk_finds(events in events(30)) {
        let (basket, naive) = (Basket::of(&history(&events)), Naive::of(&events));
        prop_assert_eq!(basket.updated_at, naive.last);
        prop_assert_eq!(basket.removals.iter().map(row).collect::<Vec<_>>(), naive.removals);
        let lines = |line: &weir_basket::Line| {
            let price = line.price.as_ref().map(|price| (whole(price.amount), price.currency.clone()));
            (whole(line.quantity), line.name.clone(), price, line.added_at)
        };
        let held = naive.held.into_iter().map(|(product, held)| (product, (held.quantity, held.name, held.price, held.added_at)));
        prop_assert_eq!(basket.lines.iter().map(|(product, line)| (product.clone(), lines(line))).collect::<BTreeMap<_, _>>(), held.collect());
    }

    #[test]
    fn sums_by_day_equal_sums_over_removals(
        profiles in proptest::collection::vec((events(12), events(6)), 1..4),
        from in 29_i64..35,
        long in 0_i64..6,
        merges in proptest::collection::vec(0_usize..3, 8),
    ) {
        let (mut kept, mut at_once) = (Kept::default(), Kept::default());
        let (mut removals, mut merges) = (Vec::new(), merges.into_iter());
        for (first, more) in &profiles {
            let before = Basket::of(&history(first)).removals;
            let all: Vec<Sent> = first.iter().chain(more).cloned().collect();
            let mut known = BTreeSet::new();
            let all: Vec<Sent> = all.into_iter().filter(|sent| known.insert(sent.key.clone())).collect();
            let after = Basket::of(&history(&all)).removals;
            kept.add(&[], &before);
            kept.merge(merges.next().unwrap_or(0));
            kept.add(&before, &after);
            kept.merge(merges.next().unwrap_or(0));
            at_once.add(&[], &after);
            removals.push(after);
        }
        at_once.merge(usize::MAX);
        prop_assert_eq!(kept.numbers(), at_once.numbers());
        for class in [Class::All, Class::Draft, Class::CheckedOut] {
            for days in [(from, from + long), (-1_000, 1_000)] {
                prop_assert_eq!(kept.summary(class, days), naive_summary(&removals, class, days), "{:?} {:?}", class, days);
            }
        }
        kept.merge(usize::MAX);
        prop_assert_eq!(&kept.rows, &at_once.rows);
        // What goes leaves nothing behind.
        removals.iter().for_each(|removals| kept.add(removals, &[]));
        kept.merge(usize::MAX);
        prop_assert!(kept.rows.is_empty(), "{:?}", kept.rows);
    }

    #[test]
    fn days_are_covered_once_each_by_few_stretches(from in -3_000_i32..3_000, long in -5_i32..3_000) {
        let covered = cover(from..from + long);
        let places = covered.iter().flat_map(|stretches| {
            stretches.numbers.clone().map(|number| Place { level: stretches.level, number, bucket: 0 })
        });
        let mut days: Vec<i32> = places.clone().flat_map(Place::days).collect();
        days.sort_unstable();
        prop_assert_eq!(days, (from..from + long).collect::<Vec<_>>());
        prop_assert!(places.count() <= 5 * 6 + 3, "{:?}", covered);
    }
}

#[test]
fn all_days_are_covered() {
    let covered = cover(i32::MIN..i32::MAX);
    let last = covered.last().unwrap();
    assert!(
        covered.len() < 16 && last.level == 7 && last.numbers.contains(&-2) && last.numbers.contains(&20),
        "{covered:?}"
    );
}

#[test]
fn sums_that_nobody_wrote_so_are_refused() {
    let mut kept = Kept::default();
    let events: Vec<Sent> =
        [("cart.added", json!({"product_id": "a", "price": 3})), ("cart.removed", json!({"product_id": "a"}))]
            .into_iter()
            .zip(1..)
            .map(|((name, data), at)| Sent { key: (at, at, "e".to_owned(), at), name, data })
            .collect();
    kept.add(&[], &Basket::of(&history(&events)).removals);
    let changes = kept.waiting[0].clone();
    kept.merge(1);
    let row = kept.rows.values().next().unwrap().clone();
    for cut in 1..row.len() {
        assert!(numbers(&row[..cut], |_, _| ()).is_err());
    }
    for cut in 1..changes.len() {
        assert!(numbers_of_changes(&changes[..cut], |_, _, _| ()).is_err());
    }
    for bytes in [&row, &changes] {
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(numbers(&longer, |_, _| ()).is_err() && numbers_of_changes(&longer, |_, _, _| ()).is_err());
    }
}

#[test]
fn a_state_past_its_budget_is_set_aside_and_stays_so() {
    let mut history = History::default();
    let key = |at| EventKey { at, time: at, id: "e".into(), received: at };
    let mut at = 0;
    while history.insert(key(at), Change::Cleared, 100) == Inserted::New {
        at += 1;
    }
    assert!(at > 2 && history.is_set_aside() && history.events().is_empty());
    assert_eq!(history.insert(key(0), Change::Cleared, 100), Inserted::WasAside);
    let read = History::decode(&history.encode()).unwrap();
    assert_eq!(read, history);
    assert_eq!(Basket::of(&read), Basket::default());
}

#[test]
fn the_budget_counts_the_bytes_of_the_state() {
    let mut history = History::default();
    for at in 0..10 {
        let before = history.clone();
        let key = EventKey { at, time: at, id: "event".into(), received: at };
        let change = Change::Removed { product: "p".into(), quantity: None };
        history.insert(key.clone(), change.clone(), usize::MAX);
        let bytes = history.encode().len();
        assert_eq!(before.clone().insert(key.clone(), change.clone(), bytes), Inserted::New);
        assert_eq!(before.clone().insert(key, change, bytes - 1), Inserted::SetAside);
    }
}

#[test]
fn bytes_of_no_release_are_damage() {
    for bytes in [&[][..], &[0], &[1, 0], &[0xff, 0], &[2]] {
        assert!(History::decode(bytes).is_err(), "{bytes:?}");
        assert!(Removal::decode(bytes).is_err(), "{bytes:?}");
    }
    let row = [1, 1, b'p', 2, 0, 0];
    assert!(Summary::of_rows(Class::All, (0, 1), vec![(0, row.to_vec())]).is_ok());
    let out_of_order = [&row[..], &row[1..]].concat();
    for row in
        [&[0][..], &[1, 9], &[1, 1, b'p', 1, 0], &[1, 1, b'p', 3, 0, 0, 9], &[1, 1, 0xff, 2, 0, 0], &out_of_order]
    {
        assert!(Summary::of_rows(Class::All, (0, 1), vec![(0, row.to_vec())]).is_err(), "{row:?}");
    }
}
