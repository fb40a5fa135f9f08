//! Random histories and definitions. They share few names and instants on a grid of seconds, give or take a
//! microsecond, so that ties and edges are met often.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use weir_event::{Event, EventKey, Identifier, IdentifierKind};
use weir_segment::{Catalog, Source, State, fold};

use crate::words::{BASE, Cond, Filter, Leaf, NUMBERS, SCORES, SECOND, TEXTS, Test, Val, What};

/// An event, owned.
#[derive(Clone, Debug)]
pub struct Ev {
    pub id: String,
    pub name: &'static str,
    pub time: i64,
    pub received: i64,
    /// Whether it was sent by the profile's identifier rather than by its id.
    pub by_identifier: bool,
    pub data: Option<Val>,
    raw: Option<Box<RawValue>>,
}

impl Ev {
    pub fn at(&self) -> i64 {
        self.time.min(self.received)
    }

    /// Its place in the order of events, and its identity.
    pub fn order(&self) -> (i64, i64, &str, i64) {
        (self.at(), self.time, &self.id, self.received)
    }

    pub fn is_fact(&self) -> bool {
        self.name.starts_with("profile.")
    }
}

/// A profile's events in the order of the log.
#[derive(Clone, Debug)]
pub struct History {
    pub identifier: Option<Identifier>,
    pub events: Vec<Ev>,
}

/// The e-mail address of profiles that have one: a text that definitions ask for too.
const EMAIL: usize = 8;

impl History {
    /// The events of these places.
    pub fn pick(&self, places: &[usize]) -> Vec<&Ev> {
        places.iter().map(|place| &self.events[*place]).collect()
    }

    /// The e-mail address that these events of the profile were sent by.
    pub fn email(&self, events: &[&Ev]) -> Option<Val> {
        let by_email = self.identifier.as_ref().is_some_and(|id| id.kind == IdentifierKind::Email);
        (by_email && events.iter().any(|event| event.by_identifier)).then_some(Val::Text(EMAIL))
    }

    pub fn event<'a>(&'a self, ev: &'a Ev) -> Event<'a> {
        Event {
            key: EventKey { at: ev.at(), time: ev.time, id: ev.id.as_str().into(), received: ev.received },
            name: ev.name,
            data: ev.raw.as_deref(),
            identifier: self.identifier.as_ref().filter(|_| ev.by_identifier),
        }
    }

    /// The state of these events, folded in this order.
    pub fn state(&self, catalog: &Catalog, events: &[&Ev]) -> State {
        let mut state = State::default();
        for ev in events {
            fold(catalog, &mut state, &self.event(ev)).expect("bytes that were just written");
        }
        state
    }
}

/// Compiles conditions as segments `s0`, `s1`, … beside the scores.
pub fn compile(conditions: &[Cond]) -> Catalog {
    compile_json(&conditions.iter().map(Cond::definition).collect::<Vec<_>>(), true)
}

/// Compiles definitions as segments `s0`, `s1`, …
pub fn compile_json(bodies: &[String], with_scores: bool) -> Catalog {
    let slugs: Vec<String> = (0..bodies.len()).map(|i| format!("s{i}")).collect();
    let segments = slugs.iter().zip(bodies).map(|(slug, body)| Source { slug, version: 1, body });
    let scores = SCORES.iter().map(|(slug, body)| Source { slug, version: 1, body });
    let catalog = Catalog::compile(7, segments, scores.filter(|_| with_scores));
    assert_eq!(catalog.failed(), []);
    catalog
}

fn scalar() -> impl Strategy<Value = Val> {
    prop_oneof![
        5 => (0..NUMBERS.len()).prop_map(Val::Num),
        5 => (0..TEXTS.len()).prop_map(Val::Text),
        2 => any::<bool>().prop_map(Val::Bool),
    ]
}

fn value() -> impl Strategy<Value = Val> {
    let flat = || prop_oneof![8 => scalar(), 1 => Just(Val::Null)];
    let object = || vec((select(&["k", "l", "k"][..]), flat()), 0..3).prop_map(Val::Object);
    prop_oneof![
        8 => flat(),
        2 => vec(flat(), 0..4).prop_map(Val::List),
        2 => object(),
        1 => vec(prop_oneof![flat(), object(), vec(flat(), 0..3).prop_map(Val::List)], 0..3).prop_map(Val::List),
    ]
}

