//! Brokers that go away and come back, and a file of theirs that is damaged: with a Kafka that nobody else uses. One test,
//! since each start of it takes longer than all the rest.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::timeout;
use weir_event::Stream::{Control, Events};
use weir_event_log::conformance::read_all;
use weir_event_log::{AppendError, Cause, EventLog, OpenOptions, ReadError, Record, open};

#[tokio::test(flavor = "multi_thread")]
async fn outages_pass_and_damage_is_named() {
    let kafka = Kafka::start();
    an_outage_passes_without_a_restart_of_ours(&kafka).await;
    what_waits_for_a_broker_that_stands_still_is_bounded(&kafka).await;
    damage_is_named_and_nothing_is_read_past_it(&kafka).await;
}

/// A Kafka that only this test stops and starts.
struct Kafka(PathBuf);

impl Kafka {
    fn start() -> Self {
        let kafka = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{}", std::process::id())));
        kafka.services(&["up"]);
        kafka
    }

    fn services(&self, command: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.sh");
        let output = Command::new(script).args(command).arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn brokers(&self) -> String {
        let environment = self.services(&["env"]);
        let line = environment.lines().find_map(|line| line.strip_prefix("export WEIR_TEST_KAFKA="));
        line.unwrap().to_owned()
    }

    async fn log(&self, prefix: &str) -> Arc<dyn EventLog> {
        let url = format!("kafka://{}/{prefix}", self.brokers()).parse().unwrap();
        open(&url, OpenOptions { partitions: Some(1), ..OpenOptions::default() }).await.unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.0.join("kafka/pid")).unwrap();
        assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
    }

    /// The first file of a topic's partition 0.
    fn segment(&self, topic: &str) -> PathBuf {
        self.0.join("kafka/data").join(format!("{topic}-0")).join("00000000000000000000.log")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/services.sh");
        // While another panic goes on, this one would hide it.
        let down = Command::new(script).arg("down").arg(&self.0).status();
        assert!(std::thread::panicking() || down.unwrap().success());
    }
}

fn numbered(number: usize) -> Record {
    Record::new(format!("k{}", number % 50), format!("{number:08}"))
}

/// What became of each record that a writer sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Stored,
    Absent,
    Unknown,
}

/// Appends one record after the other until it is told to stop.
async fn write(
    log: Arc<dyn EventLog>,
    stop: Arc<AtomicBool>,
    stored: Arc<AtomicUsize>,
    first: usize,
) -> BTreeMap<usize, Outcome> {
    let mut outcomes = BTreeMap::new();
    for number in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let outcome = match log.append(Events, vec![numbered(number)]).await {
            Ok(_) => {
                stored.fetch_add(1, Ordering::Relaxed);
                Outcome::Stored
            }
            Err(AppendError::NotStored { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Outcome::Absent
            }
            Err(AppendError::Unknown { .. }) => Outcome::Unknown,
        };
        outcomes.insert(number, outcome);
    }
    outcomes
}

