//! Rebuilds: filled beside the live tables, compared with them row by row, read and not read again.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use weir_event::{Clock, Envelope, Stream};
use weir_event_log::{EventLog, LogAppender as _, LogReader as _, MemoryLog, Record};
use weir_lifecycle::Health;
use weir_projector::FoldError;
use weir_store::{
    Difference, GenerationId, NotedRebuild, PgStore, Rebuild, RebuildRequest, RebuildState, Store, Table,
};
use world::{Made, block_on, made, new_log, open, project, records};

/// A projector that runs, and an operator who asks it.
struct House {
    store: Arc<dyn Store>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), FoldError>>,
}

impl House {
    fn start(log: &Arc<MemoryLog>, store: &Arc<dyn Store>) -> Self {
        let stop = CancellationToken::new();
        let health = Health::default().component("projector");
        let held: Arc<dyn EventLog> = log.clone();
        let running = tokio::spawn(weir_projector::run(held, store.clone(), Clock::system(), health, stop.clone()));
        Self { store: store.clone(), stop, running }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }

    async fn begin(&self) -> Uuid {
        let id = Uuid::now_v7();
        assert!(NotedRebuild::asked_for(id, 0).note(self.store.as_ref()).await.unwrap());
        self.until(id, |rebuild| rebuild.asked.is_none()).await;
        self.until(id, |rebuild| rebuild.state != RebuildState::Filling).await;
        id
    }

    async fn ask(&self, id: Uuid, request: RebuildRequest) -> Rebuild {
        loop {
            let mut noted = self.noted(id).await;
            noted.rebuild.asked = Some(request);
            if noted.note(self.store.as_ref()).await.unwrap() {
                return self.until(id, |rebuild| rebuild.asked.is_none()).await;
            }
        }
    }

    async fn noted(&self, id: Uuid) -> NotedRebuild {
        NotedRebuild::all(self.store.as_ref()).await.unwrap().into_iter().find(|noted| noted.id == id).unwrap()
    }

    async fn until(&self, id: Uuid, reached: impl Fn(&Rebuild) -> bool) -> Rebuild {
        let mut changes = self.store.changes();
        let wait = async {
            loop {
                let rebuild = self.noted(id).await.rebuild;
                if reached(&rebuild) {
                    return rebuild;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the rebuild comes so far")
    }

    async fn live(&self) -> u64 {
        self.store.live().await.unwrap().unwrap().id().0
    }
}

/// Changes a generation's file, as somebody with a database tool would.
async fn by_hand(file: &std::path::Path, change: &str) {
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let changed = sqlx::query(AssertSqlSafe(change.to_owned())).execute(&mut connection).await.unwrap();
    assert!(changed.rows_affected() > 0, "{change} changed nothing");
    connection.close().await.unwrap();
}

const PROMOTE: RebuildRequest = RebuildRequest::Promote { accept_differences: false };
const PROMOTE_ANYWAY: RebuildRequest = RebuildRequest::Promote { accept_differences: true };

fn refusal(rebuild: &Rebuild) -> Option<&str> {
    rebuild.refused.as_ref().map(|refused| refused.code.as_str())
}

#[test]
fn a_rebuild_of_any_history_is_the_same_to_the_last_row() {
    let cases = Config { cases: 24, ..Config::default() };
    let input = (proptest::collection::vec(made(), 1..120), proptest::collection::vec(1..12_usize, 1..6), 1..4_u32);
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
                    project(&log, &open(place.path()).await, 1).await;
                }
                let house = House::start(&log, &open(place.path()).await);
                let id = house.begin().await;
                let verified = house.ask(id, RebuildRequest::Verify).await;
                let comparison = verified.comparison.unwrap();
                prop_assert_eq!(&comparison.differences, &[]);
                prop_assert_eq!((verified.state, comparison.found), (RebuildState::Verified, 0));
                prop_assert_eq!(
                    comparison.rows["records"] + comparison.rows.get("not_admitted").unwrap_or(&0),
                    events.len() as u64
                );
                house.stop().await;
                Ok(())
            })
        })
        .unwrap();
}

