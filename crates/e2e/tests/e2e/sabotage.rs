//! The checker finds what it is there for: each fault is ordered, and found.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sqlx::Connection as _;
use weir_e2e::history::{Seeded, clickstream};

use crate::caller::{eventually, hold};
use crate::checker::Mismatch;
use crate::clickstream::{check, open_shop};
use crate::house::House;
use crate::producer;

/// A small shop under the fault; what the checker says of it.
async fn shop_under(fault: Option<&'static str>) -> Result<Result<usize>> {
    let mut rng = Seeded::chosen(21);
    let clicks = clickstream::parse(&clickstream::synthetic(&mut rng, 60, 2_400)).map_err(anyhow::Error::msg)?;
    let clicks = clickstream::in_order(&clicks);
    let house = House::sabotaged(&["--test-clock"], fault)?;
    let weir = house.open().await?;
    open_shop(&weir).await?;
    let mut now = 0;
    for batch in clicks.chunks(800) {
        now = batch.last().map_or(now, |click| click.time);
        hold(&weir.operator, now).await?;
        producer::clicks(&weir.shop.write, batch).await?;
    }
    Ok(check(&house, &weir, &mut rng, &clicks, now).await)
}

/// The fault is found, and by the comparison, not by something that broke on the way.
async fn is_found(fault: &'static str) -> Result<()> {
    match shop_under(Some(fault)).await? {
        Ok(compared) => anyhow::bail!("{fault} was not found by {compared} comparisons"),
        Err(error) => match error.downcast_ref::<Mismatch>() {
            Some(mismatch) => eprintln!("{fault} is found: {mismatch}"),
            None => return Err(error.context(format!("{fault} broke the test instead of being found"))),
        },
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_nothing_is_found() -> Result<()> {
    let compared = shop_under(None).await??;
    eprintln!("{compared} answers are equal");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event_is_found() -> Result<()> {
    is_found("lose").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_folded_twice_is_found() -> Result<()> {
    is_found("twice").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_ends_late_is_found() -> Result<()> {
    is_found("edge").await
}

/// Whether the comparison of a rebuild names the table of a row that was changed by hand.
async fn a_changed_row_is_named(fault: Option<&'static str>) -> Result<bool> {
    let house = House::sabotaged(&[], fault)?;
    let mut weir = house.open().await?;
    weir.shop.put_segment("week", r#"{"when":{"event":"product.viewed","within":"7d"}}"#).await?;
    weir.shop.filled().await?;
    for n in 0..20 {
        let body = json!({"user_id": n.to_string(), "event_type": "product.viewed"});
        weir.shop.write.post("/v1/users/events", body).await?.expect(201)?;
    }
    weir.shop.caught_up().await?;
    let live = weir.operator.read("/api/status").await?["generation"].as_u64().context("no generation")?;
    assert_eq!(weir.process.terminate()?, Some(0));

    let tables = format!("sqlite:{}", house.file(&format!("store.db.{live}")).display());
    let mut tables = sqlx::SqliteConnection::connect(&tables).await?;
    let changed = sqlx::query("UPDATE profile_spans_new SET leaves_at = leaves_at - 1 WHERE leaves_at IS NOT NULL");
    ensure!(changed.execute(&mut tables).await?.rows_affected() > 0, "there was nothing to change");
    tables.close().await?;

    let weir = house.open().await?;
    let begun = weir.operator.post("/api/rebuilds", "{}").await?.expect(201)?;
    let rebuild = format!("/api/rebuilds/{}", begun["id"].as_str().context("no id")?);
    eventually("the new tables have caught up", async || {
        Ok((weir.operator.read(&rebuild).await?["state"] == "following").then_some(()))
    })
    .await?;
    let compared = weir.operator.post(&format!("{rebuild}/verify"), "{}").await?.expect(200)?;
    let differences = compared["differences"].as_array().context("no differences")?;
    Ok(differences.iter().any(|difference| difference["table"] == "profile_spans"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_that_skips_a_column_is_found() -> Result<()> {
    assert!(a_changed_row_is_named(None).await?, "a changed row is not named");
    assert!(!a_changed_row_is_named(Some("blind")).await?, "a digest that skips the column saw it change");
    Ok(())
}
