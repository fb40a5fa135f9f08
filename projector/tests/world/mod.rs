//! A log with random histories, and a projector over it.

// Helpers of tests may panic; clippy knows only the tests themselves. Not every test needs all of them.
#![allow(clippy::unwrap_used, dead_code)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_control::{Command, LogOpened, NewDefinition, WorkspaceCreated, builtin, encode};
use weir_event::{Clock, Envelope, Identifier, IdentifierKind, Stream, Timestamp};
use weir_event_log::{EventLog, LogAppender as _, LogReader as _, MemoryLog, Record};
use weir_lifecycle::Health;
use weir_store::{GenerationId, Projection, SqliteStore, Store};

pub const SPACE: Uuid = Uuid::from_u128(7);
pub const SECOND: i64 = 1_000_000;
pub const START: i64 = 1_700_000_000_000_000;

pub const WINDOW: &str = r#"{"when":{"event":"product.viewed","at_least":2,"within":"1m"}}"#;
pub const WAITED: &str = r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"30s"}}"#;
pub const QUIET: &str = r#"{"when":{"not":{"event":"order.completed","within":"2m"}}}"#;
pub const LOYAL: &str = r#"{"when":{"score":"points","at_least":21}}"#;

/// An event in the making: who, what, which id, how long before or after its receipt it happened, and how long after
/// the receipt before it comes the receipt of this one.
#[derive(Clone, Debug)]
pub struct Made(pub u8, pub &'static str, pub u8, pub i64, pub i64);

pub fn made() -> impl Strategy<Value = Made> {
    let names = prop_oneof![
        Just("product.viewed"),
        Just("cart.added"),
        Just("cart.removed"),
        Just("cart.updated"),
        Just("order.completed"),
        Just("PURCHASE"),
        Just("profile.updated"),
        Just("other"),
    ];
    (0..4_u8, names, 0..40_u8, -200..20_i64, prop_oneof![3 => Just(0), 5 => 0..40_i64, 1 => -30..0_i64])
        .prop_map(|(who, name, id, shift, step)| Made(who, name, id, shift, step))
}

pub fn records(events: &[Made]) -> Vec<Record> {
    let mut receipt = START;
    events
        .iter()
        .map(|Made(who, name, id, shift, step)| {
            receipt += step * SECOND;
            let identifier = Identifier::new(IdentifierKind::User, &format!("user-{who}")).unwrap();
            // Of a few products, and at times of none: then it is no basket event.
            let product = if id % 11 == 0 { "null".to_owned() } else { format!(r#""p{}""#, id % 3) };
            let data = format!(
                r#"{{"traits":{{"plan":"p{id}"}},"product_id":{product},"quantity":{},"price":0.{id},"currency":"c{}"}}"#,
                id % 4,
                id % 2
            );
            let envelope = Envelope {
                id: format!("e{id}").into(),
                workspace: "default".into(),
                name: (*name).into(),
                subject: identifier.profile_id(SPACE),
                time: Timestamp::from_micros(receipt + shift * SECOND),
                received: Timestamp::from_micros(receipt),
                arrived: None,
                identifier: Some(identifier),
                data: Some(serde_json::from_str(&data).unwrap()),
            };
            let mut value = Vec::new();
            envelope.write(&mut value);
            Record::new(envelope.key(), value)
        })
        .collect()
}

pub async fn control(log: &MemoryLog, command: Command) {
    log.append(Stream::Control, vec![Record::new("", encode(&command))]).await.unwrap();
}

pub async fn new_log(partitions: u32) -> Arc<MemoryLog> {
    let log = MemoryLog::new(partitions).unwrap();
    let (dedup_window_micros, at) = (60 * SECOND, Timestamp::from_micros(START));
    let opened = LogOpened {
        lineage: SPACE,
        events_partitions: partitions,
        dedup_window_micros,
        test_clock: false,
        at,
        copied_from: None,
    };
    control(&log, Command::LogOpened(opened)).await;
    let mut segments = builtin::segments();
    segments.push(NewDefinition::plain("window", WINDOW));
    segments.push(NewDefinition::plain("waited", WAITED));
    segments.push(NewDefinition::plain("quiet", QUIET));
    segments.push(NewDefinition::plain("loyal", LOYAL));
    let (scores, by) = (builtin::scores(), "test".to_owned());
    let created =
        WorkspaceCreated { slug: "default".into(), namespace: SPACE, keys: Vec::new(), segments, scores, by, at };
    control(&log, Command::WorkspaceCreated(created)).await;
    Arc::new(log)
}

/// Runs the projector until the live generation has all of the log, then stops it.
pub async fn project(log: &Arc<MemoryLog>, store: &Arc<dyn Store>, generation_at_least: u64) {
    let stop = CancellationToken::new();
    let (held, kept): (Arc<dyn EventLog>, _) = (log.clone(), store.clone());
    let health = Health::default().component("projector");
    let running = tokio::spawn(weir_projector::run(held, kept, Clock::system(), health, stop.clone()));
    let reached = async {
        let mut changes = store.changes();
        while !complete(log, store, generation_at_least).await {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached).await.expect("the projector reaches the log's end");
    stop.cancel();
    running.await.unwrap().unwrap();
}

pub async fn complete(log: &MemoryLog, store: &Arc<dyn Store>, generation_at_least: u64) -> bool {
    let Some(live) = store.live().await.unwrap() else { return false };
    let progress = live.progress().await.unwrap();
    for projection in Projection::ALL {
        for partition in 0..log.partitions(projection.stream()) {
            let end = log.bounds(projection.stream(), partition).await.unwrap().end;
            let at = progress.iter().find(|p| (p.projection, p.partition) == (projection, partition));
            if at.map_or(0, |p| p.next) != end {
                return false;
            }
        }
    }
    live.id() >= GenerationId(generation_at_least) && store.generations().await.unwrap().len() == 1
}

pub async fn open(place: &std::path::Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&place.join("store.db")).await.unwrap())
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
