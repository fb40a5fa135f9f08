//! `weir-bench rebuild`: a new generation from the first offset, beside a scan and parse of the same log by one thread.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, Row as _};
use weir_event::Stream;
use weir_event_log::{LogUrl, OpenOptions};

use super::events::Population;
use super::live::SEGMENTS;
use super::load::{Load, Until};
use super::progress::Progress;
use super::report::Report;
use super::server::Server;
use super::site::{Remote, Site};
use super::{Place, one_thread, promote, rows};

#[derive(Args)]
pub(crate) struct Options {
    /// Events on the log
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Profiles that they are of, uniformly
    #[arg(long, default_value_t = 200_000)]
    profiles: u64,
    /// Rebuilds, one after the other
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// After them one more: filled, verified, promoted and rolled back while others read and write; ends in an error if any
    /// request fails or sees what it must not
    #[arg(long)]
    promote: bool,
}

pub(crate) fn run(place: &Place, options: &Options, report: &mut Report) -> Result<()> {
    report.note(format!(
        "{} events of {} profiles, uniform, all in the live tables before; segments: the two built in, viewed 3 within 7d, \
         abandoned for 1h; score points; nothing is posted or read meanwhile; the limit is one thread that reads the same \
         log from its first offset and reads each record with serde into borrowed fields",
        options.events, options.profiles
    ));
    for backend in place.backend.each() {
        report.section(backend.name());
        let site = Site::new(place, *backend)?;
        let server = Server::start(place, &site, &[])?;
        let runtime = one_thread()?;
        runtime.block_on(server.put_segments(&SEGMENTS))?;
        fill(&server, options)?;
        let mut rates = Vec::new();
        for _ in 0..options.runs {
            let before = (server.spent()?, site.servers_spent());
            let done = runtime.block_on(rebuild(&server, &site, options.events))?;
            let events = options.events as f64;
            report.add("until the tables of segments are there", "events/s", events / done.membership.as_secs_f64());
            report.add("until it follows, timeline included", "events/s", events / done.following.as_secs_f64());
            let micros = |seconds: f64| seconds * 1e6 / events;
            report.add("CPU of weir", "µs/event", micros(server.spent()?.cpu - before.0.cpu));
            let (now, then) = (site.servers_spent(), before.1);
            if now.postgres > 0.0 {
                report.add("CPU of PostgreSQL", "µs/event", micros(now.postgres - then.postgres));
                report.add("CPU of the broker", "µs/event", micros(now.kafka - then.kafka));
            }
            rates.push((events / done.membership.as_secs_f64(), events / done.following.as_secs_f64()));
            if let Some(remote) = &site.remote {
                let limit = scan_topic(remote, options.events)?;
                note_limit(limit, &rates, report);
            }
            report.look_at_load();
        }
        if options.promote {
            promote::run(&server, report)?;
        }
        report.add("peak memory of weir", "MB", server.peak_memory()? as f64 / 1e6);
        server.stop()?;
        if site.remote.is_none() {
            // The file is one process's; so it is read when that has ended.
            for at in 0..options.runs as usize {
                note_limit(runtime.block_on(scan_file(&site))?, &rates[at..=at], report);
            }
        }
    }
    Ok(())
}

fn note_limit(limit: f64, rates: &[(f64, f64)], report: &mut Report) {
    report.add("scan and parse of the log", "events/s", limit);
    if let Some((membership, following)) = rates.last() {
        report.add("ratio, tables of segments", "", membership / limit);
        report.add("ratio, timeline included", "", following / limit);
    }
}

