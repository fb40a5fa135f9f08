//! A strict reader for the request objects that are ours: nothing sent is dropped in silence.
//!
//! Invariant: a field that isn't known, or is given twice, is refused; every getter takes its value from the one
//! place where the text has it. The rejected alternative, `#[derive(Deserialize)]` with `deny_unknown_fields`, stops at
//! the first fault, names no part and offers no remedy. Values stay borrowed text (`RawValue`), so that what is
//! recorded is what was sent, and a good item costs one allocation.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;
use weir_event::{Identifier, IdentifierKind, Timestamp, json, limits};

use crate::problem::{FieldError, Problem};
use crate::profile_ref::parse_uuid;
use crate::suggest;

/// One JSON object whose fields are known beforehand. The getters answer `None` for a field that is absent or null and
/// for one at fault; what is at fault is collected, and [`finish`](Self::finish) refuses it all at once.
///
/// ```
/// use weir_http::JsonObject;
/// let mut object = JsonObject::parse(r#"{"name":"cart.added","nmae":1}"#, &["name", "properties"]).unwrap();
/// assert_eq!(object.string("name").as_deref(), Some("cart.added"));
/// let problem = object.finish().unwrap_err();
/// assert_eq!(problem.detail(), "/nmae: is not a field here; did you mean `name`?");
/// ```
#[derive(Debug)]
pub struct JsonObject<'a> {
    fields: &'static [&'static str],
    values: Vec<Option<&'a RawValue>>,
    faults: Vec<(&'static str, FieldError)>,
}