/// Many events of few profiles, so that each table has rows.
fn busy() -> Vec<Record> {
    let names = [
        "product.viewed",
        "cart.added",
        "cart.removed",
        "order.completed",
        "profile.updated",
        "PURCHASE",
        "cart.added",
    ];
    let mut events: Vec<Made> = (0..600_i64)
        .map(|i| {
            Made(
                u8::try_from(i % 4).unwrap(),
                names[usize::try_from(i % 7).unwrap()],
                0,
                -(i % 50),
                i64::from(i % 12 == 0),
            )
        })
        .collect();
    for (i, event) in events.iter_mut().enumerate() {
        event.2 = u8::try_from(i % 250).unwrap();
    }
    let mut records = records(&events);
    records.insert(3, Record::new("default/x", "{"));
    records
}

async fn live_tables(log: &Arc<MemoryLog>, open: impl AsyncFn() -> Arc<dyn Store>) {
    let mut rest = busy();
    while !rest.is_empty() {
        // What the first batch of a process adds to sums goes into their rows, that of the second one waits.
        let store = open().await;
        for _ in 0..2 {
            log.append(Stream::Events, rest.drain(..25.min(rest.len())).collect()).await.unwrap();
            project(log, &store, 1).await;
        }
    }
}

#[test]
fn a_promoted_rebuild_is_read_and_can_be_rolled_back() {
    block_on(async {
        let (log, place) = (new_log(2).await, tempfile::tempdir().unwrap());
        live_tables(&log, async || open(place.path()).await).await;
        let house = House::start(&log, &open(place.path()).await);
        let before = house.live().await;
        let id = house.begin().await;
        assert_eq!(refusal(&house.ask(id, PROMOTE).await), Some("rebuild_unverified"));
        assert_eq!(refusal(&house.ask(id, RebuildRequest::Rollback).await), Some("rebuild_not_promoted"));
        let other = Uuid::now_v7();
        assert!(NotedRebuild::asked_for(other, 0).note(house.store.as_ref()).await.unwrap());
        let other = house.until(other, |rebuild| rebuild.asked.is_none()).await;
        assert_eq!((refusal(&other), other.state), (Some("rebuild_open"), RebuildState::Aborted));
        assert_eq!(house.ask(id, RebuildRequest::Verify).await.state, RebuildState::Verified);
        assert_eq!(house.ask(id, PROMOTE).await.state, RebuildState::Promoted);
        let promoted = house.live().await;
        assert!(promoted > before);
        assert_eq!(refusal(&house.ask(id, RebuildRequest::Verify).await), Some("rebuild_closed"));
        // Both follow what comes.
        log.append(Stream::Events, records(&[Made(1, "cart.added", 251, 0, 9_000)])).await.unwrap();
        assert_eq!(house.ask(id, RebuildRequest::Rollback).await.state, RebuildState::RolledBack);
        assert_eq!(house.live().await, before);
        assert_eq!(refusal(&house.ask(id, PROMOTE).await), Some("rebuild_unverified"));
        assert_eq!(house.ask(id, RebuildRequest::Verify).await.state, RebuildState::Verified);
        assert_eq!(house.ask(id, PROMOTE).await.state, RebuildState::Promoted);
        // What is let go can't be had back, and its tables go.
        assert!(house.ask(id, RebuildRequest::Abort).await.reason.is_some());
        assert_eq!(refusal(&house.ask(id, RebuildRequest::Rollback).await), Some("rebuild_closed"));
        let mut changes = house.store.changes();
        while house.store.generations().await.unwrap().len() > 1 {
            changes.changed().await.unwrap();
        }
        assert_eq!(house.live().await, promoted);
        house.stop().await;
    });
}

#[test]
fn a_rebuild_goes_on_after_a_stop() {
    block_on(async {
        let (log, place) = (new_log(2).await, tempfile::tempdir().unwrap());
        live_tables(&log, async || open(place.path()).await).await;
        let house = House::start(&log, &open(place.path()).await);
        let id = Uuid::now_v7();
        assert!(NotedRebuild::asked_for(id, 0).note(house.store.as_ref()).await.unwrap());
        house.stop().await;
        let house = House::start(&log, &open(place.path()).await);
        let following = house.until(id, |rebuild| rebuild.state == RebuildState::Following).await;
        house.stop().await;
        let house = House::start(&log, &open(place.path()).await);
        let verified = house.ask(id, RebuildRequest::Verify).await;
        assert_eq!((verified.state, verified.generation), (RebuildState::Verified, following.generation));
        assert_eq!(house.ask(id, RebuildRequest::Abort).await.state, RebuildState::Aborted);
        assert_eq!(refusal(&house.ask(id, RebuildRequest::Abort).await), Some("rebuild_closed"));
        house.stop().await;
    });
}

