//! Random baskets: equal to the oracle's while they grow, after a kill, in rebuilt tables, and over a copied log.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use reqwest::Method;
use serde_json::{Value, json};
use weir_e2e::history::{Seeded, Sent, baskets};
use weir_e2e::oracle::{Oracle, Scores, builtin, instant};

use crate::caller::{Shop, eventually, hold};
use crate::checker::{Expected, Plan};
use crate::house::{House, Weir};
use crate::producer::batch;
use crate::{basket_checker, checker};

const START: i64 = 1_795_168_800 * instant::SECOND;
const SHOPPERS: usize = 8;
const EVENTS: usize = 700;

/// Posts in batches of any size; a fact is a request of its own.
async fn post(shop: &Shop, mut rng: StdRng, sent: Vec<Sent>) -> Result<()> {
    let mut batch: Vec<String> = Vec::new();
    let mut size = 1;
    for sent in &sent {
        if let Some(fact) = sent.fact() {
            let method = Method::from_bytes(fact.method.as_bytes())?;
            let answer = shop.admin.send(method, &fact.path, Some(fact.body), &[]).await?;
            ensure!(matches!(answer.status, 200 | 201), "{}: {}", answer.status, answer.text);
        }
        batch.extend(sent.item());
        if batch.len() >= size {
            flush(shop, &mut batch).await?;
            size = [1, 2, 10, 60][rng.random_range(0..4)];
        }
    }
    flush(shop, &mut batch).await
}

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

fn rng_from(rng: &mut StdRng) -> StdRng {
    rand::SeedableRng::seed_from_u64(rng.random())
}

/// How many answers are equal, and how many removals there are.
async fn check(weir: &Weir, oracle: &Oracle, rng: &mut StdRng, when: &str) -> Result<usize> {
    weir.shop.caught_up().await?;
    let shop = oracle.workspace("default");
    let equal = basket_checker::compare(&weir.shop, shop, rng).await.with_context(|| when.to_owned())?;
    eprintln!(
        "{when}: {equal} answers about {} removals, {} drafts among them, are equal; {} events are no basket events",
        shop.removals().len(),
        shop.removals().iter().filter(|removal| removal.checked_out.is_none()).count(),
        shop.not_basket_events(),
    );
    Ok(equal)
}

/// Killed while it is posted to; what wasn't acknowledged is posted again, and what was, too.
async fn killed(house: &House, mut weir: Weir, rng: &mut Seeded, mut sent: Vec<Sent>, now: i64) -> Result<Weir> {
    let (shop, posted, order) = (weir.shop.clone(), sent.clone(), rng_from(rng));
    let writing = tokio::spawn(async move { post(&shop, order, posted).await });
    tokio::time::sleep(Duration::from_millis(rng.random_range(10..80))).await;
    weir.process.kill()?;
    // Mostly it has lost its server; it may also have been done.
    drop(writing.await?);
    let weir = house.open().await?;
    hold(&weir.operator, now).await?;
    sent.shuffle(rng);
    post(&weir.shop, rng_from(rng), sent).await?;
    Ok(weir)
}

/// New tables, which are proved to be the old ones, and read.
async fn rebuilt(weir: &Weir) -> Result<()> {
    let begun = weir.operator.post("/api/rebuilds", "{}").await?.expect(201)?;
    let rebuild = format!("/api/rebuilds/{}", begun["id"].as_str().context("no id")?);
    eventually("the new tables have caught up", async || {
        Ok((weir.operator.read(&rebuild).await?["state"] == "following").then_some(()))
    })
    .await?;
    let compared = weir.operator.post(&format!("{rebuild}/verify"), "{}").await?.expect(200)?;
    ensure!(compared["state"] == "verified", "{compared}");
    for table in ["baskets", "removals", "removal_days", "basket_counts"] {
        let rows = &compared["compared"]["rows"][table];
        ensure!(rows.as_u64().is_some_and(|rows| rows > 0), "no row of {table} was compared: {compared}");
    }
    let promoted = weir.operator.post(&format!("{rebuild}/promote"), "{}").await?.expect(200)?;
    ensure!(promoted["state"] == "promoted", "{promoted}");
    Ok(())
}

