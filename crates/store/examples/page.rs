//! Measures pages and counts of a segment with a million spans, and what batches cost:
//! `cargo run --release -p weir-store --example page [URL]`, in SQLite where no store is named. `SHAPES` in the
//! environment takes so many of the shapes only.
#![allow(clippy::print_stdout, clippy::unwrap_used)] // A program whose output is a table.

use std::time::{Duration, Instant};

use uuid::Uuid;
use weir_event::ProfileId;
use weir_store::conformance::Random;
use weir_store::{
    Card, Fence, Generation, GenerationId, MembershipBatch, ProfileKey, ProfileRow, SpanKey, SpanRow, Store, StoreUrl,
    TimelineRow, count, members, tree,
};

const SPANS: u64 = 1_000_000;
const BATCH: u64 = 10_000;
const START: i64 = 1_760_000_000_000_000;
const SECOND: i64 = 1_000_000;
const NOW: i64 = START + 40 * 86_400 * SECOND;
const NEVER: i64 = i64::MAX;
const PAGE: usize = 100;
const SAMPLES: usize = 101;

/// A segment: when the span of each place in the queue enters and leaves, and whether a record ended it.
struct Shape {
    name: &'static str,
    span: fn(u64, &mut Random) -> (i64, i64, bool),
}

/// Entering over thirty days.
fn spread(i: u64) -> i64 {
    START + i.cast_signed() * 2_592_000
}

/// Entering within a minute.
fn burst(i: u64) -> i64 {
    START + i.cast_signed() * 60
}

const SHAPES: [Shape; 8] = [
    Shape { name: "all stay", span: |i, _| (spread(i), NEVER, false) },
    Shape {
        name: "the first 300,000 leave at one instant",
        span: |i, _| (spread(i), if i < 300_000 { NOW } else { NEVER }, false),
    },
    Shape {
        name: "300,000 at random leave at one instant",
        span: |i, r| (spread(i), if r.below(10) < 3 { NOW } else { NEVER }, false),
    },
    Shape {
        name: "90 % lapsed, the oldest",
        span: |i, _| (spread(i), if i < 900_000 { NOW - SECOND } else { NEVER }, false),
    },
    Shape {
        name: "90 % lapsed, at random",
        span: |i, r| (spread(i), if r.below(10) < 9 { NOW - SECOND } else { NEVER }, false),
    },
    Shape {
        name: "90 % lapsed, at random, of a burst",
        span: |i, r| (burst(i), if r.below(10) < 9 { NOW - SECOND } else { NEVER }, false),
    },
    Shape {
        name: "99.9 % lapsed, at random",
        span: |i, r| (spread(i), if r.below(1_000) < 999 { NOW - SECOND } else { NEVER }, false),
    },
    Shape {
        name: "90 % ended by a record",
        span: |i, r| {
            if r.below(10) < 9 { (spread(i), spread(i) + 3_600 * SECOND, true) } else { (spread(i), NEVER, false) }
        },
    },
];

#[tokio::main]
async fn main() {
    let directory = tempfile::TempDir::new().unwrap();
    let url: StoreUrl = match std::env::args().nth(1) {
        Some(url) => url.parse().unwrap(),
        None => StoreUrl::Sqlite(directory.path().join("store.db")),
    };
    let shapes = std::env::var("SHAPES").map_or(SHAPES.len(), |count| count.parse().unwrap());
    let store = weir_store::open(&url).await.unwrap();
    println!("| {SPANS} spans | members | page 1 | page 1,000 | last page | count |");
    println!("|---|---|---|---|---|---|");
    for shape in &SHAPES[..shapes] {
        let id = store.create(0, 0, weir_store::Purpose::Switch).await.unwrap();
        let generation = store.generation(id).await.unwrap();
        let mut random = Random::new(7);
        let mut next = 0;
        while next < SPANS {
            let rows = (next..next + BATCH).map(|i| span(shape, i, &mut random)).collect();
            commit(&*generation, next, adding(rows)).await;
            next += BATCH;
        }
        line(shape.name, &*generation).await;
        drop(generation);
        store.remove(id).await.unwrap();
    }
    println!("\n| a batch of {BATCH} random profiles of 1,000,000 | median | worst |\n|---|---|---|");
    batches(&*store).await;
}