/// A row of each table, changed as somebody with a database tool would. The second word names the table that it is found in.
const CHANGES: &[(&str, &str, &str)] = &[
    ("", "control", "UPDATE control SET record = unhex(hex(record) || '20') WHERE log_offset = 1"),
    (
        "",
        "profiles",
        "UPDATE profiles SET card = unhex(hex(card) || '00') WHERE profile = (SELECT max(profile) FROM profiles)",
    ),
    ("", "profiles", "DELETE FROM profiles WHERE profile = (SELECT max(profile) FROM profiles)"),
    ("", "states", "UPDATE state_redo SET rows = unhex(substr(hex(rows), 1, 2 * length(rows) - 2) || '00')"),
    (
        "",
        "states",
        "UPDATE states SET state = unhex(hex(state) || '00') WHERE profile = (SELECT min(profile) FROM states)",
    ),
    ("", "states", "UPDATE states SET last_offset = 1 WHERE profile = (SELECT max(profile) FROM states)"),
    ("", "event_ids", "UPDATE event_ids SET ids = unhex(substr(hex(ids), 1, 2 * length(ids) - 2) || '00')"),
    ("", "spans", "UPDATE spans SET leaves_at = leaves_at - 1 WHERE rowid = 1"),
    ("", "profile_spans", "UPDATE profile_spans_new SET leaves_at = leaves_at - 1 WHERE leaves_at IS NOT NULL"),
    ("", "span_tree", "UPDATE span_tree SET delta = delta + 1 WHERE level = 0"),
    ("", "span_tree", "UPDATE span_tree SET last_leave = 5 WHERE level = 16 AND rows > 0"),
    ("", "scores", "DELETE FROM scores"),
    ("", "counts", "UPDATE counts SET n = n + 1"),
    ("", "not_admitted", "UPDATE not_admitted SET log_offset = log_offset + 1000000"),
    ("", "quarantine", "UPDATE quarantine SET reason = 'other'"),
    // What no release of ours could have written can't be read, and is named all the same.
    ("", "quarantine", "UPDATE quarantine SET stream = 'elsewhere.v1'"),
    ("", "quarantine", "UPDATE quarantine SET partition = partition + (1 << 40)"),
    ("", "counts", "UPDATE counts SET what = 'sheep' WHERE what = (SELECT max(what) FROM counts)"),
    ("", "not_admitted", "UPDATE not_admitted SET partition = -1 - partition"),
    ("", "span_tree", "UPDATE span_tree SET level = 1 << 40 WHERE level = 0"),
    ("", "span_tree", "UPDATE span_tree SET delta = 9223372036854775807 WHERE level = 0"),
    ("", "scores", "UPDATE scores SET place = x'00'"),
    ("", "profiles", "UPDATE profiles SET profile = x'00' WHERE profile = (SELECT max(profile) FROM profiles)"),
    ("", "spans", "UPDATE spans SET profile = x'00' WHERE profile = (SELECT max(profile) FROM spans)"),
    (
        "",
        "profile_spans",
        "UPDATE profile_spans_new SET profile = x'00' WHERE profile = (SELECT max(profile) FROM profile_spans_new)",
    ),
    ("", "event_ids", "UPDATE event_ids SET ids = x'00'"),
    ("", "states", "UPDATE states SET id_chunks = 1 << 40 WHERE profile = (SELECT max(profile) FROM states)"),
    ("", "states", "UPDATE states SET event_ids = x'00' WHERE profile = (SELECT max(profile) FROM states)"),
    ("-timeline", "records", "UPDATE records SET record = unhex(hex(record) || '20') WHERE log_offset = 7"),
    ("-timeline", "timeline", "UPDATE timeline_new SET place = unhex(hex(place) || '00')"),
    ("-timeline", "timeline", "UPDATE timeline SET log_offset = log_offset + 1000000"),
    (
        "-timeline",
        "baskets",
        "UPDATE baskets SET state = unhex(hex(state) || '00') WHERE profile = (SELECT min(profile) FROM baskets)",
    ),
    (
        "-timeline",
        "removals",
        "UPDATE removals SET draft = 1 - draft WHERE place = (SELECT place FROM removals ORDER BY place LIMIT 1)",
    ),
    ("-timeline", "removals", "UPDATE removals SET removal = unhex(hex(removal) || '00')"),
    ("-timeline", "removals", "DELETE FROM removals WHERE place = (SELECT min(place) FROM removals)"),
    ("-timeline", "removal_days", "UPDATE removal_days SET sums = unhex(hex(sums) || '00')"),
    ("-timeline", "removal_days", "UPDATE removal_days SET number = number + 1 WHERE level = 7"),
    ("-timeline", "removal_days", "UPDATE removal_days SET bucket = bucket - 300, level = level + 300 WHERE level = 0"),
    ("-timeline", "removal_days", "UPDATE removal_days_new SET changes = unhex(hex(changes) || '00')"),
    ("-timeline", "removal_days", "DELETE FROM removal_days_new"),
    ("-timeline", "removal_days", "DELETE FROM removal_days WHERE bucket = (SELECT min(bucket) FROM removal_days)"),
    ("-timeline", "basket_counts", "UPDATE basket_counts SET n = n + 1"),
    (
        "-timeline",
        "basket_counts",
        "UPDATE basket_counts SET what = 'sheep' WHERE what = (SELECT max(what) FROM basket_counts)",
    ),
    ("-timeline", "records", "UPDATE records SET partition = partition + (1 << 40) WHERE log_offset = 7"),
    ("-timeline", "timeline", "UPDATE timeline_new SET partition = partition + (1 << 40)"),
    ("-timeline", "timeline", "UPDATE timeline SET profile = x'00' WHERE place = (SELECT max(place) FROM timeline)"),
    ("-timeline", "baskets", "UPDATE baskets SET profile = x'00' WHERE profile = (SELECT max(profile) FROM baskets)"),
    ("-timeline", "removals", "UPDATE removals SET product = CAST(x'ff' AS TEXT)"),
    ("-timeline", "removal_days", "UPDATE removal_days SET level = 1 << 40 WHERE level = 0"),
    ("-timeline", "removal_days", "UPDATE removal_days_new SET partition = partition + (1 << 40)"),
];

