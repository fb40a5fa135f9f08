//! The grammar (the language's page is docs/SEGMENTS.md).

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use weir_event::{Decimal, Timestamp, limits};

use super::object::{Object, Place, Problem};
use super::{
    Condition, Definition, EventCondition, Filter, MAX_COUNT, Rule, ScoreBound, ScoreCondition, ScoreDefinition,
    TraitCondition, TraitTest, What, test,
};
use weir_event::value::Json;

/// Conditions in one definition.
const MAX_CONDITIONS: usize = 200;

pub(super) fn definition(text: &str) -> Result<Definition, Vec<Problem>> {
    read(text, |raw, place| {
        let mut object = Object::open(raw, place, "with \"when\"")?;
        let (name, description) =
            (label(&mut object, "name", 200, place), label(&mut object, "description", 2_000, place));
        let when = match object.take("when") {
            Some(when) => condition(when, &mut place.inside("when")),
            None => {
                place.wrong("says nothing: \"when\" is missing");
                None
            }
        };
        object.finish(place, &[]);
        let definition = Definition { name, description, when: when? };
        let mut conditions = 0;
        definition.when.each(&mut |_| conditions += 1);
        if conditions > MAX_CONDITIONS {
            place.wrong(format!("has {conditions} conditions; at most {MAX_CONDITIONS} are allowed"));
        }
        Some(definition)
    })
}

pub(super) fn score_definition(text: &str) -> Result<ScoreDefinition, Vec<Problem>> {
    read(text, |raw, place| {
        let mut object = Object::open(raw, place, "with \"rules\"")?;
        let name = label(&mut object, "name", 200, place);
        let rules = object.take("rules").map(Json::of);
        let rules = match rules {
            Some(Json::Array(items)) if !items.is_empty() && items.len() <= MAX_CONDITIONS => items
                .iter()
                .enumerate()
                .filter_map(|(i, item)| rule(item, &mut place.inside("rules").inside(&i.to_string())))
                .collect(),
            _ => {
                place
                    .inside("rules")
                    .wrong("must be an array of 1 to 200 rules, such as [{\"event\": \"LOGIN\", \"points\": 1}]");
                Vec::new()
            }
        };
        object.finish(place, &[]);
        Some(ScoreDefinition { name, rules })
    })
}

fn read<T>(text: &str, parse: impl FnOnce(&RawValue, &mut Place<'_>) -> Option<T>) -> Result<T, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut place = Place { pointer: String::new(), problems: &mut problems };
    if let Err(fault) = weir_event::json::check(text, limits::JSON_DEPTH) {
        return Err(vec![Problem { code: fault.kind.code(), pointer: fault.pointer, message: fault.message }]);
    }
    let parsed = match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) => parse(raw, &mut place),
        Err(error) => {
            place.wrong(format!("not JSON: {error}"));
            None
        }
    };
    match parsed {
        Some(parsed) if problems.is_empty() => Ok(parsed),
        _ => Err(problems),
    }
}

fn label(object: &mut Object<'_>, field: &'static str, bytes: usize, place: &mut Place<'_>) -> Option<String> {
    let text = object.text(field, place)?;
    if text.len() > bytes {
        place.inside(field).wrong(format!("is longer than {bytes} bytes"));
        return None;
    }
    Some(text)
}

/// What a condition can be, by the field that tells.
const KINDS: &str = "\"all\", \"any\", \"not\", \"event\", \"trait\" or \"score\"";

fn condition(raw: &RawValue, place: &mut Place<'_>) -> Option<Condition> {
    let mut object = Object::open(raw, place, &format!("with {KINDS}"))?;
    let kinds = ["all", "any", "not", "in_segment", "event", "trait", "score", "sample"];
    let mut found = kinds.into_iter().filter(|kind| object.has(kind));
    let (kind, more) = (found.next(), found.next());
    if let (Some(kind), Some(more)) = (kind, more) {
        place.wrong(format!("has both {kind:?} and {more:?}; put the two conditions into \"all\" or \"any\""));
        return None;
    }
    let parsed = match kind {
        Some("all") => list(&mut object, "all", place).map(Condition::All),
        Some("any") => list(&mut object, "any", place).map(Condition::Any),
        Some("not") => {
            object.take("not").and_then(|c| condition(c, &mut place.inside("not"))).map(|c| Condition::Not(Box::new(c)))
        }
        Some("event") => event(&mut object, place).map(Condition::Event),
        Some("trait") => trait_condition(&mut object, place).map(Condition::Trait),
        Some("score") => score(&mut object, place).map(Condition::Score),
        Some(later) => {
            place.inside(later).problem("not_supported", format!("{later:?} is not supported by this release"));
            return None;
        }
        None => {
            place.wrong(format!("says nothing; a condition has {KINDS}"));
            // The kinds are known names, so that a misspelt one is told what it was meant to be.
            for kind in kinds {
                object.take(kind);
            }
            None
        }
    };
    object.finish(place, &["first", "between", "distinct", "sum"]);
    parsed
}

