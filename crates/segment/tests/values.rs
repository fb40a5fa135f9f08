//! What conditions mean, case by case: tests on values, traits, sequences, scores, and instants to the microsecond.
#![allow(clippy::unwrap_used)] // A test that fails here is one that failed.

use serde_json::Value;
use serde_json::value::RawValue;
use weir_event::{Event, EventKey, Identifier, IdentifierKind, Timestamp};
use weir_segment::{Catalog, Explanation, NEVER, Source, State, explain, fold, membership};

const T0: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;

/// A profile, its events given one by one as (name, id, seconds after `T0`, data).
struct Profile {
    catalog: Catalog,
    state: State,
    identifier: Option<Identifier>,
}

impl Profile {
    fn of(when: &str) -> Self {
        let body = format!(r#"{{"when":{when}}}"#);
        let points = r#"{"rules":[{"event":"LOGIN","points":1},{"event":"PURCHASE","points":10},{"event":"*","where":{"tip":{"gt":0}},"points":0.1}]}"#;
        let source = |slug, body| Source { slug, version: 1, body };
        let catalog = Catalog::compile(1, [source("s", body.as_str())], [source("points", points)]);
        assert_eq!(catalog.failed(), [], "{when}");
        Self { catalog, state: State::default(), identifier: None }
    }

    fn add(&mut self, name: &str, id: &str, at: i64, received: i64, data: &str) -> &mut Self {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let key = EventKey { at: at.min(received), time: at, id: id.into(), received };
        let event = Event { key, name, data: Some(&data), identifier: self.identifier.as_ref() };
        fold(&self.catalog, &mut self.state, &event).unwrap();
        self
    }

    /// An event received when it happened.
    fn at(&mut self, name: &str, second: i64, data: &str) -> &mut Self {
        let at = T0 + second * SECOND;
        self.add(name, &format!("{name}{second}"), at, at, data)
    }

    /// The spans from the horizon on, as microseconds after `T0`.
    fn spans(&self) -> Vec<(i64, Option<i64>)> {
        let horizon = self.state.horizon.expect("the profile exists");
        let intervals = membership(&self.catalog.segments()[0], &self.state).unwrap().from(horizon);
        let after = |instant: i64| (instant != NEVER).then_some(instant - T0);
        intervals.spans().iter().map(|span| (span.enters - T0, after(span.leaves))).collect()
    }

    fn holds(&self) -> bool {
        let horizon = self.state.horizon.expect("the profile exists");
        membership(&self.catalog.segments()[0], &self.state).unwrap().contains(horizon)
    }

    fn explained(&self, micros: i64) -> Explanation {
        explain(&self.catalog.segments()[0], &self.state, Timestamp::from_micros(T0 + micros)).unwrap()
    }
}

/// Tests of `path` on properties, and the same on a trait.
fn passes(object: &str, path: &str, tests: &str) -> bool {
    let as_property =
        Profile::of(&format!(r#"{{"event":"e","where":{{"{path}":{tests}}}}}"#)).at("e", 0, object).holds();
    let inner = tests.strip_prefix('{').expect("tests stand in an object");
    let traits = format!(r#"{{"traits":{object}}}"#);
    let as_trait = Profile::of(&format!(r#"{{"trait":"{path}",{inner}"#)).at("profile.updated", 0, &traits).holds();
    assert_eq!(as_property, as_trait, "{tests} of {path} in {object}: a property and a trait must agree");
    as_property
}

#[test]
fn tests_of_properties_and_traits() {
    let huge = r#"{"p":1000000000000000000}"#;
    let table: [(&str, &str, &str, bool); 77] = [
        // Nothing is there: every test is false but `exists: false`.
        (r#"{}"#, "p", r#"{"eq":1}"#, false),
        (r#"{}"#, "p", r#"{"ne":1}"#, false),
        (r#"{}"#, "p", r#"{"exists":true}"#, false),
        (r#"{}"#, "p", r#"{"exists":false}"#, true),
        (r#"{"p":null}"#, "p", r#"{"exists":false}"#, true),
        (r#"{"p":[]}"#, "p", r#"{"exists":false}"#, true),
        (r#"{"p":[[],[null]]}"#, "p", r#"{"exists":false}"#, true),
        (r#"{"p":[]}"#, "p", r#"{"ne":1}"#, false),
        (r#"{"p":{}}"#, "p.k", r#"{"exists":false}"#, true),
        (r#"{"p":5}"#, "p.k", r#"{"exists":false}"#, true),
        (r#"{"p.k":5}"#, "p.k", r#"{"exists":true}"#, false),
        (r#"{}"#, "p", r#"{"exists":false,"ne":1}"#, false),
        // Something is there.
        (r#"{"p":{}}"#, "p", r#"{"exists":true}"#, true),
        (r#"{"p":{}}"#, "p", r#"{"exists":false}"#, false),
        (r#"{"p":false}"#, "p", r#"{"exists":true}"#, true),
        (r#"{"p":""}"#, "p", r#"{"exists":true}"#, true),
        (r#"{"p":1}"#, "p", r#"{"exists":false,"eq":1}"#, false),
        (r#"{"p":1,"p":2}"#, "p", r#"{"eq":2}"#, true),
        (r#"{"p":1,"p":2}"#, "p", r#"{"eq":1}"#, false),
        // Numbers, by their digits.
        (r#"{"p":1.0}"#, "p", r#"{"eq":1}"#, true),
        (r#"{"p":10e-1}"#, "p", r#"{"eq":1.000}"#, true),
        (r#"{"p":-0}"#, "p", r#"{"eq":0}"#, true),
        (r#"{"p":0.1}"#, "p", r#"{"lt":0.10000000000000000001}"#, false),
        (r#"{"p":0.1}"#, "p", r#"{"lt":0.100000001}"#, true),
        (r#"{"p":9007199254740993}"#, "p", r#"{"eq":9007199254740992}"#, false),
        (r#"{"p":9007199254740993}"#, "p", r#"{"gt":9007199254740992}"#, true),
        (r#"{"p":3}"#, "p", r#"{"gte":3,"lt":4}"#, true),
        (r#"{"p":4}"#, "p", r#"{"gte":3,"lt":4}"#, false),
        (r#"{"p":3}"#, "p", r#"{"gt":3}"#, false),
        (r#"{"p":3}"#, "p", r#"{"lte":3}"#, true),
        (r#"{"p":-2}"#, "p", r#"{"lt":-1.5}"#, true),
        // A number of 10^18 or more in size is of another type: it exists, and that is all.
        (huge, "p", r#"{"exists":true}"#, true),
        (huge, "p", r#"{"gt":1}"#, false),
        (huge, "p", r#"{"ne":1}"#, false),
        (r#"{"p":-1e18}"#, "p", r#"{"lt":0}"#, false),
        (r#"{"p":999999999999999999}"#, "p", r#"{"gt":999999999999999998}"#, true),
        // Nothing is coerced: a value of another type passes no test.
        (r#"{"p":"1"}"#, "p", r#"{"eq":1}"#, false),
        (r#"{"p":1}"#, "p", r#"{"eq":"1"}"#, false),
        (r#"{"p":1}"#, "p", r#"{"eq":true}"#, false),
        (r#"{"p":"true"}"#, "p", r#"{"eq":true}"#, false),
        (r#"{"p":"x"}"#, "p", r#"{"ne":1}"#, false),
        (r#"{"p":1}"#, "p", r#"{"ne":"x"}"#, false),
        (r#"{"p":{}}"#, "p", r#"{"ne":1}"#, false),
        (r#"{"p":12}"#, "p", r#"{"contains":"1"}"#, false),
        (r#"{"p":12}"#, "p", r#"{"starts_with":"1"}"#, false),
        // Booleans.
        (r#"{"p":true}"#, "p", r#"{"eq":true}"#, true),
        (r#"{"p":false}"#, "p", r#"{"ne":true}"#, true),
        (r#"{"p":true}"#, "p", r#"{"ne":true}"#, false),
        // Strings, by code point.
        (r#"{"p":"B"}"#, "p", r#"{"lt":"a"}"#, true),
        (r#"{"p":"\ud834\udd1e"}"#, "p", r#"{"gt":"\uffff"}"#, true),
        (r#"{"p":"ab"}"#, "p", r#"{"gt":"a"}"#, true),
        (r#"{"p":"10"}"#, "p", r#"{"lt":"9"}"#, true),
        (r#"{"p":"\u00e9"}"#, "p", r#"{"eq":"é"}"#, true),
        (r#"{"p":"e\u0301"}"#, "p", r#"{"eq":"é"}"#, false),
        (r#"{"p":"Shoes"}"#, "p", r#"{"eq":"shoes"}"#, false),
        (r#"{"p":"women's shoes"}"#, "p", r#"{"contains":"'s s"}"#, true),
        (r#"{"p":"women's shoes"}"#, "p", r#"{"contains":"Shoes"}"#, false),
        (r#"{"p":"women's shoes"}"#, "p", r#"{"starts_with":"women"}"#, true),
        (r#"{"p":"women's shoes"}"#, "p", r#"{"starts_with":"shoes"}"#, false),
        (r#"{"p":""}"#, "p", r#"{"contains":"","starts_with":"","eq":""}"#, true),
        // One of.
        (r#"{"p":"b"}"#, "p", r#"{"in":["a","b"]}"#, true),
        (r#"{"p":1.0}"#, "p", r#"{"in":["1",true,1]}"#, true),
        (r#"{"p":"1"}"#, "p", r#"{"in":[1,true]}"#, false),
        (r#"{"p":"a"}"#, "p", r#"{"in":[]}"#, false),
        (r#"{}"#, "p", r#"{"in":[]}"#, false),
        // Arrays: any element, and one and the same for all tests.
        (r#"{"p":[1,5]}"#, "p", r#"{"eq":5}"#, true),
        (r#"{"p":[[1],[[5]]]}"#, "p", r#"{"eq":5}"#, true),
        (r#"{"p":[1,5]}"#, "p", r#"{"gt":1,"lt":5}"#, false),
        (r#"{"p":[1,3,5]}"#, "p", r#"{"gt":1,"lt":5}"#, true),
        (r#"{"p":[1,2]}"#, "p", r#"{"ne":1}"#, true),
        (r#"{"p":[1,1]}"#, "p", r#"{"ne":1}"#, false),
        (r#"{"p":["x",null]}"#, "p", r#"{"exists":false}"#, false),
        (r#"{"p":["red shoe","hat"]}"#, "p", r#"{"contains":"shoe"}"#, true),
        (r#"{"p":["sho","e"]}"#, "p", r#"{"contains":"shoe"}"#, false),
        (r#"{"p":[{"k":1},{"k":[2,3]},7]}"#, "p.k", r#"{"eq":3}"#, true),
        (r#"{"p":[{"k":1,"l":9},{"k":2}]}"#, "p.l", r#"{"eq":9}"#, true),
        (r#"{"p":{"k":{"l":"x"}}}"#, "p.k.l", r#"{"eq":"x"}"#, true),
    ];
    for (object, path, tests, expected) in table {
        assert_eq!(passes(object, path, tests), expected, "{tests} of {path} in {object}");
    }
}

#[test]
fn not_equal_is_not_the_same_as_not_and_equal() {
    let (ne, not_eq) = (r#"{"trait":"plan","ne":"pro"}"#, r#"{"not":{"trait":"plan","eq":"pro"}}"#);
    for (traits, by_ne, by_not) in [
        (r#"{"plan":"free"}"#, true, true),
        (r#"{"plan":"pro"}"#, false, false),
        (r#"{}"#, false, true),
        (r#"{"plan":7}"#, false, true),
        (r#"{"plan":["pro","free"]}"#, true, false),
    ] {
        let data = format!(r#"{{"traits":{traits}}}"#);
        assert_eq!(Profile::of(ne).at("profile.updated", 0, &data).holds(), by_ne, "{traits}");
        assert_eq!(Profile::of(not_eq).at("profile.updated", 0, &data).holds(), by_not, "{traits}");
    }
}

#[test]
fn all_paths_must_pass_but_not_in_one_element() {
    let when = r#"{"event":"order","where":{"items.sku":"a","items.qty":{"gte":2}}}"#;
    let mut profile = Profile::of(when);
    assert!(!profile.at("order", 0, r#"{"items":[{"sku":"a","qty":1},{"sku":"b","qty":1}]}"#).holds());
    assert!(profile.at("order", 1, r#"{"items":[{"sku":"a","qty":1},{"sku":"b","qty":2}]}"#).holds());
}

#[test]
fn a_trait_is_its_latest_write() {
    let mut profile = Profile::of(r#"{"trait":"plan","eq":"pro"}"#);
    assert!(!profile.at("e", 0, r#"{"traits":{"plan":"pro"}}"#).holds(), "an event's data are no traits");
    assert!(profile.at("profile.registered", 10, r#"{"traits":{"plan":"pro"}}"#).holds());
    assert!(
        profile.at("profile.updated", 5, r#"{"traits":{"plan":"free"}}"#).holds(),
        "an older write changes nothing"
    );
    assert!(profile.at("profile.updated", 12, r#"{"traits":{"other":1},"name":"x"}"#).holds());
    assert!(!profile.at("profile.updated", 20, r#"{"traits":{"plan":null}}"#).holds(), "null deletes");
    assert!(!profile.at("profile.updated", 15, r#"{"traits":{"plan":"pro"}}"#).holds(), "and stays deleted");
    assert!(profile.at("profile.updated", 21, r#"{"traits":{"plan":"pro"}}"#).holds());
    let deleted = Profile::of(r#"{"trait":"plan","exists":false}"#)
        .at("profile.updated", 0, r#"{"traits":{"plan":"pro"}}"#)
        .at("profile.updated", 1, r#"{"traits":{"plan":null}}"#)
        .holds();
    assert!(deleted);
}

#[test]
fn name_and_email_stand_beside_the_traits() {
    let named = |facts: &[&str]| {
        let mut profile = Profile::of(r#"{"trait":"name","eq":"Ada"}"#);
        for (data, second) in facts.iter().zip(0..) {
            profile.at("profile.updated", second, data);
        }
        profile.holds()
    };
    assert!(named(&[r#"{"name":"Ada"}"#]));
    assert!(named(&[r#"{"traits":{"name":"Ada"}}"#]));
    assert!(named(&[r#"{"name":"Ada","traits":{"name":"Eve"}}"#]), "in one fact the name beside comes first");
    assert!(!named(&[r#"{"name":"Ada"}"#, r#"{"traits":{"name":"Eve"}}"#]), "the later one counts");
    assert!(named(&[r#"{"traits":{"name":"Eve"}}"#, r#"{"name":"Ada"}"#]));
    assert!(named(&[r#"{"name":"Ada"}"#, r#"{"name":null}"#]), "a null name is no write");
    assert!(!named(&[r#"{"name":"Ada"}"#, r#"{"traits":{"name":null}}"#]), "a null trait deletes");
    assert!(named(&[r#"{"name":null,"traits":{"name":"Ada"}}"#]));

    let when = r#"{"trait":"email","eq":"ada@example.com"}"#;
    let mut by_fact = Profile::of(when);
    assert!(by_fact.at("profile.updated", 0, r#"{"email":"ada@example.com"}"#).holds());
    assert!(!by_fact.at("profile.updated", 1, r#"{"traits":{"email":"eve@example.com"}}"#).holds());
    let mut by_identity = Profile::of(when);
    by_identity.identifier = Some(Identifier::new(IdentifierKind::Email, "Ada@example.com").unwrap());
    assert!(by_identity.at("e", 0, "{}").holds());
    assert!(by_identity.at("profile.updated", 1, r#"{"email":"eve@example.com"}"#).holds(), "the identity comes first");
    let mut by_user = Profile::of(when);
    by_user.identifier = Some(Identifier::new(IdentifierKind::User, "ada@example.com").unwrap());
    assert!(!by_user.at("e", 0, "{}").holds());
}

#[test]
fn windows_are_half_open() {
    let mut profile = Profile::of(r#"{"event":"v","at_least":2,"within":"10s"}"#);
    assert_eq!(profile.at("v", 0, "{}").spans(), []);
    assert_eq!(profile.at("v", 4, "{}").spans(), [(4 * SECOND, Some(10 * SECOND))]);
    assert_eq!(profile.at("v", 6, "{}").spans(), [(6 * SECOND, Some(14 * SECOND))]);
    let mut most = Profile::of(r#"{"event":"v","at_most":1,"within":"10s"}"#);
    assert_eq!(most.at("v", 0, "{}").spans(), [(0, None)]);
    assert_eq!(most.at("v", 4, "{}").spans(), [(10 * SECOND, None)]);
    let mut exactly = Profile::of(r#"{"event":"v","exactly":1,"within":"10s"}"#);
    assert_eq!(exactly.at("v", 0, "{}").spans(), [(0, Some(10 * SECOND))]);
    assert_eq!(exactly.at("v", 4, "{}").spans(), [(10 * SECOND, Some(14 * SECOND))]);
    // At one instant the second event has left the window as the third is received.
    assert_eq!(exactly.at("v", 14, "{}").spans(), [(14 * SECOND, Some(24 * SECOND))]);

    let bounds = r#"{"event":"v","since":"2027-01-15T08:00:05Z","until":"2027-01-15T08:00:10Z"}"#;
    for (at, holds) in [(-1, false), (0, true), (5 * SECOND - 1, true), (5 * SECOND, false)] {
        let at = T0 + 5 * SECOND + at;
        assert_eq!(Profile::of(bounds).add("v", "e", at, at, "{}").holds(), holds, "{at}");
    }
}

#[test]
fn a_late_event_counts_from_when_it_happened() {
    let mut profile = Profile::of(r#"{"event":"v","within":"10s"}"#);
    profile.add("v", "late", T0, T0 + 4 * SECOND, "{}");
    assert_eq!(profile.spans(), [(4 * SECOND, Some(10 * SECOND))]);
    profile.add("v", "later", T0, T0 + 10 * SECOND, "{}");
    assert_eq!(profile.spans(), []);
    // Nothing happened after it was received.
    profile.add("v", "ahead", T0 + 100 * SECOND, T0 + 11 * SECOND, "{}");
    assert_eq!(profile.spans(), [(11 * SECOND, Some(21 * SECOND))]);
}

#[test]
fn sequences_speak_of_the_latest_a() {
    let mut abandoned = Profile::of(r#"{"event":"cart.added","not_followed_by":{"event":"order.completed"}}"#);
    assert!(!abandoned.at("order.completed", 0, "{}").holds());
    assert!(abandoned.at("cart.added", 1, "{}").holds());
    assert!(!abandoned.at("order.completed", 2, "{}").holds());
    assert!(abandoned.at("cart.added", 3, "{}").holds());
    // An order that arrives late follows the first cart and not the latest.
    assert!(abandoned.add("order.completed", "o", T0 + 2 * SECOND, T0 + 9 * SECOND, "{}").holds());
    // At one instant each follows the other.
    assert!(!abandoned.add("order.completed", "p", T0 + 3 * SECOND, T0 + 9 * SECOND, "{}").holds());

    let mut fast = Profile::of(r#"{"event":"a","not_followed_by":{"event":"b"}}"#);
    fast.add("a", "z", T0 + 9 * SECOND, T0, "{}").add("b", "y", T0 + 8 * SECOND, T0, "{}");
    assert!(fast.holds(), "both are clamped to one receipt, and keep the order of the sender's clock");
    assert!(!fast.add("b", "x", T0 + 10 * SECOND, T0, "{}").holds());

    let mut again = Profile::of(r#"{"event":"a","followed_by":{"event":"a"}}"#);
    assert!(!again.at("a", 0, "{}").holds(), "an event never follows itself");
    assert!(!again.at("a", 1, "{}").holds(), "the latest has none after it");
    assert!(again.add("a", "tie", T0 + SECOND, T0 + SECOND, "{}").holds(), "but one at the same instant");

    let mut among = Profile::of(r#"{"event":"a","until":"2027-01-15T08:00:05Z","not_followed_by":{"event":"b"}}"#);
    assert!(among.at("a", 0, "{}").holds());
    assert!(among.at("a", 6, "{}").holds(), "this one isn't asked about");
    assert!(!among.at("b", 20, "{}").holds(), "since and until choose among the A's and don't bind B");
}

#[test]
fn for_waits_and_within_ends() {
    let mut hour = Profile::of(r#"{"event":"a","not_followed_by":{"event":"b"},"for":"1h"}"#);
    let after = 3_600 * SECOND;
    assert_eq!(hour.at("a", 0, "{}").spans(), [(after, None)]);
    assert_eq!(hour.at("a", 60, "{}").spans(), [(60 * SECOND + after, None)], "a newer A starts again");
    assert_eq!(hour.at("b", 61, "{}").spans(), []);
    let mut both = Profile::of(r#"{"event":"a","within":"3h","not_followed_by":{"event":"b"},"for":"1h"}"#);
    assert_eq!(both.at("a", 0, "{}").spans(), [(after, Some(3 * after))]);
    let mut never = Profile::of(r#"{"event":"a","within":"1h","not_followed_by":{"event":"b"},"for":"1h"}"#);
    assert_eq!(never.at("a", 0, "{}").spans(), []);
    // One that is received after the hour is over ends it then; what was seen stays.
    hour.at("a", 100, "{}").add("b", "late", T0 + 200 * SECOND, T0 + 2 * after, "{}");
    assert_eq!(hour.spans(), []);
}

#[test]
fn instants_of_traits() {
    let spans = |form: &str, value: &str| {
        let when = format!(r#"{{"trait":"t","{form}":"10s"}}"#);
        let data = format!(r#"{{"traits":{{"t":{value}}}}}"#);
        Profile::of(&when).at("profile.updated", 0, &data).spans()
    };
    let (from, to) = (20 * SECOND, Some(30 * SECOND));
    for value in [r#""2027-01-15T08:00:30Z""#, "1800000030", "1800000030.0000009", r#""2027-01-15T09:00:30+01:00""#] {
        assert_eq!(spans("in_next", value), [(from, to)], "{value}");
        assert_eq!(spans("in_last", value), [(30 * SECOND, Some(40 * SECOND))], "{value}");
    }
    assert_eq!(spans("in_next", "1800000005"), [(0, Some(5 * SECOND))]);
    assert_eq!(spans("in_next", "1800000000"), [], "at the instant itself it isn't ahead any more");
    assert_eq!(spans("in_last", "1800000000"), [(0, Some(10 * SECOND))]);
    let two = r#"["2027-01-15T08:00:30Z",[1800000050]]"#;
    assert_eq!(spans("in_next", two), [(from, to), (40 * SECOND, Some(50 * SECOND))]);
    for nothing in [r#""2027-01-15""#, r#""soon""#, "true", "null", "{}", "[]", "1e17", "-1e12", r#""1800000030""#] {
        assert_eq!((spans("in_next", nothing), spans("in_last", nothing)), (vec![], vec![]), "{nothing}");
    }
    let last = 253_402_300_799_999_999 - T0;
    assert_eq!(spans("in_last", r#""9999-12-31T23:59:59.999999Z""#), [(last, None)], "an end beyond 9999 is never");
}

#[test]
fn an_end_beyond_the_year_9999_is_never() {
    let last = 253_402_300_799_999_999;
    let spans = |when: &str| Profile::of(when).add("a", "e", last, last, "{}").spans();
    assert_eq!(spans(r#"{"event":"a","within":"1s"}"#), [(last - T0, None)]);
    assert_eq!(spans(r#"{"not":{"event":"a","within":"1s"}}"#), []);
    assert_eq!(spans(r#"{"event":"a","not_followed_by":{"event":"b"},"for":"1s"}"#), []);
}

#[test]
fn scores_are_exact() {
    let mut profile = Profile::of(r#"{"score":"points","at_least":11.3}"#);
    profile.at("LOGIN", 0, r#"{"tip":1}"#).at("PURCHASE", 1, r#"{"tip":0.5}"#);
    assert!(!profile.holds(), "1.1 and 10.1 are 11.2");
    assert!(profile.at("other", 2, r#"{"tip":2}"#).holds(), "0.1 three times is 0.3");
    assert!(Profile::of(r#"{"score":"points","at_most":0}"#).at("other", 0, "{}").holds(), "no points are zero points");
    assert!(!Profile::of(r#"{"score":"points","at_least":0.1}"#).at("profile.updated", 0, r#"{"tip":1}"#).holds());
}

#[test]
fn any_event_is_none_of_the_facts() {
    let mut any = Profile::of(r#"{"event":"*"}"#);
    assert!(!any.at("profile.registered", 0, "{}").at("profile.linked", 1, "{}").holds());
    assert!(any.at("whatever", 2, "{}").holds());
    assert!(Profile::of(r#"{"event":"profile.registered"}"#).at("profile.registered", 0, "{}").holds());
}

#[test]
fn who_did_nothing_is_a_member_from_the_first_record_on() {
    for when in [
        r#"{"not":{"event":"order.completed","within":"30d"}}"#,
        r#"{"event":"order.completed","at_most":2}"#,
        r#"{"event":"order.completed","exactly":0}"#,
        r#"{"trait":"plan","exists":false}"#,
        r#"{"score":"points","at_most":5}"#,
    ] {
        let mut profile = Profile::of(when);
        let definition = &profile.catalog.segments()[0].definition;
        assert!(weir_segment::true_of_empty_history(definition), "{when}");
        let nobody = explain(&profile.catalog.segments()[0], &profile.state, Timestamp::from_micros(T0)).unwrap();
        assert!(!nobody.member, "a profile never seen is in nothing: {when}");
        assert_eq!(profile.at("whatever", 3, "{}").spans(), [(3 * SECOND, None)], "{when}");
    }
    for when in
        [r#"{"event":"a"}"#, r#"{"trait":"plan","ne":"pro"}"#, r#"{"event":"a","not_followed_by":{"event":"b"}}"#]
    {
        let profile = Profile::of(when);
        assert!(!weir_segment::true_of_empty_history(&profile.catalog.segments()[0].definition), "{when}");
    }
}

#[test]
fn an_explanation_shows_what_was_found() {
    let mut profile = Profile::of(
        r#"{"all":[{"event":"v","at_least":2,"within":"10s"},{"not":{"event":"a","not_followed_by":{"event":"b"},"for":"5s"}},{"trait":"plan","eq":"pro"},{"score":"points","at_least":1}]}"#,
    );
    profile.at("profile.updated", 0, r#"{"traits":{"plan":"pro"}}"#).at("LOGIN", 1, "{}");
    profile.at("v", 2, "{}").at("v", 3, "{}").at("a", 4, "{}");
    let told = serde_json::to_value(profile.explained(4 * SECOND)).unwrap();
    let expected: Value = serde_json::from_str(
        r#"{"exists": true, "member":true,"next_flip":"2027-01-15T08:00:09.000000Z","conditions":{
            "condition":"all","holds":true,"next_flip":"2027-01-15T08:00:09.000000Z","conditions":[
            {"condition":"event","holds":true,"next_flip":"2027-01-15T08:00:12.000000Z",
             "found":{"counted":2,"or_more":true,"latest":{"id":"v3","at":"2027-01-15T08:00:03.000000Z"}}},
            {"condition":"not","holds":true,"next_flip":"2027-01-15T08:00:09.000000Z","conditions":[
              {"condition":"event","holds":false,"next_flip":"2027-01-15T08:00:09.000000Z",
               "found":{"latest":{"id":"a4","at":"2027-01-15T08:00:04.000000Z"},"followed_by":null}}]},
            {"condition":"trait","holds":true,"next_flip":null,"found":{"trait":"plan","value":"pro"}},
            {"condition":"score","holds":true,"next_flip":null,"found":{"points":1,"needs":{"at_least":1}}}]}}"#,
    )
    .unwrap();
    assert_eq!(told, expected);
    let later = profile.explained(9 * SECOND);
    assert_eq!((later.member, later.next_flip), (false, None));
    assert_eq!(profile.explained(12 * SECOND).conditions.conditions[0].found["counted"], 1);
}
