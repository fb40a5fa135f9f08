//! `--demo`: a small synthetic shop that posts over HTTP, as any producer would, at a pace that one can watch.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use rand::Rng as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const PRODUCTS: [(&str, &str, &str); 6] = [
    ("sku-1", "women's shoes", "59.90"),
    ("sku-2", "women's shoes", "79.00"),
    ("sku-3", "coats", "149.00"),
    ("sku-4", "bags", "39.50"),
    ("sku-5", "hats", "24.00"),
    ("sku-6", "socks", "7.95"),
];
const VISITORS: u32 = 40;
/// Between two visits.
const PACE: Duration = Duration::from_millis(700);

/// Posts until stopped.
pub(crate) async fn run(at: SocketAddr, key: Option<String>, stop: CancellationToken) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build().context("the demo shop has no HTTP client")?;
    tracing::info!("the demo shop opens: {VISITORS} visitors, a visit every {} ms", PACE.as_millis());
    let mut pace = tokio::time::interval(PACE);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = pace.tick() => {}
        }
        let mut request = client.post(format!("http://{at}/api/events")).json(&visit());
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

/// A visit: somebody looks at something, may put it into the cart, and may order.
fn visit() -> Value {
    let mut rng = rand::rng();
    let email = format!("visitor-{}@shop.example", rng.random_range(1..=VISITORS));
    let (product, category, price) = PRODUCTS[rng.random_range(0..PRODUCTS.len())];
    let price: f64 = price.parse().unwrap_or(0.0);
    let item = json!({"product_id": product, "category": category, "price": price, "currency": "EUR"});
    let mut visit = vec![json!({"email": email, "name": "product.viewed", "properties": item})];
    if rng.random_bool(0.5) {
        visit.push(json!({"email": email, "name": "cart.added", "properties": item}));
    }
    if rng.random_bool(0.2) {
        visit.push(
            json!({"email": email, "name": "order.completed", "properties": {"total": price, "currency": "EUR"}}),
        );
    }
    Value::Array(visit)
}
