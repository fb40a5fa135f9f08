//! Segment and score definitions as data: what the language can say, and nothing about how it is answered.
//!
//! [`Definition::parse`] is the only way in. It answers with every problem at once, each with a JSON Pointer to the
//! part and a sentence that says how to mend it.

mod object;
mod parse;
mod test;

use std::collections::BTreeMap;

pub use object::Problem;
pub use test::{Scalar, Test};
pub(crate) use test::{reaches, reaches_value};

use weir_event::Decimal;

/// The most that `at_least`, `at_most` and `exactly` may count to. A state keeps that many events, so that is its size.
pub const MAX_COUNT: u32 = 10_000;

/// A segment's definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// What people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who is a member.
    pub when: Condition,
}

/// A condition on a profile: its events, traits and scores.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of them hold.
    All(Vec<Condition>),
    /// At least one of them holds.
    Any(Vec<Condition>),
    /// It doesn't hold.
    Not(Box<Condition>),
    /// What the profile did.
    Event(EventCondition),
    /// What is known about the profile.
    Trait(TraitCondition),
    /// How many points it has.
    Score(ScoreCondition),
}

/// A condition on a profile's events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventCondition {
    /// Which events it speaks of.
    pub filter: Filter,
    /// `within`: only events with now − W < at ≤ now, in microseconds.
    pub within: Option<i64>,
    /// What is asked of them.
    pub what: What,
}

/// What is asked of the events that a filter lets by.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// At least so many, from 1.
    AtLeast(u32),
    /// At most so many.
    AtMost(u32),
    /// Exactly so many.
    Exactly(u32),
    /// One of the next follows the latest.
    FollowedBy(Filter),
    /// None of the next follows the latest; with `for` only once that has been so for so many microseconds.
    NotFollowedBy {
        /// What must not follow.
        next: Filter,
        /// For how long it must not have followed.
        lasting: Option<i64>,
    },
}

/// Which events are meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// By name; `None` is `"*"`: any event but the reserved ones.
    pub event: Option<String>,
    /// Tests by dotted path; an element of the path must pass all tests of it.
    pub tests: BTreeMap<String, Vec<Test>>,
    /// `since`: at or after this instant.
    pub since: Option<i64>,
    /// `until`: before this instant.
    pub until: Option<i64>,
}

/// A condition on a trait.
#[derive(Debug, Clone, PartialEq)]
pub struct TraitCondition {
    /// The dotted path; its first part is the register.
    pub path: String,
    /// What is asked of its value.
    pub what: TraitTest,
}

/// What is asked of a trait's value.
#[derive(Debug, Clone, PartialEq)]
pub enum TraitTest {
    /// An element passes all tests.
    Passes(Vec<Test>),
    /// The instant lies ahead by at most so many microseconds: t − D ≤ now < t.
    InNext(i64),
    /// The instant is past by less than so many microseconds: t ≤ now < t + D.
    InLast(i64),
}

/// A condition on a score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreCondition {
    /// The score's slug.
    pub score: String,
    /// What is asked of its points.
    pub bound: ScoreBound,
}

/// What is asked of a score's points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScoreBound {
    /// So many or more.
    AtLeast(Decimal),
    /// So many or fewer.
    AtMost(Decimal),
}

/// A score's definition: an event adds the points of every rule that it matches, for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreDefinition {
    /// What people call it.
    pub name: Option<String>,
    /// At least one.
    pub rules: Vec<Rule>,
}

/// A rule of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which events.
    pub filter: Filter,
    /// What one of them adds; may be negative.
    pub points: Decimal,
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// Every problem found, the first hundred of them.
    ///
    /// ```
    /// use weir_segment::Definition;
    /// let problems = Definition::parse(r#"{"when":{"event":"cart.added","atleast":3}}"#).unwrap_err();
    /// assert_eq!(problems[0].pointer, "/when/atleast");
    /// assert!(problems[0].message.contains("did you mean \"at_least\""));
    /// ```
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        parse::definition(text)
    }

    /// The slugs of the scores that it names, each once.
    pub fn scores(&self) -> Vec<&str> {
        let mut slugs = Vec::new();
        self.when.each(&mut |condition| {
            if let Condition::Score(score) = condition {
                slugs.push(score.score.as_str());
            }
        });
        slugs.sort_unstable();
        slugs.dedup();
        slugs
    }
}

impl ScoreDefinition {
    /// Reads a score's definition.
    ///
    /// # Errors
    /// Every problem found, the first hundred of them.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        parse::score_definition(text)
    }
}

impl Condition {
    /// Calls `visit` with this condition and all inside it.
    pub fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Condition)) {
        visit(self);
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each(visit)),
            Self::Not(part) => part.each(visit),
            Self::Event(_) | Self::Trait(_) | Self::Score(_) => {}
        }
    }
}