fn list(object: &mut Object<'_>, field: &'static str, place: &mut Place<'_>) -> Option<Vec<Condition>> {
    let mut place = place.inside(field);
    let Json::Array(items) = object.take(field).map(Json::of)? else {
        place.wrong("must be an array of conditions");
        return None;
    };
    if items.is_empty() {
        place.wrong("must not be empty; name at least one condition");
        return None;
    }
    let parts: Vec<Option<Condition>> =
        items.iter().enumerate().map(|(i, item)| condition(item, &mut place.inside(&i.to_string()))).collect();
    parts.into_iter().collect()
}

fn event(object: &mut Object<'_>, place: &mut Place<'_>) -> Option<EventCondition> {
    let mut filter = event_filter(object, place);
    let since = object.take("since").and_then(|raw| instant(raw, &mut place.inside("since")));
    let until = object.take("until").and_then(|raw| instant(raw, &mut place.inside("until")));
    let within = object.take("within").and_then(|raw| window(raw, &mut place.inside("within")));
    if within.is_some() && (since.is_some() || until.is_some()) {
        place.wrong("has \"within\" beside \"since\" or \"until\"; keep one window");
    }
    if let Some(filter) = &mut filter {
        (filter.since, filter.until) = (since, until);
    }
    let what = what(object, place)?;
    Some(EventCondition { filter: filter?, within, what })
}

fn event_filter(object: &mut Object<'_>, place: &mut Place<'_>) -> Option<Filter> {
    let event = object.text("event", place);
    if event.as_ref().is_some_and(|name| name.is_empty() || name.len() > limits::NAME_BYTES) {
        place.inside("event").wrong("must be an event name of 1 to 200 bytes, or \"*\" for any");
    }
    let before = place.problems.len();
    let mut tests = BTreeMap::new();
    if let Some(raw) = object.take("where") {
        let mut place = place.inside("where");
        match Json::of(raw) {
            Json::Object(paths) => {
                for (path, raw) in paths {
                    let mut place = place.inside(&path);
                    if !is_path(&path) {
                        place.wrong("must be a dotted path, such as \"address.country\"");
                    }
                    let more = test::parse(raw, &mut place);
                    if tests.insert(path.clone().into_owned(), more).is_some() {
                        place.problem("duplicate_name", format!("{path:?} stands here twice; keep one"));
                    }
                }
            }
            _ => place.wrong("must be an object of tests by property, such as {\"category\": \"shoes\"}"),
        }
    }
    if place.problems.len() > before {
        return None;
    }
    let event = event?;
    Some(Filter { event: (event != "*").then_some(event), tests, since: None, until: None })
}

fn is_path(path: &str) -> bool {
    !path.is_empty() && path.len() <= limits::NAME_BYTES && path.split('.').all(|part| !part.is_empty())
}

fn what(object: &mut Object<'_>, place: &mut Place<'_>) -> Option<What> {
    let kinds = ["at_least", "at_most", "exactly", "followed_by", "not_followed_by"];
    let mut found = kinds.into_iter().filter(|kind| object.has(kind));
    if let (Some(kind), Some(more)) = (found.next(), found.next()) {
        place.wrong(format!("has both {kind:?} and {more:?}; put two conditions into \"all\""));
    }
    // What stands beside a sum is an amount. Sums aren't supported yet, which is said of the sum alone.
    if object.has("sum") {
        let _amounts = (object.take("at_least"), object.take("at_most"));
    }
    let at_least = count(object, "at_least", 1, place).map(What::AtLeast);
    let at_most = count(object, "at_most", 0, place).map(What::AtMost);
    let exactly = count(object, "exactly", 0, place).map(What::Exactly);
    let followed = object.take("followed_by").map(|raw| next(raw, &mut place.inside("followed_by"), false));
    let not_followed = object.take("not_followed_by").map(|raw| next(raw, &mut place.inside("not_followed_by"), true));
    let lasting = object.take("for").and_then(|raw| duration(raw, &mut place.inside("for")));
    if lasting.is_some() && not_followed.is_none() {
        place.inside("for").wrong("goes with \"not_followed_by\" only");
    }
    match (at_least.or(at_most).or(exactly), followed, not_followed) {
        (Some(what), _, _) => Some(what),
        (None, Some(next), _) => next.map(What::FollowedBy),
        (None, None, Some(next)) => next.map(|next| What::NotFollowedBy { next, lasting }),
        (None, None, None) => Some(What::AtLeast(1)),
    }
}

fn next(raw: &RawValue, place: &mut Place<'_>, negated: bool) -> Option<Filter> {
    let mut object = Object::open(raw, place, "with \"event\", such as {\"event\": \"order.completed\"}")?;
    if !object.has("event") {
        place.wrong("names no event; add \"event\"");
    }
    if negated && object.take("for").is_some() {
        place.inside("for").wrong("stands beside \"not_followed_by\", not in it; move it one level up");
    }
    let filter = event_filter(&mut object, place);
    object.finish(place, &["within", "same"]);
    filter
}

