//! Whoever posts and then asks, sees it: with the token of the write, and without.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

use anyhow::{Context as _, Result};
use rand::Rng as _;
use reqwest::Method;
use serde_json::{Value, json};
use weir_e2e::history::Seeded;

use crate::caller::{Answer, Caller, Shop};
use crate::fleet::{Fleet, Size};
use crate::house::House;
use crate::place::{Place, Servers};

const THREADS: u64 = 8;
/// Of each thread: half of them with the token, half without.
const PAIRS: usize = 520;
const PAIRS_OF_MANY: usize = 260;

/// A read after the write whose answer is given; with its token or without.
async fn read_after(read: &Caller, path: &str, written: &Answer, token: bool) -> Result<Value> {
    let position = written.position.as_deref().context("no Weir-Position")?;
    let headers: &[(&str, &str)] = if token { &[("Weir-After", position), ("Prefer", "wait=30")] } else { &[] };
    read.send(Method::GET, path, None, headers).await?.expect(200)
}

/// A user who puts things into a cart, takes them out again and orders, and looks after each step.
#[derive(Default)]
struct Visitor {
    user: String,
    points: u64,
    events: usize,
    /// Whether something was put in after the latest order.
    abandoned: bool,
    /// How much of the one product lies in the cart.
    held: u64,
    /// How often it was taken out since the latest order.
    drafts: usize,
}

impl Visitor {
    /// One write and one read; whether the read was stale.
    async fn pair(&mut self, shop: &Shop, rng: &mut Seeded, token: bool) -> Result<bool> {
        let name = ["cart.added", "cart.removed", "order.completed", "LOGIN"][rng.random_range(0..4)];
        let written = if name.starts_with("cart.") {
            let body = json!({"name": name, "properties": {"product_id": "p1"}});
            shop.write.post(&format!("/api/profiles/user:{}/events", self.user), body).await?
        } else {
            shop.write.post("/v1/users/events", json!({"user_id": self.user, "event_type": name})).await?
        };
        let id = written.expect(201)?["id"].clone();
        self.did(name);
        let (read, user) = (&shop.read, &self.user);
        let seen = match (name, rng.random_range(0..6)) {
            ("LOGIN", 0) => {
                let body = read_after(read, &format!("/api/profiles/user:{user}"), &written, token).await?;
                body["scores"]["points"] == json!(self.points)
            }
            (_, 1) => {
                let path = format!("/api/profiles/user:{user}/events?limit=1000");
                let body = read_after(read, &path, &written, token).await?;
                body["events"].as_array().is_some_and(|events| events.iter().any(|event| event["id"] == id))
            }
            (_, 4) => {
                let body = read_after(read, &format!("/api/profiles/user:{user}/basket"), &written, token).await?;
                let held = body["items"].as_array().context("no items")?;
                held.first().map_or(Some(0), |line| line["quantity"].as_u64()) == Some(self.held)
            }
            (_, 5) => {
                let path = format!("/api/baskets/removed-items?profile_id=user:{user}&status=draft&limit=1000");
                let body = read_after(read, &path, &written, token).await?;
                body["items"].as_array().context("no items")?.len() == self.drafts
            }
            ("LOGIN", _) | (_, 2) => {
                let path = format!("/v1/users/events?user_id={user}&limit=1000");
                let body = read_after(read, &path, &written, token).await?;
                body["points"] == json!(self.points)
                    && body["events"].as_array().is_some_and(|events| events.len() == self.events)
            }
            _ => {
                let path = format!("/api/segments/abandoned-cart/members/user:{user}");
                let body = read_after(read, &path, &written, token).await?;
                let listed = read_after(read, &format!("/api/profiles/user:{user}/segments"), &written, token).await?;
                let rows = listed["segments"].as_array().context("no segments")?;
                let listed = rows.iter().any(|row| row["slug"] == "abandoned-cart");
                body["member"] == json!(self.abandoned) && listed == self.abandoned
            }
        };
        Ok(!seen)
    }

    /// What is true after such an event.
    fn did(&mut self, name: &str) {
        self.events += 1;
        match name {
            "cart.added" => (self.abandoned, self.held) = (true, self.held + 1),
            "cart.removed" => {
                self.drafts += usize::from(self.held > 0);
                self.held = 0;
            }
            "order.completed" => (self.abandoned, self.held, self.drafts) = (false, 0, 0),
            _ => self.points += 1,
        }
    }
}

/// Which reads come with the token of the write before them.
#[derive(Clone, Copy)]
enum Tokens {
    Always,
    /// A process that is everything knows what it acknowledged.
    HalfOfThem,
}

/// Writes and reads by all threads; nothing may be stale.
async fn pairs(shop: &Shop, of_thread: usize, tokens: Tokens) -> Result<()> {
    let (stale, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut threads = tokio::task::JoinSet::new();
    for thread in 0..THREADS {
        let (shop, stale) = (shop.clone(), stale.clone());
        threads.spawn(async move {
            let mut rng = Seeded::new(51 + thread);
            let mut visitors: Vec<Visitor> =
                (0..20).map(|n| Visitor { user: format!("t{thread}-{n}"), ..Visitor::default() }).collect();
            for pair in 0..of_thread {
                let (n, token) = (rng.random_range(0..visitors.len()), matches!(tokens, Tokens::Always));
                if visitors[n].pair(&shop, &mut rng, token || pair % 2 == 0).await? {
                    stale.fetch_add(1, SeqCst);
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = threads.join_next().await {
        ended??;
    }
    let pairs = THREADS as usize * of_thread;
    eprintln!("{pairs} pairs by {THREADS} threads in {:?}, seeds 51 to 58", begun.elapsed());
    assert_eq!(stale.load(SeqCst), 0, "stale reads");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_after_a_write_is_stale() -> Result<()> {
    let house = House::new(&[])?;
    let weir = house.open().await?;
    pairs(&weir.shop, PAIRS, Tokens::HalfOfThem).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_with_the_token_is_stale_over_many_processes() -> Result<()> {
    let size = Size { ingests: 2, projectors: 2, partitions: 4, sabotage: None };
    let fleet = Fleet::open(Place::new(Servers::of_tests()?), &size).await?;
    pairs(&fleet.shop, PAIRS_OF_MANY, Tokens::Always).await?;
    fleet.close()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_and_a_key_work_when_they_are_answered() -> Result<()> {
    let house = House::new(&[])?;
    let weir = house.open().await?;
    for n in 0..20 {
        let key = weir.shop.admin.post("/api/keys", json!({"role": "read"})).await?.expect(201)?;
        let read = weir.shop.read.with_key(key["key"].as_str().context("no key")?);
        let put = weir.shop.admin.put(&format!("/api/segments/s{n}"), r#"{"when":{"event":"seen"}}"#).await?;
        put.expect(201)?;
        let body = read_after(&read, &format!("/api/segments/s{n}/definition"), &put, n % 2 == 0).await?;
        assert_eq!(body["when"]["event"], "seen");
        let id = key["id"].as_str().context("no id")?;
        let revoked = weir.shop.admin.send(Method::DELETE, &format!("/api/keys/{id}"), None, &[]).await?;
        revoked.expect(204)?;
        // Refused within five seconds; in one process at once, as the token shows.
        let position = revoked.position.as_deref().context("no Weir-Position")?;
        let refused = read.send(Method::GET, "/api/segments", None, &[("Weir-After", position)]).await?;
        assert_eq!(refused.status, 401, "{}", refused.text);
    }
    Ok(())
}
