//! The language and its data as the laws generate them: a tree of its own, which is written as JSON for the crate and
//! answered by the naive evaluation as it stands. So neither the parser nor the numbers of the crate are trusted.

use weir_event::Timestamp;

/// 2027-01-15T08:00:00Z, the start of every history, in microseconds.
pub const BASE: i64 = 1_800_000_000 * SECOND;
/// A second in microseconds.
pub const SECOND: i64 = 1_000_000;

/// Numbers as they stand in JSON, and how many billionths they are; `None` is another type.
pub const NUMBERS: [(&str, Option<i128>); 18] = [
    ("0", Some(0)),
    ("-0.0", Some(0)),
    ("0.7", Some(700_000_000)),
    ("7E-1", Some(700_000_000)),
    ("0.8", Some(800_000_000)),
    ("1", Some(1_000_000_000)),
    ("1.0", Some(1_000_000_000)),
    ("10e-1", Some(1_000_000_000)),
    ("2", Some(2_000_000_000)),
    ("-1", Some(-1_000_000_000)),
    ("0.1234567895", Some(123_456_790)),
    ("0.12345679", Some(123_456_790)),
    ("999999999999999999", Some(999_999_999_999_999_999_000_000_000)),
    ("1000000000000000000", None),
    ("-1e18", None),
    ("1e300", None),
    ("1800000005", Some(1_800_000_005_000_000_000)),
    ("1800000007.0000019", Some(1_800_000_007_000_001_900)),
];

