//! `{id}` in a path: a profile's UUID or a name of it.

use uuid::Uuid;
use weir_event::{Identifier, IdentifierKind, ProfileId};

use crate::problem::Problem;

/// What a path calls a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileRef {
    /// By its UUID.
    Id(ProfileId),
    /// By a name: `email:…`, `user:…` or `anonymous:…`.
    Name(Identifier),
}

impl ProfileRef {
    /// Reads one path segment, percent-decoded already (as axum's `Path` hands it over).
    ///
    /// # Errors
    /// 422 `profile_id_invalid`, naming the forms there are. Not 404: such a profile can't exist, and who pasted half
    /// an id should hear so.
    ///
    /// ```
    /// use weir_http::ProfileRef;
    /// assert!(matches!(ProfileRef::parse("user:13"), Ok(ProfileRef::Name(_))));
    /// assert_eq!(ProfileRef::parse("13").unwrap_err().code(), "profile_id_invalid");
    /// ```
    pub fn parse(segment: &str) -> Result<Self, Problem> {
        if let Some(id) = parse_uuid(segment) {
            return Ok(Self::Id(ProfileId(id)));
        }
        let Some((word, value)) = segment.split_once(':') else { return Err(refused("")) };
        let Some(kind) = IdentifierKind::parse(word) else { return Err(refused("")) };
        match Identifier::new(kind, value) {
            Ok(identifier) => Ok(Self::Name(identifier)),
            Err(error) => Err(refused(&format!("the name after `{word}:` {error}; "))),
        }
    }

    /// The profile's id in the workspace whose namespace is given.
    pub fn resolve(&self, namespace: Uuid) -> ProfileId {
        match self {
            Self::Id(id) => *id,
            Self::Name(identifier) => identifier.profile_id(namespace),
        }
    }
}

/// The usual text of a UUID: 36 characters with hyphens, in either case.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

#[cold]
fn refused(why: &str) -> Problem {
    let forms = "a profile is named by its UUID, `email:ada@example.com`, `user:13` or `anonymous:…` (percent-encoded)";
    Problem::invalid_field("profile_id_invalid", "", format!("{why}{forms}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let id = Uuid::from_u128(9);
        assert_eq!(ProfileRef::parse(&id.to_string()).unwrap().resolve(Uuid::nil()), ProfileId(id));
        let space = Uuid::from_u128(1);
        for (text, kind, value) in [
            ("email:Ada@Example.com", IdentifierKind::Email, "ada@example.com"),
            ("user:a:b/c", IdentifierKind::User, "a:b/c"),
            ("anonymous:x", IdentifierKind::Anonymous, "x"),
        ] {
            let expected = Identifier { kind, value: value.to_owned() };
            assert_eq!(ProfileRef::parse(text).unwrap().resolve(space), expected.profile_id(space));
            assert_eq!(ProfileRef::parse(text).unwrap(), ProfileRef::Name(expected));
        }
    }

    #[test]
    fn refuses_the_rest_and_names_the_forms() {
        let simple = Uuid::from_u128(9).simple().to_string();
        for text in ["", "13", "ada@example.com", "phone:1", "user:", "email:ada", "user:a\0", simple.as_str()] {
            let problem = ProfileRef::parse(text).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (422, "profile_id_invalid"), "{text}");
            assert!(problem.detail().contains("UUID"), "{problem}");
        }
    }
}
