//! Taking a batch apart into items, which are judged one by one afterwards.
//!
//! What is broken here refuses the whole request: no array, no JSON, too many items. Items stay text, so that an item's
//! size is that of what was sent, and each is read once.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use weir_event::limits;
use weir_http::{Problem, utf8};

/// The items of a JSON array.
///
/// # Errors
/// 400 if it is no JSON anywhere, 422 if it is no array or an empty one, 413 for too many items.
pub(crate) fn array(body: &[u8]) -> Result<Vec<&str>, Problem> {
    let text = utf8(body)?;
    let mut items = Items::default();
    let mut parser = serde_json::Deserializer::from_str(text);
    let outcome = parser.deserialize_seq(&mut items).and_then(|()| parser.end());
    if items.too_many {
        return Err(Problem::batch_too_large());
    }
    match outcome {
        Ok(()) if items.found.is_empty() => Err(empty()),
        Ok(()) => Ok(items.found),
        Err(error) => Err(broken(text, &error)),
    }
}

/// The items of NDJSON: a line each, empty lines aren't any. A line that isn't UTF-8 is refused alone.
///
/// # Errors
/// 422 without any item, 413 for too many.
pub(crate) fn lines(body: &[u8]) -> Result<Vec<Result<&str, Problem>>, Problem> {
    let mut items = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if items.len() == limits::BATCH_ITEMS {
            return Err(Problem::batch_too_large());
        }
        items.push(utf8(line));
    }
    if items.is_empty() { Err(empty()) } else { Ok(items) }
}

#[derive(Default)]
struct Items<'a> {
    found: Vec<&'a str>,
    too_many: bool,
}

impl<'a> Visitor<'a> for &mut Items<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&'a RawValue>()? {
            if self.found.len() == limits::BATCH_ITEMS {
                self.too_many = true;
                return Err(A::Error::custom("too many items"));
            }
            self.found.push(item.get());
        }
        Ok(())
    }
}

fn empty() -> Problem {
    Problem::invalid_field("batch_empty", "", "the batch has no items; send at least one event")
}

#[cold]
fn broken(text: &str, error: &serde_json::Error) -> Problem {
    // Items are taken as they are, so within an array only the syntax can be at fault.
    if !text.trim_ascii_start().starts_with('[') && serde_json::from_str::<&RawValue>(text).is_ok() {
        return Problem::invalid_field(
            "field_invalid",
            "",
            "must be an array of events; one event alone goes to POST /api/profiles/{id}/events, one a line is sent \
             with Content-Type: application/x-ndjson",
        );
    }
    Problem::json_invalid(format!("not JSON, so nothing of the batch was taken: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> (u16, &'static str) {
        let problem = array(body.as_bytes()).unwrap_err();
        (problem.status().as_u16(), problem.code())
    }

    #[test]
    fn items_stay_as_they_were_sent() {
        assert_eq!(array(b" [ {\"a\": 1e999}, 2 ,\"\\ud800\" ] \n").unwrap(), ["{\"a\": 1e999}", "2", "\"\\ud800\""]);
    }

    #[test]
    fn broken_framing_refuses_the_whole() {
        for body in ["", "[", "[{}", "[{},]", "[{}] x", "[{} {}]", "[{\"a\":01}]", "[\"\\x\"]", "{", "nul"] {
            assert_eq!(code(body), (400, "json_invalid"), "{body}");
        }
        assert_eq!(array(b"[\"\xff\"]").unwrap_err().code(), "json_invalid");
        for body in ["{}", "null", "7", "\"[]\""] {
            assert_eq!(code(body), (422, "field_invalid"), "{body}");
        }
        assert_eq!(code(" [ ] "), (422, "batch_empty"));
    }

    #[test]
    fn ten_thousand_items_and_no_more() {
        let batch = |count| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(array(batch(10_000).as_bytes()).unwrap().len(), 10_000);
        assert_eq!(code(&batch(10_001)), (413, "batch_too_large"));
        assert_eq!(lines("{}\n".repeat(10_000).as_bytes()).unwrap().len(), 10_000);
        assert_eq!(lines("{}\n".repeat(10_001).as_bytes()).unwrap_err().code(), "batch_too_large");
    }

    #[test]
    fn nesting_of_any_depth_is_taken_apart_without_overflow() {
        let deep = format!("[{}{}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(array(deep.as_bytes()).unwrap().len(), 1);
        assert_eq!(code(&"[".repeat(1_000_000)), (400, "json_invalid"));
    }

    #[test]
    fn empty_lines_are_no_items() {
        let items = lines(b"\n{\"a\":1}\r\n   \n\xff\n{}").unwrap();
        let shown: Vec<_> = items.into_iter().map(|item| item.map_err(|problem| problem.code())).collect();
        assert_eq!(shown, [Ok("{\"a\":1}"), Err("json_invalid"), Ok("{}")]);
        assert_eq!(lines(b" \r\n\n").unwrap_err().code(), "batch_empty");
    }
}
