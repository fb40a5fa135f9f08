#![doc = include_str!("../README.md")]

mod catalog;
mod definition;
mod explain;
mod facts;
mod fold;
mod interval;
mod membership;
pub mod sabotage;
mod signal;
mod spans;
mod state;

pub use catalog::{Catalog, Failed, Rule, Score, Segment, Source, true_of_empty_history};
pub use definition::{Condition, Definition, MAX_COUNT, Problem, ScoreDefinition};
pub use explain::{Explained, Explanation, end, explain};
pub use facts::{Facts, Register};
pub use fold::{ScoreChange, Touched, fold, points_of};
pub use interval::{ALWAYS, Intervals, NEVER, Span};
pub use membership::membership;
pub use signal::counter::points;
pub use signal::{Signal, SignalId};
pub use spans::{OpenSpans, SpanChange, StoredSpan, advance};
pub use state::State;
