//! What has been acknowledged, so that who posts and then asks sees it without a token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_event::Position;

/// How far on the log this process has acknowledged writes, by workspace and for the deployment.
///
/// Invariant: a position is raised before the answer that tells the client leaves. What was acknowledged before the
/// process started is covered by the log's end at that time, which is where everybody begins.
#[derive(Debug)]
pub struct Acknowledged {
    start: Position,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    all: Position,
    by_workspace: BTreeMap<Arc<str>, Position>,
}

impl Acknowledged {
    pub(crate) fn new(start: Position) -> Self {
        let held = Held { all: start.clone(), by_workspace: BTreeMap::new() };
        Self { start, held: Mutex::new(held) }
    }

    /// What the workspace had been acknowledged up to now; for one that wrote nothing yet, the log's end at the start.
    pub fn of(&self, workspace: &str) -> Position {
        self.lock().by_workspace.get(workspace).unwrap_or(&self.start).clone()
    }

    /// What anybody had been acknowledged up to now.
    pub fn all(&self) -> Position {
        self.lock().all.clone()
    }

    pub(crate) fn raise(&self, workspace: Option<&Arc<str>>, position: &Position) {
        let mut held = self.lock();
        held.all.merge(position);
        let Some(workspace) = workspace else { return };
        match held.by_workspace.get_mut(workspace) {
            Some(known) => known.merge(position),
            None => {
                let mut first = self.start.clone();
                first.merge(position);
                held.by_workspace.insert(Arc::clone(workspace), first);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing in here panics half-way through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weir_event::Stream;

    use super::*;

    fn at(next: u64) -> Position {
        let mut position = Position::new(Uuid::nil());
        position.raise(Stream::Events, 0, next);
        position
    }

    #[test]
    fn a_workspace_waits_for_its_own_writes_and_the_deployment_for_all() {
        let acknowledged = Acknowledged::new(at(10));
        let (shop, other) = (Arc::from("shop"), Arc::from("other"));
        acknowledged.raise(Some(&shop), &at(12));
        acknowledged.raise(Some(&other), &at(15));
        acknowledged.raise(Some(&shop), &at(11));
        assert_eq!(acknowledged.of("shop"), at(12));
        assert_eq!(acknowledged.of("other"), at(15));
        assert_eq!(acknowledged.of("quiet"), at(10));
        assert_eq!(acknowledged.all(), at(15));
    }
}
