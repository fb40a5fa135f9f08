//! The checker finds what it is there for: each fault is ordered, and found.

use anyhow::Result;
use weir_e2e::history::{Seeded, clickstream};

use crate::caller::hold;
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
