//! The n latest events: a join by union.

use crate::signal::Recent;
use weir_event::EventKey;
use weir_event::codec::{Damaged, Reader, put_u64};

/// The events kept, the latest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Latest(pub Vec<EventKey>);

impl Latest {
    /// Reads state bytes; none are nothing kept.
    ///
    /// # Errors
    /// Bytes that [`Latest::write`] didn't write.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader(bytes);
        let count = reader.u64()?;
        let keys = (0..count).map(|_| EventKey::read(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self(keys))
    }

    /// The state bytes; none for nothing.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + 28 * self.0.len());
        if !self.0.is_empty() {
            put_u64(&mut out, self.0.len() as u64);
            self.0.iter().for_each(|key| key.write(&mut out));
        }
        out
    }

    /// Takes in one event.
    pub fn insert(&mut self, key: &EventKey, keep: u32) {
        if let Err(at) = self.0.binary_search_by(|kept| key.cmp(kept)) {
            self.0.insert(at, key.clone());
            self.0.truncate(keep as usize);
        }
    }

    /// The union of both, of which the latest are kept.
    pub fn join(&mut self, other: &Latest, keep: u32) {
        other.0.iter().for_each(|key| self.insert(key, keep));
    }

    /// Drops what can count at no instant from `horizon` on.
    pub fn prune(&mut self, signal: &Recent, horizon: i64) {
        if let Some(within) = signal.within {
            self.0.retain(|key| key.at > horizon.saturating_sub(within));
        }
    }

    /// The latest event.
    pub fn first(&self) -> Option<&EventKey> {
        self.0.first()
    }

    /// The n-th latest event, counted from 1.
    pub fn nth(&self, n: u32) -> Option<&EventKey> {
        self.0.get((n as usize).checked_sub(1)?)
    }
}
