//! Tests on values: of properties in `where`, of traits.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object::{Object, Place};
use weir_event::Decimal;
use weir_event::value::Json;

/// A value that a test compares with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// true or false
    Bool(bool),
    /// A number by its digits.
    Number(Decimal),
    /// A string; compared by code point.
    Text(String),
}

/// One test on an element that a path reaches. A value of another type passes none, but it exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// Equal.
    Eq(Scalar),
    /// Of the same type and not equal.
    Ne(Scalar),
    /// Greater.
    Gt(Scalar),
    /// Greater or equal.
    Gte(Scalar),
    /// Less.
    Lt(Scalar),
    /// Less or equal.
    Lte(Scalar),
    /// Equal to one of them.
    In(Vec<Scalar>),
    /// A string with this in it.
    Contains(String),
    /// A string that starts with this.
    StartsWith(String),
    /// Whether the path reaches anything.
    Exists(bool),
}

/// A value met in data, as far as a test can compare it.
pub(crate) enum Met<'a> {
    Bool(bool),
    Number(Decimal),
    Text(Cow<'a, str>),
    /// Something that exists and equals nothing: an object, or a number too large.
    Other,
}

impl<'a> Met<'a> {
    pub(crate) fn of(json: Json<'a>) -> Self {
        match json {
            Json::Bool(value) => Self::Bool(value),
            Json::Number(digits) => Decimal::parse(digits).map_or(Self::Other, Self::Number),
            Json::Text(text) => Self::Text(text),
            _ => Self::Other,
        }
    }

    fn compare(&self, with: &Scalar) -> Option<std::cmp::Ordering> {
        match (self, with) {
            (Self::Bool(a), Scalar::Bool(b)) => Some(a.cmp(b)),
            (Self::Number(a), Scalar::Number(b)) => Some(a.cmp(b)),
            (Self::Text(a), Scalar::Text(b)) => Some(a.as_ref().cmp(b.as_str())),
            _ => None,
        }
    }
}

impl Test {
    /// Whether an element that is there passes.
    pub(crate) fn passes(&self, met: &Met<'_>) -> bool {
        let compare = |with, holds: fn(std::cmp::Ordering) -> bool| met.compare(with).is_some_and(holds);
        match (self, met) {
            (Self::Eq(with), _) => compare(with, std::cmp::Ordering::is_eq),
            (Self::Ne(with), _) => compare(with, std::cmp::Ordering::is_ne),
            (Self::Gt(with), _) => compare(with, std::cmp::Ordering::is_gt),
            (Self::Gte(with), _) => compare(with, std::cmp::Ordering::is_ge),
            (Self::Lt(with), _) => compare(with, std::cmp::Ordering::is_lt),
            (Self::Lte(with), _) => compare(with, std::cmp::Ordering::is_le),
            (Self::In(any), _) => any.iter().any(|with| compare(with, std::cmp::Ordering::is_eq)),
            (Self::Contains(part), Met::Text(text)) => text.contains(part.as_str()),
            (Self::StartsWith(part), Met::Text(text)) => text.starts_with(part.as_str()),
            (Self::Contains(_) | Self::StartsWith(_), _) => false,
            (Self::Exists(exists), _) => *exists,
        }
    }
}

/// Whether the path reaches an element of `object` that passes all tests; where it reaches nothing, whether they
/// only ask for that.
pub(crate) fn reaches(object: Option<&RawValue>, path: &str, tests: &[Test]) -> bool {
    reaches_value(object, Some(path), tests)
}

/// As [`reaches`], from a value on: with no path left, the value itself.
pub(crate) fn reaches_value(value: Option<&RawValue>, path: Option<&str>, tests: &[Test]) -> bool {
    let (mut any, mut passed) = (false, false);
    if let Some(value) = value {
        weir_event::value::reach_value(value, path, &mut |json| {
            any = true;
            let met = Met::of(json);
            passed = passed || tests.iter().all(|test| test.passes(&met));
        });
    }
    passed || (!any && tests.iter().all(|test| *test == Test::Exists(false)))
}

