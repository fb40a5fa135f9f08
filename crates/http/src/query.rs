//! Query strings: every parameter is known, given once and well formed, or the request is 400.

use std::borrow::Cow;

use axum::http::Uri;
use percent_encoding::percent_decode_str;
use weir_event::{Identifier, IdentifierKind, Timestamp};

use crate::problem::{FieldError, Problem};
use crate::suggest;

/// Rows of a page when `limit` isn't given.
pub const DEFAULT_LIMIT: usize = 100;
/// The most rows that a page may have.
pub const MAX_LIMIT: usize = 1_000;

/// The parameters of a request.
///
/// ```
/// use weir_http::Query;
/// let uri = "/api/segments?limit=10".parse().unwrap();
/// assert_eq!(Query::parse(&uri, &["limit", "cursor"]).unwrap().limit().unwrap(), 10);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads the query string of `uri`; `known` are the parameters that the route has.
    ///
    /// # Errors
    /// 400 `unknown_parameter`, `duplicate_parameter`, or `query_invalid` for what isn't UTF-8 when decoded.
    pub fn parse(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&name.as_str()) {
                let remedy = suggest::remedy(&name, known);
                return Err(refused("unknown_parameter", &name, &format!("is not a parameter here; {remedy}")));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(refused("duplicate_parameter", &name, "is given twice; send it once"));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// `limit`: [`DEFAULT_LIMIT`] if not given.
    ///
    /// # Errors
    /// 400 `limit_invalid` unless it is a whole number from 1 to [`MAX_LIMIT`].
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(DEFAULT_LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| refused("limit_invalid", "limit", "must be a whole number from 1 to 1000"))
    }

    /// `as_of`, an RFC 3339 instant.
    ///
    /// # Errors
    /// 400 `as_of_invalid`.
    pub fn as_of(&self) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get("as_of") else { return Ok(None) };
        // An instant has no blanks: one that is here was the `+` of an offset, pasted without encoding.
        let instant = Timestamp::parse(&text.replace(' ', "+"));
        instant.map(Some).map_err(|error| refused("as_of_invalid", "as_of", &error.to_string()))
    }

    /// A bound of a time: an RFC 3339 instant, or a day of UTC (`2026-11-01`), which is its first instant.
    ///
    /// # Errors
    /// 400 `instant_invalid`.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let text = text.replace(' ', "+");
        let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text };
        let refused = |error| {
            refused(
                "instant_invalid",
                name,
                &format!("must be an instant, or a day of UTC such as 2026-11-20: {error}"),
            )
        };
        Timestamp::parse(&whole).map(Some).map_err(|error| refused(error.to_string()))
    }

    /// The one of `values` that a parameter has; the first one if it isn't given.
    ///
    /// # Errors
    /// 400 `parameter_invalid`.
    pub fn choice<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Result<T, Problem> {
        let Some(text) = self.get(name) else { return Ok(values[0].1) };
        let found = values.iter().find(|(value, _)| *value == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = values.iter().map(|(value, _)| format!("`{value}`")).collect();
            refused("parameter_invalid", name, &format!("must be one of {}", names.join(", ")))
        })
    }

    /// `cursor`, opaque; what it says is the list's business.
    pub fn cursor(&self) -> Option<&str> {
        self.get("cursor")
    }

    /// The one of `email`, `user_id` and `anonymous_id` that is given.
    ///
    /// # Errors
    /// 400 `parameter_conflict` if there are several; 422 `identifier_invalid` if it can't be one.
    pub fn identifier(&self) -> Result<Option<Identifier>, Problem> {
        let names = [
            ("email", IdentifierKind::Email),
            ("user_id", IdentifierKind::User),
            ("anonymous_id", IdentifierKind::Anonymous),
        ];
        let mut given = names.into_iter().filter_map(|(name, kind)| Some((name, kind, self.get(name)?)));
        let Some((name, kind, value)) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(refused("parameter_conflict", name, "name the profile by one parameter only"));
        }
        let value = match kind {
            // As with instants: an address has no blanks inside, but many have a `+`.
            IdentifierKind::Email => Cow::Owned(value.trim().replace(' ', "+")),
            _ => Cow::Borrowed(value),
        };
        let identifier = Identifier::new(kind, &value);
        identifier.map(Some).map_err(|e| Problem::invalid_field("identifier_invalid", "", format!("`{name}` {e}")))
    }
}

