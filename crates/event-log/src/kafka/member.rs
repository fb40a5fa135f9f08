//! The member of the group that shares out the partitions of `events.v1`.
//!
//! Invariant: it fetches nothing. Its partitions are assigned at an offset and paused at once; what they hold is read by
//! others, at positions that the tables name. To read by the same consumer was rejected: one partition is read at several
//! positions at a time, and a rebalance must not disturb a generation that is being filled.
//!
//! What is owned changes in the callback of a rebalance, before the group hears that it is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use metrics::gauge;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::watch;

use super::context;
use super::settings::Clients;
use crate::Share;

/// How often notes are passed on, and how long a confirmation may take.
const NOTES: Duration = Duration::from_secs(1);
const CONFIRMATION: Duration = Duration::from_secs(3);
/// The pause before a group that is sharing out anew is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// What the group's callbacks change.
struct Group {
    owned: watch::Sender<BTreeSet<u32>>,
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::log_error(&error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = numbers(list);
        let assigned = change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = if assigned { assign(consumer, list) } else { self.revoke(consumer, list, &partitions) };
        if let Err(error) = done {
            tracing::error!(%error, "a change of the group could not be followed");
            return;
        }
        if assigned {
            self.owned.send_modify(|owned| owned.extend(&partitions));
        }
        let owned = self.owned.borrow().len();
        gauge!("weir_log_partitions_owned").set(owned as f64);
        let (came, lost) = (assigned, !assigned && consumer.assignment_lost());
        tracing::info!(?partitions, came, lost, owned, "the partitions were shared out anew");
    }
}

impl Group {
    fn revoke(
        &self,
        consumer: &BaseConsumer<Self>,
        list: &TopicPartitionList,
        partitions: &BTreeSet<u32>,
    ) -> KafkaResult<()> {
        self.owned.send_modify(|owned| owned.retain(|partition| !partitions.contains(partition)));
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }
}

fn assign(consumer: &BaseConsumer<Group>, list: &mut TopicPartitionList) -> KafkaResult<()> {
    if list.count() > 0 {
        list.set_all_offsets(Offset::Offset(0))?;
    }
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
        _ => consumer.assign(list)?,
    }
    if list.count() > 0 { consumer.pause(list) } else { Ok(()) }
}

fn numbers(list: &TopicPartitionList) -> BTreeSet<u32> {
    // The list of an empty assignment has no elements to look at.
    if list.count() == 0 {
        return BTreeSet::new();
    }
    list.elements().iter().filter_map(|element| u32::try_from(element.partition()).ok()).collect()
}

/// A part in the group.
pub(super) struct Member {
    shared: Arc<Shared>,
    left: watch::Receiver<bool>,
}

struct Shared {
    consumer: BaseConsumer<Group>,
    topic: String,
    stop: AtomicBool,
    noted: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    next: BTreeMap<u32, u64>,
    /// Noted since they were last passed on.
    new: BTreeSet<u32>,
}

