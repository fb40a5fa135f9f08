//! kill -9 at random moments under load: nothing acknowledged is lost, nothing counts twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use weir_e2e::history::Seeded;
use weir_e2e::oracle::{Oracle, builtin};

use crate::caller::{Caller, Shop};
use crate::checker::{Expected, Plan, compare, scores};
use crate::house::{House, Weir};

const ROUNDS: u64 = 22;
const WRITERS: u64 = 4;
/// Many profiles with few events each: the oracle's work grows with the square of a profile's events.
const USERS: u32 = 1_500;
const NAMES: [&str; 5] = ["LOGIN", "PURCHASE", "cart.added", "order.completed", "product.viewed"];
/// Windows as short as the test, so that members come and go in it.
const DEFINITIONS: [&str; 5] = [
    r#"{"when":{"event":"product.viewed","at_least":2,"within":"3s"}}"#,
    r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"2s"}}"#,
    r#"{"when":{"all":[{"score":"points","at_least":11},{"not":{"event":"order.completed","within":"5s"}}]}}"#,
    r#"{"when":{"event":"*","exactly":7}}"#,
    r#"{"when":{"event":"LOGIN","followed_by":{"event":"PURCHASE"},"within":"1m"}}"#,
];

/// What the writers know.
#[derive(Default)]
struct Ledger {
    /// Ids that were acknowledged.
    acknowledged: BTreeSet<String>,
    /// Requests that were not; they are sent again, as a client would.
    unanswered: VecDeque<Post>,
    /// Some that were, to be sent again all the same.
    answered: Vec<Post>,
    /// The last acknowledged definition of each segment.
    definitions: BTreeMap<String, (u64, String)>,
    /// Acknowledged keys.
    keys: Vec<String>,
}

/// A request.
#[derive(Clone)]
struct Post {
    path: String,
    body: String,
    ids: Vec<String>,
}

type Shared = Arc<Mutex<Ledger>>;

fn open(ledger: &Shared) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A batch or a single event, all with ids.
fn new_post(rng: &mut StdRng, label: &str, n: &mut u32) -> Post {
    let mut item = |rng: &mut StdRng| {
        *n += 1;
        let name = NAMES.choose(rng).copied().unwrap_or(NAMES[0]);
        json!({"name": name, "user_id": rng.random_range(0..USERS).to_string(), "id": format!("{label}-{n}")})
    };
    let id = |item: &Value| item["id"].as_str().unwrap_or_default().to_owned();
    if rng.random_bool(0.5) {
        let mut item = item(rng);
        let (ids, user) = (vec![id(&item)], item["user_id"].as_str().unwrap_or_default().to_owned());
        item.as_object_mut().into_iter().for_each(|fields| drop(fields.remove("user_id")));
        return Post { path: format!("/api/profiles/user:{user}/events"), body: item.to_string(), ids };
    }
    let items: Vec<Value> = (0..rng.random_range(2..=60)).map(|_| item(rng)).collect();
    let ids = items.iter().map(id).collect();
    Post { path: "/api/events".to_owned(), body: Value::from(items).to_string(), ids }
}

/// Posts until the program is gone.
async fn write(write: Caller, ledger: Shared, mut rng: StdRng, label: String) {
    let mut n = 0;
    loop {
        let again = {
            let mut ledger = open(&ledger);
            let repeated = if rng.random_bool(0.05) { ledger.answered.choose(&mut rng).cloned() } else { None };
            ledger.unanswered.pop_front().or(repeated)
        };
        let post = again.unwrap_or_else(|| new_post(&mut rng, &label, &mut n));
        let answer = write.post(&post.path, &post.body).await;
        let mut ledger = open(&ledger);
        match answer {
            Ok(answer) if matches!(answer.status, 200 | 201) => {
                ledger.acknowledged.extend(post.ids.iter().cloned());
                if rng.random_bool(0.1) {
                    ledger.answered.push(post);
                }
            }
            // Refused for the moment, or gone: whether it happened is open.
            Ok(answer) if answer.status == 503 => ledger.unanswered.push_back(post),
            Ok(answer) => panic!("{}: {}", answer.status, answer.text),
            Err(_) => return ledger.unanswered.push_back(post),
        }
    }
}

/// Changes definitions and makes keys until the program is gone.
async fn administer(shop: Shop, ledger: Shared, mut rng: StdRng) {
    loop {
        let slug = format!("s{}", rng.random_range(0..4));
        let body = DEFINITIONS.choose(&mut rng).copied().unwrap_or(DEFINITIONS[0]);
        let Ok(answer) = shop.admin.put(&format!("/api/segments/{slug}"), body).await else { return };
        if let (200 | 201, Ok(answered)) = (answer.status, answer.json()) {
            let version = answered["version"].as_u64().unwrap_or_default();
            open(&ledger).definitions.insert(slug, (version, body.to_owned()));
        }
        let Ok(answer) = shop.admin.post("/api/keys", json!({"role": "read"})).await else { return };
        if let (201, Ok(answered)) = (answer.status, answer.json()) {
            open(&ledger).keys.extend(answered["key"].as_str().map(str::to_owned));
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..400))).await;
    }
}