fn profile(random: &mut Random) -> ProfileId {
    ProfileId(Uuid::from_u64_pair(random.draw(), random.draw()))
}

fn span(shape: &Shape, i: u64, random: &mut Random) -> SpanRow {
    let (enters, leaves, past) = (shape.span)(i, random);
    SpanRow { key: SpanKey { segment: 1, past, enters, profile: profile(random) }, leaves }
}

fn adding(mut spans: Vec<SpanRow>) -> MembershipBatch {
    spans.sort_unstable();
    MembershipBatch { tree: tree::rows([], spans.iter().copied()), spans, ..MembershipBatch::default() }
}

async fn commit(generation: &dyn Generation, expected: u64, batch: MembershipBatch) -> Duration {
    let fence =
        Fence { partition: 0, owner: uuid::Uuid::nil(), expected, next: expected + BATCH, newest_receipt: None };
    let start = Instant::now();
    generation.commit_membership(fence, &batch).await.unwrap();
    start.elapsed()
}

async fn line(name: &str, generation: &dyn Generation) {
    let mut view = generation.view().await.unwrap();
    let all = members(&mut *view, 1, NOW, None, usize::try_from(SPANS).unwrap()).await.unwrap().rows;
    drop(view);
    let place = |i: usize| all.get(i).map(|row| (row.key.enters, row.key.profile));
    let first = page(generation, None).await;
    let thousandth = match place(999 * PAGE - 1).filter(|_| all.len() >= 1_000 * PAGE) {
        Some(place) => page(generation, Some(place)).await,
        None => "–".to_owned(),
    };
    let last = page(generation, place(all.len() - PAGE.min(all.len() - 1) - 1)).await;
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let mut view = generation.view().await.unwrap();
        assert_eq!(usize::try_from(count(&mut *view, 1, NOW).await.unwrap()).unwrap(), all.len());
        times.push(start.elapsed());
    }
    println!("| {name} | {} | {first} | {thousandth} | {last} | {} |", all.len(), told(times));
}

async fn page(generation: &dyn Generation, after: Option<(i64, ProfileId)>) -> String {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        let mut view = generation.view().await.unwrap();
        let page = members(&mut *view, 1, NOW, after, PAGE).await.unwrap();
        assert!(page.rows.len() == PAGE || !page.more);
        times.push(start.elapsed());
    }
    told(times)
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.2} ms ({:.2})", ms(times[times.len() / 2]), ms(times[times.len() - 1]))
}

