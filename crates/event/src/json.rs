//! What a JSON value must satisfy to be accepted: one pass over the text that keeps nothing.
//!
//! Kept as raw text on the log, a value is parsed again by every reader, so whatever a reader could stumble over is
//! refused at the door: nesting beyond [`limits::JSON_DEPTH`](crate::limits::JSON_DEPTH), a NUL (PostgreSQL's text
//! has none), a lone surrogate, a number that no finite double holds.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JsonFault {
    /// The kind of fault.
    pub kind: JsonFaultKind,
    /// A JSON Pointer to the part, from the value that was checked.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The kinds of [`JsonFault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonFaultKind {
    /// No JSON.
    Syntax,
    /// Nested too deeply.
    Depth,
    /// A number that no finite double holds.
    NumberRange,
    /// A NUL or a lone surrogate in a string.
    Text,
}

impl JsonFaultKind {
    /// The `code` of the error answer.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "json_invalid",
            Self::Depth => "json_too_deep",
            Self::NumberRange => "number_out_of_range",
            Self::Text => "text_invalid",
        }
    }
}

/// Checks one JSON text. `levels` is how many levels of nesting it may have.
///
/// # Errors
/// The first fault met, with a pointer to it.
pub fn check(text: &str, levels: usize) -> Result<(), JsonFault> {
    let mut walk = Walk { levels, path: String::new(), fault: None };
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let outcome = Value { walk: &mut walk, level: 0 }.deserialize(&mut parser).and_then(|()| parser.end());
    match (outcome, walk.fault) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some((kind, message))) => Err(JsonFault { kind, pointer: walk.path, message: message.to_owned() }),
        (Err(error), None) => Err(from_parser(&error, walk.path)),
    }
}

fn from_parser(error: &serde_json::Error, pointer: String) -> JsonFault {
    let said = error.to_string();
    let (kind, message) = if said.starts_with("number out of range") {
        (JsonFaultKind::NumberRange, "the number is out of range: no finite double holds it".to_owned())
    } else if said.contains("surrogate") || said.contains("unexpected end of hex escape") {
        (JsonFaultKind::Text, "the string holds a lone surrogate; send well-formed Unicode".to_owned())
    } else {
        (JsonFaultKind::Syntax, format!("not JSON: {said}"))
    };
    JsonFault { kind, pointer, message }
}

struct Walk {
    levels: usize,
    path: String,
    fault: Option<(JsonFaultKind, &'static str)>,
}

impl Walk {
    fn text<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        if text.as_bytes().contains(&0) {
            return Err(self.fail(JsonFaultKind::Text, "the text contains a NUL character; remove it"));
        }
        Ok(())
    }

    fn fail<E: serde::de::Error>(&mut self, kind: JsonFaultKind, message: &'static str) -> E {
        self.fault = Some((kind, message));
        E::custom(message)
    }

    fn step(&mut self, name: &str) {
        self.path.push('/');
        for c in name.chars() {
            match c {
                '~' => self.path.push_str("~0"),
                '/' => self.path.push_str("~1"),
                c => self.path.push(c),
            }
        }
    }
}

struct Value<'w> {
    walk: &'w mut Walk,
    level: usize,
}

impl Value<'_> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<usize, E> {
        if self.level == self.walk.levels {
            return Err(self.walk.fail(JsonFaultKind::Depth, "nested more than 32 levels deep; flatten it"));
        }
        Ok(self.level + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.walk.text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let level = self.enter()?;
        let depth = self.walk.path.len();
        for index in 0_usize.. {
            self.walk.step(itoa(index, &mut [0; 20]));
            if items.next_element_seed(Value { walk: self.walk, level })?.is_none() {
                break;
            }
            self.walk.path.truncate(depth);
        }
        self.walk.path.truncate(depth);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let level = self.enter()?;
        let depth = self.walk.path.len();
        while entries.next_key_seed(Key { walk: self.walk })?.is_some() {
            entries.next_value_seed(Value { walk: self.walk, level })?;
            self.walk.path.truncate(depth);
        }
        Ok(())
    }
}

/// Writes `index` without allocating: arrays are walked for every event.
fn itoa(mut index: usize, buffer: &mut [u8; 20]) -> &str {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(index % 10).unwrap_or(0);
        index /= 10;
        if index == 0 {
            return std::str::from_utf8(&buffer[at..]).unwrap_or("0");
        }
    }
}

struct Key<'w> {
    walk: &'w mut Walk,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        self.walk.step(name);
        self.walk.text(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (JsonFaultKind, String) {
        let fault = check(text, 4).unwrap_err();
        (fault.kind, fault.pointer)
    }

    #[test]
    fn accepts_json() {
        for text in ["null", "1e300", r#"{"a":[1,-2.5,true,null,"x\ud83d\ude00"],"a":2}"#, " [ ] ", "[[[[]]]]"] {
            assert_eq!(check(text, 4), Ok(()), "{text}");
        }
    }

    #[test]
    fn names_the_fault_and_the_part() {
        assert_eq!(fault("[[[[[]]]]]"), (JsonFaultKind::Depth, "/0/0/0/0".into()));
        assert_eq!(fault(r#"{"a/b":{"c":[0,"\u0000"]}}"#), (JsonFaultKind::Text, "/a~1b/c/1".into()));
        assert_eq!(fault(r#"{"a":"\ud800"}"#), (JsonFaultKind::Text, "/a".into()));
        assert_eq!(fault(r#"{"a":"\ud800\u0041"}"#), (JsonFaultKind::Text, "/a".into()));
        assert_eq!(fault(r#"{"a":1e400}"#), (JsonFaultKind::NumberRange, "/a".into()));
        assert_eq!(fault(r#"{"a":-1e999}"#), (JsonFaultKind::NumberRange, "/a".into()));
        assert_eq!(fault(r#"{"a\u0000":1}"#).0, JsonFaultKind::Text);
        assert_eq!(fault("{").0, JsonFaultKind::Syntax);
        assert_eq!(fault("1 2").0, JsonFaultKind::Syntax);
        assert_eq!(fault("").0, JsonFaultKind::Syntax);
        assert_eq!(fault("{\"a\":01}").0, JsonFaultKind::Syntax);
    }

    #[test]
    fn a_hundred_thousand_levels_are_refused_without_overflow() {
        assert_eq!(check(&"[".repeat(100_000), 32).unwrap_err().kind, JsonFaultKind::Depth);
    }
}