fn count(object: &mut Object<'_>, field: &'static str, least: u32, place: &mut Place<'_>) -> Option<u32> {
    let raw = object.take(field)?;
    let number = match Json::of(raw) {
        Json::Number(digits) => digits.parse::<u32>().ok(),
        _ => None,
    };
    let number = number.filter(|n| (least..=MAX_COUNT).contains(n));
    if number.is_none() {
        place.inside(field).wrong(format!("must be a whole number from {least} to {MAX_COUNT}"));
    }
    number
}

fn trait_condition(object: &mut Object<'_>, place: &mut Place<'_>) -> Option<TraitCondition> {
    let path = object.text("trait", place);
    if path.as_ref().is_some_and(|path| !is_path(path)) {
        place.inside("trait").wrong("must be a dotted path, such as \"address.country\"");
    }
    let before = place.problems.len();
    let mut span = |field: &'static str| object.take(field).and_then(|raw| duration(raw, &mut place.inside(field)));
    let (in_next, in_last) = (span("in_next"), span("in_last"));
    let tests = test::take(object, place);
    let what = match (in_next, in_last, tests) {
        (Some(micros), None, tests) if tests.is_empty() => TraitTest::InNext(micros),
        (None, Some(micros), tests) if tests.is_empty() => TraitTest::InLast(micros),
        (None, None, tests) if !tests.is_empty() => TraitTest::Passes(tests),
        (None, None, _) => {
            if place.problems.len() == before {
                place.wrong("asks nothing of the trait; add a test such as \"eq\" or \"exists\"");
            }
            return None;
        }
        _ => {
            place.wrong("has \"in_next\" or \"in_last\" beside another test; put two conditions into \"all\"");
            return None;
        }
    };
    Some(TraitCondition { path: path?, what })
}

fn score(object: &mut Object<'_>, place: &mut Place<'_>) -> Option<ScoreCondition> {
    let score = object.text("score", place);
    let before = place.problems.len();
    let mut bound = |field: &'static str| object.take(field).and_then(|raw| decimal(raw, &mut place.inside(field)));
    let bound = match (bound("at_least"), bound("at_most")) {
        (Some(least), None) => ScoreBound::AtLeast(least),
        (None, Some(most)) => ScoreBound::AtMost(most),
        _ => {
            if place.problems.len() == before {
                place.wrong("needs one of \"at_least\" and \"at_most\", a number");
            }
            return None;
        }
    };
    Some(ScoreCondition { score: score?, bound })
}

fn rule(raw: &RawValue, place: &mut Place<'_>) -> Option<Rule> {
    let mut object = Object::open(raw, place, "with \"event\" and \"points\"")?;
    if !object.has("event") {
        place.wrong("names no event; add \"event\"");
    }
    let filter = event_filter(&mut object, place);
    let points = match object.take("points") {
        Some(raw) => decimal(raw, &mut place.inside("points")),
        None => {
            place.wrong("gives no points; add \"points\", a number");
            None
        }
    };
    object.finish(place, &[]);
    Some(Rule { filter: filter?, points: points? })
}

fn decimal(raw: &RawValue, place: &mut Place<'_>) -> Option<Decimal> {
    let number = match Json::of(raw) {
        Json::Number(digits) => Decimal::parse(digits),
        _ => None,
    };
    if number.is_none() {
        place.wrong("must be a number of a size below 10^18");
    }
    number
}

fn window(raw: &RawValue, place: &mut Place<'_>) -> Option<i64> {
    match Json::of(raw) {
        Json::Object(_) => {
            place.problem("not_supported", "calendar windows are not supported by this release; use a duration");
            None
        }
        _ => duration(raw, place),
    }
}

fn duration(raw: &RawValue, place: &mut Place<'_>) -> Option<i64> {
    let micros = match Json::of(raw) {
        Json::Text(text) => micros(&text),
        _ => None,
    };
    if micros.is_none() {
        place.wrong("must be a duration: a whole number and s, m, h, d or w, from \"1s\" to \"3650d\"");
    }
    micros
}

fn micros(text: &str) -> Option<i64> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        b'w' => 7 * 86_400,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = digits.parse::<i64>().ok()?.checked_mul(unit)?;
    (1..=3_650 * 86_400).contains(&seconds).then_some(seconds * 1_000_000)
}

fn instant(raw: &RawValue, place: &mut Place<'_>) -> Option<i64> {
    let instant = match Json::of(raw) {
        Json::Text(text) => Timestamp::parse(&text).ok(),
        _ => None,
    };
    if instant.is_none() {
        place.wrong("must be an RFC 3339 instant, such as \"2026-11-20T10:00:00Z\"");
    }
    instant.map(Timestamp::micros)
}
