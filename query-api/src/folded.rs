//! What a generation's control records amount to.
//!
//! Two folds of the same records: the newest state says who may ask and which definitions there are; the bound state
//! stops at the generation's definition set and says which of them the tables were filled by. Both are kept, folded on
//! only when the tables have taken in more records; what was compiled from a definition that stayed stays compiled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use weir_control::{State, Workspace};

use crate::definitions::{Compiled, Definitions};

/// The control records of one generation up to an offset, folded.
pub(crate) struct Folded {
    next: u64,
    newest: State,
    bound: State,
    definitions: Mutex<HashMap<u64, Definitions>>,
}

impl Folded {
    /// The fold of nothing.
    pub(crate) fn empty() -> Self {
        Self { next: 0, newest: State::default(), bound: State::default(), definitions: Mutex::default() }
    }

    /// The fold of these records, which begin at [`Folded::next`], on top of this one.
    pub(crate) fn with(&self, records: &[(u64, Vec<u8>)], next: u64, bound: u64) -> Self {
        let (mut newest, mut bounded) = (self.newest.clone(), self.bound.clone());
        for (offset, record) in records {
            newest.evolve(*offset, record);
            bounded.evolve_bound(*offset, record, bound);
        }
        let kept = self.keep(&newest, &bounded);
        Self { next, newest, bound: bounded, definitions: Mutex::new(kept) }
    }

    /// What is compiled already and didn't change.
    fn keep(&self, newest: &State, bound: &State) -> HashMap<u64, Definitions> {
        let known = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = known.iter().map(|(&no, known)| {
            let newest = alike(&self.newest, newest, no).then(|| known.newest.clone()).flatten();
            let served = alike(&self.bound, bound, no).then(|| known.served.clone()).flatten();
            (no, Definitions { newest, served })
        });
        kept.collect()
    }

    /// How far `control.v1` is folded.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The newest state.
    pub(crate) fn newest(&self) -> &State {
        &self.newest
    }

    /// A workspace's definitions compiled: the newest ones, and those that the tables were filled by.
    pub(crate) fn compiled(&self, no: u64) -> (Arc<Compiled>, Arc<Compiled>) {
        let mut definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = definitions.entry(no).or_default();
        let (newest, bound) = (self.newest.workspace_by_no(no), self.bound.workspace_by_no(no));
        let served = slot.served.get_or_insert_with(|| Arc::new(Compiled::of(bound))).clone();
        let newest = slot.newest.get_or_insert_with(|| match (newest, bound) {
            (Some(newest), Some(bound)) if same(newest, bound) => served.clone(),
            _ => Arc::new(Compiled::of(newest)),
        });
        (newest.clone(), served)
    }
}

/// Whether a workspace's definitions are the same in both states.
fn alike(before: &State, after: &State, no: u64) -> bool {
    match (before.workspace_by_no(no), after.workspace_by_no(no)) {
        (Some(before), Some(after)) => same(before, after),
        _ => false,
    }
}

fn same(a: &Workspace, b: &Workspace) -> bool {
    a.segments == b.segments && a.scores == b.scores
}
