//! A consumer that reads each partition at most at one position, and the pool of them.
//!
//! Invariant: nobody joins a group and nobody seeks. A position is taken by assigning the partition at an explicit offset,
//! and given up by taking it away again; each partition has a queue of its own, which the client fills up to a bound and
//! then stops fetching for it alone. So a reader that stands still holds up nobody else. One queue for all of them, with
//! partitions paused and resumed, was rejected: pausing throws away what was fetched, and not polling holds up everybody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Quiet;
use super::settings::Clients;

/// The most positions at which one partition is read at a time: two projections live, two in a generation that is filled,
/// and two to spare.
pub(super) const FETCHERS: usize = 6;

/// A consumer, and the thread that serves what is not records.
pub(super) struct Fetcher {
    consumer: Arc<BaseConsumer<Quiet>>,
    stop: Arc<AtomicBool>,
}

impl Fetcher {
    fn start(clients: &Clients, kbytes: usize) -> Result<Self, KafkaError> {
        let consumer = Arc::new(BaseConsumer::from_config_and_context(&clients.fetcher(kbytes), Quiet)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped) = (Arc::clone(&consumer), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("weir-log-fetch".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    // Log lines and errors of the connections. Records and errors of a partition are in its own queue.
                    if let Some(Err(error)) = served.poll(Duration::from_millis(200)) {
                        tracing::debug!(%error, "the log's client reports an error");
                    }
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { consumer, stop })
    }

    /// Begins to read the partition at `from`. `filled` is called, by a thread of the client, when records come to an
    /// empty queue.
    pub(super) fn assign(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        filled: impl Fn() + Send + Sync + 'static,
    ) -> Result<PartitionQueue<Quiet>, KafkaError> {
        // Before the assignment, or the first records would go to the queue of all.
        let queue = self.consumer.split_partition_queue(topic, partition as i32);
        let mut queue = queue.ok_or_else(|| KafkaError::Subscription("no queue for the partition".to_owned()))?;
        queue.set_nonempty_callback(filled);
        self.consumer.incremental_assign(&only(topic, partition, Offset::Offset(from as i64))?)?;
        Ok(queue)
    }

    /// Gives the partition up. What its queue still holds is not valid any more.
    pub(super) fn unassign(&self, topic: &str, partition: u32) -> Result<(), KafkaError> {
        self.consumer.incremental_unassign(&only(topic, partition, Offset::Invalid)?)
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn only(topic: &str, partition: u32, offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition as i32, offset)?;
    Ok(list)
}

/// The fetchers, made as they are needed.
pub(super) struct Pool {
    clients: Clients,
    kbytes: usize,
    fetchers: Mutex<Vec<Arc<Fetcher>>>,
}

impl Pool {
    /// Nobody yet. Up to `kbytes` of records wait for each reader of a partition.
    pub(super) fn new(clients: &Clients, kbytes: usize) -> Self {
        Self { clients: clients.clone(), kbytes, fetchers: Mutex::new(Vec::new()) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.fetchers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The fetcher with this number, and all before it, made if they aren't there.
    pub(super) fn get(&self, number: usize) -> Result<Arc<Fetcher>, KafkaError> {
        let mut fetchers = self.fetchers.lock().unwrap_or_else(PoisonError::into_inner);
        while fetchers.len() <= number {
            fetchers.push(Arc::new(Fetcher::start(&self.clients, self.kbytes)?));
        }
        Ok(Arc::clone(&fetchers[number]))
    }
}
