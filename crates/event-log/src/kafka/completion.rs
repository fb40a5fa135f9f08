//! One append on its way: what is known of its records, and where its answer goes.
//!
//! Invariant: it is answered once, when the last of its records is accounted for, and the place that it takes in the queue
//! is given back then. The records share this one value, counted by reference: a future for each of them was rejected,
//! since it halves what a producer takes.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use metrics::{counter, histogram};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;
use weir_event::Stream;

use super::outstanding::Underway;
use crate::ends::Ends;
use crate::queue::Place;
use crate::{AppendError, Cause};

/// What came of an append that was stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// The offset after its last record, for each partition touched, in their order.
    pub(super) nexts: Vec<(u32, u64)>,
    /// The broker kept a record without saying where, as it does when it recognises a repetition late.
    pub(super) unplaced: bool,
}

pub(super) type Answer = Result<Stored, AppendError>;

/// Shared by the records of an append.
pub(super) struct Completion {
    stream: Stream,
    ends: Arc<Ends>,
    /// Records that are not accounted for.
    open: AtomicUsize,
    /// Records that are surely not on the log.
    absent: AtomicUsize,
    /// Records of which nothing is known.
    unknown: AtomicUsize,
    unplaced: AtomicBool,
    /// By partition, in order: the offset after the last record stored.
    nexts: Box<[(u32, AtomicU64)]>,
    total: usize,
    failure: Mutex<Option<KafkaError>>,
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
    begun: Instant,
    _place: Place,
    _underway: Underway,
}

/// An append to be accounted for.
pub(super) struct Begun {
    pub(super) stream: Stream,
    pub(super) ends: Arc<Ends>,
    /// The partitions touched, ordered, each once.
    pub(super) touched: Vec<u32>,
    pub(super) records: usize,
    pub(super) place: Place,
    pub(super) underway: Underway,
}

impl Completion {
    /// Accounts for an append, and answers where its end will be told.
    pub(super) fn of(begun: Begun) -> (Arc<Self>, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let completion = Self {
            stream: begun.stream,
            ends: begun.ends,
            open: AtomicUsize::new(begun.records),
            absent: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            unplaced: AtomicBool::new(false),
            nexts: begun.touched.into_iter().map(|partition| (partition, AtomicU64::new(0))).collect(),
            total: begun.records,
            failure: Mutex::new(None),
            answer: Mutex::new(Some(answer)),
            begun: Instant::now(),
            _place: begun.place,
            _underway: begun.underway,
        };
        (Arc::new(completion), answered)
    }

    /// A record is stored; negative offsets are the client's way to say that it doesn't know where.
    pub(super) fn stored(&self, partition: i32, offset: i64) {
        let at = u32::try_from(partition)
            .ok()
            .and_then(|partition| self.nexts.binary_search_by_key(&partition, |(touched, _)| *touched).ok());
        match (at, u64::try_from(offset)) {
            (Some(at), Ok(offset)) => drop(self.nexts[at].1.fetch_max(offset + 1, Ordering::Relaxed)),
            _ => self.unplaced.store(true, Ordering::Relaxed),
        }
        self.account(1);
    }

    /// A record's delivery failed.
    pub(super) fn failed(&self, error: &KafkaError) {
        let count = if is_surely_absent(error) { &self.absent } else { &self.unknown };
        count.fetch_add(1, Ordering::Relaxed);
        self.keep(error.clone());
        self.account(1);
    }

    /// The last `count` records were not handed over.
    pub(super) fn kept_back(&self, count: usize, error: KafkaError) {
        self.absent.fetch_add(count, Ordering::Relaxed);
        self.keep(error);
        self.account(count);
    }