/// Decodes as browsers and HTTP clients encode: `+` is a blank, `%XX` a byte of UTF-8.
fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| {
        Problem::malformed("query_invalid", "the query string isn't UTF-8 when percent-decoded; encode UTF-8")
    })
}

/// A parameter has no JSON Pointer, so it is named in the sentence; the pointer is that of the whole request.
fn refused(code: &'static str, name: &str, message: &str) -> Problem {
    let message = format!("`{name}` {message}");
    Problem::malformed(code, message.clone()).with_errors(vec![FieldError::new("", message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["limit", "cursor", "as_of", "email", "user_id", "anonymous_id"];

    fn query(text: &str) -> Result<Query, Problem> {
        Query::parse(&format!("/x{text}").parse().unwrap(), KNOWN)
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Problem>, status: u16) -> &'static str {
        let problem = result.unwrap_err();
        assert_eq!(problem.status(), status);
        problem.code()
    }

    #[test]
    fn decodes_parameters() {
        let query = query("?&cursor=a%2Bb+c&user_id=%C3%A4=&").unwrap();
        assert_eq!((query.cursor(), query.get("user_id"), query.get("limit")), (Some("a+b c"), Some("ä="), None));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let problem = query("?limt=3").unwrap_err();
        assert_eq!(problem.detail(), "`limt` is not a parameter here; did you mean `limit`?");
        assert_eq!(code(query("?limit=1&limit=1"), 400), "duplicate_parameter");
        assert_eq!(code(query("?cursor=%ff"), 400), "query_invalid");
        assert_eq!(code(Query::parse(&"/?a=1".parse().unwrap(), &[]), 400), "unknown_parameter");
    }

    #[test]
    fn limits_the_limit() {
        for (text, limit) in [("", 100), ("?limit=1", 1), ("?limit=1000", 1000)] {
            assert_eq!(query(text).unwrap().limit().unwrap(), limit);
        }
        for text in ["0", "1001", "-1", "", "x", "1.5", "99999999999999999999999", "1%00"] {
            assert_eq!(code(query(&format!("?limit={text}")).unwrap().limit(), 400), "limit_invalid", "{text}");
        }
    }

    #[test]
    fn reads_an_instant_also_with_a_plus_that_was_not_encoded() {
        let expected = Timestamp::parse("2026-11-20T10:00:00Z").unwrap();
        for text in ["2026-11-20T10:00:00Z", "2026-11-20T11:00:00%2B01:00", "2026-11-20T11:00:00+01:00"] {
            assert_eq!(query(&format!("?as_of={text}")).unwrap().as_of().unwrap(), Some(expected), "{text}");
        }
        assert_eq!(query("").unwrap().as_of().unwrap(), None);
        assert_eq!(code(query("?as_of=yesterday").unwrap().as_of(), 400), "as_of_invalid");
        assert_eq!(code(query("?as_of").unwrap().as_of(), 400), "as_of_invalid");
    }

    #[test]
    fn reads_one_identifier() {
        let value = |text: &str| query(text).unwrap().identifier().unwrap().map(|identifier| identifier.value);
        assert_eq!(value("?email=Ada+test@example.com").as_deref(), Some("ada+test@example.com"));
        assert_eq!(value("?user_id=a+b").as_deref(), Some("a b"));
        assert_eq!(value(""), None);
        assert_eq!(code(query("?email=a@b&user_id=1").unwrap().identifier(), 400), "parameter_conflict");
        assert_eq!(code(query("?email=ada").unwrap().identifier(), 422), "identifier_invalid");
        assert_eq!(code(query("?user_id=%00").unwrap().identifier(), 422), "identifier_invalid");
    }
}