/// Texts that are instants, and those; the last ones are none.
pub const TEXTS: [(&str, Option<i64>); 14] = [
    ("2027-01-15T08:00:05Z", Some(BASE + 5 * SECOND)),
    ("2027-01-15T09:00:10.0000019+01:00", Some(BASE + 10 * SECOND + 1)),
    ("2027-01-15T08:00:20.000001Z", Some(BASE + 20 * SECOND + 1)),
    ("9999-12-31T23:59:59.999999Z", Some(253_402_300_799_999_999)),
    ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000)),
    ("2027-01-15", None),
    ("", None),
    ("a", None),
    ("ab", None),
    ("b", None),
    ("1", None),
    ("true", None),
    ("\u{ffff}", None),
    ("\u{1d11e}", None),
];

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    Null,
    Bool(bool),
    /// A place in [`NUMBERS`].
    Num(usize),
    /// A place in [`TEXTS`].
    Text(usize),
    List(Vec<Val>),
    /// A name may stand there twice: the last one counts.
    Object(Vec<(&'static str, Val)>),
}

impl Val {
    pub fn json(&self) -> String {
        match self {
            Val::Null => "null".to_owned(),
            Val::Bool(value) => value.to_string(),
            Val::Num(place) => NUMBERS[*place].0.to_owned(),
            Val::Text(place) => quoted(TEXTS[*place].0),
            Val::List(items) => format!("[{}]", items.iter().map(Val::json).collect::<Vec<_>>().join(",")),
            Val::Object(fields) => object(fields.iter().map(|(name, value)| ((*name).to_owned(), value.json()))),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn object(fields: impl IntoIterator<Item = (String, String)>) -> String {
    let fields: Vec<String> = fields.into_iter().map(|(name, json)| format!("{}:{json}", quoted(&name))).collect();
    format!("{{{}}}", fields.join(","))
}

#[derive(Clone, Debug)]
pub enum Cond {
    All(Vec<Cond>),
    Any(Vec<Cond>),
    Not(Box<Cond>),
    Event(Leaf),
    Trait {
        path: &'static str,
        tests: Vec<Test>,
    },
    /// Seconds.
    InNext {
        path: &'static str,
        seconds: i64,
    },
    InLast {
        path: &'static str,
        seconds: i64,
    },
    /// A place in [`SCORES`], and one in [`NUMBERS`].
    Score {
        score: usize,
        at_least: bool,
        bound: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Leaf {
    pub filter: Filter,
    /// Seconds.
    pub within: Option<i64>,
    pub since: Option<i64>,
    pub until: Option<i64>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Once,
    AtLeast(usize),
    AtMost(usize),
    Exactly(usize),
    FollowedBy(Filter),
    /// Seconds.
    NotFollowedBy(Filter, Option<i64>),
}

#[derive(Clone, Debug)]
pub struct Filter {
    /// A name or `*`.
    pub event: &'static str,
    pub tests: Vec<(&'static str, Vec<Test>)>,
}

#[derive(Clone, Debug)]
pub enum Test {
    Eq(Val),
    Ne(Val),
    Gt(Val),
    Gte(Val),
    Lt(Val),
    Lte(Val),
    In(Vec<Val>),
    Contains(usize),
    StartsWith(usize),
    Exists(bool),
}

impl Test {
    pub fn name(&self) -> &'static str {
        match self {
            Test::Eq(_) => "eq",
            Test::Ne(_) => "ne",
            Test::Gt(_) => "gt",
            Test::Gte(_) => "gte",
            Test::Lt(_) => "lt",
            Test::Lte(_) => "lte",
            Test::In(_) => "in",
            Test::Contains(_) => "contains",
            Test::StartsWith(_) => "starts_with",
            Test::Exists(_) => "exists",
        }
    }

    fn json(&self) -> String {
        match self {
            Test::Eq(v) | Test::Ne(v) | Test::Gt(v) | Test::Gte(v) | Test::Lt(v) | Test::Lte(v) => v.json(),
            Test::In(values) => Val::List(values.clone()).json(),
            Test::Contains(text) | Test::StartsWith(text) => Val::Text(*text).json(),
            Test::Exists(exists) => exists.to_string(),
        }
    }
}

type Fields = Vec<(String, String)>;

fn test_fields(tests: &[Test]) -> Fields {
    tests.iter().map(|test| (test.name().to_owned(), test.json())).collect()
}

impl Filter {
    fn fields(&self) -> Fields {
        let mut fields = vec![("event".to_owned(), quoted(self.event))];
        if !self.tests.is_empty() {
            let tests = self.tests.iter().map(|(path, tests)| {
                let json = match tests.as_slice() {
                    // The short form.
                    [Test::Eq(value)] => value.json(),
                    _ => object(test_fields(tests)),
                };
                ((*path).to_owned(), json)
            });
            fields.push(("where".to_owned(), object(tests)));
        }
        fields
    }
}

impl Cond {
    /// The definition with this condition.
    pub fn definition(&self) -> String {
        format!(r#"{{"when":{}}}"#, self.json())
    }

    /// Adds the lengths of time that it speaks of, in microseconds.
    pub fn lengths(&self, lengths: &mut Vec<i64>) {
        match self {
            Cond::All(parts) | Cond::Any(parts) => parts.iter().for_each(|part| part.lengths(lengths)),
            Cond::Not(part) => part.lengths(lengths),
            Cond::Event(leaf) => {
                lengths.extend(leaf.within.map(|s| s * SECOND));
                if let What::NotFollowedBy(_, Some(s)) = leaf.what {
                    lengths.push(s * SECOND);
                }
            }
            Cond::InNext { seconds, .. } | Cond::InLast { seconds, .. } => lengths.push(seconds * SECOND),
            Cond::Trait { .. } | Cond::Score { .. } => {}
        }
    }

    pub fn json(&self) -> String {
        let list = |parts: &[Cond]| format!("[{}]", parts.iter().map(Cond::json).collect::<Vec<_>>().join(","));
        let seconds = |s: i64| format!("\"{s}s\"");
        let fields: Fields = match self {
            Cond::All(parts) => vec![("all".into(), list(parts))],
            Cond::Any(parts) => vec![("any".into(), list(parts))],
            Cond::Not(part) => vec![("not".into(), part.json())],
            Cond::Event(leaf) => leaf.fields(),
            Cond::Trait { path, tests } => {
                std::iter::once(("trait".to_owned(), quoted(path))).chain(test_fields(tests)).collect()
            }
            Cond::InNext { path, seconds: s } => vec![("trait".into(), quoted(path)), ("in_next".into(), seconds(*s))],
            Cond::InLast { path, seconds: s } => vec![("trait".into(), quoted(path)), ("in_last".into(), seconds(*s))],
            Cond::Score { score, at_least, bound } => {
                let bounds = if *at_least { "at_least" } else { "at_most" };
                vec![("score".into(), quoted(SCORES[*score].0)), (bounds.into(), NUMBERS[*bound].0.to_owned())]
            }
        };
        object(fields)
    }
}

impl Leaf {
    fn fields(&self) -> Fields {
        let mut fields = self.filter.fields();
        let instant = |micros: i64| quoted(&Timestamp::from_micros(micros).to_string());
        fields.extend(self.within.map(|s| ("within".to_owned(), format!("\"{s}s\""))));
        fields.extend(self.since.map(|at| ("since".to_owned(), instant(at))));
        fields.extend(self.until.map(|at| ("until".to_owned(), instant(at))));
        match &self.what {
            What::Once => {}
            What::AtLeast(n) => fields.push(("at_least".into(), n.to_string())),
            What::AtMost(n) => fields.push(("at_most".into(), n.to_string())),
            What::Exactly(n) => fields.push(("exactly".into(), n.to_string())),
            What::FollowedBy(next) => fields.push(("followed_by".into(), object(next.fields()))),
            What::NotFollowedBy(next, lasting) => {
                fields.push(("not_followed_by".into(), object(next.fields())));
                fields.extend(lasting.map(|s| ("for".to_owned(), format!("\"{s}s\""))));
            }
        }
        fields
    }
}

/// The scores that definitions name: slug and definition.
pub const SCORES: [(&str, &str); 2] = [
    (
        "points",
        r#"{"rules":[{"event":"a","points":1},{"event":"a","where":{"p":{"gt":0.75}},"points":0.1},{"event":"*","points":0.7}]}"#,
    ),
    ("minus", r#"{"rules":[{"event":"b","points":-1.5},{"event":"c","points":0}]}"#),
];

/// The rules of one of [`SCORES`]: which events, and how many billionths of a point.
pub fn score_rules(score: usize) -> Vec<(Filter, i128)> {
    let filter = |event, tests| Filter { event, tests };
    match score {
        0 => vec![
            (filter("a", Vec::new()), 1_000_000_000),
            // Of the numbers that data has, those above 0.75 are those from 0.8 on.
            (filter("a", vec![("p", vec![Test::Gte(Val::Num(4))])]), 100_000_000),
            (filter("*", Vec::new()), 700_000_000),
        ],
        _ => vec![(filter("b", Vec::new()), -1_500_000_000), (filter("c", Vec::new()), 0)],
    }
}
