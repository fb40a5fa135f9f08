//! Live, resumed after stops, and rebuilt from the first offset: the same tables.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_control::{Command, DefinitionPut, LogOpened, NewDefinition, WorkspaceCreated, builtin, encode};
use weir_event::{Clock, Envelope, Identifier, IdentifierKind, Stream, Timestamp};
use weir_event_log::{EventLog, LogAppender as _, LogReader as _, MemoryLog, Record};
use weir_lifecycle::Health;
use weir_store::{Count, GenerationId, ProfileKey, Projection, SqliteStore, Store, count, members, serving_catalog};

const SPACE: Uuid = Uuid::from_u128(7);
const SECOND: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000_000;

const WINDOW: &str = r#"{"when":{"event":"product.viewed","at_least":2,"within":"1m"}}"#;
const WAITED: &str = r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"30s"}}"#;
const QUIET: &str = r#"{"when":{"not":{"event":"order.completed","within":"2m"}}}"#;
const LOYAL: &str = r#"{"when":{"score":"points","at_least":21}}"#;

/// An event in the making: who, what, which id, how long before or after its receipt it happened, and how long after
/// the receipt before it comes the receipt of this one.
#[derive(Clone, Debug)]
struct Made(u8, &'static str, u8, i64, i64);

fn made() -> impl Strategy<Value = Made> {
    let names = prop_oneof![
        Just("product.viewed"),
        Just("cart.added"),
        Just("order.completed"),
        Just("PURCHASE"),
        Just("profile.updated"),
        Just("other"),
    ];
    (0..4_u8, names, 0..40_u8, -200..20_i64, prop_oneof![3 => Just(0), 5 => 0..40_i64, 1 => -30..0_i64])
        .prop_map(|(who, name, id, shift, step)| Made(who, name, id, shift, step))
}

fn records(events: &[Made]) -> Vec<Record> {
    let mut receipt = START;
    events
        .iter()
        .map(|Made(who, name, id, shift, step)| {
            receipt += step * SECOND;
            let identifier = Identifier::new(IdentifierKind::User, &format!("user-{who}")).unwrap();
            let data = format!(r#"{{"traits":{{"plan":"p{id}"}}}}"#);
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

async fn control(log: &MemoryLog, command: Command) {
    log.append(Stream::Control, vec![Record::new("", encode(&command))]).await.unwrap();
}

async fn new_log(partitions: u32) -> Arc<MemoryLog> {
    let log = MemoryLog::new(partitions).unwrap();
    let (dedup_window_micros, at) = (60 * SECOND, Timestamp::from_micros(START));
    let opened =
        LogOpened { lineage: SPACE, events_partitions: partitions, dedup_window_micros, test_clock: false, at };
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
async fn project(log: &Arc<MemoryLog>, store: &Arc<dyn Store>, generation_at_least: u64) {
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

async fn complete(log: &MemoryLog, store: &Arc<dyn Store>, generation_at_least: u64) -> bool {
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

async fn open(place: &std::path::Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&place.join("store.db")).await.unwrap())
}

/// Everything that a reader can see, in one text.
async fn seen(log: &MemoryLog, store: &Arc<dyn Store>) -> String {
    let live = store.live().await.unwrap().unwrap();
    let mut state = weir_control::State::default();
    for record in log.read(Stream::Control, 0, 0, 1 << 20).await.unwrap().records {
        state.evolve_bound(record.offset, &record.value, live.bound());
    }
    let workspace = state.workspace("default").unwrap();
    let catalog = serving_catalog(workspace);
    let mut view = live.view().await.unwrap();
    let mut out = Vec::new();
    for segment in catalog.segments() {
        for at in (START - 300 * SECOND..START + 900 * SECOND).step_by(15_500_000) {
            let page = members(view.as_mut(), segment.id, at, None, 100).await.unwrap();
            let counted = count(view.as_mut(), segment.id, at).await.unwrap();
            assert_eq!(
                usize::try_from(counted).unwrap(),
                page.rows.len(),
                "count and list of {} at {at}",
                segment.slug
            );
            let rows: Vec<_> = page.rows.iter().map(|r| (r.key.enters, r.key.profile, r.leaves)).collect();
            out.push(format!("{} {at} {rows:?}", segment.slug));
        }
    }
    for score in catalog.scores() {
        out.push(format!("{} {:?}", score.slug, view.scores(score.id, None, 100).await.unwrap()));
    }
    for who in 0..4 {
        let identifier = Identifier::new(IdentifierKind::User, &format!("user-{who}")).unwrap();
        let key = ProfileKey { workspace: workspace.no, profile: identifier.profile_id(SPACE) };
        out.push(format!("{:?}", view.cards(&[key]).await.unwrap()));
        let mut timeline = live.timeline().await.unwrap();
        let events = timeline.events(key, None, 1_000).await.unwrap();
        out.push(format!("{:?}", events.iter().map(|e| (&e.place, e.offset)).collect::<Vec<_>>()));
    }
    out.push(format!("{:?}", view.counts().await.unwrap()));
    out.join("\n")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_rebuild_gives_what_live_folding_gave_however_it_was_split() {
    let cases = Config { cases: 24, ..Config::default() };
    let input = (proptest::collection::vec(made(), 1..60), proptest::collection::vec(1..12_usize, 1..6), 1..3_u32);
    TestRunner::new(cases)
        .run(&input, |(events, splits, partitions)| {
            block_on(async {
                let log = new_log(partitions).await;
                let place = tempfile::tempdir().unwrap();
                let mut rest = records(&events);
                let mut sizes = splits.iter().cycle();
                while !rest.is_empty() {
                    let batch: Vec<Record> = rest.drain(..(*sizes.next().unwrap()).min(rest.len())).collect();
                    log.append(Stream::Events, batch).await.unwrap();
                    // Each time a new process: nothing but the tables carries over.
                    project(&log, &open(place.path()).await, 1).await;
                }
                let live = seen(&log, &open(place.path()).await).await;
                let fresh = tempfile::tempdir().unwrap();
                let rebuilt = open(fresh.path()).await;
                project(&log, &rebuilt, 1).await;
                let rebuilt = seen(&log, &rebuilt).await;
                let differs = live.lines().zip(rebuilt.lines()).find(|(live, rebuilt)| live != rebuilt);
                prop_assert_eq!(differs, None);
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn a_changed_definition_is_filled_beside_the_live_one_and_read_whole() {
    block_on(async {
        let log = new_log(2).await;
        let place = tempfile::tempdir().unwrap();
        let store = open(place.path()).await;
        let events: Vec<Made> = (0..40).map(|i| Made(i % 4, "product.viewed", i, 0, 5)).collect();
        log.append(Stream::Events, records(&events)).await.unwrap();
        project(&log, &store, 1).await;
        let before = seen(&log, &store).await;
        let definition = NewDefinition::plain("window", r#"{"when":{"event":"product.viewed","at_least":3}}"#);
        let (by, at) = ("test".to_owned(), Timestamp::from_micros(START));
        let put = DefinitionPut { workspace: "default".into(), definition, if_version: None, by, at };
        control(&log, Command::SegmentPut(put)).await;
        project(&log, &store, 2).await;
        let after = seen(&log, &store).await;
        assert_ne!(before, after);
        assert_eq!(store.generations().await.unwrap().len(), 1, "the generation left behind is gone");
        let fresh = tempfile::tempdir().unwrap();
        let rebuilt = open(fresh.path()).await;
        project(&log, &rebuilt, 1).await;
        assert_eq!(after, seen(&log, &rebuilt).await);
    });
}

#[test]
fn poison_is_set_aside_and_the_partition_goes_on() {
    block_on(async {
        let log = new_log(1).await;
        let place = tempfile::tempdir().unwrap();
        let store = open(place.path()).await;
        let good = records(&[Made(1, "cart.added", 1, 0, 0)]);
        let mut elsewhere = good[0].clone();
        let text = String::from_utf8(elsewhere.value.to_vec()).unwrap().replace("/default", "/nobody");
        elsewhere.value = text.into();
        let poison = [Record::new("k", "{"), Record::new("k", r#"{"specversion":"1.0"}"#), elsewhere];
        log.append(Stream::Events, poison.into_iter().chain(good).collect()).await.unwrap();
        project(&log, &store, 1).await;
        let live = store.live().await.unwrap().unwrap();
        let mut view = live.view().await.unwrap();
        let set_aside = view.quarantine(None, 10).await.unwrap();
        assert_eq!(set_aside.iter().map(|q| q.offset).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(set_aside[2].reason.contains("nobody"), "{}", set_aside[2].reason);
        let counts = view.counts().await.unwrap();
        assert_eq!(counts.iter().filter(|c| c.what == Count::Quarantined).map(|c| c.n).sum::<i64>(), 3);
        assert_eq!(view.progress().await.unwrap().iter().filter(|p| p.next == 4).count(), 1, "membership took all 4");
    });
}

#[test]
fn tables_that_know_more_than_the_log_stop_the_projector() {
    block_on(async {
        let log = new_log(1).await;
        let place = tempfile::tempdir().unwrap();
        let store = open(place.path()).await;
        log.append(Stream::Events, records(&[Made(1, "cart.added", 1, 0, 0)])).await.unwrap();
        project(&log, &store, 1).await;
        let shorter: Arc<dyn EventLog> = new_log(1).await;
        let health = Health::default().component("projector");
        let ended = weir_projector::run(shorter, store, Clock::system(), health, CancellationToken::new()).await;
        let said = ended.unwrap_err().to_string();
        assert!(said.contains("log ends at 0"), "{said}");
    });
}