impl Member {
    /// Joins the group, on a thread of its own.
    pub(super) fn join(clients: &Clients, topic: &str) -> Result<Self, KafkaError> {
        let group = Group { owned: watch::Sender::default() };
        let consumer = BaseConsumer::from_config_and_context(&clients.member(), group)?;
        consumer.subscribe(&[topic])?;
        let shared = Arc::new(Shared {
            consumer,
            topic: topic.to_owned(),
            stop: AtomicBool::new(false),
            noted: Mutex::default(),
        });
        let (leaving, left) = watch::channel(false);
        let served = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("weir-log-group".to_owned())
            .spawn(move || {
                served.serve();
                drop(served);
                leaving.send_replace(true);
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { shared, left })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Share for Member {
    fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        let mut owned = self.shared.consumer.context().owned.subscribe();
        owned.mark_changed();
        owned
    }

    async fn confirm(&self) -> bool {
        let shared = Arc::clone(&self.shared);
        let confirmed = tokio::task::spawn_blocking(move || shared.confirm());
        matches!(tokio::time::timeout(CONFIRMATION, confirmed).await, Ok(Ok(true)))
    }

    fn note(&self, partition: u32, next: u64) {
        let mut noted = self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.next.insert(partition, next);
        noted.new.insert(partition);
    }

    async fn leave(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The thread is gone only after it has left.
        self.left.clone().wait_for(|left| *left).await.ok();
    }
}

impl Shared {
    fn serve(&self) {
        let mut passed_on = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            self.poll();
            if passed_on.elapsed() >= NOTES {
                passed_on = Instant::now();
                self.pass_on();
            }
        }
        self.pass_on();
        // The callback gives up what is owned, and only then the group is told.
        self.consumer.unsubscribe();
        let deadline = Instant::now() + CONFIRMATION;
        while !self.consumer.context().owned.borrow().is_empty() && Instant::now() < deadline {
            self.poll();
        }
        self.consumer.context().owned.send_replace(BTreeSet::new());
    }

    /// Callbacks run in here. A record may have come before its partition was paused; nobody wants it.
    fn poll(&self) {
        if let Some(Err(error)) = self.consumer.poll(Duration::from_millis(100)) {
            tracing::debug!(%error, "the group's client reports an error");
        }
    }

    /// Commits what was noted of partitions that are owned, without waiting for it.
    fn pass_on(&self) {
        let owned = self.consumer.context().owned.borrow().clone();
        let list = {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            let new = std::mem::take(&mut noted.new);
            noted.next.retain(|partition, _| owned.contains(partition));
            let next = |partition: &u32| Some((*partition, *noted.next.get(partition)?));
            self.list(new.iter().filter_map(next))
        };
        let passed = list.and_then(|list| match list.count() {
            0 => Ok(()),
            _ => self.consumer.commit(&list, CommitMode::Async),
        });
        if let Err(error) = passed {
            tracing::debug!(%error, "the group's offsets were not noted");
        }
    }

    fn list(&self, offsets: impl Iterator<Item = (u32, u64)>) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in offsets {
            list.add_partition_offset(&self.topic, partition as i32, Offset::Offset(next as i64))?;
        }
        Ok(list)
    }

    /// Commits the offsets of what is owned and waits for the answer: the coordinator takes it from members only, and only
    /// from those that know the latest distribution.
    fn confirm(&self) -> bool {
        let owned = self.consumer.context().owned.borrow().clone();
        if owned.is_empty() {
            return false;
        }
        let deadline = Instant::now() + CONFIRMATION;
        loop {
            match self.offsets(&owned).and_then(|list| self.consumer.commit(&list, CommitMode::Sync)) {
                Ok(()) => {
                    return !self.consumer.assignment_lost() && *self.consumer.context().owned.borrow() == owned;
                }
                Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::RebalanceInProgress)) if Instant::now() < deadline => {
                    std::thread::sleep(AGAIN);
                }
                Err(error) => {
                    tracing::warn!(%error, "the group doesn't confirm that the partitions are owned");
                    return false;
                }
            }
        }
    }

    /// What was noted of these partitions; of others what the group knows, so that nothing is taken back.
    fn offsets(&self, owned: &BTreeSet<u32>) -> KafkaResult<TopicPartitionList> {
        let known = self.noted.lock().unwrap_or_else(PoisonError::into_inner).next.clone();
        let unknown: Vec<u32> = owned.iter().filter(|partition| !known.contains_key(partition)).copied().collect();
        let mut offsets: BTreeMap<u32, u64> =
            known.into_iter().filter(|(partition, _)| owned.contains(partition)).collect();
        if !unknown.is_empty() {
            let mut list = TopicPartitionList::new();
            for partition in unknown {
                list.add_partition(&self.topic, partition as i32);
            }
            let committed = self.consumer.committed_offsets(list, CONFIRMATION)?;
            for element in committed.elements() {
                let next = if let Offset::Offset(next) = element.offset() { next as u64 } else { 0 };
                offsets.insert(element.partition() as u32, next);
            }
        }
        self.list(offsets.into_iter())
    }
}
