//! Random definitions over random histories, posted over HTTP; some before the events, the same ones again after them.

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::json;
use weir_e2e::history::{History, Seeded, Sent, Shape, definition, history};
use weir_e2e::oracle::{Oracle, Scores, builtin, instant};

use crate::caller::{Shop, hold};
use crate::checker::{Expected, Plan, compare, scores};
use crate::house::{House, Weir};

const HISTORIES: u64 = 14;
/// A switch of generations takes longer there.
const HISTORIES_ON_SERVERS: u64 = 5;
const FLAGS: [&str; 3] = ["--test-clock", "--partitions", "2"];
const DEFINITIONS: usize = 9;
const START: i64 = 1_795_168_800 * instant::SECOND;
const SMALL: &str = r#"{"rules":[{"event":"*","points":0.1},
    {"event":"cart.added","where":{"price":{"gte":0.7}},"points":0.7},{"event":"LOGIN","points":-0.5}]}"#;

fn known_scores() -> Result<Scores> {
    scores(&[("points", builtin::POINTS), ("small", SMALL)])
}

/// Posts the history into a workspace, at the instants that it says. Events of one instant may share a batch.
async fn post(weir: &Weir, shop: &Shop, rng: &mut StdRng, history: &History) -> Result<i64> {
    let clock = |sent: &Sent| sent.arrived.unwrap_or(sent.received);
    let mut now = i64::MIN;
    let mut batch: Vec<String> = Vec::new();
    for sent in &history.sent {
        if clock(sent) > now || rng.random_bool(0.3) {
            flush(shop, &mut batch).await?;
        }
        if clock(sent) > now {
            now = clock(sent);
            hold(&weir.operator, now).await?;
        }
        match (sent.item(), sent.fact()) {
            (Some(item), _) => batch.push(item),
            (None, Some(fact)) => {
                flush(shop, &mut batch).await?;
                let method = Method::from_bytes(fact.method.as_bytes())?;
                let answer = shop.admin.send(method, &fact.path, Some(fact.body), &[]).await?;
                ensure!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text);
            }
            (None, None) => {}
        }
    }
    flush(shop, &mut batch).await?;
    Ok(now)
}

/// Imports carry their receipt, which only an admin may say.
async fn flush(shop: &Shop, batch: &mut Vec<String>) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let body = format!("[{}]", batch.join(","));
    let answer = shop.admin.post("/api/events", &body).await?.expect(200)?;
    ensure!(answer["accepted"] == json!(batch.len()), "{answer} of {body}");
    batch.clear();
    Ok(())
}

/// A history in a workspace of its own; compared, and where the clock stands then.
async fn one(house: &House, weir: &Weir, seed: u64, start: i64) -> Result<(Compared, i64)> {
    let mut rng = Seeded::new(seed);
    let shop = weir.make_shop(&format!("w{seed}")).await?;
    let shape =
        Shape { records: 36, imports: seed.is_multiple_of(2), receipts_go_back: false, start, ..Shape::default() };
    let bodies: Vec<String> =
        (0..DEFINITIONS).map(|_| definition(&mut rng, &["points", "small"], start).to_string()).collect();
    shop.put_score("small", SMALL).await?;
    for (n, body) in bodies.iter().enumerate() {
        shop.put_segment(&format!("before-{n}"), body).await?;
    }
    shop.filled().await?;
    let history = history(&mut rng, &shape);
    let mut end = post(weir, &shop, &mut rng, &history).await?;

    for (n, body) in bodies.iter().enumerate() {
        shop.put_segment(&format!("after-{n}"), body).await?;
    }
    // One that was there becomes another one.
    let changed = definition(&mut rng, &["points"], start).to_string();
    shop.put_segment("before-0", &changed).await?;
    shop.filled().await?;

    let mut segments: Vec<(String, String)> = Vec::new();
    for (n, body) in bodies.iter().enumerate() {
        segments.push((format!("before-{n}"), if n == 0 { changed.clone() } else { body.clone() }));
        segments.push((format!("after-{n}"), body.clone()));
    }
    let mut compared = check(house, &shop, &mut rng, &segments).await?;
    // Time passes, and nothing happens.
    end += rng.random_range(0..90 * instant::SECOND);
    hold(&weir.operator, end).await?;
    compared += check(house, &shop, &mut rng, &segments).await?;
    Ok((compared, end))
}

/// How much there was to compare.
#[derive(Clone, Copy, Default)]
struct Compared {
    answers: usize,
    stays: usize,
}

impl std::ops::AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.answers += other.answers;
        self.stays += other.stays;
    }
}

async fn check(house: &House, shop: &Shop, rng: &mut Seeded, segments: &[(String, String)]) -> Result<Compared> {
    let oracle: Oracle = house.oracle().await?;
    shop.caught_up().await?;
    let of_shop = oracle.workspace(&shop.slug);
    let status = shop.read.read("/api/status").await?;
    for (count, known) in [("duplicates", of_shop.duplicates()), ("conflicts", of_shop.conflicts())] {
        ensure!(status[count] == json!(known), "{count}: {} instead of {known}", status[count]);
    }
    let expected = Expected::new(of_shop, segments, &known_scores()?)?;
    let (instants, profiles) = (expected.edges(rng, 6), expected.some_profiles(rng, 3));
    let answers = compare(shop, &expected, &Plan { instants, profiles, page: rng.random_range(1..=4) }).await?;
    Ok(Compared { answers, stays: expected.stays() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_definitions_over_random_histories() -> Result<()> {
    histories(&House::new(&FLAGS)?, HISTORIES).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_definitions_on_kafka_and_postgres() -> Result<()> {
    histories(&House::on_servers(&FLAGS)?, HISTORIES_ON_SERVERS).await
}

async fn histories(house: &House, count: u64) -> Result<()> {
    let weir = house.open().await?;
    let seeds = Seeded::seeds(4_100, count);
    eprintln!("seeds {seeds:?}");
    let (mut compared, mut start) = (Compared::default(), START);
    for seed in seeds {
        let (equal, end) =
            one(house, &weir, seed, start).await.with_context(|| format!("run again with WEIR_SEED={seed}"))?;
        compared += equal;
        start = end + instant::SECOND;
    }
    eprintln!("{} answers about {} stays in segments are equal", compared.answers, compared.stays);
    assert!(compared.stays > 0, "nobody was ever in a segment");
    Ok(())
}