#[test]
fn a_row_changed_by_hand_is_found_and_refuses_the_promotion() {
    block_on(async {
        for (file, table, change) in CHANGES {
            let (log, place) = (new_log(2).await, tempfile::tempdir().unwrap());
            live_tables(&log, async || open(place.path()).await).await;
            let store = open(place.path()).await;
            let live = store.live().await.unwrap().unwrap().id();
            drop(store);
            let path = place.path().join(format!("store.db.{}{file}", live.0));
            // The span by its place, since the table has no rowid.
            let change = change.replace(
                "WHERE rowid = 1",
                "WHERE (segment, enters_at) = (SELECT max(segment), max(enters_at) FROM spans) OR true",
            );
            by_hand(&path, &change).await;

            let house = House::start(&log, &open(place.path()).await);
            let id = house.begin().await;
            let compared = house.ask(id, RebuildRequest::Verify).await;
            assert_eq!(compared.state, RebuildState::Differs, "{change}");
            let comparison = compared.comparison.unwrap();
            let tables: BTreeSet<&str> = comparison.differences.iter().map(|d| d.table.as_str()).collect();
            assert!(tables.contains(table), "{change}: {tables:?}");
            assert_eq!(refusal(&house.ask(id, PROMOTE).await), Some("rebuild_differs"), "{change}");
            assert_eq!(house.live().await, live.0);
            // It is the live tables that are wrong.
            assert_eq!(house.ask(id, PROMOTE_ANYWAY).await.state, RebuildState::Promoted, "{change}");
            assert!(GenerationId(house.live().await) > live);
            house.stop().await;
        }
    });
}

