//! Reading an object whose names are ours: each one once, none unknown, every problem collected.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;

use weir_event::value::Json;

/// One thing wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `unknown_field`, `duplicate_name`, `not_supported` or `invalid_definition`.
    pub code: &'static str,
    /// A JSON Pointer to the part.
    pub pointer: String,
    /// What is wrong with it and how to mend it.
    pub message: String,
}

/// How many problems are told at once: a text of megabytes may have one per byte.
const MAX_PROBLEMS: usize = 100;

/// Where in the definition we are, and what was found wrong so far.
pub(super) struct Place<'p> {
    pub(super) pointer: String,
    pub(super) problems: &'p mut Vec<Problem>,
}

impl Place<'_> {
    /// The part of this name or index inside this one.
    pub(super) fn inside(&mut self, name: &str) -> Place<'_> {
        let name = name.replace('~', "~0").replace('/', "~1");
        Place { pointer: format!("{}/{name}", self.pointer), problems: self.problems }
    }

    /// Notes a problem with this part.
    pub(super) fn wrong(&mut self, message: impl Into<String>) {
        self.problem("invalid_definition", message);
    }

    pub(super) fn problem(&mut self, code: &'static str, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { code, pointer: self.pointer.clone(), message: message.into() });
        }
    }
}

/// An object of ours: its fields are taken one by one, and what is left over is unknown.
pub(super) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Opens an object; notes a problem and answers `None` for anything else. `what` completes "must be an object …".
    pub(super) fn open(raw: &'a RawValue, place: &mut Place<'_>, what: &str) -> Option<Self> {
        let Json::Object(fields) = Json::of(raw) else {
            place.wrong(format!("must be an object {what}"));
            return None;
        };
        let mut once = BTreeSet::new();
        let mut kept = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            if once.insert(name.clone()) {
                kept.push((name, value));
            } else {
                place.inside(&name).problem("duplicate_name", format!("{name:?} stands here twice; keep one"));
            }
        }
        Some(Self { fields: kept, known: Vec::new() })
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, value)| field == name && value.get() != "null")
    }

    /// Whether the field is there and null.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, value)| field == name && value.get() == "null")
    }

    /// Whether every field was taken.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Takes a field; null is a value.
    pub(super) fn take_even_null(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.known.push(name);
        let at = self.fields.iter().position(|(field, _)| field == name)?;
        Some(self.fields.remove(at).1)
    }

    /// Takes a field; null is absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.take_even_null(name).filter(|value| value.get() != "null")
    }

    /// Takes a field that must be a string.
    pub(super) fn text(&mut self, name: &'static str, place: &mut Place<'_>) -> Option<String> {
        match Json::of(self.take(name)?) {
            Json::Text(text) if text.contains('\0') => {
                place.inside(name).wrong("contains a NUL character; remove it");
                None
            }
            Json::Text(text) => Some(text.into_owned()),
            _ => {
                place.inside(name).wrong("must be a string");
                None
            }
        }
    }

    /// Notes a problem for every field that nobody took. `later` are names that a later release will know.
    pub(super) fn finish(self, place: &mut Place<'_>, later: &[&str]) {
        for (name, value) in self.fields {
            if value.get() == "null" {
                continue;
            }
            let mut part = place.inside(&name);
            if later.contains(&name.as_ref()) {
                part.problem("not_supported", format!("{name:?} is not supported by this release"));
                continue;
            }
            let near = self.known.iter().filter(|known| distance(known, &name) <= 2).min_by_key(|k| distance(k, &name));
            let hint = match near {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known here are {}", self.known.join(", ")),
            };
            part.problem("unknown_field", format!("{name:?} is not known here; {hint}"));
        }
    }
}

/// How many characters must be put in, taken out or changed to make one name the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
