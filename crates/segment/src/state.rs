//! A profile's folded state, and its bytes.
//!
//! The law: any order and any split into batches of the same admitted events gives the same bytes in normal form.
//! What depends on the order of arrival (spans as they were seen) is therefore no part of it.

use std::collections::BTreeMap;

use crate::catalog::Catalog;
use crate::facts::Facts;
use crate::signal::recent::Latest;
use crate::signal::{Signal, SignalId, counter};
use weir_event::codec::{Damaged, Reader, put_bytes, put_u64};

/// The first byte of state bytes: which encoding they are in.
const VERSION: u8 = 1;

/// Everything that a profile's admitted events have left behind.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// H: the largest receipt; the state answers for instants from here on. `None` before the first event.
    pub horizon: Option<i64>,
    /// The least receipt.
    pub created: Option<i64>,
    /// What is known about the profile.
    pub facts: Facts,
    /// Each signal's bytes; one that keeps nothing isn't there.
    signals: BTreeMap<SignalId, Vec<u8>>,
    /// Signals set aside: the profile is in no segment that uses one of them, also under `not`.
    set_aside: Vec<SignalId>,
}

impl State {
    /// Whether the profile exists: it has an admitted event.
    pub fn exists(&self) -> bool {
        self.horizon.is_some()
    }

    /// The bytes kept for a signal; none for nothing.
    pub fn signal(&self, id: SignalId) -> &[u8] {
        self.signals.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether the signal was set aside.
    pub fn is_set_aside(&self, id: SignalId) -> bool {
        self.set_aside.contains(&id)
    }

    /// How many signals are set aside.
    pub fn set_aside(&self) -> usize {
        self.set_aside.len()
    }

    pub(crate) fn put_signal(&mut self, id: SignalId, bytes: Vec<u8>) {
        if bytes.is_empty() {
            self.signals.remove(&id);
        } else {
            self.signals.insert(id, bytes);
        }
    }

    pub(crate) fn put_aside(&mut self, id: SignalId) {
        self.signals.remove(&id);
        if let Err(at) = self.set_aside.binary_search(&id) {
            self.set_aside.insert(at, id);
        }
    }

    /// The state bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.signals.values().map(|bytes| 10 + bytes.len()).sum::<usize>());
        out.push(VERSION);
        for instant in [self.horizon, self.created] {
            out.extend_from_slice(&instant.unwrap_or(i64::MIN).to_be_bytes());
        }
        self.facts.write(&mut out);
        put_u64(&mut out, self.signals.len() as u64);
        for (id, bytes) in &self.signals {
            out.extend_from_slice(&id.0.to_be_bytes());
            put_bytes(&mut out, bytes);
        }
        put_u64(&mut out, self.set_aside.len() as u64);
        self.set_aside.iter().for_each(|id| out.extend_from_slice(&id.0.to_be_bytes()));
        out
    }

    /// Reads state bytes.
    ///
    /// # Errors
    /// Bytes that [`State::encode`] of this release didn't write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        if reader.u8()? != VERSION {
            return Err(Damaged("written by another release; delete the store and let it be rebuilt from the log"));
        }
        let mut instant = || reader.array().map(i64::from_be_bytes).map(|i| (i != i64::MIN).then_some(i));
        let (horizon, created) = (instant()?, instant()?);
        let facts = Facts::read(&mut reader)?;
        let mut signals = BTreeMap::new();
        for _ in 0..reader.u64()? {
            let id = SignalId(u64::from_be_bytes(reader.array()?));
            signals.insert(id, reader.bytes()?.to_vec());
        }
        let count = reader.u64()?;
        let set_aside =
            (0..count).map(|_| reader.array().map(|id| SignalId(u64::from_be_bytes(id)))).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { horizon, created, facts, signals, set_aside })
    }

    /// What the profile shows: its facts, and the signals that are counters. The rest is the fold's own business, the
    /// horizon too: a card is written when what it shows changes, not whenever something is received.
    pub fn card(&self, catalog: &Catalog) -> Self {
        let counters = catalog.scores().iter().map(|score| score.signal);
        let signals = counters.filter_map(|id| Some((id, self.signals.get(&id)?.clone()))).collect();
        let (facts, set_aside) = (self.facts.clone(), self.set_aside.clone());
        Self { horizon: self.created, created: self.created, facts, signals, set_aside }
    }

    /// The normal form: every signal pruned by the horizon. States are compared in it; a stored one is pruned when
    /// its signal is written next.
    ///
    /// # Errors
    /// A signal's bytes are damaged.
    pub fn normal(mut self, catalog: &Catalog) -> Result<Self, Damaged> {
        let Some(horizon) = self.horizon else { return Ok(self) };
        for (id, signal) in catalog.signals() {
            if let (Signal::Recent(recent), true) = (signal, self.signals.contains_key(&id)) {
                let mut latest = Latest::read(self.signal(id))?;
                latest.prune(recent, horizon);
                self.put_signal(id, latest.write());
            }
        }
        Ok(self)
    }

    /// The state of both sets of events together, which must have none in common where a counter is among the
    /// signals.
    ///
    /// # Errors
    /// A signal's bytes are damaged.
    pub fn join(mut self, other: &State, catalog: &Catalog) -> Result<Self, Damaged> {
        self.horizon = self.horizon.max(other.horizon);
        self.created = [self.created, other.created].into_iter().flatten().min();
        self.facts.join(&other.facts);
        for (id, signal) in catalog.signals() {
            if self.is_set_aside(id) || other.is_set_aside(id) {
                self.put_aside(id);
                continue;
            }
            match signal {
                Signal::Recent(recent) => {
                    let mut latest = Latest::read(self.signal(id))?;
                    latest.join(&Latest::read(other.signal(id))?, recent.keep);
                    self.put_signal(id, latest.write());
                }
                Signal::Counter(_) if !other.signal(id).is_empty() => {
                    let sum = counter::read(self.signal(id))?.checked_add(counter::read(other.signal(id))?);
                    match sum {
                        Some(sum) => self.put_signal(id, counter::write(sum)),
                        None => self.put_aside(id),
                    }
                }
                Signal::Counter(_) => {}
            }
        }
        self.normal(catalog)
    }
}
