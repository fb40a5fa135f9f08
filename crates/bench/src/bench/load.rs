//! The load: connections that post. In a closed loop each waits for the answer and posts again; in an open one requests
//! are due by a schedule, whoever is late, and their time is counted from when they were due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use weir_bench::process::Spent;

use super::events::{Population, Random, Request};
use super::http::Connection;
use super::progress::Progress;

/// What to post.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) at: SocketAddr,
    pub(crate) key: String,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    /// Events of a request; 1 posts single events to their profiles.
    pub(crate) batch: usize,
    pub(crate) population: Population,
    pub(crate) until: Until,
    /// Events a second by schedule; none in a closed loop.
    pub(crate) pace: Option<f64>,
    pub(crate) seed: u64,
}

/// When the load ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Events(u64),
    Elapsed(Duration),
}

/// What came of it.
pub(crate) struct Loaded {
    pub(crate) events: u64,
    pub(crate) elapsed: Duration,
    /// From the first byte sent (in an open loop from when it was due) to the last byte received, µs.
    pub(crate) latency: Histogram<u64>,
    /// CPU seconds of the generator.
    pub(crate) cpu: f64,
}

impl Loaded {
    /// Events acknowledged a second.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency in milliseconds.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// What the connections share.
struct Shared {
    began: Instant,
    /// Requests of the schedule that were taken.
    taken: AtomicU64,
    requests_left: AtomicI64,
    acknowledged: AtomicU64,
    over: AtomicBool,
}

/// A load under way, on threads of its own.
pub(crate) struct Running {
    threads: Vec<std::thread::JoinHandle<Result<Histogram<u64>>>>,
    shared: Arc<Shared>,
    began: Instant,
    spent: Spent,
}

/// A histogram of microseconds up to a minute.
pub(crate) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000, 3).context("make a histogram")
}

impl Load {
    /// Starts it.
    pub(crate) fn start(self) -> Result<Running> {
        let requests = match self.until {
            Until::Events(events) => i64::try_from(events.div_ceil(self.batch as u64))?,
            Until::Elapsed(_) => i64::MAX,
        };
        let (began, spent) = (Instant::now(), Spent::now()?);
        let shared = Arc::new(Shared {
            began,
            taken: AtomicU64::new(0),
            requests_left: AtomicI64::new(requests),
            acknowledged: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let threads = (0..self.threads).map(|thread| {
            let (load, shared) = (self.clone(), shared.clone());
            std::thread::spawn(move || load.thread(thread, &shared))
        });
        Ok(Running { threads: threads.collect(), shared, began, spent })
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> Result<Loaded> {
        self.start()?.finish()
    }

    fn thread(&self, thread: usize, shared: &Arc<Shared>) -> Result<Histogram<u64>> {
        super::one_thread()?.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for connection in (thread..self.connections).step_by(self.threads) {
                let (load, shared) = (self.clone(), shared.clone());
                let posting = async move { load.connection(connection as u64, &shared).await };
                tasks.spawn(posting);
            }
            let mut all = histogram()?;
            while let Some(ended) = tasks.join_next().await {
                all.add(&ended??)?;
            }
            Ok(all)
        })
    }

    async fn connection(&self, number: u64, shared: &Shared) -> Result<Histogram<u64>> {
        const SHAPES: usize = 4;
        let mut random = Random::new(self.seed.wrapping_mul(1_000_003) ^ number);
        let mut requests: Vec<Request> = (0..SHAPES).map(|_| self.request(&mut random)).collect();
        let (mut connection, mut latency) = (Connection::open(self.at).await?, histogram()?);
        let end = match self.until {
            Until::Events(_) => None,
            Until::Elapsed(elapsed) => Some(shared.began + elapsed),
        };
        for turn in 0.. {
            let now = self.due(shared);
            // What is due after the end is not waited for: the connections would make the time longer by a turn of theirs.
            let enough = end.is_some_and(|end| now >= end) || shared.over.load(Ordering::Relaxed);
            if enough || shared.requests_left.fetch_sub(1, Ordering::Relaxed) <= 0 {
                break;
            }
            tokio::time::sleep_until(now.into()).await;
            let request = &mut requests[turn % SHAPES];
            let events = request.events();
            let answer = connection.send(request.next(self.population, &mut random)).await;
            let good = answer.and_then(|answer| {
                let text = || String::from_utf8_lossy(&answer.body[..answer.body.len().min(500)]).into_owned();
                ensure!((200..300).contains(&answer.status), "answered {}: {}", answer.status, text());
                ensure!(self.batch == 1 || all_accepted(answer.body, events), "events were refused: {}", text());
                Ok(())
            });
            if let Err(error) = good {
                shared.over.store(true, Ordering::Relaxed);
                return Err(error);
            }
            latency.saturating_record(u64::try_from(now.elapsed().as_micros())?);
            shared.acknowledged.fetch_add(events, Ordering::Relaxed);
        }
        Ok(latency)
    }

    /// When the next request is to be sent: now, or what the schedule says.
    fn due(&self, shared: &Shared) -> Instant {
        let Some(pace) = self.pace else { return Instant::now() };
        let number = shared.taken.fetch_add(1, Ordering::Relaxed);
        shared.began + Duration::from_secs_f64((number * self.batch as u64) as f64 / pace)
    }

    fn request(&self, random: &mut Random) -> Request {
        match self.batch {
            1 => Request::single(&self.key, self.population, random),
            events => Request::batch(&self.key, events, self.population, random),
        }
    }
}

impl Running {
    /// Waits for the end of a load of a given time under a progress bar.
    pub(crate) fn watched(self, name: &str, long: Duration) -> Result<Loaded> {
        let mut progress = Progress::begin(name, long.as_secs() * 10);
        for tenth in 0.. {
            if self.is_over() {
                break;
            }
            progress.at(tenth, &format!("{} events", self.acknowledged()));
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(progress);
        self.finish()
    }

    /// Events acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Whether all connections have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.threads.iter().all(std::thread::JoinHandle::is_finished)
    }

    /// Waits for the end.
    pub(crate) fn finish(self) -> Result<Loaded> {
        let mut latency = histogram()?;
        for thread in self.threads {
            match thread.join() {
                Ok(ended) => latency.add(&ended?)?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        let (elapsed, cpu) = (self.began.elapsed(), Spent::now()?.cpu - self.spent.cpu);
        Ok(Loaded { events: self.shared.acknowledged.load(Ordering::Relaxed), elapsed, latency, cpu })
    }
}

/// The answer to a batch begins with the number accepted; a look at that is all that the generator affords.
fn all_accepted(body: &[u8], events: u64) -> bool {
    body.starts_with(format!("{{\"accepted\":{events},\"rejected\":[]").as_bytes())
}
