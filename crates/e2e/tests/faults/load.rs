//! Producers, an administrator and a reader, and what they know: what was acknowledged, what was refused, and what may or
//! may not have happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weir_e2e::oracle::instant;

use crate::caller::{Answer, Shop};
use crate::fleet::now;

const WRITERS: u64 = 3;
/// Many profiles with few events each: the oracle's work grows with the square of a profile's events.
pub const USERS: u32 = 1_200;
const NAMES: [&str; 8] = [
    "LOGIN",
    "PURCHASE",
    "cart.added",
    "cart.added",
    "cart.removed",
    "cart.updated",
    "order.completed",
    "product.viewed",
];
/// Windows as short as a round, so that members come and go in it.
const DEFINITIONS: [&str; 6] = [
    r#"{"when":{"event":"product.viewed","at_least":2,"within":"30s"}}"#,
    r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"5s"}}"#,
    r#"{"when":{"all":[{"score":"points","at_least":11},{"not":{"event":"order.completed","within":"9s"}}]}}"#,
    r#"{"when":{"event":"*","exactly":7}}"#,
    r#"{"when":{"event":"LOGIN","followed_by":{"event":"PURCHASE"},"within":"1m"}}"#,
    r#"{"when":{"event":"cart.added","at_least":2,"within":"1h"}}"#,
];

/// Makes the segments that are there all the time.
pub async fn define(shop: &Shop) -> Result<()> {
    let mut position = String::new();
    for (n, body) in DEFINITIONS.iter().enumerate() {
        position = shop.put_segment(&format!("fixed-{n}"), body).await?;
    }
    shop.filled_after(&position).await
}

/// What clients know.
#[derive(Default)]
pub struct Ledger {
    /// Ids whose events were accepted.
    pub acknowledged: BTreeSet<String>,
    /// Ids whose events were refused each time.
    pub refused: BTreeSet<String>,
    /// Every id that was ever sent.
    pub sent: BTreeSet<String>,
    /// Requests whose outcome is open; most are sent again, as a client would.
    open: VecDeque<Post>,
    /// Some that were accepted, to be sent again all the same.
    accepted: Vec<Post>,
    /// The last acknowledged definition of each segment.
    pub definitions: BTreeMap<String, (u64, String)>,
    pub keys: Vec<String>,
    /// The token of the last acknowledged definition.
    pub defined: Option<String>,
    /// Answers by status; 0 is a connection that broke.
    pub answers: BTreeMap<u16, usize>,
}

pub type Shared = Arc<Mutex<Ledger>>;

pub fn lock(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request, and the ids of its items.
#[derive(Clone)]
struct Post {
    path: String,
    items: Vec<Value>,
}

impl Post {
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| item["id"].as_str())
    }

    fn body(&self) -> String {
        if self.path == "/api/events" { Value::from(self.items.clone()).to_string() } else { self.items[0].to_string() }
    }
}

