//! Signals: the parts of a profile's state that conditions are answered from.
//!
//! Two definitions that need the same thing share one signal: a signal is named by what it keeps, not by who asked.
//! All but counters are joins (commutative, associative, idempotent), so the order and the batches in which events
//! arrive can't matter. A new form of the language is a new kind of signal here, or a new use of one.

pub mod counter;
pub mod recent;

use sha2::{Digest as _, Sha256};
use weir_event::{Event, is_reserved};

use crate::definition::{Filter, Rule, Scalar, Test};

/// A signal's name in state bytes: the first 8 bytes of the SHA-256 of what it keeps, in words. The same in every
/// generation and on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(pub u64);

/// What a signal keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// The latest events that a filter lets by.
    Recent(Recent),
    /// A lifetime sum of points. It is no join: what is folded in twice counts twice.
    Counter(Vec<Rule>),
}

/// The `keep` latest events that the filter lets by; with a window only those that it can still hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Recent {
    /// Which events.
    pub filter: Filter,
    /// How many.
    pub keep: u32,
    /// The window in microseconds: an event with at ≤ H − W counts at no instant from H on.
    pub within: Option<i64>,
}

impl Signal {
    /// The signal's id.
    pub fn id(&self) -> SignalId {
        let digest = Sha256::digest(self.words().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        SignalId(u64::from_be_bytes(first))
    }

    /// What it keeps, in words that are equal for equal signals only. State bytes depend on them: never reworded.
    fn words(&self) -> String {
        match self {
            Self::Recent(recent) => {
                format!("recent {} within {:?} of {}", recent.keep, recent.within, filter_words(&recent.filter))
            }
            Self::Counter(rules) => {
                let mut words: Vec<String> =
                    rules.iter().map(|r| format!("{} for {}", r.points, filter_words(&r.filter))).collect();
                words.sort();
                format!("counter of {}", words.join(" and "))
            }
        }
    }
}

fn filter_words(filter: &Filter) -> String {
    let tests: Vec<String> = filter
        .tests
        .iter()
        .map(|(path, tests)| {
            format!("{}: {}", quoted(path), tests.iter().map(test_words).collect::<Vec<_>>().join(", "))
        })
        .collect();
    let bounds = format!("since {:?} until {:?}", filter.since, filter.until);
    let event = filter.event.as_deref().map_or_else(|| "any".to_owned(), quoted);
    format!("{event} where {{{}}} {bounds}", tests.join("; "))
}

fn test_words(test: &Test) -> String {
    match test {
        Test::Eq(value) => format!("eq {}", scalar_words(value)),
        Test::Ne(value) => format!("ne {}", scalar_words(value)),
        Test::Gt(value) => format!("gt {}", scalar_words(value)),
        Test::Gte(value) => format!("gte {}", scalar_words(value)),
        Test::Lt(value) => format!("lt {}", scalar_words(value)),
        Test::Lte(value) => format!("lte {}", scalar_words(value)),
        Test::In(values) => format!("in [{}]", values.iter().map(scalar_words).collect::<Vec<_>>().join(", ")),
        Test::Contains(part) => format!("contains {}", quoted(part)),
        Test::StartsWith(part) => format!("starts_with {}", quoted(part)),
        Test::Exists(exists) => format!("exists {exists}"),
    }
}

fn scalar_words(value: &Scalar) -> String {
    match value {
        Scalar::Bool(value) => value.to_string(),
        Scalar::Number(number) => number.to_string(),
        Scalar::Text(text) => quoted(text),
    }
}

/// The text as a JSON string. Rust's own quoting (`{:?}`) would do but for one thing: which characters it escapes
/// depends on the compiler's Unicode tables, and ids must outlive a compiler.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Filter {
    /// Whether the event is one of those meant.
    pub fn lets_by(&self, event: &Event<'_>) -> bool {
        let named = match &self.event {
            Some(name) => name == event.name,
            None => !is_reserved(event.name),
        };
        named
            && self.since.is_none_or(|since| since <= event.key.at)
            && self.until.is_none_or(|until| event.key.at < until)
            && self.tests.iter().all(|(path, tests)| crate::definition::reaches(event.data, path, tests))
    }
}
