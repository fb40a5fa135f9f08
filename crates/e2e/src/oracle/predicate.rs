//! Tests of values: `where`, and the tests of a trait.

use std::cmp::Ordering;

use super::{Decimal, Json};

/// One test of a value.
#[derive(Clone, Debug)]
pub enum Test {
    /// `eq`, or a scalar by itself.
    Eq(Json),
    /// `ne`: a value of the same type, but another.
    Ne(Json),
    /// `gt`
    Gt(Json),
    /// `gte`
    Gte(Json),
    /// `lt`
    Lt(Json),
    /// `lte`
    Lte(Json),
    /// `in`
    In(Vec<Json>),
    /// `contains`: a substring.
    Contains(String),
    /// `starts_with`
    StartsWith(String),
    /// `exists`
    Exists(bool),
}

/// All tests of one path.
#[derive(Clone, Debug)]
pub struct Tests {
    pub(super) path: Vec<String>,
    pub(super) tests: Vec<Test>,
}

impl Tests {
    /// Whether one value that the path reaches passes all tests.
    pub fn pass(&self, of: &Json) -> bool {
        self.pass_any(&of.reached(&self.path))
    }

    /// The same for values that were reached already.
    pub fn pass_any(&self, values: &[&Json]) -> bool {
        if values.is_empty() {
            return self.tests.iter().all(|test| matches!(test, Test::Exists(false)));
        }
        values.iter().any(|value| self.tests.iter().all(|test| test.passes(value)))
    }
}

impl Test {
    /// Whether a value that is there passes.
    fn passes(&self, value: &Json) -> bool {
        let is = |operand: &Json, wanted: &[Ordering]| compare(value, operand).is_some_and(|o| wanted.contains(&o));
        use Ordering::{Equal, Greater, Less};
        match self {
            Self::Eq(x) => is(x, &[Equal]),
            Self::Ne(x) => is(x, &[Less, Greater]),
            Self::Gt(x) => is(x, &[Greater]),
            Self::Gte(x) => is(x, &[Greater, Equal]),
            Self::Lt(x) => is(x, &[Less]),
            Self::Lte(x) => is(x, &[Less, Equal]),
            Self::In(options) => options.iter().any(|x| is(x, &[Equal])),
            Self::Contains(part) => value.text().is_some_and(|text| text.contains(part.as_str())),
            Self::StartsWith(part) => value.text().is_some_and(|text| text.starts_with(part.as_str())),
            Self::Exists(wanted) => *wanted,
        }
    }
}

/// How two values of one type compare; nothing for values of different types, and for numbers of 10¹⁸ or more.
fn compare(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::Text(a), Json::Text(b)) => Some(a.chars().cmp(b.chars())),
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        (Json::Number(a), Json::Number(b)) => Some(Decimal::parse(a)?.cmp(&Decimal::parse(b)?)),
        _ => None,
    }
}
