//! Examples worked by hand from the rules. Seconds count from an arbitrary start.

use uuid::Uuid;

use super::instant::{DAY, LAST, SECOND, format};
use super::{Definition, Json, Oracle, Score, Scores, Span, WorkspaceOracle, builtin};
use crate::history::{Seeded, Shape, definition, history};

const START: i64 = 1_795_168_800 * SECOND;
const WINDOW: i64 = 28 * DAY;
const ADA: Uuid = Uuid::from_u128(0xada);

/// An instant so many microseconds after the start.
fn us(micros: i64) -> i64 {
    START + micros
}

fn s(seconds: i64) -> i64 {
    START + seconds * SECOND
}

#[derive(Clone)]
struct Rec {
    id: String,
    name: String,
    time: i64,
    received: i64,
    data: String,
    extra: String,
    profile: Uuid,
}

fn rec(name: &str, time: i64, received: i64) -> Rec {
    let id = format!("{name}-{time}-{received}");
    Rec { id, name: name.into(), time, received, data: "{}".into(), extra: String::new(), profile: ADA }
}

/// Received when it happened.
fn now(name: &str, at: i64) -> Rec {
    rec(name, at, at)
}

fn fact(at: i64, data: &str) -> Rec {
    now("profile.updated", at).data(data)
}

impl Rec {
    fn id(self, id: &str) -> Self {
        Self { id: id.into(), ..self }
    }

    fn data(self, data: &str) -> Self {
        Self { data: data.into(), ..self }
    }

    fn extra(self, extra: &str) -> Self {
        Self { extra: extra.into(), ..self }
    }

    fn of(self, profile: u128) -> Self {
        Self { profile: Uuid::from_u128(profile), ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { id, name, time, received, data, extra, profile } = self;
        let (time, received) = (format(*time), format(*received));
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/default","type":"{name}","subject":"{profile}","time":"{time}","receivedtime":"{received}"{extra},"data":{data}}}"#
        )
        .into_bytes()
    }
}

fn log(records: &[Rec]) -> Oracle {
    Oracle::new(&[records.iter().map(Rec::bytes).collect()], WINDOW)
}

fn shop(records: &[Rec]) -> WorkspaceOracle {
    log(records).workspace("default").clone()
}

fn def(when: &str) -> Definition {
    Definition::parse(&format!(r#"{{"when":{when}}}"#), &scores()).unwrap()
}

fn scores() -> Scores {
    let small = r#"{"rules":[{"event":"a","points":0.7},{"event":"*","where":{"x":1},"points":0.1},
        {"event":"b","points":-0.1}]}"#;
    Scores::from([
        ("points".into(), Score::parse(builtin::POINTS).unwrap()),
        ("small".into(), Score::parse(small).unwrap()),
    ])
}

#[track_caller]
fn spans(records: &[Rec], when: &str, expected: &[(i64, Option<i64>)]) {
    let expected: Vec<Span> =
        expected.iter().map(|(enters_at, leaves_at)| Span { enters_at: *enters_at, leaves_at: *leaves_at }).collect();
    assert_eq!(shop(records).spans(&def(when), ADA), expected, "{when}");
}

#[track_caller]
fn member(records: &[Rec], when: &str, at: i64) -> bool {
    shop(records).member(&def(when), ADA, at)
}

