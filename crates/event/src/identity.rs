//! Who an event is about: identifiers, and the ids that follow from them.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::limits;

/// The id of a profile as sent.
///
/// Ids compare byte by byte, which is the order of their usual text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(pub Uuid);

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of name an identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentifierKind {
    /// An e-mail address, compared trimmed and in lower case.
    Email,
    /// An id that the sender gives to a user that it knows.
    User,
    /// An id that the sender gives to a visitor that it doesn't know.
    Anonymous,
}

impl IdentifierKind {
    /// The word used on the log and in URLs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::User => "user",
            Self::Anonymous => "anonymous",
        }
    }

    /// The kind that `word` stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Email, Self::User, Self::Anonymous].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A name of a profile, normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    /// What kind of name it is.
    pub kind: IdentifierKind,
    /// The name, as it is compared.
    pub value: String,
}

/// The text can't be an identifier of that kind; the message says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdentifierRefused(&'static str);

impl Identifier {
    /// Normalises `value` and checks it.
    ///
    /// # Errors
    /// An empty or overlong value, a NUL, or an e-mail address without exactly one `@` between two parts.
    ///
    /// ```
    /// use weir_event::{Identifier, IdentifierKind};
    /// let id = Identifier::new(IdentifierKind::Email, " Ada@Example.com ").unwrap();
    /// assert_eq!(id.value, "ada@example.com");
    /// ```
    pub fn new(kind: IdentifierKind, value: &str) -> Result<Self, IdentifierRefused> {
        let value = match kind {
            IdentifierKind::Email => value.trim().to_lowercase(),
            IdentifierKind::User | IdentifierKind::Anonymous => value.to_owned(),
        };
        if value.is_empty() {
            return Err(IdentifierRefused("must not be empty"));
        }
        if value.len() > limits::IDENTIFIER_BYTES {
            return Err(IdentifierRefused("is longer than 500 bytes"));
        }
        if value.contains('\0') {
            return Err(IdentifierRefused("contains a NUL character"));
        }
        if kind == IdentifierKind::Email && !looks_like_email(&value) {
            return Err(IdentifierRefused("is not an e-mail address, such as ada@example.com"));
        }
        Ok(Self { kind, value })
    }

    /// The id of the profile that this names, in the workspace whose namespace is given.
    pub fn profile_id(&self, namespace: Uuid) -> ProfileId {
        let name = format!("{}:{}", self.kind.as_str(), self.value);
        ProfileId(Uuid::new_v5(&namespace, name.as_bytes()))
    }
}

fn looks_like_email(value: &str) -> bool {
    let Some((local, domain)) = value.split_once('@') else { return false };
    !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !value.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_one_profile_however_it_is_written() {
        let space = Uuid::from_u128(7);
        let id = |text| Identifier::new(IdentifierKind::Email, text).unwrap().profile_id(space);
        assert_eq!(id("ada@example.com"), id("  ADA@Example.COM\n"));
        assert_ne!(id("ada@example.com"), id("eda@example.com"));
    }

    #[test]
    fn kind_and_namespace_are_part_of_the_id() {
        let user = Identifier::new(IdentifierKind::User, "a@b").unwrap();
        let email = Identifier::new(IdentifierKind::Email, "a@b").unwrap();
        assert_ne!(user.profile_id(Uuid::nil()), email.profile_id(Uuid::nil()));
        assert_ne!(user.profile_id(Uuid::nil()), user.profile_id(Uuid::max()));
    }

    #[test]
    fn refuses_what_names_nobody() {
        for text in ["", "   ", "ada", "@", "a@", "@b", "a@b@c", "a b@c", "a\0@b"] {
            assert!(Identifier::new(IdentifierKind::Email, text).is_err(), "{text:?}");
        }
        assert!(Identifier::new(IdentifierKind::User, "").is_err());
        assert!(Identifier::new(IdentifierKind::User, &"x".repeat(501)).is_err());
    }
}
