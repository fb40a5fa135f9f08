//! What bad luck gets: 503 and nothing acknowledged, or the answer that the log can stand for.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod house;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use house::House;
use serde_json::json;
use tokio::sync::watch;
use weir_control::Misfit;
use weir_event::{Clock, Stream};
use weir_event_log::{
    AppendError, Bounds, Cause, Chunk, EventLog, Faults, FaultyLog, LogAppender, LogReader, MemoryLog, ReadError,
    Record, Share, Sharing,
};
use weir_ingest::bootstrap::{self, BootstrapError, FirstKeys, OpenSettings};
use weir_ingest::{Ingest, Settings, StartError};

fn memory() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(2).unwrap())
}

// The follower's pauses take no time.
#[tokio::test(start_paused = true)]
async fn what_was_not_acknowledged_may_be_there_and_what_was_is() {
    for seed in 0..20 {
        let log = memory();
        let faults = Faults { read_failed: 50, ..Faults::SOME };
        let faulty: Arc<dyn EventLog> = Arc::new(FaultyLog::new(Arc::clone(&log), seed, faults));
        let house = House::with_service_log(log, faulty, Clock::system(), false).await;
        let (mut acknowledged, mut refused) = (BTreeSet::new(), 0);
        for n in 0..40 {
            let before = house.ingest.acknowledged().of("default");
            let body =
                format!(r#"[{{"name":"x","user_id":"1","id":"{n}-a"}},{{"name":"x","user_id":"2","id":"{n}-b"}}]"#);
            let answer = house.post("/api/events", body).await;
            if answer.status == 200 {
                acknowledged.extend([format!("{n}-a"), format!("{n}-b")]);
                let now = house.ingest.acknowledged().of("default");
                assert!(now != before, "seed {seed}");
                continue;
            }
            refused += 1;
            assert_eq!((answer.status, answer.code()), (503, "log_unavailable"), "seed {seed}");
            assert!(answer.headers.contains_key("retry-after"));
            assert!(!answer.headers.contains_key("weir-position"));
            assert_eq!(house.ingest.acknowledged().of("default"), before, "seed {seed}");
        }
        assert!(refused > 0 && !acknowledged.is_empty(), "seed {seed}");
        let there: Vec<_> = house.events().await.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        let there: BTreeSet<_> = there.into_iter().collect();
        assert!(acknowledged.is_subset(&there), "seed {seed}");
    }
}

// The follower's pauses take no time.
#[tokio::test(start_paused = true)]
async fn commands_are_answered_by_what_the_log_holds() {
    for seed in 0..20 {
        let log = memory();
        let faulty: Arc<dyn EventLog> = Arc::new(FaultyLog::new(Arc::clone(&log), seed, Faults::SOME));
        let house = House::with_service_log(log, faulty, Clock::system(), false).await;
        let mut keys = Vec::new();
        for n in 1..15 {
            let answer = house.put("/api/segments/s", format!(r#"{{"when":{{"event":"x","at_least":{n}}}}}"#)).await;
            match answer.status {
                200 | 201 => {
                    let control = house.records(Stream::Control).await;
                    let mut state = weir_control::State::default();
                    control.iter().for_each(|record| drop(state.evolve(record.offset, &record.value)));
                    let live = state.workspace("default").unwrap().segments["s"].live().unwrap().number;
                    assert_eq!(answer.body["version"], live, "seed {seed}");
                }
                status => assert_eq!((status, answer.code()), (503, "log_unavailable"), "seed {seed}"),
            }
            let key = house.post("/api/keys", r#"{"role":"write"}"#).await;
            if key.status == 201 {
                keys.push(key.body["key"].as_str().unwrap().to_owned());
            }
        }
        assert!(!keys.is_empty(), "seed {seed}");
        for key in keys {
            // No answer says 401: a key that was shown is known.
            let answer = house.call("POST", "/api/profiles", &key, r#"{"user_id":"1"}"#).await;
            assert!([201, 503].contains(&answer.status), "seed {seed}: {}", answer.body);
        }
    }
}

/// A log whose disk is full for a while.
struct FullDisk {
    inner: Arc<dyn EventLog>,
    full: AtomicBool,
    away: watch::Sender<bool>,
}

#[async_trait]
impl LogAppender for FullDisk {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        if self.full.load(Ordering::SeqCst) {
            let source = Cause::DiskFull(Arc::new(std::io::Error::from(std::io::ErrorKind::StorageFull)));
            return Err(AppendError::NotStored { source });
        }
        self.inner.append(stream, records).await
    }
}

#[async_trait]
impl Sharing for FullDisk {
    async fn join(&self) -> Result<Arc<dyn Share>, ReadError> {
        self.inner.join().await
    }
}

#[async_trait]
impl LogReader for FullDisk {
    fn partitions(&self, stream: Stream) -> u32 {
        self.inner.partitions(stream)
    }
    async fn bounds(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        if *self.away.borrow() {
            return Err(no_answer(stream, partition));
        }
        self.inner.bounds(stream, partition).await
    }
    async fn read(&self, stream: Stream, partition: u32, from: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
        self.inner.read(stream, partition, from, max_bytes).await
    }
    async fn wait_beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> {
        let mut away = self.away.subscribe();
        tokio::select! {
            waited = self.inner.wait_beyond(stream, partition, offset) => waited,
            _ = away.wait_for(|away| *away) => Err(no_answer(stream, partition)),
        }
    }
}

fn no_answer(stream: Stream, partition: u32) -> ReadError {
    ReadError::Io { stream, partition, source: Arc::new(std::io::Error::from(std::io::ErrorKind::TimedOut)) }
}

#[tokio::test]
async fn a_full_disk_is_said_and_needs_no_restart() {
    let disk = Arc::new(FullDisk { inner: memory(), full: AtomicBool::new(false), away: watch::Sender::new(false) });
    let house = House::over(Arc::clone(&disk) as _, Clock::system(), false).await;
    disk.full.store(true, Ordering::SeqCst);
    for (path, body) in [("/api/profiles", r#"{"user_id":"1"}"#), ("/api/keys", r#"{"role":"read"}"#)] {
        let answer = house.post(path, body).await;
        assert_eq!((answer.status, answer.code()), (503, "log_unavailable"), "{path}");
        assert!(answer.body["detail"].as_str().unwrap().contains("full"), "{path}");
    }
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(house.post("/api/profiles", r#"{"user_id":"1"}"#).await.status, 201);
    assert_eq!(house.events().await.len(), 1);
}

#[tokio::test]
async fn a_key_made_by_another_process_works_here() {
    let here = House::new().await;
    for _ in 0..20 {
        let there = House::over(Arc::clone(&here.log), Clock::system(), false).await;
        let key = there.post("/api/keys", r#"{"role":"write"}"#).await.body["key"].as_str().unwrap().to_owned();
        assert_eq!(here.call("POST", "/api/profiles", &key, r#"{"user_id":"1"}"#).await.status, 201);
    }
}

#[tokio::test]
async fn many_commands_at_once_have_an_answer_each() {
    let house = House::new().await;
    let put =
        async |n: u32| house.put("/api/segments/s", format!(r#"{{"when":{{"event":"x","at_least":{n}}}}}"#)).await;
    let answers = [1, 2, 3, 4, 5, 6, 7, 8].map(put);
    let mut versions = Vec::new();
    let mut created = 0;
    for answer in futures::future::join_all(answers).await {
        created += usize::from(answer.status == 201);
        versions.push(answer.body["version"].as_u64().unwrap());
    }
    versions.sort_unstable();
    assert_eq!((created, versions), (1, (1..=8).collect()));
}

fn keys(seed: u8) -> FirstKeys {
    FirstKeys { write: [seed; 32], read: [seed + 1; 32], admin: [seed + 2; 32], operator: Some([seed + 3; 32]) }
}

#[tokio::test]
async fn the_first_start_can_be_repeated_from_any_point() {
    for seed in 0..40 {
        let log = memory();
        let faults =
            Faults { not_stored: 300, unknown_stored: 200, unknown_lost: 200, read_failed: 100, short_read: 0 };
        let faulty = FaultyLog::new(Arc::clone(&log), seed, faults);
        let clock = Clock::system();
        let opened = loop {
            if let Ok(opened) = bootstrap::open_log(&faulty, &OpenSettings::default(), &clock).await {
                break opened;
            }
        };
        assert_eq!(opened.dedup_window_micros, weir_event::limits::DEDUP_WINDOW_MICROS);
        let made = loop {
            if let Ok(made) = bootstrap::make_workspace(&faulty, "default", &keys(1), "test", &clock).await {
                break made;
            }
        };
        let again = bootstrap::open_log(&*log, &OpenSettings::default(), &clock).await.unwrap();
        assert_eq!(again, opened, "seed {seed}");
        assert!(bootstrap::has_workspace(&*log).await.unwrap());
        let there = bootstrap::make_workspace(&*log, "default", &keys(5), "test", &clock).await.unwrap();
        assert_eq!((there.no, there.created), (made.no, false), "seed {seed}");
        let mut state = weir_control::State::default();
        house::records(&*log, Stream::Control).await.iter().for_each(|r| drop(state.evolve(r.offset, &r.value)));
        assert_eq!(state.workspaces().count(), 1);
        assert!(state.authenticate(&[1; 32]).is_some() && state.authenticate(&[5; 32]).is_none(), "seed {seed}");
        let workspace = state.workspace("default").unwrap();
        assert_eq!((workspace.segments.len(), workspace.scores.len()), (3, 1));
    }
}

#[tokio::test]
async fn a_log_opens_only_as_what_it_is() {
    let (system, test) = (Clock::system(), Clock::test());
    let open = async |log: &Arc<dyn EventLog>, window, clock| {
        bootstrap::open_log(&**log, &OpenSettings { dedup_window_micros: window }, clock).await
    };
    let log = memory();
    assert!(matches!(
        Ingest::start(Arc::clone(&log), Settings::new(system.clone())).await,
        Err(StartError::Misfit(Misfit::NotOpened))
    ));
    let opened = open(&log, Some(5), &system).await.unwrap();
    assert_eq!((opened.dedup_window_micros, opened.events_partitions, opened.test_clock), (5, 2, false));
    assert_eq!(open(&log, None, &system).await.unwrap(), opened);
    assert!(matches!(open(&log, Some(6), &system).await, Err(BootstrapError::DedupWindow { made: 5, asked: 6 })));
    assert!(matches!(open(&log, Some(-1), &system).await, Err(BootstrapError::DedupWindowNegative { .. })));
    assert!(open(&log, Some(6), &system).await.unwrap_err().is_configuration());
    assert!(matches!(open(&log, None, &test).await, Err(BootstrapError::Misfit(Misfit::MadeUnderSystemClock))));
    let started = Ingest::start(Arc::clone(&log), Settings::new(test.clone())).await;
    assert!(matches!(started, Err(StartError::Misfit(Misfit::MadeUnderSystemClock))));

    let log = memory();
    assert!(open(&log, None, &test).await.unwrap().test_clock);
    assert!(matches!(open(&log, None, &system).await, Err(BootstrapError::Misfit(Misfit::MadeUnderTestClock))));

    // Copied by a mistake into a log of other partitions.
    let records = house::records(&*log, Stream::Control).await;
    let other: Arc<dyn EventLog> = Arc::new(MemoryLog::new(3).unwrap());
    other.append(Stream::Control, vec![Record::new("", records[0].value.clone())]).await.unwrap();
    assert!(matches!(
        open(&other, None, &test).await,
        Err(BootstrapError::Misfit(Misfit::Partitions { said: 2, found: 3 }))
    ));

    // A copy that was cut short, and the same when it was finished.
    let copy = memory();
    let mut first: serde_json::Value = serde_json::from_slice(&records[0].value).unwrap();
    first["copied_from"] = json!({"lineage": uuid::Uuid::from_u128(9), "control": 2, "events": 1});
    copy.append(Stream::Control, vec![Record::new("", first.to_string())]).await.unwrap();
    for (stream, found) in [(Stream::Control, 1), (Stream::Events, 2)] {
        let half =
            |misfit: &Misfit| matches!(misfit, Misfit::HalfCopied { found: there, copied: 3, .. } if *there == found);
        let refused = open(&copy, None, &test).await.unwrap_err();
        assert!(matches!(&refused, BootstrapError::Misfit(misfit) if half(misfit)) && refused.is_configuration());
        // A service by itself makes no log, and refuses it all the same.
        let refused = Ingest::start(Arc::clone(&copy), Settings::new(test.clone())).await.err().unwrap();
        assert!(matches!(&refused, StartError::Misfit(misfit) if half(misfit)) && refused.is_configuration());
        copy.append(stream, vec![Record::new("default/1", "{}")]).await.unwrap();
    }
    assert_eq!(open(&copy, None, &test).await.unwrap().copied_from.unwrap().lineage, uuid::Uuid::from_u128(9));

    let made = bootstrap::make_workspace(&*log, "No Slug", &keys(1), "test", &test).await;
    assert!(matches!(made, Err(BootstrapError::Slug(_))));
    bootstrap::make_workspace(&*log, "a", &keys(1), "test", &test).await.unwrap();
    let made = bootstrap::make_workspace(&*log, "b", &keys(1), "test", &test).await;
    assert!(matches!(&made, Err(error @ BootstrapError::Refused(_)) if !error.is_configuration()));
}

#[tokio::test]
async fn health_says_whether_the_control_state_is_followed() {
    let log = memory();
    let clock = Clock::system();
    bootstrap::open_log(&*log, &OpenSettings::default(), &clock).await.unwrap();
    let settings = Settings::new(clock);
    let (ingest, follower) = Ingest::start(log, settings.clone()).await.unwrap();
    assert!(!settings.health.report().ready);
    let shutdown = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(follower.run(shutdown.clone()));
    while !settings.health.report().ready {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    following.await.unwrap().unwrap();
    assert_eq!(json!(settings.health.report())["components"][0]["reason"], "stopped");
    drop(ingest);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_takes_nothing_is_not_ready_and_ready_again_by_itself() {
    let disk = Arc::new(FullDisk { inner: memory(), full: AtomicBool::new(false), away: watch::Sender::new(false) });
    let house = House::over(Arc::clone(&disk) as _, Clock::system(), false).await;
    let becomes = async |ready: bool| {
        let begun = tokio::time::Instant::now();
        while house.health.report().ready != ready {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    };
    becomes(true).await;
    disk.full.store(true, Ordering::SeqCst);
    let refused = house.call("POST", "/api/profiles", &house.write, r#"{"user_id":"1"}"#).await;
    assert_eq!((refused.status, refused.code()), (503, "log_unavailable"));
    assert!(becomes(false).await < Duration::from_secs(1));
    assert_eq!(house.health.report().reasons(), "log: the log took no appends a moment ago");
    disk.full.store(false, Ordering::SeqCst);
    assert!(becomes(true).await < Duration::from_secs(4), "nobody sends to who isn't ready, so it must try again");

    disk.full.store(true, Ordering::SeqCst);
    house.call("POST", "/api/profiles", &house.write, r#"{"user_id":"1"}"#).await;
    becomes(false).await;
    disk.full.store(false, Ordering::SeqCst);
    let taken = house.call("POST", "/api/profiles", &house.write, r#"{"user_id":"1"}"#).await;
    assert_eq!(taken.status, 201);
    assert!(becomes(true).await < Duration::from_millis(100), "a record that is taken is the best sign");

    disk.away.send_replace(true);
    assert!(becomes(false).await < Duration::from_secs(1));
    assert!(
        house.health.report().reasons().contains("ingest: control.v1 can't be read"),
        "{:?}",
        house.health.report()
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!house.health.report().ready);
    disk.away.send_replace(false);
    assert!(becomes(true).await < Duration::from_secs(1), "without any new record");
}
