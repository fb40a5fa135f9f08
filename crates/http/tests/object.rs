//! The strict reader of request objects.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use weir_event::IdentifierKind;
use weir_http::{JsonObject, Problem};

const FIELDS: &[&str] = &["name", "id", "timestamp", "properties", "count", "open", "a/b"];

fn read(text: &str) -> JsonObject<'_> {
    JsonObject::parse(text, FIELDS).unwrap()
}

fn refusal(text: &str) -> (u16, &'static str) {
    let problem = JsonObject::checked(text, FIELDS).unwrap_err();
    (problem.status().as_u16(), problem.code())
}

fn faults(problem: &Problem) -> Vec<(&str, &str)> {
    problem.errors().iter().map(|error| (error.pointer.as_str(), error.message.as_str())).collect()
}

#[test]
fn values_are_borrowed_as_they_were_sent() {
    let text = r#" { "name" : "cart.added", "properties": {"b":1, "a" : [ ]}, "count": 7, "open": true, "id": null } "#;
    let mut object = read(text);
    assert!(matches!(object.string("name"), Some(std::borrow::Cow::Borrowed("cart.added"))));
    assert_eq!(object.object("properties").unwrap().get(), r#"{"b":1, "a" : [ ]}"#);
    assert_eq!((object.integer("count"), object.boolean("open")), (Some(7), Some(true)));
    assert_eq!(object.string_or_number("count").as_deref(), Some("7"));
    assert!(!object.has("id") && object.uuid("id").is_none() && object.raw("timestamp").is_none());
    object.finish().unwrap();
}

#[test]
fn escapes_are_undone() {
    let mut object = read(r#"{"n\u0061me":"a\"\u00e4\ud83d\ude00\n"}"#);
    assert_eq!(object.string("name").as_deref(), Some("a\"ä😀\n"));
    object.finish().unwrap();
}

#[test]
fn malformed_is_400() {
    for text in ["", "{", "{\"name\":}", "nope", "{\"name\":1}}", "{'name':1}", "{\"name\":\"a\nb\"}", "{\"name\":01}"]
    {
        assert_eq!(refusal(text), (400, "json_invalid"), "{text}");
    }
    assert_eq!(refusal(r#"{"name":null,"id":1,"name":"x"}"#), (400, "duplicate_name"));
    assert_eq!(refusal(r#"{"name":"x","n\u0061me":"y"}"#), (400, "duplicate_name"));
    let problem = JsonObject::parse(r#"{"a/b":1,"a/b":2}"#, FIELDS).unwrap_err();
    assert_eq!(faults(&problem), [("/a~1b", "is given twice; send it once")]);
    assert_eq!(refusal(r#"{"name":1,"name":1"#), (400, "json_invalid"));
}

#[test]
fn valid_json_of_the_wrong_shape_is_422() {
    for text in ["[]", "null", "1", "\"name\"", "[{\"name\":1}]"] {
        assert_eq!(refusal(text), (422, "field_invalid"), "{text}");
    }
    assert_eq!(refusal(&format!("{{\"properties\":{}{}}}", "[".repeat(40), "]".repeat(40))), (422, "json_too_deep"));
    assert_eq!(refusal(&format!("{{\"properties\":{}", "[".repeat(100_000))), (422, "json_too_deep"));
    assert_eq!(refusal(r#"{"properties":{"a":1e400}}"#), (422, "number_out_of_range"));
    assert_eq!(refusal(r#"{"properties":{"a":"\u0000"}}"#), (422, "text_invalid"));
    assert_eq!(refusal(r#"{"name":"\ud800"}"#), (422, "text_invalid"));
    // Without the check beforehand, names and strings are still looked at.
    assert_eq!(JsonObject::parse(r#"{"\ud800":1}"#, FIELDS).unwrap_err().code(), "text_invalid");
    for text in [r#"{"name":"a\u0000"}"#, r#"{"name":"\udc00"}"#] {
        let mut object = read(text);
        assert_eq!(object.string("name"), None);
        assert_eq!(object.finish().unwrap_err().code(), "text_invalid");
    }
}

#[test]
fn properties_may_repeat_names_of_their_own() {
    read(r#"{"properties":{"a":1,"a":2}}"#).finish().unwrap();
}

#[test]
fn every_fault_is_named_at_once() {
    let mut object = read(r#"{"nmae":1,"id":"x","timestamp":"today","properties":[],"count":-1,"open":"yes"}"#);
    object.require("name");
    assert!(object.uuid("id").is_none() && object.instant("timestamp").is_none());
    assert!(object.object("properties").is_none() && object.integer("count").is_none());
    assert!(object.boolean("open").is_none());
    object.refuse("reserved_event_name", "name", "is reserved");
    let problem = object.finish().unwrap_err();
    assert_eq!((problem.status().as_u16(), problem.code()), (422, "unknown_field"));
    let found = faults(&problem);
    assert_eq!(found[0], ("/nmae", "is not a field here; did you mean `name`?"));
    assert_eq!(found[1], ("/name", "is required"));
    let pointers: Vec<_> = found.iter().map(|(pointer, _)| *pointer).collect();
    assert_eq!(pointers, ["/nmae", "/name", "/id", "/timestamp", "/properties", "/count", "/open", "/name"]);
}

#[test]
fn the_code_is_that_of_the_first_fault() {
    let mut object = read(r#"{"name":5}"#);
    assert_eq!(object.string("name"), None);
    object.require("id");
    assert_eq!(object.finish().unwrap_err().code(), "field_invalid");
}

#[test]
fn bounds_and_identifiers() {
    let mut object = read(r#"{"name":"","id":"12345","timestamp":" Ada@Example.com ","count":"ada"}"#);
    assert_eq!(object.bounded("name", 10), None);
    assert_eq!(object.bounded("id", 5).as_deref(), Some("12345"));
    assert_eq!(object.bounded("id", 4), None);
    assert_eq!(object.identifier("timestamp", IdentifierKind::Email).unwrap().value, "ada@example.com");
    assert_eq!(object.identifier("count", IdentifierKind::Email), None);
    let problem = object.finish().unwrap_err();
    assert_eq!(faults(&problem)[1], ("/id", "has 5 bytes; at most 4 are accepted"));
    assert_eq!(problem.errors().len(), 3);
}

#[test]
fn a_uuid_has_one_form() {
    let id = "01890A5D-ac96-774b-bcce-b302099a8057";
    assert!(read(&format!(r#"{{"id":"{id}"}}"#)).uuid("id").is_some());
    for other in ["01890a5dac96774bbcceb302099a8057", "{01890a5d-ac96-774b-bcce-b302099a8057}", "x"] {
        assert_eq!(read(&format!(r#"{{"id":"{other}"}}"#)).uuid("id"), None, "{other}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// What a getter says is what a JSON parser says.
    #[test]
    fn agrees_with_the_parser(name in "[^\0]{0,30}", id in r#"[\\"/a\u{80}-\u{10ffff}\u{1}-\u{1f}]{0,20}"#, count in any::<u64>()) {
        let text = serde_json::json!({"name": name, "id": id, "count": count}).to_string();
        let mut object = read(&text);
        prop_assert_eq!(object.string("name"), Some(name.into()));
        prop_assert_eq!(object.string("id"), Some(id.into()));
        prop_assert_eq!(object.integer("count"), Some(count));
        prop_assert!(object.finish().is_ok());
    }

    /// No text makes it panic, and every refusal is 400 or 422.
    #[test]
    fn any_text_is_read_or_refused(text in r#"[{}\[\]",:\\u0-9a-f \-.e]{0,40}"#) {
        if let Err(problem) = JsonObject::checked(&text, FIELDS) {
            prop_assert!([400, 422].contains(&problem.status().as_u16()));
        }
    }
}
