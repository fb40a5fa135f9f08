//! Asking the brokers how far partitions reach.
//!
//! Invariant: an answer was true after the question was put, so whatever was acknowledged before, by anybody, lies before
//! an end told here. Questions that come while one is on its way are put together in the next one: a thousand waiting
//! readers cost one request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use weir_event::Stream;

use super::context::Quiet;
use super::settings::{Clients, PATIENCE};
use super::topics::Topics;
use crate::ends::Ends;
use crate::{Bounds, ReadError};

/// The pause before a question is put again to a partition that is changing its leader.
const AGAIN: Duration = Duration::from_millis(50);

/// A partition of a topic, as the brokers' lists name it.
type Place = (Stream, u32);

struct Question {
    place: Place,
    answer: oneshot::Sender<Result<Bounds, KafkaError>>,
}

/// Puts the questions.
pub(super) struct Watermarks {
    questions: Sender<Question>,
    ends: Arc<Ends>,
}

impl Watermarks {
    /// Starts the thread that asks; it ends with this value.
    pub(super) fn start(clients: &Clients, topics: &Arc<Topics>, ends: &Arc<Ends>) -> Result<Self, KafkaError> {
        let consumer = BaseConsumer::from_config_and_context(&clients.asker(), Quiet)?;
        let (questions, asked) = channel();
        let asker = Asker { consumer, topics: Arc::clone(topics) };
        std::thread::Builder::new()
            .name("weir-log-ends".to_owned())
            .spawn(move || asker.run(&asked))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { questions, ends: Arc::clone(ends) })
    }

    /// How far the partition reaches now, as the brokers say.
    ///
    /// # Errors
    /// [`ReadError::Io`]: nobody answers.
    pub(super) async fn ask(&self, stream: Stream, partition: u32) -> Result<Bounds, ReadError> {
        let failed = |error| ReadError::Io { stream, partition, source: Arc::new(error) };
        let (answer, answered) = oneshot::channel();
        let sent = self.questions.send(Question { place: (stream, partition), answer });
        sent.map_err(|_| failed(KafkaError::Canceled))?;
        let bounds = answered.await.unwrap_or(Err(KafkaError::Canceled)).map_err(failed)?;
        self.ends.raise(stream, partition, bounds.end);
        Ok(bounds)
    }
}

struct Asker {
    consumer: BaseConsumer<Quiet>,
    topics: Arc<Topics>,
}

impl Asker {
    fn run(&self, questions: &Receiver<Question>) {
        loop {
            match questions.recv_timeout(Duration::from_secs(1)) {
                Ok(first) => self.answer(std::iter::once(first).chain(questions.try_iter()).collect()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // Serves the client's log lines; there are no records.
            while self.consumer.poll(Duration::ZERO).is_some() {}
        }
    }

    fn answer(&self, questions: Vec<Question>) {
        let places: BTreeSet<Place> = questions.iter().map(|question| question.place).collect();
        let deadline = Instant::now() + PATIENCE;
        // The end last: it is the one that must not be older than the question.
        let firsts = self.offsets(&places, Offset::Beginning, deadline);
        let ends = firsts.as_ref().map_err(Clone::clone).and_then(|_| self.offsets(&places, Offset::End, deadline));
        for Question { place, answer } in questions {
            let bounds = match (&firsts, &ends) {
                (Ok(firsts), Ok(ends)) => bounds_of(firsts.get(&place), ends.get(&place)),
                (Err(error), _) | (_, Err(error)) => Err(error.clone()),
            };
            // Who asked may be gone.
            answer.send(bounds).ok();
        }
    }

    /// The offsets at one edge of the partitions, asked again while leaders change.
    fn offsets(&self, places: &BTreeSet<Place>, edge: Offset, deadline: Instant) -> KafkaResult<BTreeMap<Place, i64>> {
        loop {
            let answered = self.offsets_once(places, edge, deadline);
            match answered {
                Err(_) if Instant::now() + AGAIN < deadline => {
                    std::thread::sleep(AGAIN);
                    self.look_up_leaders(places, deadline);
                }
                answered => return answered,
            }
        }
    }

    /// Has the client ask who leads the partitions. It doesn't by itself for five minutes, once it was told "nobody", as a
    /// cluster does that has just been started.
    fn look_up_leaders(&self, places: &BTreeSet<Place>, deadline: Instant) {
        let streams: BTreeSet<Stream> = places.iter().map(|(stream, _)| *stream).collect();
        for stream in streams {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Err(error) = self.consumer.fetch_metadata(Some(self.topics.name(stream)), left) {
                tracing::debug!(%error, stream = stream.name(), "nobody says who leads the partitions");
            }
        }
    }

    fn offsets_once(
        &self,
        places: &BTreeSet<Place>,
        edge: Offset,
        deadline: Instant,
    ) -> KafkaResult<BTreeMap<Place, i64>> {
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (stream, partition) in places {
            list.add_partition_offset(self.topics.name(*stream), *partition as i32, edge)?;
        }
        // The client takes an edge where it takes an instant: the protocol has one number for both.
        let answer = self.consumer.offsets_for_times(list, deadline.saturating_duration_since(Instant::now()))?;
        let mut offsets = BTreeMap::new();
        for (stream, partition) in places {
            let found = answer.find_partition(self.topics.name(*stream), *partition as i32);
            let element = found.ok_or(KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition))?;
            element.error()?;
            match element.offset() {
                Offset::Offset(offset) => drop(offsets.insert((*stream, *partition), offset)),
                _ => return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
            }
        }
        Ok(offsets)
    }
}

fn bounds_of(first: Option<&i64>, end: Option<&i64>) -> Result<Bounds, KafkaError> {
    let offset = |offset: Option<&i64>| offset.and_then(|offset| u64::try_from(*offset).ok());
    match (offset(first), offset(end)) {
        (Some(first), Some(end)) => Ok(Bounds { first, end }),
        _ => Err(KafkaError::OffsetFetch(RDKafkaErrorCode::NoOffset)),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::ClientSettings;

    /// An answer, or the error after all patience.
    fn ask(asker: &Asker) -> Result<Bounds, KafkaError> {
        let (answer, mut answered) = oneshot::channel();
        asker.answer(vec![Question { place: (Stream::Events, 0), answer }]);
        answered.try_recv().unwrap()
    }

    #[test]
    fn a_partition_that_had_no_leader_is_asked_as_soon_as_it_has_one() {
        let cluster = MockCluster::new(1).unwrap();
        let topics = Arc::new(Topics::named("w", 1));
        let topic = topics.name(Stream::Events);
        cluster.create_topic(topic, 1, 1).unwrap();
        cluster.partition_leader(topic, 0, None).unwrap();
        let clients = Clients::new(&[cluster.bootstrap_servers()], "w", ClientSettings::default());
        let consumer = BaseConsumer::from_config_and_context(&clients.asker(), Quiet).unwrap();
        let asker = Asker { consumer, topics: topics.clone() };
        assert!(ask(&asker).is_err());
        cluster.partition_leader(topic, 0, Some(1)).unwrap();
        assert_eq!(ask(&asker).unwrap(), Bounds { first: 0, end: 0 });
    }
}
