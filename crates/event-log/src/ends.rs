//! Where each partition ends, as everybody in the process may know it.
//!
//! Invariant: an end is announced only after the records before it are durable, and it never goes back. Reads stop at
//! the announced end, so that no two answers of one log contradict each other.

use tokio::sync::watch;
use weir_event::Stream;

use crate::ReadError;

/// The most partitions that `events.v1` can have here.
pub(crate) const MAX_PARTITIONS: u32 = 1_000;

/// The announced end of every partition of every stream.
#[derive(Debug)]
pub(crate) struct Ends {
    events: Vec<watch::Sender<u64>>,
    control: Vec<watch::Sender<u64>>,
}

impl Ends {
    /// Ends of a log whose `events.v1` has `partitions` partitions, all 0.
    pub(crate) fn new(partitions: u32) -> Self {
        let zeros = |count: u32| (0..count).map(|_| watch::Sender::new(0)).collect();
        Self { events: zeros(partitions), control: zeros(1) }
    }

    fn of(&self, stream: Stream) -> &[watch::Sender<u64>] {
        match stream {
            Stream::Events => &self.events,
            Stream::Control => &self.control,
        }
    }

    /// How many partitions the stream has.
    pub(crate) fn partitions(&self, stream: Stream) -> u32 {
        self.of(stream).len() as u32
    }

    fn sender(&self, stream: Stream, partition: u32) -> Result<&watch::Sender<u64>, ReadError> {
        let ends = self.of(stream);
        let none = ReadError::NoSuchPartition { stream, partition, partitions: ends.len() as u32 };
        ends.get(partition as usize).ok_or(none)
    }

    /// The partition's end.
    pub(crate) fn get(&self, stream: Stream, partition: u32) -> Result<u64, ReadError> {
        Ok(*self.sender(stream, partition)?.borrow())
    }

    /// Announces an end; one that was passed already changes nothing.
    pub(crate) fn raise(&self, stream: Stream, partition: u32, end: u64) {
        if let Ok(sender) = self.sender(stream, partition) {
            sender.send_if_modified(|now| {
                let grows = end > *now;
                *now = end.max(*now);
                grows
            });
        }
    }

    /// The partition's end, for whoever wants to know when it moves.
    pub(crate) fn subscribe(&self, stream: Stream, partition: u32) -> Result<watch::Receiver<u64>, ReadError> {
        Ok(self.sender(stream, partition)?.subscribe())
    }

    /// Returns when the partition's end lies beyond `offset`.
    pub(crate) async fn beyond(&self, stream: Stream, partition: u32, offset: u64) -> Result<(), ReadError> {
        let mut receiver = self.sender(stream, partition)?.subscribe();
        // The sender lives as long as `self`, so the wait can't end any other way.
        let _ = receiver.wait_for(|end| *end > offset).await;
        Ok(())
    }
}
