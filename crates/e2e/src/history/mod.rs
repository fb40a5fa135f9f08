//! What to ask about: definitions, histories and a shop's clickstream, each a function of a seed.

pub mod clickstream;
mod definitions;
mod records;
mod seeded;

pub use definitions::definition;
pub use records::{FactRequest, History, Sent, Shape, Who, history};
pub use seeded::Seeded;
