//! The language, read into a tree. What the oracle doesn't know yet is refused, never overlooked.

use std::collections::BTreeMap;

use super::predicate::{Test, Tests};
use super::{Decimal, Json, instant};

/// Score definitions by slug.
pub type Scores = BTreeMap<String, Score>;

/// A segment's definition, with the scores that it names.
#[derive(Clone, Debug)]
pub struct Definition {
    pub(super) when: Condition,
}

/// A score's definition.
#[derive(Clone, Debug)]
pub struct Score {
    pub(super) rules: Vec<(Filter, Decimal)>,
}

/// The definition can't be read, or has a form that the oracle doesn't know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Event(EventLeaf),
    Trait(Tests),
    InNext { path: Vec<String>, duration: i64 },
    InLast { path: Vec<String>, duration: i64 },
    Score { score: Score, bound: Bound },
}

#[derive(Clone, Debug)]
pub(super) enum Bound {
    AtLeast(Decimal),
    AtMost(Decimal),
}

/// Which events are meant.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(super) event: String,
    pub(super) tests: Vec<Tests>,
    pub(super) since: Option<i64>,
    pub(super) until: Option<i64>,
}

#[derive(Clone, Debug)]
pub(super) struct EventLeaf {
    pub(super) filter: Filter,
    pub(super) within: Option<i64>,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    AtLeast(usize),
    AtMost(usize),
    Exactly(usize),
    FollowedBy(Filter),
    NotFollowedBy(Filter, Option<i64>),
}

impl Definition {
    /// Reads a definition.
    ///
    /// # Errors
    /// A sentence about what is wrong or unknown.
    pub fn parse(text: &str, scores: &Scores) -> Result<Self, Refused> {
        let json = Json::parse(text).map_err(Refused)?;
        let mut fields = Fields::of(&json)?;
        fields.take("name");
        fields.take("description");
        let when = condition(fields.must("when")?, scores)?;
        fields.done()?;
        Ok(Self { when })
    }
}

impl Score {
    /// Reads a score.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let json = Json::parse(text).map_err(Refused)?;
        let mut fields = Fields::of(&json)?;
        fields.take("name");
        let rules = items(fields.must("rules")?)?.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        fields.done()?;
        if rules.is_empty() { refuse("a score needs a rule") } else { Ok(Self { rules }) }
    }
}

fn rule(json: &Json) -> Result<(Filter, Decimal), Refused> {
    let mut fields = Fields::of(json)?;
    let filter = filter(&mut fields)?;
    let points = decimal(fields.must("points")?)?;
    fields.done()?;
    Ok((filter, points))
}

fn condition(json: &Json, scores: &Scores) -> Result<Condition, Refused> {
    let mut fields = Fields::of(json)?;
    let several = |json: &Json| -> Result<Vec<Condition>, Refused> {
        let inner = items(json)?.iter().map(|c| condition(c, scores)).collect::<Result<Vec<_>, _>>()?;
        if inner.is_empty() { refuse("all and any need a condition") } else { Ok(inner) }
    };
    let found = if let Some(inner) = fields.take("all") {
        Condition::All(several(inner)?)
    } else if let Some(inner) = fields.take("any") {
        Condition::Any(several(inner)?)
    } else if let Some(inner) = fields.take("not") {
        Condition::Not(Box::new(condition(inner, scores)?))
    } else if fields.has("event") {
        Condition::Event(event(&mut fields)?)
    } else if let Some(path) = fields.take("trait") {
        trait_leaf(text(path)?, &mut fields)?
    } else if let Some(slug) = fields.take("score") {
        let slug = text(slug)?;
        let Some(score) = scores.get(slug).cloned() else { return refuse(format!("no score {slug}")) };
        let bound = match (fields.take("at_least"), fields.take("at_most")) {
            (Some(n), None) => Bound::AtLeast(decimal(n)?),
            (None, Some(n)) => Bound::AtMost(decimal(n)?),
            _ => return refuse("a score needs one of at_least and at_most"),
        };
        Condition::Score { score, bound }
    } else {
        return refuse(format!("a condition that the oracle doesn't know: {json:?}"));
    };
    fields.done()?;
    Ok(found)
}

fn event(fields: &mut Fields<'_>) -> Result<EventLeaf, Refused> {
    let mut filter = filter(fields)?;
    filter.since = fields.take("since").map(moment).transpose()?;
    filter.until = fields.take("until").map(moment).transpose()?;
    let within = fields.take("within").map(duration).transpose()?;
    if within.is_some() && (filter.since.is_some() || filter.until.is_some()) {
        return refuse("at most one window");
    }
    let mut whats = Vec::new();
    if let Some(n) = fields.take("at_least") {
        whats.push(What::AtLeast(count(n, 1)?));
    }
    if let Some(n) = fields.take("at_most") {
        whats.push(What::AtMost(count(n, 0)?));
    }
    if let Some(n) = fields.take("exactly") {
        whats.push(What::Exactly(count(n, 0)?));
    }
    if let Some(next) = fields.take("followed_by") {
        whats.push(What::FollowedBy(next_filter(next)?));
    }
    if let Some(next) = fields.take("not_followed_by") {
        whats.push(What::NotFollowedBy(next_filter(next)?, fields.take("for").map(duration).transpose()?));
    }
    match (whats.pop(), whats.is_empty()) {
        (None, _) => Ok(EventLeaf { filter, within, what: What::AtLeast(1) }),
        (Some(what), true) => Ok(EventLeaf { filter, within, what }),
        _ => refuse("at most one of at_least, at_most, exactly and a sequence"),
    }
}

