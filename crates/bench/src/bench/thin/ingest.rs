//! The thin ingest: reads a body with serde, produces each event as one record, answers when all are acknowledged.
//!
//! No keys, no check of names or properties, no ids, no receipts, no positions, no bound on what waits.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use clap::Args;
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::FutureProducer;
use rdkafka::producer::future_producer::{DeliveryFuture, FutureRecord};
use rdkafka::util::AsyncRuntime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::services::client;

#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    kafka: String,
    #[arg(long)]
    topic: String,
    /// Bytes that a record gets besides
    #[arg(long, default_value_t = 0)]
    pad: usize,
}

/// The settings that Weir's producer has.
const SETTINGS: [(&str, &str); 7] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("linger.ms", "0"),
    ("max.in.flight", "3"),
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    ("message.max.bytes", "16777216"),
];

/// The runtime that the producer counts its delays on. (The client's own feature for it would change how everything else
/// here is built.)
struct Tokio;

impl AsyncRuntime for Tokio {
    type Delay = tokio::time::Sleep;

    fn spawn<T: Future<Output = ()> + Send + 'static>(task: T) {
        tokio::spawn(task);
    }

    fn delay_for(duration: Duration) -> Self::Delay {
        tokio::time::sleep(duration)
    }
}

struct Thin {
    producer: FutureProducer<DefaultClientContext, Tokio>,
    topic: String,
    pad: String,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    user_id: Option<&'a str>,
    #[serde(borrow)]
    name: &'a str,
    #[serde(borrow)]
    properties: &'a RawValue,
}

#[derive(Serialize)]
struct Out<'a> {
    user_id: &'a str,
    name: &'a str,
    properties: &'a RawValue,
    #[serde(skip_serializing_if = "str::is_empty")]
    pad: &'a str,
}

pub(super) fn router(options: &Options) -> Result<Router> {
    let mut config = client(&options.kafka);
    for (name, value) in SETTINGS {
        config.set(name, value);
    }
    let producer = config.create().context("start a producer")?;
    let thin = Arc::new(Thin { producer, topic: options.topic.clone(), pad: "x".repeat(options.pad) });
    Ok(Router::new()
        .route("/api/events", post(batch))
        .route("/api/profiles/{id}/events", post(single))
        .with_state(thin))
}

impl Thin {
    fn send(&self, user: &str, item: &Item<'_>) -> Result<DeliveryFuture, String> {
        let out = Out { user_id: user, name: item.name, properties: item.properties, pad: &self.pad };
        let value = serde_json::to_vec(&out).map_err(|error| error.to_string())?;
        let record = FutureRecord::to(&self.topic).key(user).payload(&value);
        self.producer.send_result(record).map_err(|(error, _)| error.to_string())
    }
}

async fn batch(State(thin): State<Arc<Thin>>, body: Bytes) -> Response {
    let begun = serde_json::from_slice::<Vec<Item<'_>>>(&body).map_err(|error| error.to_string()).and_then(|items| {
        items.iter().map(|item| thin.send(item.user_id.unwrap_or_default(), item)).collect::<Result<Vec<_>, _>>()
    });
    let accepted = begun.as_ref().map_or(0, Vec::len);
    match acknowledged(begun).await {
        Ok(()) => json(format!(r#"{{"accepted":{accepted},"rejected":[]}}"#)),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

async fn single(State(thin): State<Arc<Thin>>, Path(id): Path<String>, body: Bytes) -> Response {
    let begun = serde_json::from_slice::<Item<'_>>(&body)
        .map_err(|error| error.to_string())
        .and_then(|item| thin.send(&id, &item))
        .map(|sent| vec![sent]);
    match acknowledged(begun).await {
        Ok(()) => json(r#"{"accepted":1}"#.to_owned()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

async fn acknowledged(begun: Result<Vec<DeliveryFuture>, String>) -> Result<(), String> {
    for delivery in begun? {
        delivery.await.map_err(|error| error.to_string())?.map_err(|(error, _)| error.to_string())?;
    }
    Ok(())
}

fn json(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
