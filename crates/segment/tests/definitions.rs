//! What a definition may say and what it may not: every refusal with its code, the part that it points to, and the
//! remedy that it names.

use weir_segment::{Definition, Problem, ScoreDefinition};

const INVALID: &str = "invalid_definition";
const UNKNOWN: &str = "unknown_field";
const TWICE: &str = "duplicate_name";
const LATER: &str = "not_supported";

/// A refusal: the condition, the code, the pointer from `/when` on, and words of the message.
type Refusal = (&'static str, &'static str, &'static str, &'static str);

fn problems(text: &str) -> Vec<Problem> {
    Definition::parse(text).err().unwrap_or_default()
}

/// Every refusal is told, and nothing else is.
fn refuses(table: &[Refusal]) {
    for (when, code, pointer, words) in table {
        let problems = problems(&format!(r#"{{"when":{when}}}"#));
        let [problem] = problems.as_slice() else { panic!("{when}: one problem expected: {problems:#?}") };
        assert_eq!((problem.code, problem.pointer.as_str()), (*code, format!("/when{pointer}").as_str()), "{when}");
        assert!(problem.message.contains(words), "{when}: {:?} should say {words:?}", problem.message);
    }
}

fn accepts(table: &[&str]) {
    for when in table {
        assert_eq!(problems(&format!(r#"{{"when":{when}}}"#)), [], "{when}");
    }
}

#[test]
fn conditions() {
    refuses(&[
        (r#"{}"#, INVALID, "", r#"a condition has "all", "any", "not", "event", "trait" or "score""#),
        (r#"[]"#, INVALID, "", "must be an object"),
        (r#""a""#, INVALID, "", "must be an object"),
        (r#"{"all":[]}"#, INVALID, "/all", "name at least one condition"),
        (r#"{"any":[]}"#, INVALID, "/any", "name at least one condition"),
        (r#"{"all":{"event":"a"}}"#, INVALID, "/all", "must be an array of conditions"),
        (r#"{"any":[{"event":"a"},1]}"#, INVALID, "/any/1", "must be an object with"),
        (r#"{"not":[{"event":"a"}]}"#, INVALID, "/not", "must be an object with"),
        (r#"{"not":{"any":[{"not":{}}]}}"#, INVALID, "/not/any/0/not", "a condition has"),
        (r#"{"event":"a","trait":"b"}"#, INVALID, "", r#"put the two conditions into "all" or "any""#),
        (r#"{"all":[{"event":"a"}],"event":"b"}"#, INVALID, "", r#"put the two conditions into "all" or "any""#),
        (r#"{"event":"a","event":"b"}"#, TWICE, "/event", "keep one"),
        (r#"{"event":"a","\u0065vent":"b"}"#, TWICE, "/event", "keep one"),
        (r#"{"event":"a","atleast":2}"#, UNKNOWN, "/atleast", r#"did you mean "at_least""#),
        (r#"{"event":"a","with~in/":"7d"}"#, UNKNOWN, "/with~0in~1", r#"did you mean "within""#),
        (r#"{"event":"a","colour":1}"#, UNKNOWN, "/colour", "known here are event, where, since, until, within"),
        (r#"{"not":{"event":"a"},"at_least":2}"#, UNKNOWN, "/at_least", "known here are not"),
    ]);
    accepts(&[
        r#"{"all":[{"event":"a"}]}"#,
        r#"{"any":[{"not":{"not":{"event":"a"}}},{"trait":"x","eq":1},{"score":"points","at_least":1}]}"#,
        r#"{"event":"a","trait":null,"at_least":null,"within":null,"colour":null}"#,
    ]);
}

#[test]
fn events() {
    refuses(&[
        (r#"{"event":5}"#, INVALID, "/event", "must be a string"),
        (r#"{"event":""}"#, INVALID, "/event", r#"1 to 200 bytes, or "*" for any"#),
        (r#"{"event":"a","where":[]}"#, INVALID, "/where", r#"such as {"category": "shoes"}"#),
        (r#"{"event":"a","where":{"p":{}}}"#, INVALID, "/where/p", r#"a test such as {"exists": true}"#),
        (r#"{"event":"a","where":{"p":[1]}}"#, INVALID, "/where/p", "must be a string, a number, true or false"),
        (r#"{"event":"a","where":{"":1}}"#, INVALID, "/where/", r#"a dotted path, such as "address.country""#),
        (r#"{"event":"a","where":{"p..q":1}}"#, INVALID, "/where/p..q", "a dotted path"),
        (r#"{"event":"a","where":{".p":1}}"#, INVALID, "/where/.p", "a dotted path"),
        (r#"{"event":"a","where":{"p":1,"\u0070":2}}"#, TWICE, "/where/p", "keep one"),
        (r#"{"event":"a","where":{"p":{"eq":1,"eq":2}}}"#, TWICE, "/where/p/eq", "keep one"),
        (r#"{"event":"a","where":{"p":{"equals":1}}}"#, UNKNOWN, "/where/p/equals", "known here are eq, ne, gt"),
        (r#"{"event":"a","where":{"p":{"start_with":"x"}}}"#, UNKNOWN, "/where/p/start_with", r#"mean "starts_with""#),
        (r#"{"event":"a","at_least":0}"#, INVALID, "/at_least", "a whole number from 1 to 10000"),
        (r#"{"event":"a","at_least":10001}"#, INVALID, "/at_least", "a whole number from 1 to 10000"),
        (r#"{"event":"a","at_least":"3"}"#, INVALID, "/at_least", "a whole number from 1 to 10000"),
        (r#"{"event":"a","at_least":1.5}"#, INVALID, "/at_least", "a whole number from 1 to 10000"),
        (r#"{"event":"a","at_most":-1}"#, INVALID, "/at_most", "a whole number from 0 to 10000"),
        (r#"{"event":"a","exactly":99999999999}"#, INVALID, "/exactly", "a whole number from 0 to 10000"),
        (r#"{"event":"a","at_least":1,"at_most":2}"#, INVALID, "", r#"put two conditions into "all""#),
        (r#"{"event":"a","exactly":1,"followed_by":{"event":"b"}}"#, INVALID, "", r#"put two conditions into "all""#),
        (
            r#"{"event":"a","not_followed_by":{"event":"b"},"followed_by":{"event":"b"}}"#,
            INVALID,
            "",
            r#"put two conditions into "all""#,
        ),
    ]);
    accepts(&[
        r#"{"event":"a","at_least":10000}"#,
        r#"{"event":"a","at_most":0}"#,
        r#"{"event":"a","exactly":0}"#,
        r#"{"event":"*","where":{}}"#,
        r#"{"event":"profile.registered","where":{"traits.plan":"pro"}}"#,
        r#"{"event":"a","where":{"p.q.r":true,"s":{"gte":1,"lt":2,"ne":1.5}}}"#,
    ]);
}

#[test]
fn windows() {
    let duration = r#"a whole number and s, m, h, d or w, from "1s" to "3650d""#;
    for wrong in [
        r#""0s""#,
        r#""3651d""#,
        r#""522w""#,
        r#""""#,
        r#""d""#,
        r#""7""#,
        r#""7D""#,
        r#""1.5h""#,
        r#""-1d""#,
        r#""+1d""#,
        r#""1h30m""#,
        r#"" 1h""#,
        r#""P7D""#,
        r#""1y""#,
        r#""99999999999999999999d""#,
        "7",
        "true",
        r#"["7d"]"#,
    ] {
        for (when, pointer) in [
            (format!(r#"{{"event":"a","within":{wrong}}}"#), "/when/within"),
            (format!(r#"{{"event":"a","not_followed_by":{{"event":"b"}},"for":{wrong}}}"#), "/when/for"),
            (format!(r#"{{"trait":"t","in_next":{wrong}}}"#), "/when/in_next"),
            (format!(r#"{{"trait":"t","in_last":{wrong}}}"#), "/when/in_last"),
        ] {
            let problems = problems(&format!(r#"{{"when":{when}}}"#));
            assert_eq!(problems.len(), 1, "{when}: {problems:?}");
            assert_eq!((problems[0].code, problems[0].pointer.as_str()), (INVALID, pointer), "{when}");
            assert!(problems[0].message.contains(duration), "{when}: {:?}", problems[0].message);
        }
    }
    refuses(&[
        (r#"{"event":"a","since":"yesterday"}"#, INVALID, "/since", "2026-11-20T10:00:00Z"),
        (r#"{"event":"a","until":1800000000}"#, INVALID, "/until", "2026-11-20T10:00:00Z"),
        (r#"{"event":"a","since":"2026-11-20"}"#, INVALID, "/since", "an RFC 3339 instant"),
        (r#"{"event":"a","within":"7d","since":"2026-11-20T10:00:00Z"}"#, INVALID, "", "keep one window"),
        (r#"{"event":"a","within":"7d","until":"2026-11-20T10:00:00Z"}"#, INVALID, "", "keep one window"),
    ]);
    accepts(&[
        r#"{"event":"a","within":"1s"}"#,
        r#"{"event":"a","within":"3650d"}"#,
        r#"{"event":"a","within":"521w"}"#,
        r#"{"event":"a","within":"007d","at_most":3}"#,
        r#"{"event":"a","since":"2026-11-20T10:00:00Z"}"#,
        r#"{"event":"a","until":"2026-11-20T10:00:00.123456789+01:00"}"#,
        // Never true, which is allowed.
        r#"{"event":"a","since":"2026-11-20T10:00:00Z","until":"2026-11-20T10:00:00Z"}"#,
        r#"{"event":"a","since":"2026-11-21T10:00:00Z","until":"2026-11-20T10:00:00Z"}"#,
    ]);
}

#[test]
fn sequences() {
    refuses(&[
        (r#"{"event":"a","followed_by":"b"}"#, INVALID, "/followed_by", r#"such as {"event": "order.completed"}"#),
        (r#"{"event":"a","followed_by":{}}"#, INVALID, "/followed_by", r#"add "event""#),
        (r#"{"event":"a","not_followed_by":{"where":{"p":1}}}"#, INVALID, "/not_followed_by", r#"add "event""#),
        (
            r#"{"event":"a","not_followed_by":{"event":"b","where":{"p":{}}}}"#,
            INVALID,
            "/not_followed_by/where/p",
            "a test such as",
        ),
        (
            r#"{"event":"a","followed_by":{"event":"b","since":"2026-11-20T10:00:00Z"}}"#,
            UNKNOWN,
            "/followed_by/since",
            "known here are event, where",
        ),
        (r#"{"event":"a","for":"1h"}"#, INVALID, "/for", r#"goes with "not_followed_by" only"#),
        (
            r#"{"event":"a","followed_by":{"event":"b"},"for":"1h"}"#,
            INVALID,
            "/for",
            r#"goes with "not_followed_by" only"#,
        ),
        (r#"{"event":"a","at_least":2,"for":"1h"}"#, INVALID, "/for", r#"goes with "not_followed_by" only"#),
    ]);
    let inside = problems(r#"{"when":{"event":"a","not_followed_by":{"event":"b","for":"1h"}}}"#);
    assert_eq!((inside[0].code, inside[0].pointer.as_str()), (INVALID, "/when/not_followed_by/for"));
    assert!(inside[0].message.contains("move it one level up"));
    assert_eq!(inside.len(), 1, "{inside:?}");
    accepts(&[
        r#"{"event":"a","followed_by":{"event":"a"}}"#,
        r#"{"event":"*","within":"1d","not_followed_by":{"event":"*","where":{"p":1}},"for":"2d"}"#,
        r#"{"event":"a","since":"2026-11-20T10:00:00Z","not_followed_by":{"event":"b"}}"#,
    ]);
}

#[test]
fn tests_of_values() {
    let null = r#"use {"exists": false}"#;
    refuses(&[
        (r#"{"event":"a","where":{"p":null}}"#, INVALID, "/where/p", null),
        (r#"{"event":"a","where":{"p":{"eq":null}}}"#, INVALID, "/where/p/eq", null),
        (r#"{"event":"a","where":{"p":{"ne":null}}}"#, INVALID, "/where/p/ne", null),
        (r#"{"event":"a","where":{"p":{"gt":1,"lt":null}}}"#, INVALID, "/where/p/lt", null),
        (r#"{"event":"a","where":{"p":{"in":null}}}"#, INVALID, "/where/p/in", null),
        (r#"{"event":"a","where":{"p":{"in":[1,null]}}}"#, INVALID, "/where/p/in/1", null),
        (r#"{"event":"a","where":{"p":{"eq":1,"contains":null}}}"#, INVALID, "/where/p/contains", null),
        (r#"{"event":"a","where":{"p":{"starts_with":null}}}"#, INVALID, "/where/p/starts_with", null),
        (r#"{"event":"a","where":{"p":{"exists":null}}}"#, INVALID, "/where/p/exists", null),
        (r#"{"event":"a","where":{"p":{"gt":true}}}"#, INVALID, "/where/p/gt", r#"use "eq""#),
        (r#"{"event":"a","where":{"p":{"gte":false}}}"#, INVALID, "/where/p/gte", r#"use "eq""#),
        (r#"{"event":"a","where":{"p":{"lt":true}}}"#, INVALID, "/where/p/lt", r#"use "eq""#),
        (r#"{"trait":"p","lte":true}"#, INVALID, "/lte", r#"use "eq""#),
        (r#"{"event":"a","where":{"p":{"eq":[1]}}}"#, INVALID, "/where/p/eq", "a string, a number, true or false"),
        (r#"{"event":"a","where":{"p":{"eq":{}}}}"#, INVALID, "/where/p/eq", "a string, a number, true or false"),
        (r#"{"event":"a","where":{"p":{"in":"x"}}}"#, INVALID, "/where/p/in", "must be an array of"),
        (r#"{"event":"a","where":{"p":{"in":[[1]]}}}"#, INVALID, "/where/p/in/0", "a string, a number, true or false"),
        (r#"{"event":"a","where":{"p":{"contains":5}}}"#, INVALID, "/where/p/contains", "must be a string"),
        (r#"{"event":"a","where":{"p":{"exists":"yes"}}}"#, INVALID, "/where/p/exists", "must be true or false"),
        (r#"{"event":"a","where":{"p":1e18}}"#, INVALID, "/where/p", "must be below 10^18"),
        (r#"{"event":"a","where":{"p":{"lt":-1000000000000000000}}}"#, INVALID, "/where/p/lt", "must be below 10^18"),
    ]);
    accepts(&[
        // Never true, which is allowed.
        r#"{"event":"a","where":{"p":{"in":[]}}}"#,
        r#"{"trait":"p","in":[]}"#,
        r#"{"event":"a","where":{"p":{"gt":2,"lt":1}}}"#,
        r#"{"event":"a","where":{"p":{"eq":"x","exists":false}}}"#,
        r#"{"event":"a","where":{"p":{"eq":true,"ne":false,"in":[true,1,"x"]}}}"#,
        r#"{"event":"a","where":{"p":{"contains":"","starts_with":""}}}"#,
        r#"{"event":"a","where":{"p":999999999999999999.999999999}}"#,
    ]);
}

#[test]
fn traits_and_scores() {
    refuses(&[
        (r#"{"trait":"p"}"#, INVALID, "", r#"add a test such as "eq" or "exists""#),
        (r#"{"trait":"p","eq":null}"#, INVALID, "/eq", r#"{"exists": false}"#),
        (r#"{"trait":5,"eq":1}"#, INVALID, "/trait", "must be a string"),
        (r#"{"trait":"a..b","eq":1}"#, INVALID, "/trait", r#"such as "address.country""#),
        (r#"{"trait":"p","equal":1,"eq":1}"#, UNKNOWN, "/equal", "known here are trait, in_next, in_last, eq"),
        (r#"{"trait":"p","within":"7d","eq":1}"#, UNKNOWN, "/within", "known here are"),
        (r#"{"trait":"p","in_next":"7d","in_last":"7d"}"#, INVALID, "", r#"put two conditions into "all""#),
        (r#"{"trait":"p","in_next":"7d","exists":true}"#, INVALID, "", r#"put two conditions into "all""#),
        (r#"{"score":"points"}"#, INVALID, "", r#"needs one of "at_least" and "at_most", a number"#),
        (r#"{"score":"points","at_least":1,"at_most":2}"#, INVALID, "", r#"needs one of "at_least" and "at_most""#),
        (r#"{"score":"points","at_least":"1"}"#, INVALID, "/at_least", "must be a number"),
        (r#"{"score":"points","at_most":1e18}"#, INVALID, "/at_most", "a size below 10^18"),
        (r#"{"score":"points","at_least":1,"exactly":1}"#, UNKNOWN, "/exactly", "known here are score, at_least"),
        (r#"{"score":7,"at_least":1}"#, INVALID, "/score", "must be a string"),
    ]);
    accepts(&[
        r#"{"trait":"address.country","in":["GB","IE"],"ne":"IE"}"#,
        r#"{"trait":"renews_at","in_next":"7d"}"#,
        r#"{"score":"points","at_least":-0.5}"#,
        r#"{"score":"points","at_most":1e3}"#,
    ]);
}

#[test]
fn forms_of_later_releases_are_named_as_such() {
    let said = "is not supported by this release";
    refuses(&[
        (r#"{"event":"a","first":true}"#, LATER, "/first", said),
        (r#"{"event":"a","first":false}"#, LATER, "/first", said),
        (r#"{"event":"a","between":["7d","1d"]}"#, LATER, "/between", said),
        (r#"{"event":"a","distinct":"p","at_least":3}"#, LATER, "/distinct", said),
        (r#"{"event":"a","sum":"total","at_least":99.5}"#, LATER, "/sum", said),
        (r#"{"event":"a","sum":"total","at_most":-100000,"within":"7d"}"#, LATER, "/sum", said),
        (r#"{"in_segment":"vip"}"#, LATER, "/in_segment", said),
        (r#"{"sample":10,"salt":"x"}"#, LATER, "/sample", said),
        (
            r#"{"event":"a","within":{"calendar":"7d","time_zone":"Europe/Berlin"}}"#,
            LATER,
            "/within",
            "calendar windows are not supported by this release; use a duration",
        ),
        (r#"{"event":"a","followed_by":{"event":"b","within":"1h"}}"#, LATER, "/followed_by/within", said),
        (r#"{"event":"a","not_followed_by":{"event":"b","within":"1h"}}"#, LATER, "/not_followed_by/within", said),
        (r#"{"event":"a","not_followed_by":{"event":"b","same":"p"}}"#, LATER, "/not_followed_by/same", said),
        (r#"{"all":[{"event":"a"},{"not":{"in_segment":"vip"}}]}"#, LATER, "/all/1/not/in_segment", said),
    ]);
}

#[test]
fn the_text_around_the_condition() {
    let cases = [
        ("", "json_invalid", ""),
        ("{", "json_invalid", ""),
        ("[]", INVALID, ""),
        ("{}", INVALID, ""),
        (r#"{"name":"x"}"#, INVALID, ""),
        (r#"{"when":null}"#, INVALID, ""),
        (r#"{"when":{"event":"a"},"when":{"event":"b"}}"#, TWICE, "/when"),
        (r#"{"when":{"event":"a"},"title":"x"}"#, UNKNOWN, "/title"),
        (r#"{"nam":"x","when":{"event":"a"}}"#, UNKNOWN, "/nam"),
        (r#"{"name":5,"when":{"event":"a"}}"#, INVALID, "/name"),
        (r#"{"when":{"event":"a\u0000"}}"#, "text_invalid", "/when/event"),
        (r#"{"when":{"event":"\ud800"}}"#, "text_invalid", "/when/event"),
        (r#"{"when":{"event":"a","where":{"p":1e400}}}"#, "number_out_of_range", "/when/where/p"),
    ];
    for (text, code, pointer) in cases {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!((problems[0].code, problems[0].pointer.as_str()), (code, pointer), "{text}");
    }
    let named = |name: usize, description: usize| {
        let (name, description) = ("n".repeat(name), "d".repeat(description));
        problems(&format!(r#"{{"name":"{name}","description":"{description}","when":{{"event":"a"}}}}"#))
    };
    assert_eq!(named(200, 2_000), []);
    assert_eq!((named(201, 0)[0].pointer.as_str(), named(0, 2_001)[0].pointer.as_str()), ("/name", "/description"));
}

#[test]
fn limits() {
    let many = |n: usize| format!(r#"{{"when":{{"any":[{}]}}}}"#, vec![r#"{"event":"a"}"#; n].join(","));
    assert_eq!(problems(&many(199)), []);
    let problem = &problems(&many(200))[0];
    assert!(problem.message.contains("201 conditions; at most 200"), "{problem:?}");
    let name = |bytes: usize| problems(&format!(r#"{{"when":{{"event":"{}"}}}}"#, "n".repeat(bytes)));
    assert_eq!((name(200), name(201)[0].pointer.as_str()), (Vec::new(), "/when/event"));
    let path = |bytes: usize| problems(&format!(r#"{{"when":{{"trait":"{}","eq":1}}}}"#, "n".repeat(bytes)));
    assert_eq!((path(200), path(201)[0].pointer.as_str()), (Vec::new(), "/when/trait"));
    let nested = |n: usize| format!(r#"{{"when":{}{{"event":"a"}}{}}}"#, r#"{"not":"#.repeat(n), "}".repeat(n));
    assert_eq!(problems(&nested(30)), []);
    assert_eq!(problems(&nested(31))[0].code, "json_too_deep");
    assert_eq!(problems(&nested(100_000))[0].code, "json_too_deep");
}

#[test]
fn every_problem_is_told_at_once() {
    let text = r#"{"nme":"x","when":{"all":[{"event":"a","at_least":0},{"trait":"t"},{"any":[]}]}}"#;
    let found: Vec<String> = problems(text).into_iter().map(|problem| problem.pointer).collect();
    assert_eq!(found, ["/when/all/0/at_least", "/when/all/1", "/when/all/2/any", "/nme"]);
    // A text of megabytes isn't answered by megabytes, nor by minutes of looking.
    let wrong = format!(r#"{{"when":{{"all":[{}]}}}}"#, vec!["1"; 500_000].join(","));
    assert_eq!(problems(&wrong).len(), 100);
    let fields: Vec<String> = (0..200_000).map(|i| format!(r#""f{i}":1"#)).collect();
    assert_eq!(problems(&format!("{{{}}}", fields.join(","))).len(), 100);
}

#[test]
fn scores() {
    let cases = [
        (r#"{}"#, INVALID, "/rules", "must be an array of 1 to 200 rules"),
        (r#"{"rules":[]}"#, INVALID, "/rules", "must be an array of 1 to 200 rules"),
        (r#"{"rules":{"event":"a","points":1}}"#, INVALID, "/rules", "must be an array of 1 to 200 rules"),
        (r#"{"rules":[1]}"#, INVALID, "/rules/0", r#"an object with "event" and "points""#),
        (r#"{"rules":[{"event":"a"}]}"#, INVALID, "/rules/0", r#"add "points", a number"#),
        (r#"{"rules":[{"points":1}]}"#, INVALID, "/rules/0", r#"add "event""#),
        (r#"{"rules":[{"event":"a","points":"1"}]}"#, INVALID, "/rules/0/points", "must be a number"),
        (r#"{"rules":[{"event":"a","points":1e18}]}"#, INVALID, "/rules/0/points", "below 10^18"),
        (r#"{"rules":[{"event":"a","points":1,"within":"7d"}]}"#, UNKNOWN, "/rules/0/within", "known here are"),
        (r#"{"rules":[{"event":"a","where":{"p":{}},"points":1}]}"#, INVALID, "/rules/0/where/p", "a test such as"),
        (r#"{"rules":[{"event":"a","points":1}],"name":1}"#, INVALID, "/name", "must be a string"),
        (r#"{"rules":[{"event":"a","points":1}],"when":{}}"#, UNKNOWN, "/when", "known here are name, rules"),
    ];
    for (text, code, pointer, words) in cases {
        let problems = ScoreDefinition::parse(text).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{text}: one problem expected: {problems:#?}") };
        assert_eq!((problem.code, problem.pointer.as_str()), (code, pointer), "{text}");
        assert!(problem.message.contains(words), "{text}: {:?}", problem.message);
    }
    for text in [
        r#"{"name":"Points","rules":[{"event":"LOGIN","points":1},{"event":"*","points":-0.5}]}"#,
        r#"{"rules":[{"event":"a","where":{"p":{"gt":1}},"points":0}]}"#,
    ] {
        assert!(ScoreDefinition::parse(text).is_ok(), "{text}");
    }
    let many = |n: usize| format!(r#"{{"rules":[{}]}}"#, vec![r#"{"event":"a","points":1}"#; n].join(","));
    assert!(ScoreDefinition::parse(&many(200)).is_ok() && ScoreDefinition::parse(&many(201)).is_err());
}

#[test]
fn every_example_of_the_manual_is_a_definition() {
    let manual = include_str!("../../../docs/SEGMENTS.md");
    let examples: Vec<&str> =
        manual.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect();
    assert!(examples.len() > 15, "{} examples", examples.len());
    for example in examples {
        let problems = match example.contains("\"rules\"") {
            true => ScoreDefinition::parse(example).err(),
            false => Definition::parse(example).err(),
        };
        assert_eq!(problems, None, "{example}");
    }
}
