//! `--demo`: a small synthetic shop that posts over HTTP, as any producer would, at a pace that one can watch.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use rand::Rng as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Id, name, category, and price in cents of EUR.
const PRODUCTS: [(&str, &str, &str, u32); 6] = [
    ("sku-1", "Ballet flats", "women's shoes", 5_990),
    ("sku-2", "Ankle boots", "women's shoes", 7_900),
    ("sku-3", "Wool coat", "coats", 14_900),
    ("sku-4", "Shoulder bag", "bags", 3_950),
    ("sku-5", "Straw hat", "hats", 2_400),
    ("sku-6", "Cotton socks", "socks", 795),
];
const VISITORS: u32 = 40;
/// Between two visits.
const PACE: Duration = Duration::from_millis(700);

/// Posts until stopped.
pub(crate) async fn run(at: SocketAddr, key: Option<String>, stop: CancellationToken) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build().context("the demo shop has no HTTP client")?;
    tracing::info!("the demo shop opens: {VISITORS} visitors, a visit every {} ms", PACE.as_millis());
    let mut pace = tokio::time::interval(PACE);
    let mut carts = Carts::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = pace.tick() => {}
        }
        let mut request = client.post(format!("http://{at}/api/events")).json(&carts.visit());
        if let Some(key) = &key {
            request = request.bearer_auth(key);
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => tracing::warn!(status = answer.status().as_u16(), "the demo shop's visit was refused"),
            Err(error) => tracing::warn!(error = %error, "the demo shop can't reach weir"),
        }
    }
}

/// What lies in the cart of each visitor: how many of which product.
#[derive(Default)]
struct Carts(HashMap<u32, BTreeMap<usize, u32>>);

impl Carts {
    /// A visit: somebody looks at something, and may put it into the cart, take something out again, or order.
    fn visit(&mut self) -> Value {
        let mut rng = rand::rng();
        let visitor = rng.random_range(1..=VISITORS);
        let viewed = rng.random_range(0..PRODUCTS.len());
        let cart = self.0.entry(visitor).or_default();
        let mut events = vec![("product.viewed", item(viewed))];
        let held = cart.keys().nth(rng.random_range(0..cart.len().max(1))).copied();
        match (rng.random_range(0..100), held) {
            (0..45, _) => {
                *cart.entry(viewed).or_default() += 1;
                events.push(("cart.added", item(viewed)));
            }
            (45..65, Some(held)) => {
                cart.remove(&held);
                events.push(("cart.removed", json!({"product_id": PRODUCTS[held].0})));
            }
            (65..73, Some(held)) => {
                let quantity = rng.random_range(1..=3);
                cart.insert(held, quantity);
                events.push(("cart.updated", json!({"product_id": PRODUCTS[held].0, "quantity": quantity})));
            }
            (73..76, Some(_)) => {
                cart.clear();
                events.push(("cart.cleared", json!({})));
            }
            (76..95, Some(_)) => events.push(("order.completed", order(&std::mem::take(cart), rng.random()))),
            _ => {}
        }
        let email = format!("visitor-{visitor}@shop.example");
        events
            .into_iter()
            .map(|(name, properties)| json!({"email": email, "name": name, "properties": properties}))
            .collect()
    }
}

fn item(product: usize) -> Value {
    let (id, name, category, cents) = PRODUCTS[product];
    json!({"product_id": id, "name": name, "category": category, "price": amount(cents), "currency": "EUR"})
}

fn order(cart: &BTreeMap<usize, u32>, number: u32) -> Value {
    let products: Vec<_> = cart
        .iter()
        .map(|(product, quantity)| json!({"product_id": PRODUCTS[*product].0, "quantity": quantity}))
        .collect();
    let total: u32 = cart.iter().map(|(product, quantity)| PRODUCTS[*product].3 * quantity).sum();
    json!({"order_id": format!("o-{number:08x}"), "products": products, "total": amount(total), "currency": "EUR"})
}

fn amount(cents: u32) -> f64 {
    f64::from(cents) / 100.0
}
