//! What is never continued: a target that holds something else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weir_event::Stream;
use weir_event_log::{AppendError, LogAppender, LogReader as _, LogUrl, MemoryLog, Record, partition_of};

use super::world::*;
use crate::copy::{Asked, Meter, Opened, Target, Unusable, copy};

/// A source and a target that has the beginning of it.
async fn begun() -> (Arc<MemoryLog>, Arc<MemoryLog>) {
    let (from, to) = (filled(1, 2, 600).await, memory(3));
    assert!(copy_killed(&from, &to, 1, 20).await.is_none(), "it was not cut short");
    assert!(!all(to.as_ref(), Stream::Events).await.iter().all(Vec::is_empty), "it was cut before the first event");
    (from, to)
}

/// The same log, but for what `change` does with the events of one partition.
async fn changed(log: &MemoryLog, change: impl Fn(&mut Vec<Vec<Record>>)) -> Arc<MemoryLog> {
    let other = memory(log.partitions(Stream::Events));
    for stream in [Stream::Control, Stream::Events] {
        let found = all(log, stream).await.into_iter();
        let record = |record: weir_event_log::LogRecord| Record { key: record.key, value: record.value };
        let mut partitions: Vec<Vec<_>> = found.map(|records| records.into_iter().map(record).collect()).collect();
        if stream == Stream::Events {
            change(&mut partitions);
        }
        for records in partitions {
            other.append(stream, records).await.unwrap();
        }
    }
    other
}

#[tokio::test]
async fn a_source_that_changed_behind_its_copy() {
    let (from, to) = begun().await;
    let other = changed(&from, |events| events[1][0].value = "changed".into()).await;
    let target_partition = partition_of(&all(from.as_ref(), Stream::Events).await[1][0].key, 3);
    let before = all(to.as_ref(), Stream::Events).await;
    if before[target_partition as usize].iter().all(|r| partition_of(&r.key, 2) != 1) {
        // The copy was cut before it came to that partition of the source: let it come there.
        assert!(copy_killed(&from, &to, 2, 40).await.is_none());
    }
    let before = all(to.as_ref(), Stream::Events).await;
    let place = before[target_partition as usize].iter().find(|r| partition_of(&r.key, 2) == 1).unwrap().offset;
    let why = refused(&other, &to).await;
    assert!(why.contains(&format!("events.v1 partition {target_partition}, offset {place}:")), "{why}");
    assert!(why.contains("partition 1, offset 0"), "{why}");
    assert_eq!(before, all(to.as_ref(), Stream::Events).await, "something was written to a target that was refused");
    // The log copied is still the one that goes on.
    let report = copy_to(&from, target(&to)).await.unwrap();
    assert_copied(from.as_ref(), to.as_ref(), &report).await;
}

#[tokio::test]
async fn two_events_of_one_profile_in_another_order() {
    let (from, to) = (filled(1, 1, 100).await, memory(3));
    copy_to(&from, target(&to)).await.unwrap();
    let other = changed(&from, |events| {
        let key = events[0][0].key.clone();
        let last = events[0].iter().rposition(|record| record.key == key && record.value != events[0][0].value);
        events[0].swap(0, last.expect("a profile with two events"));
    })
    .await;
    let why = refused(&other, &to).await;
    assert!(why.contains("events.v1 partition") && why.contains("another record there"), "{why}");
}

#[tokio::test]
async fn a_target_somebody_wrote_to() {
    let (from, to) = begun().await;
    let ends = all(to.as_ref(), Stream::Events).await;
    let key = "default/1";
    let partition = partition_of(key.as_bytes(), 3);
    to.append(Stream::Events, vec![Record::new(key, "foreign")]).await.unwrap();
    let why = refused(&from, &to).await;
    let place = format!("events.v1 partition {partition}, offset {}:", ends[partition as usize].len());
    assert!(why.contains(&place), "{why}");
}

#[tokio::test]
async fn a_finished_copy_that_was_written_to() {
    let (from, to) = (filled(1, 1, 50).await, memory(1));
    copy_to(&from, target(&to)).await.unwrap();
    to.append(Stream::Events, vec![Record::new("default/new", "of the new life")]).await.unwrap();
    let why = refused(&from, &to).await;
    assert!(why.contains("partition 0, offset 50: the source has no such record"), "{why}");
}

#[tokio::test]
async fn control_records_that_differ() {
    let (from, to) = (filled(2, 1, 10).await, memory(1));
    copy_to(&from, target(&to)).await.unwrap();
    let there = all(to.as_ref(), Stream::Control).await[0].len();
    to.append(Stream::Control, vec![control("a key of somebody")]).await.unwrap();
    let why = refused(&from, &to).await;
    assert!(why.contains(&format!("control.v1, offset {there}: the source has no such record")), "{why}");
    from.append(Stream::Control, vec![control("a key of somebody else")]).await.unwrap();
    let why = refused(&from, &to).await;
    assert!(why.contains(&format!("control.v1, offset {there}: the source has another record there")), "{why}");
}

#[tokio::test]
async fn another_log() {
    let from = filled(1, 1, 10).await;
    let why = refused(&from, &filled(2, 1, 10).await).await;
    assert!(why.contains(&lineage(3).to_string()) && why.contains("which is no copy"), "{why}");
    let copy_of_another = memory(1);
    copy_to(&filled(2, 1, 10).await, target(&copy_of_another)).await.unwrap();
    let why = refused(&from, &copy_of_another).await;
    assert!(why.contains(&format!("a copy of {}", lineage(3))), "{why}");
    let why = refused(&from, &from.clone()).await;
    assert!(why.contains("which is no copy"), "{why}");
}

