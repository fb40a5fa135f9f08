mod refusals;
mod world;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use weir_event::Stream;
use weir_event_log::{Faults, FaultyLog, LogAppender as _, LogUrl, OpenOptions};

use self::world::*;
use super::{Asked, Meter, Opened, Target, copy};

#[tokio::test]
async fn a_copy_holds_the_same_with_any_partitions() {
    for seed in 0..5 {
        let mut from = filled(seed, 1, 2_000).await;
        let mut digests = Vec::new();
        for partitions in [4, 4, 1, 3, 7, 2] {
            let to = memory(partitions);
            let report = copy_to(&from, target(&to)).await.unwrap();
            assert_copied(from.as_ref(), to.as_ref(), &report).await;
            assert_eq!((report.to_partitions, report.there_before), (partitions, 0));
            digests.push((report.digest, report.events, report.bytes));
            from = to;
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "the digest depends on the partitions: {digests:?}");
    }
}

#[tokio::test]
async fn a_log_without_events_is_copied() {
    let (from, to) = (filled(1, 2, 0).await, memory(3));
    let report = copy_to(&from, target(&to)).await.unwrap();
    assert_copied(from.as_ref(), to.as_ref(), &report).await;
}

#[tokio::test]
async fn what_was_copied_is_not_copied_again() {
    let (from, to) = (filled(1, 2, 500).await, memory(3));
    let first = copy_to(&from, target(&to)).await.unwrap();
    let second = copy_to(&from, target(&to)).await.unwrap();
    assert_copied(from.as_ref(), to.as_ref(), &second).await;
    assert_eq!(second.there_before, second.events + second.control - 1);
    assert_eq!((first.to_lineage, first.digest), (second.to_lineage, second.digest));
}

#[tokio::test]
async fn it_goes_on_after_a_kill_at_any_point() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (source, partitions) = (rng.random_range(1..5), rng.random_range(1..5));
        let (from, to) = (filled(seed, source, rng.random_range(0..600)).await, memory(partitions));
        let grows = rng.random_ratio(1, 2);
        let mut kills = 0;
        let report = loop {
            let good = rng.random_range(0..12);
            if let Some(report) = copy_killed(&from, &to, seed + kills, good).await {
                break report;
            }
            kills += 1;
            if grows && kills < 5 {
                let more = rng.random_range(0..100);
                from.append(Stream::Events, events(&mut rng, more)).await.unwrap();
                from.append(Stream::Control, vec![control(format!("grown {kills}"))]).await.unwrap();
            }
        };
        eprintln!("seed {seed}: {source} to {partitions}, {kills} kills, {} events, grows: {grows}", report.events);
        assert_copied(from.as_ref(), to.as_ref(), &report).await;
    }
}

#[tokio::test]
async fn appends_of_unknown_outcome_are_settled() {
    for seed in 0..20 {
        let (from, to) = (filled(seed, 3, 600).await, memory(4));
        let appender = Partial::new(&to, seed, 0, End::Unknown);
        let report = copy_to(&from, Target { appender, reader: to.clone() }).await.unwrap();
        assert_copied(from.as_ref(), to.as_ref(), &report).await;
    }
}

#[tokio::test]
async fn failing_logs_are_copied_all_the_same() {
    for seed in 0..10 {
        let (from, to) = (filled(seed, 2, 400).await, memory(3));
        let faulty_from = Arc::new(FaultyLog::new(from.clone(), seed, Faults::SOME));
        let faulty = Arc::new(FaultyLog::new(to.clone(), seed + 1_000, Faults::SOME));
        let faulty = Target { appender: faulty.clone(), reader: faulty };
        let report = copy(faulty_from, faulty, PACE, &Meter::silent()).await.unwrap();
        assert_copied(from.as_ref(), to.as_ref(), &report).await;
    }
}

/// From a file to `via`, from there to another file: by way of the URLs, as the command does it.
async fn there_and_back(via: LogUrl, partitions: u32) {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| LogUrl::Sqlite(place.path().join(name).join("log.db"));
    let begin = file("begin");
    std::fs::create_dir(place.path().join("begin")).unwrap();
    let log = weir_event_log::open(&begin, OpenOptions::default()).await.unwrap();
    fill(log.as_ref(), 1, 3_000).await;
    log.close().await;
    for (from, to, partitions) in
        [(&begin, &via, Some(partitions)), (&begin, &via, None), (&via, &file("end"), Some(1))]
    {
        let asked = Asked { from: from.clone(), to: to.clone(), partitions, accept_weak_acks: false };
        let opened = Opened::open(&asked).await.unwrap();
        let report = copy(opened.from(), opened.to(), opened.pace, &Meter::silent()).await.unwrap();
        opened.close().await;
        let from = weir_event_log::open(from, OpenOptions::default()).await.unwrap();
        let to = weir_event_log::open(to, OpenOptions::default()).await.unwrap();
        assert_copied(from.as_ref(), to.as_ref(), &report).await;
        from.close().await;
        to.close().await;
    }
}

#[tokio::test]
async fn a_file_is_copied_to_another_file_and_back() {
    let place = tempfile::tempdir().unwrap();
    there_and_back(LogUrl::Sqlite(place.path().join("log.db")), 4).await;
}

#[tokio::test]
async fn two_files_of_one_directory_are_copied() {
    let place = tempfile::tempdir().unwrap();
    let file = |name| LogUrl::Sqlite(place.path().join(name));
    let log = weir_event_log::open(&file("a.db"), OpenOptions::default()).await.unwrap();
    fill(log.as_ref(), 1, 10).await;
    log.close().await;
    let asked = Asked { from: file("a.db"), to: file("b.db"), partitions: None, accept_weak_acks: false };
    let opened = Opened::open(&asked).await.unwrap();
    assert!(Opened::open(&asked).await.err().unwrap().to_string().contains("in use"));
    assert_eq!(opened.from().partitions(Stream::Events), 1);
    copy(opened.from(), opened.to(), opened.pace, &Meter::silent()).await.unwrap();
    opened.close().await;
}
