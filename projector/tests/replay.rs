//! Live, resumed after stops, and rebuilt from the first offset: the same tables.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod world;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_util::sync::CancellationToken;
use weir_control::{Command, DefinitionPut, NewDefinition};
use weir_event::{Clock, Identifier, IdentifierKind, Stream, Timestamp};
use weir_event_log::{EventLog, LogAppender as _, LogReader as _, MemoryLog, Record};
use weir_lifecycle::Health;
use weir_store::{Count, ProfileKey, Store, count, members, serving_catalog};
use world::{Made, SECOND, SPACE, START, block_on, control, made, new_log, open, project, records};

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
