//! Records on the log that ingest would never have written: set aside, counted, and passed.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use weir_e2e::history::Seeded;
use weir_e2e::oracle::{Oracle, builtin};
use weir_event::Stream;
use weir_event_log::{LogUrl, OpenOptions, Record, open};

use crate::checker::{Expected, Plan, compare, scores};
use crate::house::{House, Weir};
use crate::producer::batch;
use crate::raw_log;

/// What a broken producer, or a later release, might leave there.
fn poison(good: &str, profile: &str) -> Vec<(String, Vec<u8>)> {
    let key = format!("default/{profile}");
    let texts = [
        "no JSON at all".to_owned(),
        good.replace("\"receivedtime\"", "\"received\""),
        good.replace("\"data\":{", "\"data\":[{").replace("}}", "}]}"),
        good.replace("\"source\":\"/default\"", "\"source\":\"/nobody\""),
        good.replacen("\"specversion\":\"1.0\"", "\"specversion\":\"9.9\"", 1),
    ];
    let of = |text: String| (key.clone(), text.into_bytes());
    texts.into_iter().map(of).chain([(key.clone(), vec![0xff, 0xfe, 0]), (key.clone(), Vec::new())]).collect()
}

async fn events(weir: &Weir, label: &str) -> Result<()> {
    let item = |n: usize| {
        let name = ["cart.added", "LOGIN", "order.completed"][n % 3];
        json!({"name": name, "user_id": (n % 7).to_string(), "id": format!("{label}{n}"), "properties": {"n": n}})
    };
    let items: Vec<Value> = (0..60).map(item).collect();
    batch(&weir.shop.write, &items).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_set_aside_and_the_rest_goes_on() -> Result<()> {
    let house = House::new(&["--partitions", "2"])?;
    let mut weir = house.open().await?;
    events(&weir, "a").await?;
    assert_eq!(weir.process.terminate()?, Some(0));

    let partitions = house.records().await?;
    let good = String::from_utf8(partitions.concat().first().context("an empty log")?.clone())?;
    let subject = serde_json::from_str::<Value>(&good)?["subject"].as_str().context("no subject")?.to_owned();
    let bad = poison(&good, &subject);
    let log = open(&LogUrl::Sqlite(house.file("log.db")), OpenOptions::default()).await?;
    let records = bad.iter().map(|(key, value)| Record::new(key.clone(), value.clone())).collect();
    log.append(Stream::Events, records).await?;
    log.close().await;
    drop(log);

    let weir = house.open().await?;
    events(&weir, "b").await?;
    weir.shop.caught_up().await?;
    let oracle = Oracle::with_workspaces(&house.records().await?, raw_log::DEDUP_WINDOW, &["default"]);
    assert_eq!(oracle.quarantined().len(), bad.len());
    let status = weir.operator.read("/api/status").await?;
    assert_eq!(status["quarantined"], json!(bad.len()), "{status}");
    let rows = status["quarantine"].as_array().context("no quarantine")?;
    let place = |partition: Option<u64>, offset: Option<u64>| (partition, offset);
    let mut weirs: Vec<_> = rows.iter().map(|row| place(row["partition"].as_u64(), row["offset"].as_u64())).collect();
    weirs.sort_unstable();
    let oracles: Vec<_> =
        oracle.quarantined().iter().map(|q| place(Some(u64::from(q.partition)), Some(q.offset))).collect();
    assert_eq!(weirs, oracles);
    assert!(rows.iter().all(|row| row["reason"].as_str().is_some_and(|reason| !reason.is_empty())), "{status}");

    let shop = oracle.workspace("default");
    let mut rng = Seeded::chosen(61);
    let segments = [("abandoned-cart", builtin::ABANDONED_CART)];
    let expected = Expected::new(shop, &segments, &scores(&[("points", builtin::POINTS)])?)?;
    let (instants, profiles) = (expected.edges(&mut rng, 6), expected.some_profiles(&mut rng, 7));
    compare(&weir.shop, &expected, &Plan { instants, profiles, page: 5 }).await?;
    Ok(())
}
