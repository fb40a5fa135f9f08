//! Reading event data where it lies: one level at a time, by path, without a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One JSON value, its parts still unread.
#[derive(Debug)]
pub enum Json<'a> {
    /// null
    Null,
    /// true or false
    Bool(bool),
    /// A number, as its digits stand in the text.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// The elements.
    Array(Vec<&'a RawValue>),
    /// Names and values in the order of the text; a name may stand there twice.
    Object(Vec<(Cow<'a, str>, &'a RawValue)>),
}

impl<'a> Json<'a> {
    /// Reads the outermost level of a value. What isn't well-formed Unicode inside reads as null.
    pub fn of(raw: &'a RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str::<Pairs<'a>>(text).map_or(Self::Null, |pairs| Self::Object(pairs.0)),
            Some(b'[') => serde_json::from_str(text).map_or(Self::Null, Self::Array),
            Some(b'"') => serde_json::from_str::<Text<'a>>(text).map_or(Self::Null, |text| Self::Text(text.0)),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(text),
        }
    }
}

/// Calls `visit` with every value that the dotted path reaches in an object: through arrays and into them, with
/// nested ones flattened. Nothing is reached by a missing name, null or an empty array. Of a name that stands twice
/// the last one counts.
pub fn reach<'a>(object: &'a RawValue, path: &str, visit: &mut dyn FnMut(Json<'a>)) {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    match Json::of(object) {
        Json::Object(pairs) => {
            let Some((_, value)) = pairs.iter().rev().find(|(key, _)| key == name) else { return };
            match rest {
                Some(rest) => reach(value, rest, visit),
                None => flatten(value, visit),
            }
        }
        Json::Array(items) => items.into_iter().for_each(|item| reach(item, path, visit)),
        _ => {}
    }
}

/// As [`reach`], from a value on: with no path left, the value itself.
pub fn reach_value<'a>(value: &'a RawValue, path: Option<&str>, visit: &mut dyn FnMut(Json<'a>)) {
    match path {
        Some(path) => reach(value, path, visit),
        None => flatten(value, visit),
    }
}

fn flatten<'a>(value: &'a RawValue, visit: &mut dyn FnMut(Json<'a>)) {
    match Json::of(value) {
        Json::Null => {}
        Json::Array(items) => items.into_iter().for_each(|item| flatten(item, visit)),
        other => visit(other),
    }
}

/// The values of the given object by name, in the order of the names, each once: the last one wins.
pub fn fields(object: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    let Json::Object(pairs) = Json::of(object) else { return Vec::new() };
    // Not by comparing every two names: one event has room for thousands of them.
    pairs.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}

struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
        Borrowed::deserialize(deserializer).map(|text| Self(text.0))
    }
}

struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<'a>(PhantomData<&'a ()>);
        impl<'de> Visitor<'de> for Reader<'de> {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    pairs.push((name.0, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(text: &str, path: &str) -> Vec<String> {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let mut found = Vec::new();
        reach(raw, path, &mut |json| {
            found.push(match json {
                Json::Number(n) => n.to_owned(),
                Json::Text(t) => t.into_owned(),
                Json::Bool(b) => b.to_string(),
                Json::Object(_) => "{}".to_owned(),
                other => format!("{other:?}"),
            });
        });
        found
    }

    #[test]
    fn paths_reach_through_objects_and_arrays() {
        assert_eq!(reached(r#"{"a":{"b":1.50}}"#, "a.b"), ["1.50"]);
        assert_eq!(reached(r#"{"a":[{"b":1},{"b":[2,[3,null]]},4,{"c":5}]}"#, "a.b"), ["1", "2", "3"]);
        assert_eq!(reached(r#"{"a":"x\n","a":"y"}"#, "a"), ["y"]);
        assert_eq!(reached(r#"{"\u0061":{"k":1}}"#, "a"), ["{}"]);
    }

    #[test]
    fn nothing_is_reached_by_what_is_not_there() {
        for text in [
            r#"{}"#,
            r#"{"a":null}"#,
            r#"{"a":[]}"#,
            r#"{"a":[[],[null]]}"#,
            r#"{"a.b":1}"#,
            r#"{"a":3}"#,
            "[]",
            "null",
        ] {
            assert!(reached(text, "a.b").is_empty(), "{text}");
        }
        assert!(reached(r#"{"a":[null]}"#, "a").is_empty());
    }
}