/// A test by its name, and what it is made of.
type Named<T> = (&'static str, fn(T) -> Test);

/// What is said of a test against null.
const NULL: &str = "no test passes null; use {\"exists\": false}";

/// Reads the tests of a path: a scalar, which means `eq`, or an object of tests.
pub(super) fn parse(raw: &RawValue, place: &mut Place<'_>) -> Vec<Test> {
    if !raw.get().starts_with('{') {
        return scalar(raw, place).map(Test::Eq).into_iter().collect();
    }
    let Some(mut object) = Object::open(raw, place, "of tests") else { return Vec::new() };
    let before = place.problems.len();
    let tests = take(&mut object, place);
    if tests.is_empty() && object.is_empty() && place.problems.len() == before {
        place.wrong("says nothing; give a value, or a test such as {\"exists\": true}");
    }
    object.finish(place, &[]);
    tests
}

/// Takes the tests out of an object that may hold other fields too; sorted, so that equal tests are one.
pub(super) fn take(object: &mut Object<'_>, place: &mut Place<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    let comparisons: [Named<Scalar>; 6] = [
        ("eq", Test::Eq),
        ("ne", Test::Ne),
        ("gt", Test::Gt),
        ("gte", Test::Gte),
        ("lt", Test::Lt),
        ("lte", Test::Lte),
    ];
    for (name, test) in comparisons {
        let Some(raw) = object.take_even_null(name) else { continue };
        let mut part = place.inside(name);
        let Some(value) = scalar(raw, &mut part) else { continue };
        if matches!(value, Scalar::Bool(_)) && !matches!(name, "eq" | "ne") {
            part.wrong("true and false have no order; use \"eq\"");
        } else {
            tests.push(test(value));
        }
    }
    for name in ["in", "contains", "starts_with", "exists"] {
        if object.is_null(name) {
            place.inside(name).wrong(NULL);
        }
    }
    if let Some(raw) = object.take("in") {
        tests.extend(list(raw, &mut place.inside("in")).map(Test::In));
    }
    let parts: [Named<String>; 2] = [("contains", Test::Contains), ("starts_with", Test::StartsWith)];
    for (name, test) in parts {
        tests.extend(object.text(name, place).map(test));
    }
    if let Some(raw) = object.take("exists") {
        match Json::of(raw) {
            Json::Bool(exists) => tests.push(Test::Exists(exists)),
            _ => place.inside("exists").wrong("must be true or false"),
        }
    }
    tests.sort();
    tests.dedup();
    tests
}

fn list(raw: &RawValue, place: &mut Place<'_>) -> Option<Vec<Scalar>> {
    let Json::Array(items) = Json::of(raw) else {
        place.wrong("must be an array of strings, numbers or booleans");
        return None;
    };
    let before = place.problems.len();
    let mut values: Vec<Scalar> =
        items.iter().enumerate().filter_map(|(i, item)| scalar(item, &mut place.inside(&i.to_string()))).collect();
    values.sort();
    values.dedup();
    (place.problems.len() == before).then_some(values)
}

fn scalar(raw: &RawValue, place: &mut Place<'_>) -> Option<Scalar> {
    match Json::of(raw) {
        Json::Bool(value) => Some(Scalar::Bool(value)),
        Json::Text(text) => Some(Scalar::Text(text.into_owned())),
        Json::Number(digits) => match Decimal::parse(digits) {
            Some(number) => Some(Scalar::Number(number)),
            None => {
                place.wrong("the number is too large to compare with: its size must be below 10^18");
                None
            }
        },
        Json::Null => {
            place.wrong(NULL);
            None
        }
        Json::Array(_) | Json::Object(_) => {
            place.wrong("must be a string, a number, true or false");
            None
        }
    }
}
