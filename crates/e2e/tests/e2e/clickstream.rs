//! A shop's clickstream with the test clock moved along: in order, and shuffled with repeats; in singles and in batches.

use anyhow::{Context as _, Result};
use rand::Rng as _;
use weir_e2e::history::clickstream::Click;
use weir_e2e::history::{Seeded, clickstream};
use weir_e2e::oracle::{builtin, instant};

use crate::caller::hold;
use crate::checker::{Expected, Plan, compare, scores};
use crate::house::{House, Weir};
use crate::producer;

const HOUR: i64 = 3_600 * instant::SECOND;
const BATCH: usize = 1_000;
/// The instants at which something may change after a click.
const WINDOWS: [i64; 3] = [0, HOUR, 7 * instant::DAY];

/// The segments that are asked for.
pub const SEGMENTS: [(&str, &str); 3] = [
    ("abandoned-cart", builtin::ABANDONED_CART),
    ("viewed-three", r#"{"when":{"event":"product.viewed","at_least":3,"within":"7d"}}"#),
    ("abandoned-1h", r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"1h"}}"#),
];
/// The score that is asked for.
pub const POINTS: &str = r#"{"rules":[{"event":"product.viewed","points":0.1},{"event":"cart.added","points":2},
    {"event":"order.completed","points":20.7},{"event":"*","points":0.001}]}"#;

/// Defines what is asked for, while nothing is on the log yet.
pub async fn open_shop(weir: &Weir) -> Result<()> {
    weir.shop.put_score("points", POINTS).await?;
    for (slug, definition) in &SEGMENTS[1..] {
        weir.shop.put_segment(slug, definition).await?;
    }
    weir.shop.filled().await
}

/// What is asked at a checkpoint: by the clock, in the past and in the future.
pub async fn check(house: &House, weir: &Weir, rng: &mut Seeded, clicks: &[Click], now: i64) -> Result<usize> {
    let oracle = house.oracle().await?;
    weir.shop.caught_up().await?;
    let scores = scores(&[("points", POINTS)])?;
    let expected = Expected::new(oracle.workspace("default"), &SEGMENTS, &scores)?;
    let mut instants = clickstream::instants(rng, clicks, &WINDOWS, 4);
    instants.extend(expected.edges(rng, 4));
    instants.extend([now, now + HOUR, now + 7 * instant::DAY - 1]);
    let page = [17, 100, 1_000][rng.random_range(0..3)];
    let profiles = expected.some_profiles(rng, 4);
    compare(&weir.shop, &expected, &Plan { instants, profiles, page }).await
}

/// The clickstream of a made-up shop, and the one that the variable names.
fn sources(rng: &mut Seeded) -> Result<Vec<(String, Vec<Click>)>> {
    let made = clickstream::parse(&clickstream::synthetic(rng, 100, 3_500)).map_err(anyhow::Error::msg)?;
    let mut sources = vec![("made up".to_owned(), made)];
    if let Some(path) = std::env::var_os("WEIR_CLICKSTREAM_CSV") {
        let file = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let read = clickstream::read(&file).map_err(anyhow::Error::msg)?;
        sources.push((path.display().to_string(), read));
    }
    Ok(sources)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_order_with_the_clock_moved_along() -> Result<()> {
    in_order(House::new).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_order_on_kafka_and_postgres() -> Result<()> {
    in_order(House::on_servers).await
}

async fn in_order(house: fn(&[&str]) -> Result<House>) -> Result<()> {
    let mut rng = Seeded::chosen(11);
    for (name, clicks) in sources(&mut rng)? {
        eprintln!("{name}: {} clicks, seed {}", clicks.len(), rng.seed());
        let house = house(&["--test-clock"])?;
        let weir = house.open().await?;
        open_shop(&weir).await?;
        let clicks = clickstream::in_order(&clicks);
        let (singles, batches) = clicks.split_at(clicks.len().min(250));
        let mut now = i64::MIN;
        for click in singles {
            if click.time > now {
                now = click.time;
                hold(&weir.operator, now).await?;
            }
            producer::click(&weir.shop.write, click).await?;
        }
        let mut compared = check(&house, &weir, &mut rng, singles, now).await?;
        let every = batches.len().div_ceil(BATCH).div_ceil(4);
        let mut posted = singles.len();
        for (n, batch) in batches.chunks(BATCH).enumerate() {
            let last = batch.last().map_or(now, |click| click.time);
            now = now.max(last + rng.random_range(0..HOUR));
            hold(&weir.operator, now).await?;
            producer::clicks(&weir.shop.write, batch).await?;
            posted += batch.len();
            if (n + 1) % every == 0 {
                compared += check(&house, &weir, &mut rng, &clicks[..posted], now).await?;
                // Time passes, nothing happens.
                now += 2 * HOUR;
                hold(&weir.operator, now).await?;
                compared += check(&house, &weir, &mut rng, &clicks[..posted], now).await?;
            }
        }
        eprintln!("{name}, in order: {compared} answers are equal");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_with_one_repeat_in_ten() -> Result<()> {
    shuffled(House::new).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_on_kafka_and_postgres() -> Result<()> {
    shuffled(House::on_servers).await
}

async fn shuffled(house: fn(&[&str]) -> Result<House>) -> Result<()> {
    let mut rng = Seeded::chosen(12);
    for (name, clicks) in sources(&mut rng)? {
        eprintln!("{name}: {} clicks, seed {}", clicks.len(), rng.seed());
        let house = house(&["--test-clock", "--partitions", "3"])?;
        let weir = house.open().await?;
        open_shop(&weir).await?;
        let end = clicks.iter().map(|click| click.time).max().context("no clicks")?;
        // What lies more than a day ahead of its receipt is refused.
        let mut now = end - 12 * HOUR;
        hold(&weir.operator, now).await?;
        let sent = clickstream::shuffled(&mut rng, &clicks);
        let (singles, batches) = sent.split_at(sent.len().min(400));
        for click in singles {
            producer::click(&weir.shop.write, click).await?;
        }
        let mut compared = check(&house, &weir, &mut rng, singles, now).await?;
        let every = batches.len().div_ceil(BATCH).div_ceil(3);
        for (n, batch) in batches.chunks(BATCH).enumerate() {
            producer::clicks(&weir.shop.write, batch).await?;
            if (n + 1) % every == 0 {
                now += rng.random_range(0..6 * HOUR);
                compared += check(&house, &weir, &mut rng, &sent, now).await?;
                hold(&weir.operator, now).await?;
            }
        }
        let all = check(&house, &weir, &mut rng, &sent, now + 8 * instant::DAY).await?;
        let repeats = house.oracle().await?.workspace("default").duplicates();
        let status = weir.shop.read.read("/api/status").await?;
        assert_eq!(status["duplicates"].as_u64(), u64::try_from(repeats).ok());
        assert_eq!(repeats, clicks.len() / 10);
        eprintln!("{name}, shuffled: {} answers are equal", compared + all);
    }
    Ok(())
}
