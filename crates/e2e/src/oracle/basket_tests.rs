//! Examples of baskets worked by hand from the rules.

use uuid::Uuid;

use super::instant::{DAY, SECOND, format};
use super::{BasketLine, Decimal, Oracle, RemovalView, Sort, Status, WorkspaceOracle};

const START: i64 = 1_795_168_800 * SECOND;
const ADA: Uuid = Uuid::from_u128(0xada);

/// Events of one profile: seconds after the start, name, data.
fn shop(events: &[(i64, &str, &str)]) -> WorkspaceOracle {
    let record = |(n, (at, name, data)): (usize, &(i64, &str, &str))| {
        let at = format(START + at * SECOND);
        format!(
            r#"{{"specversion":"1.0","id":"e{n}","source":"/default","type":"{name}","subject":"{ADA}","time":"{at}",
            "receivedtime":"{at}","data":{data}}}"#
        )
        .into_bytes()
    };
    Oracle::new(&[events.iter().enumerate().map(record).collect()], 28 * DAY).workspace("default").clone()
}

fn number(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

fn at(seconds: i64) -> i64 {
    START + seconds * SECOND
}

/// Product, quantity, seconds of addition and removal, and the order.
type Told = (String, String, i64, i64, Option<Option<String>>);

fn told(removals: &[RemovalView<'_>]) -> Vec<Told> {
    let seconds = |at: i64| (at - START) / SECOND;
    let row = |r: &RemovalView<'_>| {
        let order = r.checked_out.clone().map(|(order, _)| order);
        (r.product.clone(), r.line.quantity.to_string(), seconds(r.line.added_at), seconds(r.event.at()), order)
    };
    removals.iter().map(row).collect()
}

#[test]
fn what_went_out_before_an_order_is_checked_out_with_it() {
    // They come in another order than they happened in.
    let shop = shop(&[
        (5, "order.completed", r#"{"order_id":7,"products":[{"product_id":"a"}]}"#),
        (1, "cart.added", r#"{"product_id":"a","quantity":3,"price":0.5,"currency":"EUR","name":"A"}"#),
        (2, "cart.added", r#"{"product_id":1}"#),
        (4, "cart.updated", r#"{"product_id":"a","quantity":1}"#),
        (3, "cart.removed", r#"{"product_id":"1","quantity":5}"#),
        (6, "cart.removed", r#"{"product_id":"a"}"#),
        (7, "cart.added", r#"{"product_id":"b","quantity":2,"price":1}"#),
        (8, "cart.cleared", "{}"),
    ]);
    let order = Some(Some("7".to_owned()));
    let row = |product: &str, quantity: &str, added, removed, order: &Option<Option<String>>| {
        (product.to_owned(), quantity.to_owned(), added, removed, order.clone())
    };
    let expected = [row("b", "2", 7, 8, &None), row("a", "2", 1, 4, &order), row("1", "1", 2, 3, &order)];
    assert_eq!(told(&shop.removals()), expected);
    let basket = shop.basket(ADA);
    assert_eq!((basket.lines.len(), basket.updated_at), (0, Some(at(8))));

    let all = shop.removed_products(Status::All, &(at(0)..at(9)), Sort::Value);
    let rows: Vec<_> = all.iter().map(|p| (p.product.as_str(), p.value.values().max().copied())).collect();
    assert_eq!(rows, [("b", Some(number("2"))), ("a", Some(number("1"))), ("1", None)]);
    let drafts = shop.removed_products(Status::Draft, &(at(0)..at(8)), Sort::Times);
    assert!(drafts.is_empty(), "a bound is the first instant that isn't meant any more");
}

#[test]
fn a_line_says_what_the_latest_addition_said_that_said_it() {
    let shop = shop(&[
        (1, "cart.added", r#"{"product_id":"a","price":2,"currency":"EUR","name":"A"}"#),
        (2, "cart.added", r#"{"product_id":"a","currency":"USD","name":null}"#),
        (3, "cart.added", r#"{"product_id":"a","quantity":0,"price":9,"name":"no"}"#),
        (4, "cart.updated", r#"{"product_id":"a","quantity":2}"#),
    ]);
    let basket = shop.basket(ADA);
    let (name, currency) = (Some("A".to_owned()), Some("EUR".to_owned()));
    let (quantity, price) = (number("2"), Some(number("2")));
    let line = BasketLine { name, quantity, price, currency: currency.clone(), added_at: at(2) };
    assert_eq!(basket.lines.get("a"), Some(&line));
    assert_eq!(basket.value.get(&currency), Some(&number("4")));
    assert_eq!(basket.updated_at, Some(at(4)));
}

#[test]
fn one_wrong_property_makes_it_no_basket_event() {
    let long = format!(r#"{{"product_id":"{}"}}"#, "x".repeat(201));
    for (name, data) in [
        ("cart.added", "{}"),
        ("cart.added", r#"{"product_id":true}"#),
        ("cart.added", long.as_str()),
        ("cart.added", r#"{"product_id":"a","quantity":"1"}"#),
        ("cart.added", r#"{"product_id":"a","quantity":-1}"#),
        ("cart.added", r#"{"product_id":"a","quantity":1e18}"#),
        ("cart.added", r#"{"product_id":"a","currency":5}"#),
        ("cart.added", r#"{"product_id":"a","cart_id":[]}"#),
        ("cart.removed", r#"{"product_id":null}"#),
        ("cart.updated", r#"{"product_id":"a"}"#),
        ("order.completed", r#"{"products":"a"}"#),
        ("order.completed", r#"{"products":[{"product_id":"a"},{}]}"#),
        ("order.completed", r#"{"order_id":true}"#),
    ] {
        let shop = shop(&[(1, name, data)]);
        assert_eq!((shop.not_basket_events(), shop.basket(ADA).updated_at), (1, None), "{name} {data}");
    }
    let shop = shop(&[(1, "cart.removed", r#"{"product_id":"a","price":"x"}"#), (2, "cart.cleared", "null")]);
    assert_eq!((shop.not_basket_events(), shop.basket(ADA).updated_at), (0, Some(at(2))));
}
