//! What is known about a profile: its identifier, and registers for its name, e-mail and traits.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use weir_event::{Event, EventKey, Identifier, IdentifierKind, is_reserved};

use weir_event::codec::{Damaged, Reader, put_bytes, put_u64};
use weir_event::value::{Json, fields};

/// What facts have said about a profile.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Facts {
    /// The name that it was sent by; it has none as long as it was sent by id only.
    pub identifier: Option<Identifier>,
    /// `at` of its latest fact.
    pub updated: Option<i64>,
    /// The `name` that stands beside the traits.
    pub name: Option<Register>,
    /// The `email` that stands beside the traits.
    pub email: Option<Register>,
    /// A register per top-level trait.
    pub traits: BTreeMap<String, Register>,
}

/// A value, and the event that wrote it: the latest write wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Which write.
    pub key: EventKey,
    /// JSON text; `None` was deleted, and stays so against older writes.
    pub value: Option<Box<str>>,
}

impl Facts {
    /// Takes in what an event says about its profile and answers the top-level traits that it wrote.
    pub(crate) fn fold(&mut self, event: &Event<'_>) -> Vec<String> {
        let mut written = Vec::new();
        if join_identifier(&mut self.identifier, event.identifier) {
            written.push("email".to_owned());
        }
        if !is_reserved(event.name) {
            return written;
        }
        self.updated = self.updated.max(Some(event.key.at));
        let Some(data) = event.data else { return written };
        for (field, value) in fields(data) {
            match field.as_ref() {
                "name" if value.get() != "null" => write(&mut self.name, event, value),
                "email" if value.get() != "null" => write(&mut self.email, event, value),
                "traits" => {
                    self.fold_traits(event, value, &mut written);
                    continue;
                }
                _ => continue,
            }
            written.push(field.into_owned());
        }
        written
    }

    fn fold_traits(&mut self, event: &Event<'_>, traits: &RawValue, written: &mut Vec<String>) {
        for (name, value) in fields(traits) {
            let mut slot = self.traits.remove(name.as_ref());
            write(&mut slot, event, value);
            written.push(name.to_string());
            self.traits.extend(slot.map(|register| (name.into_owned(), register)));
        }
    }

    /// The value of a top-level trait, as JSON text.
    ///
    /// `name` is the later of the name beside the traits and the trait, the one beside them first within one fact;
    /// `email` is the identifier's, else likewise.
    pub fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let trait_of = self.traits.get(name);
        let latest = match name {
            "name" => later(self.name.as_ref(), trait_of),
            "email" => match self.email_identity() {
                Some(email) => return Some(Cow::Owned(serde_json::Value::from(email).to_string())),
                None => later(self.email.as_ref(), trait_of),
            },
            _ => trait_of,
        };
        latest.and_then(|register| register.value.as_deref()).map(Cow::Borrowed)
    }

    /// The e-mail address that is its identifier.
    pub fn email_identity(&self) -> Option<&str> {
        self.identifier.as_ref().filter(|id| id.kind == IdentifierKind::Email).map(|id| id.value.as_str())
    }

    /// The traits that aren't deleted, as JSON text by name.
    pub fn traits(&self) -> impl Iterator<Item = (&str, &str)> {
        self.traits.iter().filter_map(|(name, register)| Some((name.as_str(), register.value.as_deref()?)))
    }

    /// The join of both: the latest write of each register.
    pub(crate) fn join(&mut self, other: &Facts) {
        join_identifier(&mut self.identifier, other.identifier.as_ref());
        self.updated = self.updated.max(other.updated);
        join_register(&mut self.name, other.name.as_ref());
        join_register(&mut self.email, other.email.as_ref());
        for (name, register) in &other.traits {
            let mut slot = self.traits.remove(name);
            join_register(&mut slot, Some(register));
            self.traits.extend(slot.map(|register| (name.clone(), register)));
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match &self.identifier {
            None => out.push(0),
            Some(id) => {
                out.push(match id.kind {
                    IdentifierKind::Email => 1,
                    IdentifierKind::User => 2,
                    IdentifierKind::Anonymous => 3,
                });
                put_bytes(out, id.value.as_bytes());
            }
        }
        match self.updated {
            None => out.push(0),
            Some(at) => {
                out.push(1);
                out.extend_from_slice(&at.to_be_bytes());
            }
        }
        write_register(self.name.as_ref(), out);
        write_register(self.email.as_ref(), out);
        put_u64(out, self.traits.len() as u64);
        for (name, register) in &self.traits {
            put_bytes(out, name.as_bytes());
            write_register(Some(register), out);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let kind = match reader.u8()? {
            0 => None,
            1 => Some(IdentifierKind::Email),
            2 => Some(IdentifierKind::User),
            3 => Some(IdentifierKind::Anonymous),
            _ => return Err(Damaged("an unknown kind of identifier")),
        };
        let identifier = match kind {
            None => None,
            Some(kind) => Some(Identifier { kind, value: reader.text()?.to_owned() }),
        };
        let updated = match reader.u8()? {
            0 => None,
            _ => Some(i64::from_be_bytes(reader.array()?)),
        };
        let (name, email) = (read_register(reader)?, read_register(reader)?);
        let mut traits = BTreeMap::new();
        for _ in 0..reader.u64()? {
            let name = reader.text()?.to_owned();
            traits.extend(read_register(reader)?.map(|register| (name, register)));
        }
        Ok(Self { identifier, updated, name, email, traits })
    }
}

fn write(slot: &mut Option<Register>, event: &Event<'_>, value: &RawValue) {
    let value = match Json::of(value) {
        Json::Null => None,
        _ => Some(value.get().into()),
    };
    join_register(slot, Some(&Register { key: event.key.clone(), value }));
}

/// Keeps the least of both, and answers whether that is another one now. A profile as sent has one name at most, since
/// its id is made of it; where a log says otherwise, the order of its records doesn't choose.
fn join_identifier(slot: &mut Option<Identifier>, other: Option<&Identifier>) -> bool {
    let Some(other) = other else { return false };
    let replaces = slot.as_ref().is_none_or(|kept| other < kept);
    if replaces {
        *slot = Some(other.clone());
    }
    replaces
}

fn join_register(slot: &mut Option<Register>, other: Option<&Register>) {
    if let Some(other) = other
        && slot.as_ref().is_none_or(|kept| kept.key < other.key)
    {
        *slot = Some(other.clone());
    }
}

fn later<'a>(first: Option<&'a Register>, second: Option<&'a Register>) -> Option<&'a Register> {
    match (first, second) {
        (Some(first), Some(second)) => Some(if second.key > first.key { second } else { first }),
        (first, second) => first.or(second),
    }
}

fn write_register(register: Option<&Register>, out: &mut Vec<u8>) {
    match register {
        None => out.push(0),
        Some(Register { key, value: None }) => {
            out.push(1);
            key.write(out);
        }
        Some(Register { key, value: Some(value) }) => {
            out.push(2);
            key.write(out);
            put_bytes(out, value.as_bytes());
        }
    }
}

fn read_register(reader: &mut Reader<'_>) -> Result<Option<Register>, Damaged> {
    Ok(match reader.u8()? {
        0 => None,
        1 => Some(Register { key: EventKey::read(reader)?, value: None }),
        2 => Some(Register { key: EventKey::read(reader)?, value: Some(reader.text()?.into()) }),
        _ => return Err(Damaged("an unknown kind of register")),
    })
}