/// Reads a partition from its beginning until it has seen the record `last`.
async fn follow(log: Arc<dyn EventLog>, partition: u32, last: Bytes) -> Vec<Bytes> {
    let (mut values, mut at) = (Vec::new(), 0);
    while values.last() != Some(&last) {
        // Failures pass with the outage.
        match log.read(Events, partition, at, 1 << 20).await {
            Ok(chunk) if chunk.records.is_empty() => drop(log.wait_beyond(Events, partition, at).await),
            Ok(chunk) => {
                at = chunk.next;
                values.extend(chunk.records.into_iter().map(|record| record.value));
            }
            Err(ReadError::Io { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    values
}

async fn until_refused_as_away(log: &dyn EventLog) {
    let refused = async {
        loop {
            // One that was begun before waits for the client's patience to end.
            let append = log.append(Control, vec![Record::new("k", "v")]);
            match timeout(Duration::from_millis(100), append).await {
                Ok(Err(AppendError::NotStored { source: Cause::Away })) => return,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(Duration::from_secs(20), refused).await.expect("appends to a broker that is away aren't refused");
}

async fn until_taken(log: &dyn EventLog, value: &'static str) {
    let taken = async {
        while log.append(Events, vec![Record::new("k", value)]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), taken).await.expect("appends aren't taken again");
}

async fn an_outage_passes_without_a_restart_of_ours(kafka: &Kafka) {
    let log = kafka.log("outage").await;
    let share = log.join().await.unwrap();
    share.owned().wait_for(|owned| owned.len() == 1).await.unwrap();
    let reader = tokio::spawn(follow(Arc::clone(&log), 0, Bytes::from_static(b"last")));
    let (stop, stored) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = |number: usize| write(Arc::clone(&log), Arc::clone(&stop), Arc::clone(&stored), number * 10_000_000);
    let writers: Vec<_> = (0..16).map(|number| tokio::spawn(writer(number))).collect();
    for (how, is_long) in [("kill", true), ("stop", false)] {
        // Under load, wherever it stands by then.
        let enough = stored.load(Ordering::Relaxed) + 200;
        while stored.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::block_in_place(|| kafka.services(&["kafka", how]));
        if is_long {
            until_refused_as_away(&*log).await;
            // Refused at once, so that nobody waits and nothing piles up.
            let begun = Instant::now();
            log.append(Control, vec![Record::new("k", "v")]).await.unwrap_err();
            assert!(begun.elapsed() < Duration::from_millis(100));
            assert!(matches!(log.bounds(Events, 0).await, Err(ReadError::Io { .. })));
            assert!(!share.confirm().await);
        }
        tokio::task::block_in_place(|| kafka.services(&["kafka", "start"]));
        until_taken(&*log, "taken").await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = BTreeMap::new();
    for writer in writers {
        outcomes.append(&mut writer.await.unwrap());
    }
    until_taken(&*log, "last").await;
    let read = timeout(Duration::from_secs(30), reader).await.expect("the reader hangs").unwrap();
    let counts = |wanted: Outcome| outcomes.values().filter(|outcome| **outcome == wanted).count();
    assert!(counts(Outcome::Stored) >= 400 && counts(Outcome::Absent) > 0, "{}", counts(Outcome::Stored));
    let mut copies: BTreeMap<Bytes, usize> = BTreeMap::new();
    read.into_iter().for_each(|value| *copies.entry(value).or_default() += 1);
    for (number, outcome) in outcomes {
        let found = copies.get(format!("{number:08}").as_bytes()).copied().unwrap_or(0);
        let right = match outcome {
            Outcome::Stored => found == 1,
            Outcome::Absent => found == 0,
            Outcome::Unknown => found <= 1,
        };
        assert!(right, "record {number} was {outcome:?} and is there {found} times");
    }
    share.owned().wait_for(|owned| owned.len() == 1).await.unwrap();
    let confirmed = async {
        while !share.confirm().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), confirmed).await.expect("the member isn't confirmed again");
}

/// A broker that is stopped takes connections and answers nothing, as one does whose disk hangs.
async fn what_waits_for_a_broker_that_stands_still_is_bounded(kafka: &Kafka) {
    const APPENDS: usize = 2_000;
    let log = kafka.log("still").await;
    until_taken(&*log, "first").await;
    let before = log.bounds(Events, 0).await.unwrap().end;
    kafka.signal("-STOP");
    // Each is asked once while the broker stands still: it is refused then and there, or it waits.
    let (mut refused, mut waiting) = (0, Vec::new());
    for _ in 0..APPENDS {
        let mut append = log.append(Events, vec![Record::new("k", vec![b'v'; 100_000])]);
        match futures::poll!(&mut append) {
            Poll::Ready(outcome) => {
                assert!(outcome.as_ref().is_err_and(AppendError::is_busy), "{outcome:?}");
                refused += 1;
            }
            Poll::Pending => waiting.push(append),
        }
    }
    // 64 MiB hold fewer than 700 of them.
    let taken = waiting.len();
    assert!((600..700).contains(&taken), "{taken} appends of 100 kB were taken");
    assert_eq!(refused + taken, APPENDS);
    kafka.signal("-CONT");
    for append in waiting {
        append.await.unwrap();
    }
    assert_eq!(log.bounds(Events, 0).await.unwrap().end, before + taken as u64);
}

async fn damage_is_named_and_nothing_is_read_past_it(kafka: &Kafka) {
    let log = kafka.log("damage").await;
    for number in 0..200 {
        log.append(Events, vec![numbered(number)]).await.unwrap();
    }
    drop(log);
    tokio::task::block_in_place(|| kafka.services(&["kafka", "stop"]));
    let mut segment =
        std::fs::OpenOptions::new().read(true).write(true).open(kafka.segment("damage.events.v1")).unwrap();
    let mut bytes = Vec::new();
    segment.read_to_end(&mut bytes).unwrap();
    let at = bytes.windows(8).position(|window| window == b"00000150").unwrap();
    segment.seek(SeekFrom::Start(at as u64)).unwrap();
    segment.write_all(b"X").unwrap();
    drop(segment);
    tokio::task::block_in_place(|| kafka.services(&["kafka", "start"]));
    let log = kafka.log("damage").await;
    let mut at = 0;
    let error = loop {
        match log.read(Events, 0, at, 1 << 20).await {
            Ok(chunk) => at = chunk.next,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Damaged { offset: 150, .. }), "{error}");
    let again = log.read(Events, 0, 150, 1 << 20).await.unwrap_err();
    assert!(matches!(again, ReadError::Damaged { offset: 150, .. }), "{again}");
    assert_eq!(log.read(Events, 0, 100, 1).await.unwrap().records[0].value, numbered(100).value);
    // What lies after it is not taken for damaged.
    assert_eq!(log.read(Events, 0, 151, 1 << 20).await.unwrap().first, 151);
    assert_eq!(read_all(&*log, Control, 0, 1).await.len(), 0);
}