/// What batches cost once a million profiles are there.
async fn batches(store: &dyn Store) {
    let id: GenerationId = store.create(0, 0, weir_store::Purpose::Switch).await.unwrap();
    let generation = store.generation(id).await.unwrap();
    let mut random = Random::new(3);
    let mut keys: Vec<ProfileKey> =
        (0..SPANS).map(|_| ProfileKey { workspace: 1, profile: profile(&mut random) }).collect();
    keys.sort_unstable();
    let mut at = 0;
    let mut spans: Vec<SpanRow> = Vec::new();
    for part in keys.chunks(usize::try_from(BATCH).unwrap()) {
        let mut batch = rows(part, at);
        batch.cards = part.iter().map(|key| Card { key: *key, card: vec![3; 60] }).collect();
        commit(&*generation, at, batch).await;
        at += BATCH;
    }
    let kinds: [(&str, Kind); 6] = [
        ("states, a row each where it belongs", |keys, at, _| rows(keys, at)),
        ("states, 2.5 MB of redo", |_, _, _| MembershipBatch {
            redo: vec![9; 2_500_000],
            ..MembershipBatch::default()
        }),
        ("cards", |keys, at, _| MembershipBatch {
            cards: keys.iter().map(|key| Card { key: *key, card: vec![(at / BATCH).to_le_bytes()[0]; 60] }).collect(),
            ..MembershipBatch::default()
        }),
        ("spans, entering", |keys, at, spans| {
            let new: Vec<SpanRow> =
                (0..).zip(keys).map(|(i, key)| entering(*key, START + at.cast_signed() * 100 + i)).collect();
            spans.extend(&new);
            adding(new)
        }),
        ("spans, leaving later", |keys, _, spans| {
            changing(keys, spans, |row| SpanRow { leaves: row.leaves + SECOND, ..row })
        }),
        ("spans, ended by a record", |keys, _, spans| {
            changing(keys, spans, |row| SpanRow { key: SpanKey { past: true, ..row.key }, leaves: row.key.enters + 9 })
        }),
    ];
    for (name, make) in kinds {
        let mut times = Vec::new();
        for _ in 0..21 {
            let mut picked: Vec<ProfileKey> =
                (0..BATCH).map(|_| keys[usize::try_from(random.below(SPANS)).unwrap()]).collect();
            picked.sort_unstable();
            picked.dedup();
            times.push(commit(&*generation, at, make(&picked, at, &mut spans)).await);
            at += BATCH;
        }
        times.sort_unstable();
        println!("| {name} | {:.0} ms | {:.0} ms |", times[10].as_secs_f64() * 1e3, times[20].as_secs_f64() * 1e3);
    }
    let mut times = Vec::new();
    for _ in 0..21 {
        let picked: Vec<ProfileKey> = (0..BATCH).map(|_| keys[usize::try_from(random.below(SPANS)).unwrap()]).collect();
        let start = Instant::now();
        generation.profiles(&picked).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("| reading states | {:.0} ms | {:.0} ms |", times[10].as_secs_f64() * 1e3, times[20].as_secs_f64() * 1e3);
    timeline(&*generation, &keys, &mut random).await;
}

/// What batches of the timeline cost, records of 400 B.
async fn timeline(generation: &dyn Generation, keys: &[ProfileKey], random: &mut Random) {
    let mut times = Vec::new();
    for at in (0..21 * BATCH).step_by(usize::try_from(BATCH).unwrap()) {
        let row = |offset: u64| TimelineRow {
            key: keys[usize::try_from(random.below(SPANS)).unwrap()],
            place: [&offset.to_be_bytes()[..], &[7; 16]].concat(),
            partition: 0,
            offset,
            record: vec![8; 400],
        };
        let rows: Vec<TimelineRow> = (at..at + BATCH).map(row).collect();
        let fence = Fence { partition: 0, owner: Uuid::nil(), expected: at, next: at + BATCH, newest_receipt: None };
        let start = Instant::now();
        generation.commit_timeline(fence, &rows.into()).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    println!("| timeline | {:.0} ms | {:.0} ms |", times[10].as_secs_f64() * 1e3, times[20].as_secs_f64() * 1e3);
}

type Kind = fn(&[ProfileKey], u64, &mut Vec<SpanRow>) -> MembershipBatch;

/// Rows with other bytes at every batch: SQLite leaves a page alone where nothing in it changes.
fn rows(keys: &[ProfileKey], at: u64) -> MembershipBatch {
    let byte = (at / BATCH).to_le_bytes()[0];
    let row = |key: &ProfileKey| ProfileRow {
        key: *key,
        last_offset: 1,
        state: vec![byte; 150],
        open_spans: vec![byte; 30],
        event_ids: vec![byte; 60],
        id_chunks: 0,
    };
    MembershipBatch { profiles: keys.iter().map(row).collect(), ..MembershipBatch::default() }
}

fn entering(key: ProfileKey, enters: i64) -> SpanRow {
    SpanRow { key: SpanKey { segment: 1, past: false, enters, profile: key.profile }, leaves: enters + 3_600 * SECOND }
}

/// Changes as many spans as there are keys, picked by the keys.
fn changing(keys: &[ProfileKey], spans: &mut [SpanRow], change: fn(SpanRow) -> SpanRow) -> MembershipBatch {
    let picks = keys.iter().map(|key| key.profile.0.as_u128() % spans.len() as u128);
    let mut picks: Vec<usize> = picks.map(|pick| usize::try_from(pick).unwrap()).collect();
    picks.sort_unstable();
    picks.dedup();
    let mut gone = Vec::new();
    let mut batch = MembershipBatch::default();
    for pick in picks {
        let before = spans[pick];
        let after = change(before);
        if before == after {
            continue;
        }
        gone.push(before);
        batch.removed_spans.extend((before.key != after.key).then_some(before.key));
        batch.spans.push(after);
        spans[pick] = after;
    }
    batch.tree = tree::rows(gone, batch.spans.iter().copied());
    batch.spans.sort_unstable();
    batch.removed_spans.sort_unstable();
    batch
}