fn filter(fields: &mut Fields<'_>) -> Result<Filter, Refused> {
    let event = text(fields.must("event")?)?.to_owned();
    let paths = match fields.take("where") {
        None => Vec::new(),
        Some(Json::Object(paths)) => paths.iter().collect(),
        Some(_) => return refuse("where must be an object"),
    };
    let one = |(name, json): (&String, &Json)| Ok(Tests { path: path(name), tests: tests(json)? });
    let tests = paths.into_iter().map(one).collect::<Result<_, _>>()?;
    Ok(Filter { event, tests, since: None, until: None })
}

fn next_filter(json: &Json) -> Result<Filter, Refused> {
    let mut fields = Fields::of(json)?;
    let next = filter(&mut fields)?;
    fields.done()?;
    Ok(next)
}

fn trait_leaf(name: &str, fields: &mut Fields<'_>) -> Result<Condition, Refused> {
    let path = path(name);
    match (fields.take("in_next"), fields.take("in_last")) {
        (Some(d), None) => Ok(Condition::InNext { path, duration: duration(d)? }),
        (None, Some(d)) => Ok(Condition::InLast { path, duration: duration(d)? }),
        (Some(_), Some(_)) => refuse("one of in_next and in_last"),
        (None, None) => Ok(Condition::Trait(Tests { path, tests: tests_in(std::mem::take(&mut fields.left))? })),
    }
}

fn tests(json: &Json) -> Result<Vec<Test>, Refused> {
    match json {
        Json::Object(fields) => tests_in(fields.iter().map(|(name, value)| (name.as_str(), value)).collect()),
        scalar => Ok(vec![Test::Eq(operand(scalar)?)]),
    }
}

fn tests_in(fields: BTreeMap<&str, &Json>) -> Result<Vec<Test>, Refused> {
    if fields.is_empty() {
        return refuse("a test is missing");
    }
    fields.into_iter().map(|(name, json)| test(name, json)).collect()
}

fn test(name: &str, json: &Json) -> Result<Test, Refused> {
    let ordered = || match operand(json)? {
        Json::Bool(_) => refuse("booleans have no order"),
        other => Ok(other),
    };
    Ok(match name {
        "eq" => Test::Eq(operand(json)?),
        "ne" => Test::Ne(operand(json)?),
        "gt" => Test::Gt(ordered()?),
        "gte" => Test::Gte(ordered()?),
        "lt" => Test::Lt(ordered()?),
        "lte" => Test::Lte(ordered()?),
        "in" => Test::In(items(json)?.iter().map(operand).collect::<Result<_, _>>()?),
        "contains" => Test::Contains(text(json)?.to_owned()),
        "starts_with" => Test::StartsWith(text(json)?.to_owned()),
        "exists" => match json {
            Json::Bool(wanted) => Test::Exists(*wanted),
            _ => return refuse("exists is true or false"),
        },
        other => return refuse(format!("no test {other}")),
    })
}

fn operand(json: &Json) -> Result<Json, Refused> {
    match json {
        Json::Bool(_) | Json::Number(_) | Json::Text(_) => Ok(json.clone()),
        _ => refuse("a test needs a string, a number or a boolean"),
    }
}

fn path(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

fn count(json: &Json, from: usize) -> Result<usize, Refused> {
    match json {
        Json::Number(digits) => match digits.parse() {
            Ok(n) if n >= from => Ok(n),
            _ => refuse(format!("{digits} is no count from {from}")),
        },
        _ => refuse("a count is a number"),
    }
}

fn duration(json: &Json) -> Result<i64, Refused> {
    let written = text(json)?;
    let wrong = || Refused(format!("{written} is no duration"));
    let (number, unit) = written.split_at_checked(written.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let micros = number.checked_mul(seconds * instant::SECOND).ok_or_else(wrong)?;
    if (instant::SECOND..=3650 * instant::DAY).contains(&micros) { Ok(micros) } else { Err(wrong()) }
}

fn moment(json: &Json) -> Result<i64, Refused> {
    instant::parse(text(json)?).ok_or_else(|| Refused("no instant".to_owned()))
}

fn decimal(json: &Json) -> Result<Decimal, Refused> {
    match json {
        Json::Number(digits) => Decimal::parse(digits).ok_or_else(|| Refused(format!("{digits} is too large"))),
        _ => refuse("a number is missing"),
    }
}

fn text(json: &Json) -> Result<&str, Refused> {
    json.text().ok_or_else(|| Refused(format!("{json:?} is no string")))
}

fn items(json: &Json) -> Result<&[Json], Refused> {
    match json {
        Json::List(items) => Ok(items),
        _ => refuse("an array is missing"),
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

/// The fields of an object that nobody has read yet.
struct Fields<'a> {
    left: BTreeMap<&'a str, &'a Json>,
}

impl<'a> Fields<'a> {
    fn of(json: &'a Json) -> Result<Self, Refused> {
        match json {
            Json::Object(fields) => Ok(Self { left: fields.iter().map(|(k, v)| (k.as_str(), v)).collect() }),
            _ => refuse("an object is missing"),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn take(&mut self, name: &str) -> Option<&'a Json> {
        self.left.remove(name)
    }

    fn must(&mut self, name: &str) -> Result<&'a Json, Refused> {
        self.take(name).ok_or_else(|| Refused(format!("{name} is missing")))
    }

    fn done(self) -> Result<(), Refused> {
        match self.left.into_keys().next() {
            None => Ok(()),
            Some(name) => refuse(format!("{name} is not known here")),
        }
    }
}