/// Names of properties and of traits.
const PROPERTIES: [&str; 3] = ["p", "q", "name"];
const PATHS: [&str; 5] = ["p", "q", "p.k", "q.k", "traits.p"];
const TRAITS: [&str; 6] = ["p", "q", "p.k", "name", "email", "absent"];

fn properties() -> impl Strategy<Value = Val> {
    vec((select(&PROPERTIES[..]), value()), 0..4).prop_map(Val::Object)
}

fn fact_data() -> impl Strategy<Value = Val> {
    let traits = vec((select(&["p", "q", "name", "email"][..]), value()), 0..4).prop_map(Val::Object);
    let beside = || option::of(prop_oneof![3 => (0..TEXTS.len()).prop_map(Val::Text), 1 => Just(Val::Null)]);
    (option::weighted(0.8, traits), beside(), beside()).prop_map(|(traits, name, email)| {
        let fields = [("traits", traits), ("name", name), ("email", email)];
        Val::Object(fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect())
    })
}

/// An instant on the grid.
pub fn grid(seconds: std::ops::Range<i64>) -> impl Strategy<Value = i64> {
    (seconds, prop_oneof![4 => Just(0), 1 => Just(-1), 1 => Just(1)]).prop_map(|(s, edge)| BASE + s * SECOND + edge)
}

fn event() -> impl Strategy<Value = Ev> {
    let named = prop_oneof![
        5 => (select(&["a", "b", "c"][..]), option::weighted(0.7, properties())),
        2 => (select(&["profile.updated", "profile.registered"][..]), option::weighted(0.9, fact_data())),
    ];
    let late =
        prop_oneof![3 => Just(0), 2 => (1..8_i64).prop_map(|s| s * SECOND), 1 => Just(1), 1 => Just(-3 * SECOND)];
    (named, grid(0..20), late, any::<(u8, bool, bool)>()).prop_map(|((name, data), time, late, (id, uuid, sent))| {
        let id = if uuid { format!("{id:08x}-0000-4000-8000-00000000000a") } else { format!("e{id}") };
        let raw = data.as_ref().map(|data| RawValue::from_string(data.json()).unwrap());
        Ev { id, name, time, received: time + late, by_identifier: sent, data, raw }
    })
}

/// Up to `most` distinct events of one profile, received in any order.
pub fn history(most: usize) -> impl Strategy<Value = History> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(IdentifierKind::Email)),
        Just(Some(IdentifierKind::User)),
        Just(Some(IdentifierKind::Anonymous))
    ];
    (kind, vec(event(), 1..=most)).prop_map(|(kind, mut events)| {
        // Admission lets an id through once.
        let mut ids = std::collections::BTreeSet::new();
        events.retain(|event| ids.insert(event.id.clone()));
        let value = TEXTS[EMAIL].0.to_owned();
        History { identifier: kind.map(|kind| Identifier { kind, value }), events }
    })
}

fn small_number() -> impl Strategy<Value = Val> {
    // Those that a definition may compare with.
    let known: Vec<usize> = (0..NUMBERS.len()).filter(|place| NUMBERS[*place].1.is_some()).collect();
    select(known).prop_map(Val::Num)
}

fn operand() -> impl Strategy<Value = Val> {
    prop_oneof![3 => small_number(), 3 => (0..TEXTS.len()).prop_map(Val::Text)]
}

fn any_operand() -> impl Strategy<Value = Val> {
    prop_oneof![5 => operand(), 1 => any::<bool>().prop_map(Val::Bool)]
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        3 => any_operand().prop_map(Test::Eq),
        2 => any_operand().prop_map(Test::Ne),
        1 => operand().prop_map(Test::Gt),
        1 => operand().prop_map(Test::Gte),
        1 => operand().prop_map(Test::Lt),
        1 => operand().prop_map(Test::Lte),
        2 => vec(any_operand(), 0..4).prop_map(Test::In),
        1 => (5..TEXTS.len()).prop_map(Test::Contains),
        1 => (5..TEXTS.len()).prop_map(Test::StartsWith),
        2 => any::<bool>().prop_map(Test::Exists),
    ]
}

