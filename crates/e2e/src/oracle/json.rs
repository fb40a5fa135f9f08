//! JSON with numbers as they were written. A tree of `serde_json::Value` would hold them as doubles.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::Decimal;

/// A JSON value. Of a name given twice the last one counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, its digits as written.
    Number(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// What the parser says when it is no JSON.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| e.to_string())?;
        Self::of(raw)
    }

    fn of(raw: &RawValue) -> Result<Self, String> {
        let text = raw.get();
        let fault = |e: serde_json::Error| e.to_string();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(fault)?;
                Self::Object(fields.into_iter().map(|(k, v)| Ok((k, Self::of(v)?))).collect::<Result<_, String>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(fault)?;
                Self::List(items.into_iter().map(Self::of).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text).map_err(fault)?),
            Some(b't' | b'f') => Self::Bool(text == "true"),
            Some(b'n') => Self::Null,
            _ => Self::Number(text.to_owned()),
        })
    }

    /// The field of an object; nothing for any other value.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    /// The string that this is.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether both are one value: numbers by what they are, not by how they are written.
    pub fn same(&self, other: &Json) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => match (Decimal::parse(a), Decimal::parse(b)) {
                (Some(a), Some(b)) => a == b,
                (None, None) => a.parse::<f64>().ok() == b.parse::<f64>().ok(),
                _ => false,
            },
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((m, a), (n, b))| m == n && a.same(b))
            }
            _ => self == other,
        }
    }

    /// What is left when the path is followed: an array on the way or at the end stands for its elements, nested ones
    /// too; what is missing or null is nothing.
    pub fn reached<'a>(&'a self, path: &[String]) -> Vec<&'a Json> {
        match (self, path) {
            (Self::List(items), _) => items.iter().flat_map(|item| item.reached(path)).collect(),
            (Self::Null, _) => Vec::new(),
            (value, []) => vec![value],
            (value, [name, rest @ ..]) => value.get(name).map(|inner| inner.reached(rest)).unwrap_or_default(),
        }
    }

    /// How many levels of arrays and objects this has.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(fields) => 1 + fields.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether `bad` holds for a value in here; names of fields are looked at as strings.
    pub(super) fn any(&self, bad: &dyn Fn(&Json) -> bool) -> bool {
        bad(self)
            || match self {
                Self::List(items) => items.iter().any(|item| item.any(bad)),
                Self::Object(fields) => fields.iter().any(|(name, v)| bad(&Json::Text(name.clone())) || v.any(bad)),
                _ => false,
            }
    }
}
