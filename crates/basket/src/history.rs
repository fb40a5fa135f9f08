//! The state of a profile's basket: its basket events, in their order.
//!
//! A join: union of sets. So any order, any repetition and any split of the same events gives the same bytes, and what is
//! folded from them is the same too. A fold that forgets its events was rejected: a late event may change every removal
//! after it.

use weir_event::EventKey;
use weir_event::codec::{Damaged, Reader};

use crate::change::Change;

/// Bytes that a profile's state may take, unless told otherwise.
pub const BUDGET: usize = 1 << 20;

/// The first byte of state bytes: which encoding they are in.
const VERSION: u8 = 1;
/// The same of a state that was set aside, and all of it.
const ASIDE: u8 = 0xff;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in its place.
    New,
    /// It was there already.
    Known,
    /// The state would have passed its budget: from now on it is set aside, and empty.
    SetAside,
    /// The state had been set aside before.
    WasAside,
}

/// The basket events of a profile; set aside once they are too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// `None`: set aside.
    events: Option<Vec<(EventKey, Change)>>,
    /// What the events take in the state's bytes.
    bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { events: Some(Vec::new()), bytes: 0 }
    }
}

impl History {
    /// Puts an event where it belongs.
    pub fn insert(&mut self, key: EventKey, change: Change, budget: usize) -> Inserted {
        let Some(events) = &mut self.events else { return Inserted::WasAside };
        // Mostly it is the latest.
        let at = match events.last() {
            Some((last, _)) if *last >= key => match events.binary_search_by(|(known, _)| known.cmp(&key)) {
                Ok(_) => return Inserted::Known,
                Err(at) => at,
            },
            _ => events.len(),
        };
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        change.write(&mut bytes);
        self.bytes += bytes.len();
        if self.bytes + 1 > budget {
            (self.events, self.bytes) = (None, 0);
            return Inserted::SetAside;
        }
        events.insert(at, (key, change));
        Inserted::New
    }

    /// The events in their order; none of a state that was set aside.
    pub fn events(&self) -> &[(EventKey, Change)] {
        self.events.as_deref().unwrap_or_default()
    }

    /// Whether the state was set aside: nothing is known of this basket any more.
    pub fn is_set_aside(&self) -> bool {
        self.events.is_none()
    }

    /// The state bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Some(events) = &self.events else { return vec![ASIDE] };
        let mut out = Vec::with_capacity(self.bytes + 1);
        out.push(VERSION);
        for (key, change) in events {
            key.write(&mut out);
            change.write(&mut out);
        }
        out
    }

    /// Reads state bytes.
    ///
    /// # Errors
    /// They aren't what [`encode`](Self::encode) made.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        match reader.u8()? {
            VERSION => {}
            ASIDE => {
                reader.finish()?;
                return Ok(Self { events: None, bytes: 0 });
            }
            _ => return Err(Damaged("a basket of an unknown version")),
        }
        let (mut events, taken) = (Vec::new(), reader.0.len());
        while !reader.0.is_empty() {
            events.push((EventKey::read(&mut reader)?, Change::read(&mut reader)?));
        }
        if !events.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(Damaged("the events of a basket are out of order"));
        }
        Ok(Self { events: Some(events), bytes: taken })
    }
}