#[test]
fn what_waits_is_added_to_sums_whatever_batch_a_hand_says_left_it() {
    block_on(async {
        let (log, place) = (new_log(2).await, tempfile::tempdir().unwrap());
        live_tables(&log, async || open(place.path()).await).await;
        let live = open(place.path()).await.live().await.unwrap().unwrap().id();
        let path = place.path().join(format!("store.db.{}-timeline", live.0));
        by_hand(&path, "UPDATE removal_days_new SET partition = partition + (1 << 40)").await;
        // The first batch of a process adds up what waits.
        let removal = [Made(1, "cart.added", 254, 0, 9_000), Made(1, "cart.removed", 251, 0, 1)];
        log.append(Stream::Events, records(&removal)).await.unwrap();
        project(&log, &open(place.path()).await, 1).await;
        let house = House::start(&log, &open(place.path()).await);
        let id = house.begin().await;
        assert_eq!(house.ask(id, RebuildRequest::Verify).await.state, RebuildState::Verified);
        house.stop().await;
    });
}

/// Whether anything waits to be added to sums.
async fn something_waits(store: &Arc<dyn Store>) -> bool {
    let mut contents = store.live().await.unwrap().unwrap().contents().await.unwrap();
    contents.rows(Table::RemovalDaysNew).try_next().await.unwrap().is_some()
}