fn fill(server: &Server, options: &Options) -> Result<()> {
    let load = Load {
        at: server.at,
        key: server.keys.write.clone(),
        connections: 32,
        threads: 1,
        batch: 100,
        population: Population { profiles: options.profiles, zipf: false, views: false },
        until: Until::Events(options.events),
        pace: None,
        seed: 3,
    };
    let running = load.start()?;
    let mut progress = Progress::begin("posting", options.events);
    while !running.is_over() {
        progress.at(running.acknowledged(), "");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(progress);
    running.finish()?;
    one_thread()?.block_on(server.settle())?;
    Ok(())
}

/// How long it took, from the request on.
struct Done {
    membership: Duration,
    following: Duration,
}

/// Rebuilds, and gives the generation up again.
async fn rebuild(server: &Server, site: &Site, events: u64) -> Result<Done> {
    let (mut connection, key) = (server.connect().await?, &server.keys.operator);
    let began = Instant::now();
    let started = connection.ask("POST", "/api/rebuilds", key, None).await?;
    let generation = started["generation"].as_u64().context("the generation's number")?;
    let id = started["id"].as_str().context("the rebuild's id")?.to_owned();
    let mut progress = Progress::begin("rebuilding", events);
    let mut membership = None;
    loop {
        if membership.is_none() && folded(site, generation).await.unwrap_or(0) >= events {
            membership = Some(began.elapsed());
        }
        let row = connection.ask("GET", &format!("/api/rebuilds/{id}"), key, None).await?;
        if row["state"] == "following" {
            break;
        }
        ensure!(row["state"] == "filling", "the rebuild came to {row}");
        let share = row["progress"].as_f64().unwrap_or(0.0);
        progress.at((share * events as f64) as u64, "");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let following = began.elapsed();
    connection.ask("POST", &format!("/api/rebuilds/{id}/abort"), key, None).await?;
    Ok(Done { membership: membership.unwrap_or(following), following })
}

/// How many events a generation's `membership` has taken in.
async fn folded(site: &Site, generation: u64) -> Result<u64> {
    const SUM: &str = "SELECT sum(next) AS n FROM positions WHERE projection = 'membership' AND stream = 'events.v1'";
    let folded: Option<i64> = match &site.remote {
        Some(remote) => {
            let mut database = remote.services.database().await?;
            let sql = SUM
                .replace("sum(next)", "sum(next)::bigint")
                .replace("positions", &format!("{}_g{generation}.positions", remote.name));
            sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut database).await?.get(0)
        }
        None => {
            let path = site.data().join(format!("store.db.{generation}"));
            ensure!(path.is_file(), "no such generation yet");
            sqlx::query(SUM).fetch_one(&mut rows::open(&path, 2).await?).await?.get(0)
        }
    };
    Ok(folded.unwrap_or(0).cast_unsigned())
}

/// What the limit reads of a record.
#[derive(Deserialize)]
struct Parsed<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    name: &'a str,
    subject: &'a str,
    time: &'a str,
    receivedtime: &'a str,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Parsed<'_> {
    /// Something that can't be left out by the compiler.
    fn weigh(record: &[u8]) -> Result<usize> {
        let parsed: Parsed<'_> = serde_json::from_slice(record).context("a record")?;
        let Parsed { id, name, subject, time, receivedtime, data } = parsed;
        let texts = [id, name, subject, time, receivedtime];
        Ok(texts.iter().map(|text| text.len()).sum::<usize>() + data.map_or(0, |data| data.get().len()))
    }
}

/// Consumes the topic and parses; answers records a second.
fn scan_topic(remote: &Remote, events: u64) -> Result<f64> {
    let topic = format!("{}.events.v1", remote.name);
    let mut config = remote.services.client();
    for (name, value) in [
        ("group.id", "weir-bench"),
        ("enable.auto.commit", "false"),
        ("fetch.queue.backoff.ms", "20"),
        ("check.crcs", "true"),
        ("queued.min.messages", "1000000"),
    ] {
        config.set(name, value);
    }
    let began = Instant::now();
    let consumer: BaseConsumer = config.create().context("start a consumer")?;
    let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(10)).context("look at the topic")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(&topic, i32::try_from(partition)?, Offset::Beginning)?;
    }
    consumer.assign(&assignment).context("assign partitions")?;
    let (mut read, mut weight) = (0, 0);
    while read < events {
        let message = consumer.poll(Duration::from_secs(10)).context("the topic ended early")??;
        weight += Parsed::weigh(message.payload().unwrap_or_default())?;
        read += 1;
    }
    ensure!(weight > 0, "nothing was read");
    Ok(read as f64 / began.elapsed().as_secs_f64())
}

/// Reads the log's file and parses; answers records a second.
async fn scan_file(site: &Site) -> Result<f64> {
    let log = weir_event_log::open(&LogUrl::Sqlite(site.data().join("log.db")), OpenOptions::default()).await?;
    let (began, mut read, mut weight) = (Instant::now(), 0_u64, 0);
    for partition in 0..log.partitions(Stream::Events) {
        let mut from = log.bounds(Stream::Events, partition).await?.first;
        loop {
            let chunk = log.read(Stream::Events, partition, from, 4 << 20).await?;
            if chunk.records.is_empty() {
                break;
            }
            from = chunk.next;
            read += chunk.records.len() as u64;
            for record in &chunk.records {
                weight += Parsed::weigh(&record.value)?;
            }
        }
    }
    let elapsed = began.elapsed();
    ensure!(weight > 0, "nothing was read");
    log.close().await;
    Ok(read as f64 / elapsed.as_secs_f64())
}