impl<'a> JsonObject<'a> {
    /// Reads `text`, for which [`json::check`] has been asked already or will be: depth, numbers and the text inside
    /// nested values are not looked at.
    ///
    /// # Errors
    /// 400 `json_invalid`, 400 `duplicate_name` for a known field given twice, 422 if it is no object.
    pub fn parse(text: &'a str, fields: &'static [&'static str]) -> Result<Self, Problem> {
        let mut object = Self { fields, values: vec![None; fields.len()], faults: Vec::new() };
        let mut twice = None;
        let mut parser = serde_json::Deserializer::from_str(text);
        let outcome = parser.deserialize_map(Fields { object: &mut object, twice: &mut twice });
        if outcome.and_then(|()| parser.end()).is_err() {
            return Err(unreadable(text));
        }
        match twice {
            Some(name) => Err(Problem::duplicate_name(&pointer(name))),
            None => Ok(object),
        }
    }

    /// Reads `text` after [`json::check`]: for requests that are one object.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse), and 422 for nesting, numbers and text that no reader could take.
    pub fn checked(text: &'a str, fields: &'static [&'static str]) -> Result<Self, Problem> {
        json::check(text, limits::JSON_DEPTH)?;
        Self::parse(text, fields)
    }

    /// Whether the field is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// The value of the field as it was sent; null is absent.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let slot = self.fields.iter().position(|field| *field == name);
        debug_assert!(slot.is_some(), "`{name}` is not among the fields of this object");
        self.values[slot?].filter(|value| value.get() != "null")
    }

    /// A string.
    pub fn string(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?.get();
        match unquote(raw) {
            Ok(text) => Some(text),
            Err((code, message)) => self.fault(code, name, message),
        }
    }

    /// A string of 1 to `max` bytes.
    pub fn bounded(&mut self, name: &'static str, max: usize) -> Option<Cow<'a, str>> {
        let text = self.string(name)?;
        if text.is_empty() {
            return self.fault("field_invalid", name, "must not be empty");
        }
        if text.len() > max {
            return self.fault("field_invalid", name, format!("has {} bytes; at most {max} are accepted", text.len()));
        }
        Some(text)
    }

    /// A string, or a number taken as its text.
    pub fn string_or_number(&mut self, name: &'static str) -> Option<Cow<'a, str>> {
        match self.raw(name)?.get() {
            number if is_number(number) => Some(Cow::Borrowed(number)),
            _ => self.string(name),
        }
    }

    /// A UUID in its usual text.
    pub fn uuid(&mut self, name: &'static str) -> Option<Uuid> {
        let text = self.string(name)?;
        match parse_uuid(&text) {
            Some(uuid) => Some(uuid),
            None => self.fault("field_invalid", name, "must be a UUID, such as 01890a5d-ac96-774b-bcce-b302099a8057"),
        }
    }

    /// An RFC 3339 instant.
    pub fn instant(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.string(name)?;
        match Timestamp::parse(&text) {
            Ok(instant) => Some(instant),
            Err(error) => self.fault("field_invalid", name, error.to_string()),
        }
    }

    /// An identifier of a profile.
    pub fn identifier(&mut self, name: &'static str, kind: IdentifierKind) -> Option<Identifier> {
        let text = self.string(name)?;
        match Identifier::new(kind, &text) {
            Ok(identifier) => Some(identifier),
            Err(error) => self.fault("field_invalid", name, error.to_string()),
        }
    }

    /// An object, as it was sent.
    pub fn object(&mut self, name: &'static str) -> Option<&'a RawValue> {
        let raw = self.raw(name)?;
        if raw.get().starts_with('{') {
            return Some(raw);
        }
        self.fault("field_invalid", name, "must be an object")
    }

    /// A number without fraction, not negative.
    pub fn integer(&mut self, name: &'static str) -> Option<u64> {
        match self.raw(name)?.get().parse() {
            Ok(number) => Some(number),
            Err(_) => self.fault("field_invalid", name, "must be a whole number, not negative"),
        }
    }

    /// true or false.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        match self.raw(name)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.fault("field_invalid", name, "must be true or false"),
        }
    }

    /// Collects `field_missing` if the field is absent or null.
    pub fn require(&mut self, name: &'static str) {
        if !self.has(name) {
            self.refuse("field_missing", name, "is required");
        }
    }

    /// Collects a fault of the field that only the caller can see.
    pub fn refuse(&mut self, code: &'static str, name: &str, message: impl Into<String>) {
        self.faults.push((code, FieldError::new(pointer(name), message)));
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with every fault collected; the problem's code is that of the first.
    pub fn finish(self) -> Result<(), Problem> {
        match self.faults.first() {
            None => Ok(()),
            Some(&(code, _)) => Err(Problem::invalid(code, self.faults.into_iter().map(|(_, error)| error).collect())),
        }
    }

    #[cold]
    fn fault<T>(&mut self, code: &'static str, name: &str, message: impl Into<String>) -> Option<T> {
        self.refuse(code, name, message);
        None
    }

    #[cold]
    fn unknown(&mut self, name: &str) {
        let message = format!("is not a field here; {}", suggest::remedy(name, self.fields));
        self.refuse("unknown_field", name, message);
    }
}

struct Fields<'o, 'a> {
    object: &'o mut JsonObject<'a>,
    twice: &'o mut Option<&'static str>,
}

impl<'a> Visitor<'a> for Fields<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = entries.next_key()? {
            let value: &'a RawValue = entries.next_value()?;
            match self.object.fields.iter().position(|field| *field == name) {
                None => self.object.unknown(&name),
                Some(slot) if self.object.values[slot].is_some() => *self.twice = Some(self.object.fields[slot]),
                Some(slot) => self.object.values[slot] = Some(value),
            }
        }
        Ok(())
    }
}

/// A name, borrowed unless it has escapes: `Cow`'s own `Deserialize` always copies.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The text of a JSON string.
fn unquote(raw: &str) -> Result<Cow<'_, str>, (&'static str, &'static str)> {
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Err(("field_invalid", "must be a string"));
    };
    // Without an escape, the text between the quotes is the string: the parser let no control character pass.
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(inner));
    }
    match serde_json::from_str::<String>(raw) {
        Ok(text) if text.contains('\0') => Err(("text_invalid", "contains a NUL character; remove it")),
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_) => Err(("text_invalid", "holds a lone surrogate; send well-formed Unicode")),
    }
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cold]
fn unreadable(text: &str) -> Problem {
    match json::check(text, limits::JSON_DEPTH) {
        Err(fault) => fault.into(),
        Ok(()) => Problem::invalid_field("field_invalid", "", "must be a JSON object"),
    }
}
