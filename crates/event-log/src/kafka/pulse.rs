//! Whether the brokers answer.
//!
//! Invariant: an append is refused at once only while a question has gone unanswered; the first answer takes that back. An
//! error of the client by itself refuses nothing: it also reports a connection that was closed because nobody used it.
//! Without this an append to a broker that is away would take the client's whole patience to fail, and fail as unknown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use metrics::gauge;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;

use super::appender::Appender;

/// How often it is looked whether appends stand still.
const TICK: Duration = Duration::from_millis(500);
/// Appends that are not reported on for so long stand still.
const STANDSTILL: Duration = Duration::from_secs(2);
/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(1);
/// The pause between questions while nobody answers.
const AGAIN: Duration = Duration::from_millis(250);

/// What is known of the brokers.
pub(super) struct Pulse {
    away: AtomicBool,
    pub(super) wake: Wake,
}

/// Makes somebody look.
#[derive(Clone)]
pub(super) struct Wake(SyncSender<()>);

impl Wake {
    pub(super) fn wake(&self) {
        // Full: somebody is about to look anyway.
        self.0.try_send(()).ok();
    }
}

impl Pulse {
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (wake, woken) = sync_channel(1);
        (Self { away: AtomicBool::new(false), wake: Wake(wake) }, woken)
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn set(&self, away: bool) {
        if self.away.swap(away, Ordering::Relaxed) != away {
            gauge!("weir_log_away").set(f64::from(u8::from(away)));
            match away {
                true => tracing::warn!("no broker of the log answers; appends are refused until one does"),
                false => tracing::info!("the log's brokers answer again"),
            }
        }
    }
}

/// Watches on a thread of its own for as long as the appender is there.
pub(super) fn watch(appender: &Arc<Appender>, woken: Receiver<()>) -> Result<(), KafkaError> {
    let appender = Arc::downgrade(appender);
    std::thread::Builder::new()
        .name("weir-log-pulse".to_owned())
        .spawn(move || run(&appender, &woken))
        .map(drop)
        .map_err(|error| KafkaError::ClientCreation(error.to_string()))
}

fn run(appender: &Weak<Appender>, woken: &Receiver<()>) {
    let mut moved = (0, Instant::now());
    loop {
        let pause = match appender.upgrade() {
            Some(appender) if appender.pulse.is_away() => AGAIN,
            Some(_) => TICK,
            None => return,
        };
        let was_woken = match woken.recv_timeout(pause) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let Some(appender) = appender.upgrade() else { return };
        look(&appender, was_woken, &mut moved);
    }
}

fn look(appender: &Appender, was_woken: bool, moved: &mut (u64, Instant)) {
    let producer = appender.producer();
    if let Some((code, reason)) = producer.client().fatal_error() {
        tracing::error!(%code, reason, "the log's producer failed for good; it is replaced");
        if let Err(error) = appender.replace() {
            tracing::error!(%error, "the log's producer could not be replaced");
        }
        return;
    }
    let reports = appender.outstanding.reports();
    if reports != moved.0 || appender.outstanding.is_empty() {
        *moved = (reports, Instant::now());
    }
    if was_woken || appender.pulse.is_away() || moved.1.elapsed() >= STANDSTILL {
        let answer = producer.client().fetch_metadata(Some(appender.topic()), QUESTION);
        appender.pulse.set(answer.is_err());
    }
}