/// Whether a profile with one event `a` of that data is a member.
fn passes(data: &str, tests: &str) -> bool {
    member(&[now("a", s(0)).data(data)], &format!(r#"{{"event":"a","where":{tests}}}"#), s(0))
}

#[test]
fn a_window_is_half_open() {
    let one = [rec("a", us(250_000), us(400_000))];
    // Known from its receipt on, counted until the window is over.
    spans(&one, r#"{"event":"a","within":"1s"}"#, &[(us(400_000), Some(us(1_250_000)))]);
    let view = shop(&one);
    let a = def(r#"{"event":"a","within":"1s"}"#);
    assert!(!view.member(&a, ADA, us(399_999)));
    assert!(view.member(&a, ADA, us(400_000)));
    assert!(view.member(&a, ADA, us(1_249_999)));
    assert!(!view.member(&a, ADA, us(1_250_000)));
}

#[test]
fn three_in_a_window_last_as_long_as_the_third_latest() {
    let views = [now("a", s(0)), now("a", s(2)), now("a", s(3)), now("a", s(11))];
    // From the third (3 s) till 0 s + 10 s; the one at 11 s makes three again, till 2 s + 10 s.
    spans(&views, r#"{"event":"a","at_least":3,"within":"10s"}"#, &[(s(3), Some(s(10))), (s(11), Some(s(12)))]);
    spans(&views, r#"{"event":"a","at_least":4}"#, &[(s(11), None)]);
    spans(
        &views,
        r#"{"event":"a","exactly":2,"within":"10s"}"#,
        &[(s(2), Some(s(3))), (s(10), Some(s(11))), (s(12), Some(s(13)))],
    );
}

#[test]
fn spans_that_touch_are_one() {
    spans(&[now("a", s(0)), now("a", s(5))], r#"{"event":"a","within":"5s"}"#, &[(s(0), Some(s(10)))]);
    spans(
        &[now("a", s(0)), now("a", us(5_000_001))],
        r#"{"event":"a","within":"5s"}"#,
        &[(s(0), Some(s(5))), (us(5_000_001), Some(us(10_000_001)))],
    );
}

#[test]
fn what_is_true_of_an_empty_history_begins_with_the_first_record() {
    let first = [now("x", s(7))];
    spans(&first, r#"{"event":"a","at_most":2}"#, &[(s(7), None)]);
    spans(&first, r#"{"not":{"event":"a","within":"1m"}}"#, &[(s(7), None)]);
    spans(&first, r#"{"trait":"plan","exists":false}"#, &[(s(7), None)]);
    spans(&first, r#"{"score":"small","at_most":0}"#, &[(s(7), None)]);
    assert!(!member(&first, r#"{"event":"a","at_most":2}"#, us(6_999_999)));
    assert!(!shop(&first).member(&def(r#"{"event":"a","at_most":2}"#), Uuid::nil(), s(9)));
}

#[test]
fn a_late_event_changes_the_present_and_never_the_past() {
    let cart = r#"{"event":"cart.added","not_followed_by":{"event":"order.completed"}}"#;
    let late = [now("cart.added", s(0)), rec("order.completed", s(1), s(9))];
    spans(&late, cart, &[(s(0), Some(s(9)))]);
    // A late cart before the order makes nobody a member.
    let before = [now("order.completed", s(5)), rec("cart.added", s(4), s(6))];
    spans(&before, cart, &[]);
    // An event that is out of its window when it comes was never in it.
    spans(&[now("x", s(0)), rec("a", s(0), s(5))], r#"{"event":"a","within":"5s"}"#, &[]);
}

#[test]
fn the_horizon_never_goes_back() {
    // The second record came by a clock that was behind: it is known at 10 s, as the first one.
    let back = [now("a", s(10)), now("b", s(4))];
    spans(&back, r#"{"event":"b"}"#, &[(s(10), None)]);
    spans(&back, r#"{"event":"b","within":"8s"}"#, &[(s(10), Some(s(12)))]);
    spans(&back, r#"{"event":"b","within":"6s"}"#, &[]);
    assert_eq!(shop(&back).profile(ADA, &scores()).unwrap().created_at, s(4));
}

#[test]
fn states_between_records_of_one_horizon_are_not_seen() {
    let same = [now("cart.added", s(1)), rec("order.completed", s(2), s(1))];
    spans(&same, r#"{"event":"cart.added","not_followed_by":{"event":"order.completed"}}"#, &[]);
    spans(&same, r#"{"event":"*","at_most":1}"#, &[]);
}

#[test]
fn sequences_speak_of_the_latest_and_of_those_not_before_it() {
    let cart = r#"{"event":"a","not_followed_by":{"event":"b"}}"#;
    // At one instant with the same time: it follows, in whatever order they came.
    spans(&[now("b", s(1)), now("a", s(1))], cart, &[]);
    spans(&[now("a", s(1)), now("b", s(1))], cart, &[]);
    // Clamped to one receipt, the producer's time decides.
    spans(&[rec("a", s(8), s(1)), rec("b", s(7), s(1))], cart, &[(s(1), None)]);
    spans(&[rec("a", s(7), s(1)), rec("b", s(8), s(1))], cart, &[]);
    // A newer cart starts again.
    spans(&[now("a", s(1)), now("b", s(2)), now("a", s(3))], cart, &[(s(1), Some(s(2))), (s(3), None)]);
    // An event never follows itself, but another of its kind does.
    let itself = r#"{"event":"a","followed_by":{"event":"a"}}"#;
    spans(&[now("a", s(1))], itself, &[]);
    spans(&[now("a", s(1)).id("1"), now("a", s(1)).id("2")], itself, &[(s(1), None)]);
    spans(&[now("a", s(1)), now("a", s(2))], itself, &[]);
    spans(&[now("a", s(1)), now("b", s(2))], r#"{"event":"a","followed_by":{"event":"b"}}"#, &[(s(2), None)]);
    // since and until choose among the A's and don't bind B.
    let until = format!(r#"{{"event":"a","until":"{}","followed_by":{{"event":"b"}}}}"#, format(s(2)));
    spans(&[now("a", s(1)), now("a", s(2)), now("b", s(5))], &until, &[(s(5), None)]);
    // The window asks where the latest lies.
    let within = r#"{"event":"a","within":"3s","not_followed_by":{"event":"b"}}"#;
    spans(&[now("a", s(1))], within, &[(s(1), Some(s(4)))]);
}

#[test]
fn not_followed_for_begins_when_the_time_is_over() {
    let over = r#"{"event":"a","not_followed_by":{"event":"b"},"for":"10s"}"#;
    spans(&[now("a", s(0))], over, &[(s(10), None)]);
    spans(&[now("a", s(0)), now("b", s(10))], over, &[]);
    spans(&[now("a", s(0)), now("b", us(10_000_001))], over, &[(s(10), Some(us(10_000_001)))]);
    // Known late: a member until then.
    spans(&[now("a", s(0)), rec("b", s(5), s(12))], over, &[(s(10), Some(s(12)))]);
    spans(&[now("a", s(0)), now("a", s(9))], over, &[(s(19), None)]);
    let both = r#"{"event":"a","within":"15s","not_followed_by":{"event":"b"},"for":"10s"}"#;
    spans(&[now("a", s(0))], both, &[(s(10), Some(s(15)))]);
    let never = r#"{"event":"a","within":"10s","not_followed_by":{"event":"b"},"for":"10s"}"#;
    spans(&[now("a", s(0))], never, &[]);
}

#[test]
fn since_and_until_are_part_of_the_filter() {
    let between =
        |what: &str| format!(r#"{{"event":"a","since":"{}","until":"{}"{what}}}"#, format(s(1)), format(s(3)));
    spans(&[now("a", us(999_999))], &between(""), &[]);
    spans(&[now("a", s(1))], &between(""), &[(s(1), None)]);
    spans(&[now("a", us(2_999_999))], &between(""), &[(us(2_999_999), None)]);
    spans(&[now("a", s(3))], &between(""), &[]);
    spans(&[now("a", s(3))], &between(r#","at_most":0"#), &[(s(3), None)]);
}

#[test]
fn any_event_is_any_but_the_facts() {
    let both = [fact(s(0), "{}"), now("a", s(1))];
    spans(&both, r#"{"event":"*"}"#, &[(s(1), None)]);
    spans(&both, r#"{"event":"profile.updated"}"#, &[(s(0), None)]);
    spans(
        &[fact(s(0), r#"{"traits":{"plan":"pro"}}"#)],
        r#"{"event":"profile.updated","where":{"traits.plan":"pro"}}"#,
        &[(s(0), None)],
    );
}

#[test]
fn a_missing_value_fails_every_test_but_one() {
    for nothing in ["{}", r#"{"p":null}"#, r#"{"p":[]}"#, r#"{"p":[null,[[]]]}"#, r#"{"q":{"p":1}}"#] {
        assert!(passes(nothing, r#"{"p":{"exists":false}}"#), "{nothing}");
        for test in [r#"{"ne":"x"}"#, r#"{"exists":true}"#, r#"{"eq":"x"}"#, r#"{"exists":false,"ne":1}"#] {
            assert!(!passes(nothing, &format!(r#"{{"p":{test}}}"#)), "{nothing} {test}");
        }
    }
    // An object is something, and no value.
    assert!(passes(r#"{"p":{}}"#, r#"{"p":{"exists":true}}"#));
    assert!(!passes(r#"{"p":{}}"#, r#"{"p":{"ne":1}}"#));
    assert!(!passes(r#"{"p":{}}"#, r#"{"p":{"exists":false}}"#));
}

#[test]
fn ne_is_not_the_same_as_not_eq() {
    let a = [now("a", s(0))];
    assert!(!member(&a, r#"{"event":"a","where":{"p":{"ne":"x"}}}"#, s(0)));
    assert!(member(&a, r#"{"not":{"event":"a","where":{"p":{"eq":"x"}}}}"#, s(0)));
    assert!(!passes(r#"{"p":1}"#, r#"{"p":{"ne":"x"}}"#));
    assert!(passes(r#"{"p":"y"}"#, r#"{"p":{"ne":"x"}}"#));
    assert!(passes(r#"{"p":["x","y"]}"#, r#"{"p":{"ne":"x"}}"#));
}

#[test]
fn one_and_the_same_element_passes_all_tests_of_a_path() {
    let items = r#"{"items":[{"sku":"a","qty":1},[{"sku":"b","qty":[7,9]}]]}"#;
    assert!(passes(items, r#"{"items.qty":{"gt":7,"lte":9}}"#));
    assert!(!passes(items, r#"{"items.qty":{"gt":1,"lt":7}}"#));
    // Two paths may be passed by two elements.
    assert!(passes(items, r#"{"items.qty":1,"items.sku":"b"}"#));
    assert!(!passes(items, r#"{"items.0.qty":{"exists":true}}"#));
}

#[test]
fn nothing_is_coerced_and_text_compares_by_code_point() {
    assert!(!passes(r#"{"p":"1"}"#, r#"{"p":1}"#));
    assert!(!passes(r#"{"p":1}"#, r#"{"p":true}"#));
    assert!(passes(r#"{"p":true}"#, r#"{"p":{"ne":false}}"#));
    assert!(passes("{\"p\":\"\u{10000}\"}", "{\"p\":{\"gt\":\"\u{ffff}\"}}"));
    assert!(passes(r#"{"p":"a\u00e9"}"#, r#"{"p":{"contains":"é","starts_with":"a"}}"#));
    assert!(!passes(r#"{"p":"Shoes"}"#, r#"{"p":{"contains":"shoes"}}"#));
    assert!(passes(r#"{"p":["boots","shoes"]}"#, r#"{"p":{"contains":"hoe"}}"#));
    assert!(passes(r#"{"p":2}"#, r#"{"p":{"in":["2",2.0]}}"#));
    assert!(!passes(r#"{"p":2}"#, r#"{"p":{"in":[]}}"#));
}

#[test]
fn numbers_are_their_digits() {
    assert!(passes(r#"{"p":9007199254740993}"#, r#"{"p":{"gt":9007199254740992}}"#));
    assert!(passes(r#"{"p":0.70}"#, r#"{"p":7e-1}"#));
    assert!(passes(r#"{"p":0.0000000005}"#, r#"{"p":0}"#));
    assert!(passes(r#"{"p":0.0000000015}"#, r#"{"p":{"eq":0.000000002}}"#));
    for test in [r#"{"gt":5}"#, r#"{"ne":5}"#, "1e18", r#"{"lt":1e19}"#] {
        assert!(!passes(r#"{"p":1000000000000000000}"#, &format!(r#"{{"p":{test}}}"#)), "{test}");
    }
    assert!(passes(r#"{"p":1e18}"#, r#"{"p":{"exists":true}}"#));
    assert!(passes(r#"{"p":-999999999999999999}"#, r#"{"p":{"lt":0}}"#));
}

#[test]
fn a_trait_is_a_register_of_its_latest_write() {
    let plan = |at: i64, received: i64, plan: &str| {
        rec("profile.updated", at, received).data(&format!(r#"{{"traits":{{"plan":{plan}}}}}"#))
    };
    let pro = r#"{"trait":"plan","eq":"pro"}"#;
    spans(&[plan(s(0), s(0), "\"pro\""), plan(s(2), s(2), "\"free\"")], pro, &[(s(0), Some(s(2)))]);
    // An older value that comes late doesn't undo a deletion.
    let deleted = [plan(s(0), s(0), "\"pro\""), plan(s(2), s(2), "null"), plan(s(1), s(3), "\"pro\"")];
    spans(&deleted, pro, &[(s(0), Some(s(2)))]);
    spans(&deleted, r#"{"trait":"plan","exists":false}"#, &[(s(2), None)]);
    // A key is replaced whole; another key stays.
    let keys = [
        fact(s(0), r#"{"traits":{"address":{"city":"Rom","zip":"1"},"plan":"pro"}}"#),
        fact(s(1), r#"{"traits":{"address":{"city":"Bonn"}}}"#),
    ];
    spans(&keys, r#"{"trait":"address.zip","exists":true}"#, &[(s(0), Some(s(1)))]);
    spans(&keys, pro, &[(s(0), None)]);
    // The order of ids decides where all else is equal.
    let tie = [plan(s(0), s(0), "\"pro\"").id("e2"), plan(s(0), s(0), "\"free\"").id("e10")];
    spans(&tie, pro, &[(s(0), None)]);
}

#[test]
fn names_and_mails() {
    let facts = [
        fact(s(0), r#"{"name":"Ada","traits":{"name":"Countess"}}"#),
        fact(s(1), r#"{"traits":{"name":"Lovelace","email":"a@b"}}"#),
        fact(s(2), r#"{"name":null,"traits":{}}"#),
        fact(s(3), r#"{"traits":{"name":null}}"#),
        now("a", s(4)).data(r#"{"name":"not a fact","traits":{"name":"x"}}"#),
    ];
    spans(&facts, r#"{"trait":"name","eq":"Ada"}"#, &[(s(0), Some(s(1)))]);
    spans(&facts, r#"{"trait":"name","eq":"Lovelace"}"#, &[(s(1), Some(s(3)))]);
    spans(&facts, r#"{"trait":"email","starts_with":"a@"}"#, &[(s(1), None)]);
    let view = shop(&facts).profile(ADA, &Scores::new()).unwrap();
    assert_eq!((view.name, view.updated_at), (None, Some(s(3))));
    assert_eq!(view.traits, [("email".to_owned(), Json::Text("a@b".into()))].into());
    let known = r#","profilekind":"email","profilevalue":"c@d""#;
    let identity = [fact(s(0), r#"{"email":"a@b"}"#), now("a", s(1)).extra(known), fact(s(2), r#"{"email":"x@y"}"#)];
    spans(&identity, r#"{"trait":"email","eq":"a@b"}"#, &[(s(0), Some(s(1)))]);
    let view = shop(&identity).profile(ADA, &Scores::new()).unwrap();
    assert_eq!(view.email, Some(Json::Text("c@d".into())));
    assert_eq!(view.identifiers, [("email".to_owned(), "c@d".to_owned())]);
    assert_eq!(shop(&identity).find("email", "c@d"), Some(ADA));
}

#[test]
fn instants_of_traits() {
    let renews = |value: &str| [fact(s(0), &format!(r#"{{"traits":{{"t":{value}}}}}"#))];
    let text = format!("\"{}\"", format(s(20)));
    spans(&renews(&text), r#"{"trait":"t","in_next":"5s"}"#, &[(s(15), Some(s(20)))]);
    spans(&renews(&text), r#"{"trait":"t","in_last":"5s"}"#, &[(s(20), Some(s(25)))]);
    spans(&renews(&text), r#"{"trait":"t","in_next":"1m"}"#, &[(s(0), Some(s(20)))]);
    // Unix seconds, cut to the microsecond; any element.
    let seconds = s(20) / SECOND;
    let list = format!(r#"["soon",{seconds}.0000019,null]"#);
    spans(&renews(&list), r#"{"trait":"t","in_last":"5s"}"#, &[(us(20_000_001), Some(us(25_000_001)))]);
    spans(&renews("253402300800"), r#"{"trait":"t","in_next":"3650d"}"#, &[]);
    spans(&renews("\"2026-11-20\""), r#"{"trait":"t","in_next":"3650d"}"#, &[]);
    // An end after the year 9999 never comes.
    let last = format!("\"{}\"", format(LAST - 1));
    spans(&renews(&last), r#"{"trait":"t","in_last":"1s"}"#, &[(LAST - 1, None)]);
    spans(&renews(&last), r#"{"not":{"trait":"t","in_last":"1s"}}"#, &[(s(0), Some(LAST - 1))]);
}

#[test]
fn points_add_up_exactly_in_any_order() {
    let a = [now("a", s(0)), now("x", s(1)).data(r#"{"x":1.0}"#)];
    spans(&a, r#"{"score":"small","at_least":0.8}"#, &[(s(1), None)]);
    spans(&[a[1].clone(), a[0].clone()], r#"{"score":"small","at_least":0.8}"#, &[(s(1), None)]);
    spans(&a, r#"{"score":"small","at_least":0.800000001}"#, &[]);
    // Every rule that matches adds, and negative ones take away again.
    let both = [now("a", s(0)).data(r#"{"x":1}"#), now("b", s(1))];
    spans(&both, r#"{"score":"small","at_least":0.8}"#, &[(s(0), Some(s(1)))]);
    spans(&both, r#"{"score":"small","at_most":0.7}"#, &[(s(1), None)]);
}

#[test]
fn repeats_change_nothing_for_28_days_inclusive() {
    let first = now("a", s(0)).id("e");
    let again = |after: i64| rec("a", s(0), s(0) + after).id("e");
    let count = |records: &[Rec]| {
        let shop = shop(records);
        (shop.records(ADA).len(), shop.duplicates(), shop.conflicts())
    };
    assert_eq!(count(&[first.clone(), again(WINDOW)]), (1, 1, 0));
    assert_eq!(count(&[first.clone(), again(WINDOW + 1)]), (2, 0, 0));
    // The window counts from the admitted one, not from its repeat.
    assert_eq!(count(&[first.clone(), again(WINDOW), again(WINDOW + 1)]), (2, 1, 0));
    assert_eq!(count(&[first.clone(), again(WINDOW + 1), again(WINDOW + 2)]), (2, 1, 0));
    // A clock that is behind: arrival goes by the largest one so far.
    let ahead = now("b", s(0) + WINDOW + 1);
    assert_eq!(count(&[first.clone(), ahead, again(5)]), (3, 0, 0));
    // Another body or type is a conflict, another time isn't; another profile is another event.
    assert_eq!(count(&[first.clone(), again(1).data(r#"{"x":1}"#)]), (1, 1, 1));
    assert_eq!(count(&[first.clone(), Rec { name: "b".into(), ..again(1) }]), (1, 1, 1));
    assert_eq!(count(&[first.clone(), Rec { time: s(-9), ..again(1) }]), (1, 1, 0));
    assert_eq!(count(&[first.clone(), again(1).of(7)]), (1, 0, 0));
    // A repeat doesn't move the horizon either.
    spans(&[first, again(3 * SECOND), now("b", s(1))], r#"{"event":"b"}"#, &[(s(1), None)]);
}

#[test]
fn imports_count_by_their_arrival() {
    let import = |received: i64, arrived: i64| {
        rec("a", received, received).id("e").extra(&format!(r#","arrivedtime":"{}""#, format(arrived)))
    };
    let shop = |records: &[Rec]| shop(records).records(ADA).len();
    assert_eq!(shop(&[import(s(0) - 90 * DAY, s(0)), import(s(0) - 5 * DAY, s(9))]), 1);
    assert_eq!(shop(&[import(s(0) - 90 * DAY, s(0)), import(s(0) - 90 * DAY + 1, s(0) + WINDOW + 1)]), 2);
    spans(&[import(s(-100), s(0))], r#"{"event":"a"}"#, &[(s(-100), None)]);
}

#[test]
fn poison_is_set_aside_and_counted() {
    let good = now("a", s(0));
    let text = String::from_utf8(good.bytes()).unwrap();
    let poison: Vec<Vec<u8>> = [
        text.replace("\"receivedtime\":", "\"received\":"),
        text.replace(&format(s(0)), "yesterday"),
        text.replace("\"/default\"", "\"default\""),
        text.replace("\"data\":{}", "\"data\":[]"),
        text.replace("\"data\":{}", "\"data\":{\"a\":\"\\u0000\"}"),
        text.replace("\"data\":{}", "\"data\":{\"a\":1e999}"),
        text.replace("\"id\":\"", "\"id\":\"\\ud800"),
        text.replace("\"1.0\"", "\"0.3\""),
        text.replacen("{", "[", 1),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([Vec::new(), vec![0xff], good.bytes()])
    .collect();
    let oracle = Oracle::new(&[Vec::new(), poison], WINDOW);
    let offsets: Vec<(u32, u64)> = oracle.quarantined().iter().map(|q| (q.partition, q.offset)).collect();
    assert_eq!(offsets, (0..11).map(|n| (1, n)).collect::<Vec<_>>());
    let shop = oracle.workspace("default");
    // The broken id leaves no readable source, nor do broken JSON and a source without a slash.
    assert_eq!((shop.quarantined(), shop.records(ADA).len(), shop.records(ADA)[0].offset), (6, 1, 11));
    let stranger = Oracle::with_workspaces(&[vec![good.bytes()]], WINDOW, &["other"]);
    assert_eq!((stranger.quarantined().len(), stranger.workspace("default").profiles().count()), (1, 0));
}

#[test]
fn members_are_listed_by_entry_and_id() {
    let records = [now("a", s(1)).of(3), now("a", s(0)).of(9), now("a", s(1)).of(2), now("a", s(2)).of(1)];
    let (shop, a) = (shop(&records), def(r#"{"event":"a","within":"10s"}"#));
    let ids = |at: i64| shop.members(&a, at).iter().map(|m| m.id.as_u128()).collect::<Vec<_>>();
    assert_eq!((ids(s(1)), ids(s(2))), (vec![9, 2, 3], vec![9, 2, 3, 1]));
    assert_eq!((ids(s(10)), ids(s(12)), ids(s(-1))), (vec![2, 3, 1], vec![], vec![]));
    assert_eq!((shop.count(&a, us(9_999_999)), shop.count(&a, s(10))), (4, 3));
    let nine = Uuid::from_u128(9);
    assert_eq!(shop.span_at(&a, nine, s(4)), Some(Span { enters_at: s(0), leaves_at: Some(s(10)) }));
    assert_eq!((shop.next_flip(&a, nine, s(-1)), shop.next_flip(&a, nine, s(0))), (Some(s(0)), Some(s(10))));
    assert_eq!(shop.next_flip(&a, nine, s(10)), None);
}

#[test]
fn the_points_service() {
    let user = r#","profilekind":"user","profilevalue":"13""#;
    let records = [
        fact(s(0), "{}").extra(user),
        rec("LOGIN", s(9), s(1)).id("l1").extra(user),
        now("PURCHASE", s(2)).id("p1").extra(user),
        now("LOGIN", s(3)).id("l2").extra(user),
        now("LOGIN", s(4)).id("l2").extra(user),
        now("odd", s(5)).id("o").extra(user),
    ];
    let (shop, points) = (shop(&records), Score::parse(builtin::POINTS).unwrap());
    let view = shop.points(&points, "13").unwrap();
    assert_eq!(view.points.to_string(), "12");
    let types: Vec<String> = view.by_type.iter().map(|(t, (n, p))| format!("{t} {n} {p}")).collect();
    assert_eq!(types, ["LOGIN 2 2", "PURCHASE 1 10", "odd 1 0"]);
    let events: Vec<String> = view.events.iter().map(|e| format!("{} {}", e.id, e.points)).collect();
    assert_eq!(events, ["o 0", "l2 1", "p1 10", "l1 1"]);
    assert_eq!(view.events[3].timestamp, s(9));
    assert_eq!(shop.points(&points, "14"), None);
    assert_eq!(shop.profile(ADA, &scores()).unwrap().scores["points"].to_string(), "12");
    assert_eq!(shop.events(ADA).last().unwrap().event.name, "profile.updated");
    assert_eq!(shop.standings(&points), [(ADA, view.points)]);
}

#[test]
fn the_order_of_events_is_by_at_time_id_and_receipt() {
    let records = [
        rec("a", s(5), s(1)).id("z"),
        rec("a", s(1), s(3)).id("e2"),
        rec("a", s(1), s(2)).id("e10"),
        rec("a", s(1), s(2)).id("é"),
        rec("a", s(0), s(9)).id("zz"),
    ];
    let shop = shop(&records);
    let ids: Vec<&str> = shop.events(ADA).iter().map(|r| r.event.id.as_str()).collect();
    assert_eq!(ids, ["z", "é", "e2", "e10", "zz"]);
}

#[test]
fn what_the_oracle_does_not_know_is_refused() {
    for when in [
        r#"{"event":"a","first":true}"#,
        r#"{"event":"a","sum":"x","at_least":1}"#,
        r#"{"event":"a","followed_by":{"event":"b","within":"1h"}}"#,
        r#"{"event":"a","within":{"calendar":"1d","time_zone":"UTC"}}"#,
        r#"{"event":"a","followed_by":{"event":"b"},"for":"1h"}"#,
        r#"{"event":"a","at_least":1,"exactly":1}"#,
        r#"{"event":"a","at_least":0}"#,
        r#"{"event":"a","within":"1M"}"#,
        r#"{"event":"a","within":"0s"}"#,
        r#"{"event":"a","where":{"p":{}}}"#,
        r#"{"event":"a","where":{"p":null}}"#,
        r#"{"event":"a","where":{"p":{"gt":true}}}"#,
        r#"{"trait":"p"}"#,
        r#"{"trait":"p","in_next":"1h","eq":1}"#,
        r#"{"score":"unknown","at_least":1}"#,
        r#"{"in_segment":"x"}"#,
        r#"{"sample":10,"salt":"x"}"#,
        r#"{"all":[]}"#,
    ] {
        assert!(Definition::parse(&format!(r#"{{"when":{when}}}"#), &scores()).is_err(), "{when}");
    }
}

#[test]
fn spans_say_what_member_says_at_every_instant() {
    for seed in Seeded::seeds(0, 300) {
        let mut rng = Seeded::new(seed);
        let shape = Shape { dedup_window: 10 * SECOND, imports: seed % 3 == 0, start: START, ..Shape::default() };
        let history = history(&mut rng, &shape);
        let scores = scores();
        let oracle = Oracle::new(&history.partitions("default", 2), shape.dedup_window);
        assert_eq!(oracle.quarantined(), []);
        let shop = oracle.workspace("default");
        for _ in 0..4 {
            let text = definition(&mut rng, &["points", "small"], START).to_string();
            let definition = Definition::parse(&text, &scores).unwrap();
            for profile in shop.profiles() {
                let spans = shop.spans(&definition, profile);
                assert!(spans.windows(2).all(|two| two[0].leaves_at.is_some_and(|end| end < two[1].enters_at)));
                for step in -8..400 {
                    let at = START + step * SECOND / 4 + step % 3;
                    let inside = spans.iter().any(|span| span.contains(at));
                    assert_eq!(inside, shop.member(&definition, profile, at), "{text} {profile} {}", format(at));
                }
            }
        }
    }
}

#[test]
fn random_histories_meet_what_they_are_made_for() {
    let (mut duplicates, mut conflicts, mut flips, mut runs) = (0, 0, 0, 0);
    for seed in Seeded::seeds(0, 200) {
        let mut rng = Seeded::new(seed);
        let shape = Shape { start: START, ..Shape::default() };
        let history = history(&mut rng, &shape);
        for sent in &history.sent {
            assert_ne!(sent.item().is_some(), sent.fact().is_some());
            assert!(sent.item().is_none_or(|item| Json::parse(&item).is_ok()));
        }
        let oracle = Oracle::new(&history.partitions("default", 1), shape.dedup_window);
        let shop = oracle.workspace("default");
        (duplicates, conflicts) = (duplicates + shop.duplicates(), conflicts + shop.conflicts());
        let text = definition(&mut rng, &["points"], START).to_string();
        let definition = Definition::parse(&text, &scores()).unwrap();
        let spans: usize = shop.profiles().map(|p| shop.spans(&definition, p).len()).sum();
        (flips, runs) = (flips + usize::from(spans > 0), runs + 1);
    }
    // Only a whole run says something about how often things happen.
    if runs > 1 {
        assert!(duplicates > 500 && conflicts > 50 && flips > 80, "{duplicates} {conflicts} {flips}");
    }
}
