//! What to ask about: definitions, histories and a shop's clickstream, each a function of a seed.

mod baskets;
pub mod clickstream;
mod definitions;
mod records;
mod seeded;

pub use baskets::baskets;
pub use definitions::definition;
pub use records::{FactRequest, History, Sent, Shape, Who, history};
pub use seeded::Seeded;