/// Everything that is the same wherever log and tables are; what is running then, and what the log says.
async fn life(house: &House, rng: &mut Seeded) -> Result<(Weir, Oracle)> {
    let weir = house.open().await?;
    hold(&weir.operator, START).await?;
    let first = baskets(rng, SHOPPERS, EVENTS, START);
    post(&weir.shop, rng_from(rng), first.clone()).await?;
    check(&weir, &house.oracle().await?, rng, "at first").await?;

    // In the meantime an id has become a new one.
    let now = START + 29 * instant::DAY;
    hold(&weir.operator, now).await?;
    let mut second = baskets(rng, SHOPPERS, EVENTS, now);
    second.extend(first.choose_multiple(rng, 40).filter(|sent| sent.arrived.is_none()).cloned());
    second.shuffle(rng);
    let weir = killed(house, weir, rng, second, now).await?;
    check(&weir, &house.oracle().await?, rng, "after a kill").await?;

    rebuilt(&weir).await?;
    post(&weir.shop, rng_from(rng), baskets(rng, SHOPPERS, 60, now)).await?;
    let oracle = house.oracle().await?;
    check(&weir, &oracle, rng, "in new tables").await?;
    let shop = oracle.workspace("default");
    let segments =
        [("abandoned-cart", builtin::ABANDONED_CART), ("removed-before-checkout", builtin::REMOVED_BEFORE_CHECKOUT)];
    let expected = Expected::new(shop, &segments, &Scores::new())?;
    let instants = expected.edges(rng, 4);
    checker::compare(&weir.shop, &expected, &Plan { instants, profiles: Vec::new(), page: 3 }).await?;
    ensure!(shop.duplicates() > 20 && shop.not_basket_events() > 20, "the history is too tame");
    Ok((weir, oracle))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_baskets() -> Result<()> {
    let mut rng = Seeded::chosen(61);
    let house = House::new(&["--test-clock", "--partitions", "2"])?;
    let (mut weir, oracle) = life(&house, &mut rng).await.with_context(|| format!("seed {}", rng.seed()))?;
    assert_eq!(weir.process.terminate()?, Some(0));

    house.delete_tables()?;
    let mut weir = house.open().await?;
    check(&weir, &oracle, &mut rng, "after store.db* were deleted").await?;
    assert_eq!(weir.process.terminate()?, Some(0));

    let copy = house.copied(3, &["--test-clock"])?;
    check(&copy.open().await?, &oracle, &mut rng, "over a copied log").await?;
    Ok(())
}

/// What is told of a basket set aside, and of the one beside it.
async fn set_aside(weir: &Weir, removed: usize) -> Result<()> {
    let read = &weir.shop.read;
    weir.shop.caught_up().await?;
    assert_eq!(read.read("/api/status").await?["baskets_set_aside"], json!(1));
    let refused = read.get("/api/profiles/user:many/basket").await?.expect(409)?;
    assert_eq!(refused["code"], "basket_set_aside", "{refused}");
    let list = read.read("/api/baskets/removed-items").await?;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(removed), "only the other one's are known");
    assert_eq!(read.read("/api/baskets/removed-items?profile_id=user:many").await?["items"], json!([]));
    let sums = read.read("/api/baskets/removed-items/summary").await?;
    assert_eq!((&sums["products"][0]["times"], &sums["products"][0]["profiles"]), (&json!(removed), &json!(1)));
    let members = read.read("/api/segments/abandoned-cart?include=basket").await?;
    let row = |user: &str| {
        let rows = members["profiles"].as_array().into_iter().flatten();
        rows.filter(|row| row["identifiers"][0]["value"] == user).map(|row| row["basket"].clone()).next()
    };
    assert_eq!(row("many"), Some(json!(null)), "{members}");
    assert_eq!(row("few").map(|basket| basket["items"].clone()), Some(json!([])), "{members}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_past_its_budget_is_set_aside_and_the_rest_goes_on() -> Result<()> {
    let house = House::new(&[])?;
    let mut weir = house.open().await?;
    let item = |user: &str, name: &str, n: usize| {
        let properties = json!({"product_id": "p1", "name": "x".repeat(30_000)});
        // Received at one instant, they are in the order of their ids.
        json!({"user_id": user, "name": name, "id": format!("{n:03}"), "properties": properties})
    };
    for n in 0..20 {
        // More than a megabyte in all.
        let users = ["many", "few"].into_iter().take(if n == 0 { 2 } else { 1 });
        let items: Vec<Value> = users
            .flat_map(|user| {
                let steps = [("cart.added", 3 * n), ("cart.removed", 3 * n + 1), ("cart.added", 3 * n + 2)];
                steps.into_iter().map(move |(name, n)| item(user, name, n))
            })
            .collect();
        batch(&weir.shop.write, &items).await?;
    }
    batch(&weir.shop.write, &[item("few", "cart.removed", 99)]).await?;
    set_aside(&weir, 2).await?;
    rebuilt(&weir).await?;
    set_aside(&weir, 2).await?;
    weir.process.kill()?;
    set_aside(&house.open().await?, 2).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_baskets_on_kafka_and_postgres() -> Result<()> {
    let mut rng = Seeded::chosen(62);
    let house = House::on_servers(&["--test-clock", "--partitions", "2"])?;
    life(&house, &mut rng).await.with_context(|| format!("seed {}", rng.seed()))?;
    Ok(())
}
