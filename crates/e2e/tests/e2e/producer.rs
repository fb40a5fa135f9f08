//! Posting events, one by one and in batches.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_e2e::history::clickstream::Click;

use crate::caller::Caller;

/// A batch of which nothing may be refused.
pub async fn batch(write: &Caller, items: &[Value]) -> Result<()> {
    let answer = write.post("/api/events", Value::from(items.to_vec())).await?.expect(200)?;
    ensure!(answer["accepted"] == json!(items.len()), "{}", answer["rejected"]);
    Ok(())
}

/// Clicks in one batch.
pub async fn clicks(write: &Caller, clicks: &[Click]) -> Result<()> {
    let items: Vec<Value> = clicks.iter().map(Click::item).collect();
    batch(write, &items).await
}

/// A click by the route of its profile.
pub async fn click(write: &Caller, click: &Click) -> Result<()> {
    let mut body = click.item();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("user_id");
    }
    write.post(&format!("/api/profiles/user:{}/events", click.user_id), body).await?.expect(201)?;
    Ok(())
}
