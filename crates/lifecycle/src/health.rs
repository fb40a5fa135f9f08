//! What `/livez` and `/readyz` say.
//!
//! Invariant: a process is ready only while every component that has ever been declared says so; one that is forgotten
//! (its handle dropped) is not ready. Liveness is no part of this: a process that answers at all is alive, and one
//! that must not go on stops by itself (see [`Supervisor`](crate::Supervisor)).

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The components of a process and whether they are ready. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Vec<Entry>>>);

/// The name, and why it isn't ready.
#[derive(Debug)]
struct Entry {
    name: Cow<'static, str>,
    reason: Option<Cow<'static, str>>,
}

/// A component's own handle: only its owner says whether it is ready.
#[derive(Debug)]
pub struct Component {
    health: Health,
    index: usize,
}

/// Whether the process is ready, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// Whether every component is.
    pub ready: bool,
    /// Each component, in the order in which they were declared.
    pub components: Vec<ComponentReport>,
}

/// Whether a component is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Why it isn't; null when it is.
    pub reason: Option<String>,
}

impl Health {
    /// Declares a component, which is not ready yet. One that was declared before is taken over: drop the earlier handle
    /// first, or both speak for it.
    pub fn component(&self, name: impl Into<Cow<'static, str>>) -> Component {
        let (name, reason) = (name.into(), Some("starting".into()));
        let mut entries = self.entries();
        let index = match entries.iter().position(|entry| entry.name == name) {
            Some(known) => known,
            None => {
                entries.push(Entry { name, reason: None });
                entries.len() - 1
            }
        };
        entries[index].reason = reason;
        Component { health: self.clone(), index }
    }

    /// What `/readyz` answers.
    pub fn report(&self) -> HealthReport {
        let entries = self.entries();
        let components: Vec<_> = entries
            .iter()
            .map(|Entry { name, reason }| ComponentReport {
                name: name.to_string(),
                ready: reason.is_none(),
                reason: reason.as_ref().map(ToString::to_string),
            })
            .collect();
        HealthReport { ready: components.iter().all(|component| component.ready), components }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Component {
    /// It can do its work.
    pub fn ready(&self) {
        self.set(None);
    }

    /// It can't, and this is why; the text is shown to whoever asks, so it names no secrets.
    pub fn not_ready(&self, reason: impl Into<Cow<'static, str>>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<Cow<'static, str>>) {
        self.health.entries()[self.index].reason = reason;
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.not_ready("stopped");
    }
}

impl HealthReport {
    /// The reasons in one sentence: for the detail of a 503.
    pub fn reasons(&self) -> String {
        let reasons = self
            .components
            .iter()
            .filter_map(|component| component.reason.as_ref().map(|reason| format!("{}: {reason}", component.name)));
        reasons.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_all_are() {
        let health = Health::default();
        assert!(health.report().ready);
        let (log, tables) = (health.component("log"), health.component(format!("tables {}", 1)));
        assert_eq!(health.report().reasons(), "log: starting; tables 1: starting");
        log.ready();
        tables.not_ready("rebuilding, 40 %");
        assert!(!health.report().ready);
        assert_eq!(health.report().reasons(), "tables 1: rebuilding, 40 %");
        tables.ready();
        assert_eq!(health.clone().report().reasons(), "");
        assert!(health.report().ready);
        drop(tables);
        assert_eq!(health.report().reasons(), "tables 1: stopped");
        let taken_over = health.component("tables 1");
        assert_eq!(health.report().reasons(), "tables 1: starting");
        taken_over.ready();
        assert!(health.report().ready);
    }

    #[test]
    fn a_report_is_plain_json() {
        let health = Health::default();
        let _log = health.component("log");
        let json = serde_json::to_string(&health.report()).unwrap();
        assert_eq!(json, r#"{"ready":false,"components":[{"name":"log","ready":false,"reason":"starting"}]}"#);
    }
}