/// Load, until it is stopped.
pub struct Load {
    tasks: JoinSet<Result<()>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// The label makes ids unique; `administer` is whether definitions and keys change, too.
    pub fn start(shop: &Shop, ledger: &Shared, rng: &mut StdRng, label: &str, administer: bool) -> Self {
        let (stop, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for writer in 0..WRITERS {
            let rng = StdRng::seed_from_u64(rng.random());
            let writer =
                Writer { shop: shop.clone(), ledger: ledger.clone(), rng, label: format!("{label}w{writer}"), n: 0 };
            tasks.spawn(writer.write(stop.clone()));
        }
        if administer {
            let rng = StdRng::seed_from_u64(rng.random());
            tasks.spawn(change_definitions(shop.clone(), ledger.clone(), rng, stop.clone()));
        }
        tasks.spawn(read(shop.clone(), stop.clone()));
        Self { tasks, stop }
    }

    /// Lets each request have its answer.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

struct Writer {
    shop: Shop,
    ledger: Shared,
    rng: StdRng,
    label: String,
    n: u32,
}

impl Writer {
    async fn write(mut self, stop: Arc<AtomicBool>) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let post = self.next();
            lock(&self.ledger).sent.extend(post.ids().map(str::to_owned));
            // An admin may say when something was received.
            let answer = self.shop.admin.post(&post.path, post.body()).await;
            self.note(post, answer)?;
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(10..60))).await;
        }
        Ok(())
    }

    fn next(&mut self) -> Post {
        let ledger = self.ledger.clone();
        let mut ledger = lock(&ledger);
        if self.rng.random_bool(0.5)
            && let Some(post) = ledger.open.pop_front()
        {
            return post;
        }
        if self.rng.random_bool(0.06)
            && let Some(post) = ledger.accepted.choose(&mut self.rng)
        {
            let mut post = post.clone();
            if self.rng.random_bool(0.3) {
                // The same ids, and something else.
                post.items.iter_mut().for_each(|item| item["properties"] = json!({"n": self.n, "by": self.label}));
            }
            return post;
        }
        drop(ledger);
        if self.rng.random_bool(0.4) {
            let (mut item, user) = (self.item(), self.rng.random_range(0..USERS));
            item.as_object_mut().into_iter().for_each(|fields| drop(fields.remove("user_id")));
            return Post { path: format!("/api/profiles/user:{user}/events"), items: vec![item] };
        }
        let count = self.rng.random_range(2..=20);
        Post { path: "/api/events".to_owned(), items: (0..count).map(|_| self.item()).collect() }
    }

    fn item(&mut self) -> Value {
        self.n += 1;
        let rng = &mut self.rng;
        let name = NAMES.choose(rng).copied().unwrap_or(NAMES[0]);
        let user = rng.random_range(0..USERS).to_string();
        let mut item = json!({"name": name, "user_id": user, "id": format!("{}-{}", self.label, self.n)});
        match rng.random_range(0..100) {
            // Late, by up to three days.
            0..10 => {
                let late = rng.random_range(0..3 * instant::DAY);
                item["timestamp"] = instant::format(now() - late).into();
            }
            // Oversized, and refused.
            10 => item["properties"] = json!({"too": "x".repeat(40_000)}),
            // A name that is not a producer's, and refused.
            11 => item["name"] = "profile.erased".into(),
            12..30 => item["properties"] = json!({"price": rng.random_range(0..100), "text": "né\u{301}\u{1f600}"}),
            // Mostly something that baskets are folded from, if the name is one of theirs.
            30..90 => {
                let currency = ["EUR", "USD"].choose(rng);
                item["properties"] = json!({"product_id": format!("p{}", rng.random_range(0..2)),
                    "quantity": rng.random_range(0..4), "price": rng.random_range(0..100), "currency": currency});
            }
            _ => {}
        }
        item
    }

    fn note(&mut self, post: Post, answer: Result<Answer>) -> Result<()> {
        let ledger = self.ledger.clone();
        let mut ledger = lock(&ledger);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        *ledger.answers.entry(status).or_default() += 1;
        let refused: BTreeSet<usize> = match (&answer, status) {
            // Whether it happened is open.
            (Err(_), _) | (_, 503) => {
                if let Ok(answer) = answer {
                    ensure!(answer.retry_after.is_some(), "503 without Retry-After: {}", answer.text);
                }
                if self.rng.random_bool(0.9) {
                    ledger.open.push_back(post);
                }
                return Ok(());
            }
            (_, 201) => BTreeSet::new(),
            (Ok(answer), 200) => {
                let answer = answer.json()?;
                let rows = answer["rejected"].as_array().context("no list of what was rejected")?;
                rows.iter().filter_map(|row| usize::try_from(row["index"].as_u64()?).ok()).collect()
            }
            (_, 413 | 422) if post.items.len() == 1 => BTreeSet::from([0]),
            (Ok(answer), _) => bail!("{}: {status} {}", post.path, answer.text),
        };
        for (n, id) in post.ids().enumerate() {
            let known = if refused.contains(&n) { &mut ledger.refused } else { &mut ledger.acknowledged };
            known.insert(id.to_owned());
        }
        if refused.is_empty() && self.rng.random_bool(0.1) {
            ledger.accepted.push(post);
        }
        Ok(())
    }
}

/// Changes definitions, and makes keys.
async fn change_definitions(shop: Shop, ledger: Shared, mut rng: StdRng, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let slug = format!("s{}", rng.random_range(0..4));
        let body = DEFINITIONS.choose(&mut rng).copied().unwrap_or(DEFINITIONS[0]);
        if let Ok(answer) = shop.admin.put(&format!("/api/segments/{slug}"), body).await
            && matches!(answer.status, 200 | 201)
        {
            let version = answer.json()?["version"].as_u64().context("no version")?;
            let mut ledger = lock(&ledger);
            ledger.definitions.insert(slug, (version, body.to_owned()));
            ledger.defined = answer.position;
        }
        if let Ok(answer) = shop.admin.post("/api/keys", json!({"role": "read"})).await
            && answer.status == 201
        {
            let key = answer.json()?["key"].as_str().map(str::to_owned);
            lock(&ledger).keys.extend(key);
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(1_000..3_000))).await;
    }
    Ok(())
}

/// Reads all the time: it is answered, or told that this is not the moment.
async fn read(shop: Shop, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        for path in ["/api/segments", "/api/segments/abandoned-cart?limit=10", "/api/segments/fixed-0/count"] {
            // The query API may be gone, for a while.
            let Ok(answer) = shop.read.get(path).await else { continue };
            let now_or_later = answer.status == 200 || (answer.status == 503 && answer.retry_after.is_some());
            ensure!(now_or_later, "{path}: {} {}", answer.status, answer.text);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
