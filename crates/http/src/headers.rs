//! The request headers that Weir reads: the key, the token of a read, and how long it may wait.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, AUTHORIZATION, HeaderName};
use weir_event::Position;

use crate::problem::Problem;

/// How long a read with `Weir-After` waits when `Prefer` doesn't say.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// The longest wait; `Prefer: wait=N` asks for it at most.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

const WEIR_AFTER: HeaderName = HeaderName::from_static("weir-after");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The key of `Authorization: Bearer <key>`.
///
/// # Errors
/// 401 `key_missing`, also for another scheme or several keys.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Problem::key_missing()) };
    let key = value.to_str().ok().and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    key.filter(|key| !key.is_empty() && !key.contains([' ', ','])).ok_or_else(Problem::key_missing)
}

/// The position tokens of `Weir-After`, none if there is no such header.
///
/// # Errors
/// 400 `position_invalid` for anything that no `Weir-Position` header said.
pub fn weir_after(headers: &HeaderMap) -> Result<Vec<Position>, Problem> {
    let mut positions = Vec::new();
    for value in headers.get_all(WEIR_AFTER) {
        let text = value.to_str().unwrap_or("?");
        for token in text.split(',') {
            let position = Position::parse(token).map_err(|e| Problem::malformed("position_invalid", e.to_string()))?;
            positions.push(position);
        }
    }
    Ok(positions)
}

/// How long the request is ready to wait: `Prefer: wait=N` in seconds, at most [`MAX_WAIT`], else [`DEFAULT_WAIT`].
/// A preference that can't be read is ignored, as RFC 7240 wants it.
pub fn prefer_wait(headers: &HeaderMap) -> Duration {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    preferences.flat_map(|text| text.split(',')).find_map(wait).map_or(DEFAULT_WAIT, |wait| wait.min(MAX_WAIT))
}

/// In what form a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListForm {
    /// A page of it, as JSON.
    Json,
    /// All of it, as CSV.
    Csv,
    /// All of it, an object a line.
    Ndjson,
}

/// What `Accept` asks for: of the forms that there are the one with the greatest weight, of several the first. Without the
/// header, and where it names none of them, JSON.
pub fn list_form(headers: &HeaderMap) -> ListForm {
    let mut best = (ListForm::Json, 0.0);
    for value in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/csv" => ListForm::Csv,
                "application/x-ndjson" => ListForm::Ndjson,
                "application/json" | "application/*" | "*/*" => ListForm::Json,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f64>().ok()).unwrap_or(1.0);
            if weight > best.1 {
                best = (form, weight);
            }
        }
    }
    best.0
}

fn wait(preference: &str) -> Option<Duration> {
    let preference = preference.split(';').next().unwrap_or(preference);
    let (name, value) = preference.split_once('=')?;
    let seconds = value.trim().trim_matches('"').parse().ok()?;
    name.trim().eq_ignore_ascii_case("wait").then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use weir_event::Stream;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn reads_the_key() {
        for text in ["Bearer abc", "bearer abc", "BEARER   abc "] {
            assert_eq!(bearer(&headers(AUTHORIZATION, &[text])).unwrap(), "abc", "{text}");
        }
        for texts in [&[][..], &["Bearer"], &["Bearer "], &["Basic abc"], &["abc"], &["Bearer a b"], &["Bearer a"; 2]] {
            let problem = bearer(&headers(AUTHORIZATION, texts)).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (401, "key_missing"), "{texts:?}");
        }
    }

    #[test]
    fn reads_one_token_or_many() {
        let token = |n| {
            let mut position = Position::new(uuid::Uuid::nil());
            position.raise(Stream::Events, 0, n);
            position
        };
        let (a, b, c) = (token(1), token(2), token(3));
        let found = weir_after(&headers(WEIR_AFTER, &[&format!("{a}, {b}"), &c.to_string()])).unwrap();
        assert_eq!(found, [a, b, c]);
        assert_eq!(weir_after(&HeaderMap::new()).unwrap(), []);
        for text in ["", "abc", ","] {
            assert_eq!(weir_after(&headers(WEIR_AFTER, &[text])).unwrap_err().code(), "position_invalid", "{text:?}");
        }
        let bytes = [(WEIR_AFTER, HeaderValue::from_bytes(b"\xff").unwrap())].into_iter().collect();
        assert_eq!(weir_after(&bytes).unwrap_err().status(), 400);
    }

    #[test]
    fn reads_the_form_of_a_list() {
        for (texts, form) in [
            (&[][..], ListForm::Json),
            (&["*/*"], ListForm::Json),
            (&["text/html, */*;q=0.8"], ListForm::Json),
            (&["text/csv"], ListForm::Csv),
            (&["Text/CSV; charset=utf-8"], ListForm::Csv),
            (&["application/json;q=0.5, text/csv"], ListForm::Csv),
            (&["application/json", "text/csv;q=0.9"], ListForm::Json),
            (&["text/csv;q=0, application/x-ndjson;q=0.1"], ListForm::Ndjson),
            (&["image/png"], ListForm::Json),
        ] {
            assert_eq!(list_form(&headers(ACCEPT, texts)), form, "{texts:?}");
        }
    }

    #[test]
    fn reads_the_wait() {
        for (texts, seconds) in [
            (&[][..], 5),
            (&["wait=0"], 0),
            (&["respond-async, Wait = \"7\"; foo"], 7),
            (&["handling=lenient", "wait=2"], 2),
            (&["wait=100000"], 60),
            (&["wait=-1"], 5),
            (&["wait"], 5),
        ] {
            assert_eq!(prefer_wait(&headers(PREFER, texts)).as_secs(), seconds, "{texts:?}");
        }
    }
}