#[tokio::test]
async fn a_first_record_that_no_copy_writes() {
    let from = filled(1, 1, 10).await;
    for (field, value) in [("dedup_window_micros", 78.into()), ("at", "2027-01-01T00:00:00.000000Z".into())] {
        let to = memory(1);
        let mut first = opened(lineage(9), 1);
        first["copied_from"] = serde_json::json!({"lineage": lineage(2), "control": 1, "events": 1});
        first[field] = value;
        to.append(Stream::Control, vec![control(first)]).await.unwrap();
        let why = refused(&from, &to).await;
        assert!(why.contains("is not what a copy of the source begins with"), "{why}");
    }
}

#[tokio::test]
async fn logs_without_a_first_record() {
    let why = refused(&memory(1), &memory(1)).await;
    assert!(why.contains("the source is empty"), "{why}");
    let strange = memory(1);
    strange.append(Stream::Control, vec![control("hello")]).await.unwrap();
    let why = refused(&strange, &memory(1)).await;
    assert!(why.contains("doesn't say what the log is"), "{why}");
    let to = memory(1);
    to.append(Stream::Events, vec![Record::new("default/1", "?")]).await.unwrap();
    let why = refused(&filled(1, 1, 10).await, &to).await;
    assert!(why.contains("1 events, and no record that says whose they are"), "{why}");
    let wrong = memory(2);
    wrong.append(Stream::Control, vec![control(opened(lineage(1), 3))]).await.unwrap();
    let why = refused(&wrong, &memory(1)).await;
    assert!(why.contains("has 3 partitions, but it has 2"), "{why}");
}

#[tokio::test]
async fn an_append_stored_with_holes() {
    let (from, to) = (filled(1, 1, 300).await, memory(2));
    let appender = Partial::new(&to, 1, 12, End::Holes);
    let error = copy_to(&from, Target { appender, reader: to.clone() }).await.unwrap_err();
    assert!(error.to_string().contains("a record that this copy didn't put there"), "{error:#}");
    // What it left behind is found by the next run too.
    let why = refused(&from, &to).await;
    assert!(why.contains("events.v1 partition"), "{why}");
}

/// Before an append of events a record comes from somewhere else.
struct Between {
    log: Arc<MemoryLog>,
    other: Arc<MemoryLog>,
}

#[async_trait]
impl LogAppender for Between {
    async fn append(&self, stream: Stream, records: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        if stream == Stream::Events {
            self.other.append(stream, vec![Record::new(records[0].key.clone(), "in between")]).await?;
        }
        self.log.append(stream, records).await
    }
}

#[tokio::test]
async fn a_second_writer_to_the_target_is_found() {
    let (from, to) = (filled(1, 1, 300).await, memory(2));
    let appender = Arc::new(Between { log: to.clone(), other: to.clone() });
    let error = copy_to(&from, Target { appender, reader: to.clone() }).await.unwrap_err();
    assert!(error.to_string().contains("somebody else writes to the target"), "{error:#}");
}

#[tokio::test]
async fn a_source_that_is_written_meanwhile_is_copied_by_the_next_run() {
    let (from, to) = (filled(1, 2, 300).await, memory(2));
    let appender = Arc::new(Between { log: to.clone(), other: from.clone() });
    let error = copy_to(&from, Target { appender, reader: to.clone() }).await.unwrap_err();
    assert!(error.to_string().contains("came to the source while it was copied"), "{error:#}");
    let report = copy_to(&from, target(&to)).await.unwrap();
    assert!(report.there_before > 300 && report.events > 300, "{report:?}");
    assert_copied(from.as_ref(), to.as_ref(), &report).await;
}

#[tokio::test]
async fn a_log_that_stays_away() {
    let (from, to) = (filled(1, 1, 30).await, memory(1));
    to.close().await;
    let why = refused(&from, &to).await;
    assert!(why.contains("the target can't be written") && why.contains("the log is closed"), "{why}");
    let faults = weir_event_log::Faults { read_failed: 1_000, ..weir_event_log::Faults::NONE };
    let away = Arc::new(weir_event_log::FaultyLog::new(from, 1, faults));
    let pace = crate::copy::Pace { patience: Duration::from_millis(50), ..PACE };
    assert!(copy(away, target(&memory(1)), pace, &Meter::silent()).await.is_err());
}

#[tokio::test]
async fn what_can_not_be_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| LogUrl::Sqlite(place.path().join(name));
    let log = weir_event_log::open(&file("a.db"), weir_event_log::OpenOptions::default()).await.unwrap();
    fill(log.as_ref(), 1, 10).await;
    log.close().await;
    let asked = |from, to| Asked { from, to, partitions: None, accept_weak_acks: false };
    let roundabout = LogUrl::Sqlite(place.path().join("sub/../a.db"));
    std::fs::create_dir(place.path().join("sub")).unwrap();
    for (asked, reason) in [
        (asked(LogUrl::Memory, file("b.db")), "--from: memory:"),
        (asked(file("a.db"), LogUrl::Memory), "--to: memory:"),
        (asked(file("a.db"), file("a.db")), "name one log"),
        (asked(file("a.db"), roundabout), "name one log"),
        (Asked { accept_weak_acks: true, ..asked(file("a.db"), file("b.db")) }, "--accept-weak-acks"),
    ] {
        let error = Opened::open(&asked).await.err().unwrap();
        assert!(error.is::<Unusable>() && error.to_string().contains(reason), "{error:#}");
    }
    let error = Opened::open(&asked(file("none.db"), file("b.db"))).await.err().unwrap();
    assert!(error.to_string().contains("there is no log at"), "{error:#}");
    let left: Vec<PathBuf> = [file("none.db"), file("b.db")].iter().map(|url| url.to_string()[7..].into()).collect();
    assert!(left.iter().all(|path| !path.exists()), "a refusal left something behind");
}