/// One life of the program, under load, to its sudden end.
async fn round(house: &House, rng: &mut StdRng, round: u64, ledger: &Shared) -> Result<()> {
    if rng.random_bool(0.25) {
        // Not even ready: killed while it reads what the last one left behind.
        let mut process = house.spawn()?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        process.kill()?;
    }
    let mut weir = house.start()?;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let label = format!("r{round}w{writer}");
        tasks.spawn(write(weir.shop.write.clone(), ledger.clone(), rng_from(rng), label));
    }
    if round % 3 == 1 {
        tasks.spawn(administer(weir.shop.clone(), ledger.clone(), rng_from(rng)));
    }
    tokio::time::sleep(Duration::from_millis(rng.random_range(50..450))).await;
    weir.process.kill()?;
    while let Some(ended) = tasks.join_next().await {
        ended.context("a writer")?;
    }
    Ok(())
}

fn rng_from(rng: &mut StdRng) -> StdRng {
    rand::SeedableRng::seed_from_u64(rng.random())
}

/// The definitions of all segments that there are.
async fn defined(shop: &Shop) -> Result<Vec<(String, String)>> {
    let mut definitions = Vec::new();
    let body = shop.read.read("/api/segments").await?;
    for row in body["segments"].as_array().context("no segments")? {
        let slug = row["slug"].as_str().context("no slug")?;
        let text = shop.read.get(&format!("/api/segments/{slug}/definition")).await?.text;
        definitions.push((slug.to_owned(), text));
    }
    Ok(definitions)
}

/// Everything that was promised, once the program is there again.
async fn check(weir: &Weir, rng: &mut Seeded, oracle: &Oracle, ledger: &Ledger) -> Result<usize> {
    weir.shop.filled().await?;
    weir.shop.caught_up().await?;
    let shop = oracle.workspace("default");

    let definitions = defined(&weir.shop).await?;
    let body = weir.shop.read.read("/api/segments").await?;
    for (slug, (version, text)) in &ledger.definitions {
        let row = body["segments"].as_array().into_iter().flatten().find(|row| row["slug"] == slug.as_str());
        let newest = row.and_then(|row| row["version"].as_u64()).with_context(|| format!("{slug} is lost"))?;
        ensure!(newest >= *version, "{slug} was acknowledged in version {version} and is in version {newest}");
        let found = definitions.iter().find(|(found, _)| found == slug).map(|(_, text)| text.as_str());
        ensure!(newest > *version || found == Some(text), "{slug} is {found:?}, and was acknowledged as {text}");
    }
    for key in &ledger.keys {
        weir.shop.read.with_key(key).get("/api/segments").await?.expect(200)?;
    }

    let status = weir.shop.read.read("/api/status").await?;
    assert_eq!(status["duplicates"].as_u64(), u64::try_from(shop.duplicates()).ok());
    assert_eq!(status["conflicts"], json!(0));
    assert_eq!(status["quarantined"], json!(0));

    let scores = scores(&[("points", builtin::POINTS)])?;
    let expected = Expected::new(shop, &definitions, &scores)?;
    let (instants, profiles) = (expected.edges(rng, 12), expected.some_profiles(rng, 25));
    compare(&weir.shop, &expected, &Plan { instants, profiles, page: 400 }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_under_load() -> Result<()> {
    let mut rng = Seeded::chosen(31);
    let house = House::new(&["--partitions", "2"])?;
    let ledger = Shared::default();
    for n in 0..ROUNDS {
        round(&house, &mut rng, n, &ledger).await.with_context(|| format!("round {n}, seed {}", rng.seed()))?;
    }

    let oracle = house.oracle().await?;
    let shop = oracle.workspace("default");
    let ledger = std::mem::take(&mut *open(&ledger));
    let admitted: BTreeSet<&str> = shop.admitted().iter().map(|record| record.event.id.as_str()).collect();
    for id in &ledger.acknowledged {
        assert!(admitted.contains(id.as_str()), "{id} was acknowledged and is lost, seed {}", rng.seed());
    }
    assert_eq!(admitted.len(), shop.admitted().len(), "an id was admitted twice");
    eprintln!(
        "{ROUNDS} kills, seed {}: {} ids acknowledged, {} on the log, {} repeats, {} definitions, {} keys",
        rng.seed(),
        ledger.acknowledged.len(),
        admitted.len(),
        shop.duplicates(),
        ledger.definitions.len(),
        ledger.keys.len(),
    );
    assert!(shop.duplicates() > 0, "clients repeated nothing");

    let weir = house.open().await?;
    let after = check(&weir, &mut rng, &oracle, &ledger).await.with_context(|| format!("seed {}", rng.seed()))?;
    drop(weir);
    house.delete_tables()?;
    for _ in 0..3 {
        // Killed while it rebuilds.
        let mut weir = house.start()?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..200))).await;
        weir.process.kill()?;
    }
    let weir = house.open().await?;
    let rebuilt = check(&weir, &mut rng, &oracle, &ledger).await.context("after store.db* were deleted")?;
    eprintln!("{after} answers are equal, and {rebuilt} once the tables were rebuilt from nothing");
    Ok(())
}
