//! Writing: one producer for everybody.
//!
//! Invariant: an append takes its place in the queue, whole, before its first record is handed to the client, so a full
//! queue refuses all of it and never the rest. The client's own bounds are beyond reach.
//!
//! The answer comes with the report of the last record, from the client's thread. What was begun is finished there,
//! whether or not somebody still waits for it.

use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;
use weir_event::Stream;

use super::completion::{Answer, Begun, Completion};
use super::context;
use super::outstanding::Outstanding;
use super::pulse::{Pulse, Wake};
use super::settings::Clients;
use super::topics::Topics;
use crate::ends::Ends;
use crate::queue::Queue;
use crate::{AppendError, Cause, Record, partition_of};

/// What may wait or be on its way, in bytes.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// What the client keeps with a record beyond its bytes, about.
const RECORD_OVERHEAD: usize = 200;

pub(super) type Producer = ThreadedProducer<Reports>;

/// Takes the client's reports to the appends that they belong to.
pub(super) struct Reports {
    outstanding: Arc<Outstanding>,
    wake: Wake,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::log_error(&error, reason);
        self.wake.wake();
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = Arc<Completion>;

    fn delivery(&self, result: &DeliveryResult<'_>, completion: Arc<Completion>) {
        self.outstanding.report();
        match result {
            Ok(message) => completion.stored(message.partition(), message.offset()),
            Err((error, _)) => {
                completion.failed(error);
                self.wake.wake();
            }
        }
    }
}

/// The writing side.
pub(super) struct Appender {
    clients: Clients,
    topics: Arc<Topics>,
    ends: Arc<Ends>,
    queue: Arc<Queue>,
    pub(super) outstanding: Arc<Outstanding>,
    producer: RwLock<Arc<Producer>>,
    pub(super) pulse: Pulse,
}

impl Appender {
    /// Connects a producer; nothing is waited for.
    pub(super) fn start(clients: &Clients, topics: &Arc<Topics>, ends: &Arc<Ends>) -> Result<Arc<Self>, KafkaError> {
        describe();
        let (pulse, woken) = Pulse::new();
        let outstanding = Arc::default();
        let producer = connect(clients, &outstanding, &pulse.wake)?;
        let appender = Arc::new(Self {
            clients: clients.clone(),
            topics: Arc::clone(topics),
            ends: Arc::clone(ends),
            queue: Queue::new(QUEUE_BYTES),
            outstanding,
            producer: RwLock::new(Arc::new(producer)),
            pulse,
        });
        super::pulse::watch(&appender, woken)?;
        Ok(appender)
    }

    pub(super) fn producer(&self) -> Arc<Producer> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of the topic that the pulse asks for.
    pub(super) fn topic(&self) -> &str {
        self.topics.name(Stream::Events)
    }

    /// Puts a new producer in the place of one that has failed for good.
    pub(super) fn replace(&self) -> Result<(), KafkaError> {
        let producer = Arc::new(connect(&self.clients, &self.outstanding, &self.pulse.wake)?);
        let failed = std::mem::replace(&mut *self.producer.write().unwrap_or_else(PoisonError::into_inner), producer);
        counter!("weir_log_producers_replaced_total").increment(1);
        // Answers what it still holds.
        drop(failed);
        Ok(())
    }

    /// Hands the records over. All of it happens before this returns; the outcome comes later.
    ///
    /// # Errors
    /// Nothing was handed over.
    pub(super) fn begin(&self, stream: Stream, records: &[Record]) -> Result<oneshot::Receiver<Answer>, AppendError> {
        let not_stored = |source| AppendError::NotStored { source };
        let limit = self.topics.record_limit(stream);
        let mut bytes = 0;
        for record in records {
            let size = record.checked_size().map_err(not_stored)?;
            if size > limit {
                return Err(not_stored(Cause::TooLarge { bytes: size, limit }));
            }
            bytes += size + RECORD_OVERHEAD;
        }
        let underway = self.outstanding.begin();
        if self.outstanding.is_closed() {
            return Err(not_stored(Cause::Closed));
        }
        let place = self.enter(bytes).inspect_err(|_| counter!("weir_log_appends_refused_total").increment(1));
        let place = place.map_err(not_stored)?;
        let partitions = self.ends.partitions(stream);
        let places: Vec<u32> = records.iter().map(|record| partition_of(&record.key, partitions)).collect();
        let mut touched = places.clone();
        touched.sort_unstable();
        touched.dedup();
        let ends = Arc::clone(&self.ends);
        let begun = Begun { stream, ends, touched, records: records.len(), place, underway };
        let (completion, answered) = Completion::of(begun);
        self.hand_over(stream, records, &places, &completion);
        gauge!("weir_log_queued_bytes").set(self.queue.held() as f64);
        Ok(answered)
    }

    fn enter(&self, bytes: usize) -> Result<crate::queue::Place, Cause> {
        if self.pulse.is_away() { Err(Cause::Away) } else { self.queue.enter(bytes) }
    }

    fn hand_over(&self, stream: Stream, records: &[Record], places: &[u32], completion: &Arc<Completion>) {
        let producer = self.producer();
        let topic = self.topics.name(stream);
        let headers = (stream == Stream::Events).then(content_type);
        for (index, (record, partition)) in records.iter().zip(places).enumerate() {
            let mut message = BaseRecord::with_opaque_to(topic, Arc::clone(completion))
                .partition(*partition as i32)
                .key(&record.key[..])
                .payload(&record.value[..]);
            message.headers = headers.clone();
            if let Err((error, _)) = producer.send(message) {
                if matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) {
                    self.pulse.wake.wake();
                }
                completion.kept_back(records.len() - index, error);
                return;
            }
        }
    }

    /// Waits for what [`begin`](Self::begin) began.
    pub(super) async fn outcome(&self, answered: oneshot::Receiver<Answer>) -> Answer {
        let answer = answered.await.unwrap_or(Err(AppendError::Unknown { source: Cause::Closed }));
        gauge!("weir_log_queued_bytes").set(self.queue.held() as f64);
        answer
    }
}

fn content_type() -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(1)
        .insert(Header { key: "content-type", value: Some("application/cloudevents+json") })
}

fn connect(clients: &Clients, outstanding: &Arc<Outstanding>, wake: &Wake) -> Result<Producer, KafkaError> {
    let reports = Reports { outstanding: Arc::clone(outstanding), wake: wake.clone() };
    Producer::from_config_and_context(&clients.producer(), reports)
}

fn describe() {
    describe_histogram!(
        "weir_log_commit_seconds",
        Unit::Seconds,
        "Time from handing an append over to its last report."
    );
    describe_histogram!("weir_log_commit_records", Unit::Count, "Records of an append.");
    describe_gauge!("weir_log_queued_bytes", Unit::Bytes, "Bytes that wait for Kafka, or for its acknowledgement.");
    describe_counter!("weir_log_commits_failed_total", "Appends that failed after they were begun, by what is known.");
    describe_counter!("weir_log_appends_refused_total", "Appends refused: too much was queued, or no broker answered.");
    describe_counter!("weir_log_producers_replaced_total", "Producers that failed for good and were replaced.");
    describe_gauge!("weir_log_away", Unit::Count, "1 while no broker answers.");
}