    fn keep(&self, error: KafkaError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn account(&self, count: usize) {
        // What was counted before by other threads is seen by the one that finds nothing open.
        if self.open.fetch_sub(count, Ordering::AcqRel) == count {
            self.finish();
        }
    }

    fn finish(&self) {
        let answer = self.verdict();
        match &answer {
            Ok(stored) => {
                histogram!("weir_log_commit_seconds").record(self.begun.elapsed().as_secs_f64());
                histogram!("weir_log_commit_records").record(self.total as f64);
                for &(partition, next) in &stored.nexts {
                    self.ends.raise(self.stream, partition, next);
                }
            }
            Err(error) => {
                let outcome = if error.is_determinate() { "not_stored" } else { "unknown" };
                counter!("weir_log_commits_failed_total", "outcome" => outcome).increment(1);
            }
        }
        let sender = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // Nobody waits: the append was dropped.
            sender.send(answer).ok();
        }
    }

    fn verdict(&self) -> Answer {
        let absent = self.absent.load(Ordering::Relaxed);
        let unknown = self.unknown.load(Ordering::Relaxed);
        if absent + unknown == 0 {
            let nexts = self.nexts.iter().map(|(partition, next)| (*partition, next.load(Ordering::Relaxed)));
            return Ok(Stored { nexts: nexts.collect(), unplaced: self.unplaced.load(Ordering::Relaxed) });
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let source = Cause::Io(Arc::new(failure.unwrap_or(KafkaError::Canceled)));
        Err(if absent == self.total { AppendError::NotStored { source } } else { AppendError::Unknown { source } })
    }
}

/// Whether the record can't be on the log. What timed out, or was purged, may be there: it may have been sent before, and
/// the client doesn't say.
fn is_surely_absent(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error,
        KafkaError::MessageProduction(
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::QueueFull
        )
    )
}

#[cfg(test)]
mod tests {
    use super::super::outstanding::Outstanding;
    use super::*;
    use crate::queue::Queue;

    const TIMED_OUT: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
    const TOO_LARGE: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);

    fn of_three(queue: &Arc<Queue>) -> (Arc<Completion>, oneshot::Receiver<Answer>) {
        Completion::of(Begun {
            stream: Stream::Events,
            ends: Arc::new(Ends::new(8)),
            touched: vec![2, 5],
            records: 3,
            place: queue.enter(10).unwrap(),
            underway: Outstanding::begin(&Arc::default()),
        })
    }

    #[test]
    fn the_answer_comes_with_the_last_record_and_tells_the_ends() {
        let queue = Queue::new(100);
        let (completion, mut answered) = of_three(&queue);
        completion.stored(5, 7);
        completion.stored(2, 0);
        assert!(answered.try_recv().is_err());
        completion.stored(5, 8);
        let stored = answered.try_recv().unwrap().unwrap();
        assert_eq!((stored.nexts, stored.unplaced), (vec![(2, 1), (5, 9)], false));
        assert_eq!(completion.ends.get(Stream::Events, 5).unwrap(), 9);
        assert_eq!(queue.held(), 10);
        drop(completion);
        assert_eq!(queue.held(), 0);
    }

    #[test]
    fn only_what_is_wholly_and_surely_absent_is_not_stored() {
        let queue = Queue::new(100);
        let outcome = |reports: &[Result<i64, KafkaError>]| {
            let (completion, mut answered) = of_three(&queue);
            for report in reports {
                match report {
                    Ok(offset) => completion.stored(2, *offset),
                    Err(error) => completion.failed(error),
                }
            }
            completion.kept_back(3 - reports.len(), TOO_LARGE);
            answered.try_recv().unwrap()
        };
        let not_stored = |answer: &Answer| matches!(answer, Err(AppendError::NotStored { .. }));
        let unknown = |answer: &Answer| matches!(answer, Err(AppendError::Unknown { .. }));
        assert!(not_stored(&outcome(&[])) && not_stored(&outcome(&[Err(TOO_LARGE), Err(TOO_LARGE)])));
        assert!(unknown(&outcome(&[Ok(1)])) && unknown(&outcome(&[Err(TOO_LARGE), Err(TIMED_OUT)])));
        assert!(unknown(&outcome(&[Ok(1), Ok(2), Err(TOO_LARGE)])));
        // Where a repetition landed isn't told.
        let (completion, mut answered) = of_three(&queue);
        [4, -1, 5].into_iter().for_each(|offset| completion.stored(2, offset));
        assert!(answered.try_recv().unwrap().unwrap().unplaced);
    }
}