fn tests() -> impl Strategy<Value = Vec<Test>> {
    vec(test(), 1..3).prop_map(|mut tests| {
        let mut names = std::collections::BTreeSet::new();
        tests.retain(|test| names.insert(test.name()));
        tests
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let event = prop_oneof![6 => select(&["a", "b", "c"][..]), 2 => Just("*"), 1 => Just("profile.updated")];
    let paths = option::weighted(0.35, vec((select(&PATHS[..]), tests()), 1..3));
    (event, paths).prop_map(|(event, paths)| {
        let mut tests = paths.unwrap_or_default();
        let mut names = std::collections::BTreeSet::new();
        tests.retain(|(path, _)| names.insert(*path));
        Filter { event, tests }
    })
}

fn seconds() -> impl Strategy<Value = i64> {
    select(&[1_i64, 2, 3, 5, 10, 60][..])
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let what = prop_oneof![
        2 => Just(What::Once),
        3 => (1..5_usize).prop_map(What::AtLeast),
        2 => (0..4_usize).prop_map(What::AtMost),
        2 => (0..4_usize).prop_map(What::Exactly),
        2 => filter().prop_map(What::FollowedBy),
        4 => (filter(), option::of(seconds())).prop_map(|(next, lasting)| What::NotFollowedBy(next, lasting)),
    ];
    let window = prop_oneof![
        3 => Just((None, None, None)),
        5 => seconds().prop_map(|s| (Some(s), None, None)),
        2 => (option::of(grid(0..20)), option::of(grid(0..20))).prop_map(|(since, until)| (None, since, until)),
    ];
    (filter(), window, what).prop_map(|(filter, (within, since, until), what)| Leaf {
        filter,
        within,
        since,
        until,
        what,
    })
}

/// Any condition.
pub fn condition() -> impl Strategy<Value = Cond> {
    let bounds: Vec<usize> = (0..NUMBERS.len()).filter(|place| NUMBERS[*place].1.is_some()).collect();
    let leaf = prop_oneof![
        7 => leaf().prop_map(Cond::Event),
        2 => (select(&TRAITS[..]), tests()).prop_map(|(path, tests)| Cond::Trait { path, tests }),
        1 => (select(&TRAITS[..]), seconds()).prop_map(|(path, seconds)| Cond::InNext { path, seconds }),
        1 => (select(&TRAITS[..]), seconds()).prop_map(|(path, seconds)| Cond::InLast { path, seconds }),
        1 => (0..SCORES.len(), any::<bool>(), select(bounds))
            .prop_map(|(score, at_least, bound)| Cond::Score { score, at_least, bound }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            2 => vec(inner.clone(), 1..4).prop_map(Cond::All),
            2 => vec(inner.clone(), 1..4).prop_map(Cond::Any),
            2 => inner.prop_map(|part| Cond::Not(Box::new(part))),
        ]
    })
}

/// Every instant from `from` on at which an answer over these events may change, and its neighbours.
pub fn edges(conditions: &[Cond], events: &[&Ev], from: i64) -> Vec<i64> {
    let mut lengths = vec![0];
    conditions.iter().for_each(|condition| condition.lengths(&mut lengths));
    lengths.sort_unstable();
    lengths.dedup();
    let around =
        |at: i64| lengths.iter().flat_map(move |length| [at.saturating_sub(*length), at.saturating_add(*length)]);
    let texts = TEXTS.iter().filter_map(|(_, instant)| *instant);
    let numbers = NUMBERS.iter().filter_map(|(_, billionths)| i64::try_from(billionths.as_ref()? / 1_000).ok());
    let of_events = events.iter().flat_map(|event| [event.at(), event.received]);
    let mut edges: Vec<i64> = of_events
        .chain(texts)
        .chain(numbers)
        .flat_map(around)
        .flat_map(|edge| [edge.saturating_sub(1), edge, edge.saturating_add(1)])
        .chain([from, from + 1])
        .filter(|edge| (from..=LAST).contains(edge))
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// The last instant there is.
pub const LAST: i64 = 253_402_300_799_999_999;
