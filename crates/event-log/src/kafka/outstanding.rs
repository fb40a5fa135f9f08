//! Appends that are on their way: counted for an orderly end, and watched for standing still.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many appends are on their way, and whether more may come.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    closed: AtomicBool,
    count: AtomicUsize,
    /// Delivery reports seen, of whatever outcome.
    reports: AtomicU64,
    idle: Notify,
}

/// An append on its way; dropped when it is accounted for.
#[derive(Debug)]
pub(super) struct Underway(Arc<Outstanding>);

impl Outstanding {
    /// Counts an append. Only then ask [`is_closed`](Self::is_closed): whoever closes waits for what is counted.
    pub(super) fn begin(self: &Arc<Self>) -> Underway {
        self.count.fetch_add(1, Ordering::SeqCst);
        Underway(Arc::clone(self))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// A record was reported on.
    pub(super) fn report(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }

    /// How many records were reported on so far.
    pub(super) fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }

    /// Lets no more in and waits for those on their way.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.is_empty() {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
