//! The bound on what waits to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Cause;

/// Bytes that wait, and how many may.
#[derive(Debug)]
pub(crate) struct Queue {
    bound: usize,
    held: AtomicUsize,
}

/// A place in the queue; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self { bound, held: AtomicUsize::new(0) })
    }

    /// Bytes that wait or are being written.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes a place for `bytes`. An empty queue takes on anything, so that nothing is too large for ever.
    ///
    /// # Errors
    /// [`Cause::Busy`].
    pub(crate) fn enter(self: &Arc<Self>, bytes: usize) -> Result<Place, Cause> {
        let fits = |held: usize| {
            let after = held.saturating_add(bytes);
            (held == 0 || after <= self.bound).then_some(after)
        };
        match self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Place { queue: Arc::clone(self), bytes }),
            Err(queued) => Err(Cause::Busy { queued, bound: self.bound }),
        }
    }
}

impl Place {
    /// What was taken.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_bound_nothing_enters_until_something_leaves() {
        let queue = Queue::new(100);
        let first = queue.enter(60).unwrap();
        assert!(matches!(queue.enter(60), Err(Cause::Busy { queued: 60, bound: 100 })));
        let second = queue.enter(40).unwrap();
        assert!(queue.enter(1).is_err());
        drop(first);
        assert_eq!(queue.held(), 40);
        assert!(queue.enter(60).is_ok());
        drop(second);
        assert!(queue.enter(1_000).is_ok());
        assert_eq!(queue.held(), 0);
    }
}
