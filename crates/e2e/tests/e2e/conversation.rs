//! One conversation of several hundred requests, played to one process over its own files and to one over Kafka and
//! PostgreSQL: status, headers and bodies are the same, but for names that each deployment makes itself.
//!
//! What is said is in files by noun, in the words of `script`; `player` plays it.

mod baskets;
mod definitions;
mod events;
mod keys;
mod people;
mod player;
mod reads;
mod refusals;
mod script;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use weir_e2e::oracle::instant;

use crate::house::House;
use player::play;
use script::Script;

const START: i64 = 1_795_168_800 * instant::SECOND;

fn script() -> Script {
    let mut script = Script::default();
    definitions::definitions(&mut script);
    people::people(&mut script);
    events::events(&mut script);
    refusals::bad_input(&mut script);
    baskets::baskets(&mut script);
    reads::reads(&mut script, "");
    definitions::changes(&mut script);
    keys::keys(&mut script);
    script.later(40 * 86_400);
    reads::reads(&mut script, "");
    reads::reads(&mut script, "as_of=2026-11-20T10:03:00Z");
    script
}

/// The first place where two bodies differ, and what is there.
fn difference<'a>(one: &'a Value, other: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    let within = |name: String, one: &'a Value, other: &'a Value| {
        difference(one, other).map(|(at, one, other)| (format!("/{name}{at}"), one, other))
    };
    match (one, other) {
        (Value::Object(left), Value::Object(right)) if left.keys().eq(right.keys()) => {
            left.iter().zip(right.values()).find_map(|((name, one), other)| within(name.clone(), one, other))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            left.iter().zip(right).enumerate().find_map(|(n, (one, other))| within(n.to_string(), one, other))
        }
        _ => (one != other).then(|| (String::new(), one, other)),
    }
}

async fn the_same_over(partitions: &str) -> Result<()> {
    let (script, flags) = (script(), ["--test-clock", "--partitions", partitions]);
    let (one, other) = (House::new(&flags)?, House::on_servers(&flags)?);
    let (embedded, on_servers) = (one.open().await?, other.open().await?);
    let one = play(&one, &embedded, &script).await.context("embedded")?;
    let other = play(&other, &on_servers, &script).await.context("on Kafka and PostgreSQL")?;
    for (n, (one, other)) in one.iter().zip(&other).enumerate() {
        let asked = || format!("request {n}, {}", one.asked);
        ensure!(one.head == other.head, "{}\n  embedded  {:?}\n  elsewhere {:?}", asked(), one.head, other.head);
        if let Some((at, one, other)) = difference(&one.body, &other.body) {
            bail!("{}, {at}\n  embedded  {one}\n  elsewhere {other}", asked());
        }
    }
    let statuses: BTreeMap<u16, usize> = one.iter().fold(BTreeMap::new(), |mut all, answer| {
        *all.entry(answer.head.status).or_default() += 1;
        all
    });
    eprintln!("{} answers are the same over {partitions} partitions: {statuses:?}", one.len());
    let asked: BTreeSet<u16> = statuses.into_keys().collect();
    let missing: Vec<u16> = [200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422]
        .into_iter()
        .filter(|s| !asked.contains(s))
        .collect();
    ensure!(one.len() > 400 && missing.is_empty(), "the conversation says too little: {missing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_answers_over_one_partition() -> Result<()> {
    the_same_over("1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_answers_over_four_partitions() -> Result<()> {
    the_same_over("4").await
}