#[test]
fn what_waits_is_added_to_sums_when_nothing_comes() {
    block_on(async {
        let (log, place) = (new_log(1).await, tempfile::tempdir().unwrap());
        let store = open(place.path()).await;
        // The first batch of a process is added to sums with all that is there; the next one is too little for itself.
        for products in [1, 1_000] {
            let bought = |n: usize| {
                ["cart.added", "cart.removed"].map(|name| {
                    let made = records(&[Made(1, name, 1, 0, 1)]);
                    let mut made = Envelope::parse(&made[0].value).unwrap();
                    made.id = format!("{products} {n} {name}").into();
                    let data = format!(r#"{{"product_id":"a product, number {n}"}}"#);
                    made.data = Some(serde_json::from_str(&data).unwrap());
                    let mut value = Vec::new();
                    made.write(&mut value);
                    Record::new(made.key(), value)
                })
            };
            log.append(Stream::Events, (0..products).flat_map(bought).collect()).await.unwrap();
            project(&log, &store, 1).await;
        }
        let house = House::start(&log, &store);
        let mut changes = store.changes();
        let quiet = async {
            while something_waits(&store).await {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), quiet).await.expect("what waits is added to sums");
        house.stop().await;
    });
}

#[test]
fn a_record_that_differs_is_named_with_its_profile() {
    // One that can't be read any more, one that is gone, and one that says that it is somebody else's.
    for change in [
        "UPDATE records SET record = unhex('00') WHERE log_offset = 7",
        "DELETE FROM records WHERE log_offset = 7",
        "UPDATE records SET record = (SELECT o.record FROM records o WHERE o.log_offset > 7 AND o.record <> records.record \
         LIMIT 1) WHERE log_offset = 7",
    ] {
        block_on(async {
            let (log, place) = (new_log(2).await, tempfile::tempdir().unwrap());
            live_tables(&log, async || open(place.path()).await).await;
            let live = open(place.path()).await.live().await.unwrap().unwrap().id();
            by_hand(&place.path().join(format!("store.db.{}-timeline", live.0)), change).await;

            let house = House::start(&log, &open(place.path()).await);
            let id = house.begin().await;
            let comparison = house.ask(id, RebuildRequest::Verify).await.comparison.unwrap();
            let named: BTreeSet<_> = comparison.differences.into_iter().filter(|d| d.table == "records").collect();
            let mut expected = BTreeSet::new();
            for partition in 0..2 {
                let records = log.read(Stream::Events, partition, 7, 1).await.unwrap().records;
                let Some(record) = records.first().filter(|record| record.offset == 7) else { continue };
                let profile_id = Some(Envelope::parse(&record.value).unwrap().subject.0);
                let row = Some(format!("partition {partition}, offset 7"));
                expected.insert(Difference { table: "records".to_owned(), profile_id, row });
            }
            assert!(!expected.is_empty());
            assert_eq!(named, expected, "{change}");
            house.stop().await;
        });
    }
}

/// The same over PostgreSQL, one change after the other on the tables that mended the one before.
const POSTGRES_CHANGES: &[(&str, &str)] = &[
    (
        "profiles",
        "UPDATE profiles SET card = card || '\\x00' WHERE profile = (SELECT max(profile::text) FROM profiles)::uuid",
    ),
    ("spans", "UPDATE spans SET leaves_at = leaves_at - 1"),
    ("records", "UPDATE records SET record = record || '\\x20' WHERE log_offset = 7"),
    ("timeline", "DELETE FROM timeline WHERE log_offset = 9"),
    ("baskets", "UPDATE baskets SET state = state || '\\x00'"),
    ("baskets", "DELETE FROM baskets WHERE profile = (SELECT max(profile::text) FROM baskets)::uuid"),
    (
        "removals",
        "UPDATE removals SET draft = NOT draft WHERE place = (SELECT place FROM removals ORDER BY place LIMIT 1)",
    ),
    ("removals", "UPDATE removals SET removal = removal || '\\x00'"),
    ("removal_days", "UPDATE removal_days SET sums = sums || '\\x00' WHERE level = 2"),
    ("removal_days", "UPDATE removal_days SET number = number + 1 WHERE level = 7"),
    ("removal_days", "UPDATE removal_days SET bucket = bucket - 300, level = level + 300 WHERE level = 0"),
    ("removal_days", "DELETE FROM removal_days WHERE bucket = (SELECT min(bucket) FROM removal_days)"),
    ("basket_counts", "UPDATE basket_counts SET n = n - 1"),
    ("basket_counts", "UPDATE basket_counts SET what = 'sheep' WHERE what = (SELECT max(what) FROM basket_counts)"),
    ("counts", "UPDATE counts SET what = 'sheep' WHERE what = (SELECT max(what) FROM counts)"),
    ("quarantine", "UPDATE quarantine SET stream = 'elsewhere.v1', partition = -1 - partition"),
    ("span_tree", "UPDATE span_tree SET level = -1 - level"),
    ("scores", "UPDATE scores SET place = '\\x00'"),
];

#[test]
fn a_row_changed_by_hand_in_postgresql_is_found() {
    block_on(async {
        let server = std::env::var("WEIR_TEST_POSTGRES").expect(
            "WEIR_TEST_POSTGRES is not set: run deploy/test.sh, \
             or `eval \"$(deploy/services.sh env)\"` after `deploy/services.sh up`",
        );
        let schema = format!("t{}", Uuid::new_v4().simple());
        let url = format!("{server}?schema={schema}");
        let open = async || {
            let store: Arc<dyn Store> = Arc::new(PgStore::open(&url).await.unwrap());
            store
        };
        let log = new_log(2).await;
        live_tables(&log, &open).await;
        let mut connection = PgConnection::connect(&server).await.unwrap();
        let house = House::start(&log, &open().await);
        for (table, change) in POSTGRES_CHANGES {
            let live = house.live().await;
            let tables = format!("SET search_path = {schema}_g{live}");
            sqlx::raw_sql(AssertSqlSafe(tables)).execute(&mut connection).await.unwrap();
            let changed = sqlx::raw_sql(*change).execute(&mut connection).await.unwrap();
            assert!(changed.rows_affected() > 0, "{change} changed nothing");
            let id = house.begin().await;
            let compared = house.ask(id, RebuildRequest::Verify).await;
            assert_eq!(compared.state, RebuildState::Differs, "{change}");
            let differences = compared.comparison.unwrap().differences;
            assert!(differences.iter().any(|found| found.table == *table), "{change}: {differences:?}");
            assert_eq!(refusal(&house.ask(id, PROMOTE).await), Some("rebuild_differs"), "{change}");
            assert_eq!(house.ask(id, PROMOTE_ANYWAY).await.state, RebuildState::Promoted, "{change}");
            assert!(house.live().await > live);
        }
        let id = house.begin().await;
        assert_eq!(house.ask(id, RebuildRequest::Verify).await.state, RebuildState::Verified);
        house.stop().await;
        drop_schemas(&mut connection, &schema).await;
    });
}

async fn drop_schemas(connection: &mut PgConnection, store: &str) {
    let all: Vec<String> = sqlx::query_scalar("SELECT nspname FROM pg_namespace WHERE nspname LIKE $1")
        .bind(format!("{store}%"))
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    for schema in all {
        // A generation that nobody uses any more is being dropped already.
        let dropped =
            sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {schema} CASCADE"))).execute(&mut *connection);
        dropped.await.unwrap();
    }
}
