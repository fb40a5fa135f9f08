//! A workspace's definitions, compiled: signals found by event name, segments found by signal.
//!
//! An event touches the signals that name it (or name no event), and those alone; a segment is asked again only when
//! one of its signals changed. So a thousand segments cost an event no more than those that name it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use crate::definition::{Condition, Definition, EventCondition, ScoreBound, ScoreDefinition, TraitTest, What};
use crate::membership::membership;
use crate::signal::{Recent, Signal, SignalId};
use crate::state::State;

/// One version of a definition, as control keeps it.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The definition's slug.
    pub slug: &'a str,
    /// The version's number.
    pub version: u32,
    /// The definition's JSON.
    pub body: &'a str,
}

/// All that a workspace's profiles are folded by.
#[derive(Debug, Default)]
pub struct Catalog {
    signals: Vec<(SignalId, Signal)>,
    by_event: HashMap<String, Vec<usize>>,
    by_any_event: Vec<usize>,
    segments: Vec<Segment>,
    scores: Vec<Score>,
    by_signal: Vec<Vec<usize>>,
    by_trait: HashMap<String, Vec<usize>>,
    by_empty_history: Vec<usize>,
    failed: Vec<Failed>,
}

/// A compiled segment.
#[derive(Debug)]
pub struct Segment {
    /// Names this version in tables: equal for equal versions of the segment and the scores that it names.
    pub id: i64,
    /// The segment's slug.
    pub slug: String,
    /// The version's number.
    pub version: u32,
    /// What it was compiled from.
    pub definition: Definition,
    /// What is asked of a state.
    pub rule: Rule,
    /// The signals that it uses.
    pub signals: Vec<SignalId>,
}

/// A compiled score.
#[derive(Debug)]
pub struct Score {
    /// Names this version in tables.
    pub id: i64,
    /// The score's slug.
    pub slug: String,
    /// The version's number.
    pub version: u32,
    /// What it was compiled from.
    pub definition: ScoreDefinition,
    /// Its counter.
    pub signal: SignalId,
}

/// A version that this release can't compile. It is kept and shown, and never replaces one that it can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The definition's slug.
    pub slug: String,
    /// The version's number.
    pub version: u32,
    /// What is wrong, for people.
    pub reason: String,
}

/// A condition, its leaves tied to signals.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// All hold.
    All(Vec<Rule>),
    /// At least one holds.
    Any(Vec<Rule>),
    /// It doesn't hold.
    Not(Box<Rule>),
    /// So many events, in the window if there is one.
    Count {
        /// The events.
        signal: SignalId,
        /// At least so many; 0 asks nothing.
        least: u32,
        /// At most so many.
        most: Option<u32>,
        /// The window in microseconds.
        within: Option<i64>,
    },
    /// A B follows the latest A, or none does.
    Sequence {
        /// The latest A.
        first: SignalId,
        /// The two latest B: one of them may be the A itself, which doesn't follow itself.
        next: SignalId,
        /// Whether one must follow, or none.
        followed: bool,
        /// For how long none must have followed, in microseconds.
        lasting: Option<i64>,
        /// The window that the A must lie in, in microseconds.
        within: Option<i64>,
    },
    /// What is asked of a trait.
    Trait {
        /// The dotted path.
        path: String,
        /// What is asked.
        what: TraitTest,
    },
    /// What is asked of a score.
    Score {
        /// Its counter.
        signal: SignalId,
        /// What is asked.
        bound: ScoreBound,
    },
}

impl Catalog {
    /// Compiles definitions. One that can't be compiled is named in [`Catalog::failed`] and left out.
    pub fn compile<'a>(
        workspace: u64,
        segments: impl IntoIterator<Item = Source<'a>>,
        scores: impl IntoIterator<Item = Source<'a>>,
    ) -> Self {
        let mut catalog = Self::default();
        for source in scores {
            catalog.add_score(workspace, &source);
        }
        for source in segments {
            catalog.add_segment(workspace, &source);
        }
        catalog.index();
        catalog
    }

    fn add_score(&mut self, workspace: u64, source: &Source<'_>) {
        match ScoreDefinition::parse(source.body) {
            Ok(definition) => {
                let signal = self.signal(Signal::Counter(definition.rules.clone()));
                let id = version_id(&format!("score {workspace} {} {}", source.slug, source.version));
                let (slug, version) = (source.slug.to_owned(), source.version);
                self.scores.push(Score { id, slug, version, definition, signal });
            }
            Err(problems) => {
                self.fail(source, problems.iter().map(|p| format!("{}: {}", p.pointer, p.message)).collect())
            }
        }
    }

    fn add_segment(&mut self, workspace: u64, source: &Source<'_>) {
        let definition = match Definition::parse(source.body) {
            Ok(definition) => definition,
            Err(problems) => {
                return self.fail(source, problems.iter().map(|p| format!("{}: {}", p.pointer, p.message)).collect());
            }
        };
        let named = definition.scores();
        if let Some(missing) = named.iter().find(|slug| self.score(slug).is_none()) {
            return self.fail(source, vec![format!("the score {missing:?} can't be compiled or isn't there")]);
        }
        let scores: Vec<String> =
            named.iter().filter_map(|slug| self.score(slug)).map(|s| format!("{}@{}", s.slug, s.version)).collect();
        let words = format!("segment {workspace} {} {} over {}", source.slug, source.version, scores.join(" "));
        let rule = self.rule(&definition.when);
        let mut signals = BTreeSet::new();
        rule.each(&mut |part| signals.extend(part.signals()));
        self.segments.push(Segment {
            id: version_id(&words),
            slug: source.slug.to_owned(),
            version: source.version,
            definition,
            rule,
            signals: signals.into_iter().collect(),
        });
    }

    fn fail(&mut self, source: &Source<'_>, reasons: Vec<String>) {
        let (slug, version) = (source.slug.to_owned(), source.version);
        self.failed.push(Failed { slug, version, reason: reasons.join("; ") });
    }

    fn signal(&mut self, signal: Signal) -> SignalId {
        let id = signal.id();
        if !self.signals.iter().any(|(known, _)| *known == id) {
            self.signals.push((id, signal));
        }
        id
    }

    fn rule(&mut self, condition: &Condition) -> Rule {
        match condition {
            Condition::All(parts) => Rule::All(parts.iter().map(|part| self.rule(part)).collect()),
            Condition::Any(parts) => Rule::Any(parts.iter().map(|part| self.rule(part)).collect()),
            Condition::Not(part) => Rule::Not(Box::new(self.rule(part))),
            Condition::Event(event) => self.event_rule(event),
            Condition::Trait(of) => Rule::Trait { path: of.path.clone(), what: of.what.clone() },
            Condition::Score(of) => {
                // Looked up before: a segment that names a missing score isn't compiled.
                let signal = self.score(&of.score).map_or(SignalId(0), |score| score.signal);
                Rule::Score { signal, bound: of.bound }
            }
        }
    }

    fn event_rule(&mut self, event: &EventCondition) -> Rule {
        let within = event.within;
        let mut recent = |filter: &crate::definition::Filter, keep, within| {
            self.signal(Signal::Recent(Recent { filter: filter.clone(), keep, within }))
        };
        match &event.what {
            What::AtLeast(n) => {
                Rule::Count { signal: recent(&event.filter, *n, within), least: *n, most: None, within }
            }
            What::AtMost(n) => {
                Rule::Count { signal: recent(&event.filter, n + 1, within), least: 0, most: Some(*n), within }
            }
            What::Exactly(n) => {
                Rule::Count { signal: recent(&event.filter, n + 1, within), least: *n, most: Some(*n), within }
            }
            What::FollowedBy(next) => {
                let (first, next) = (recent(&event.filter, 1, within), recent(next, 2, None));
                Rule::Sequence { first, next, followed: true, lasting: None, within }
            }
            What::NotFollowedBy { next, lasting } => {
                let (first, next) = (recent(&event.filter, 1, within), recent(next, 2, None));
                Rule::Sequence { first, next, followed: false, lasting: *lasting, within }
            }
        }
    }

    fn index(&mut self) {
        for (index, (_, signal)) in self.signals.iter().enumerate() {
            let filters: Vec<&crate::definition::Filter> = match signal {
                Signal::Recent(recent) => vec![&recent.filter],
                Signal::Counter(rules) => rules.iter().map(|rule| &rule.filter).collect(),
            };
            if filters.iter().any(|filter| filter.event.is_none()) {
                self.by_any_event.push(index);
                continue;
            }
            let names: BTreeSet<&String> = filters.iter().filter_map(|filter| filter.event.as_ref()).collect();
            names.into_iter().for_each(|name| self.by_event.entry(name.clone()).or_default().push(index));
        }
        let places: BTreeMap<SignalId, usize> = self.signals.iter().enumerate().map(|(i, (id, _))| (*id, i)).collect();
        self.by_signal = vec![Vec::new(); self.signals.len()];
        let nobody = State::default();
        for (index, segment) in self.segments.iter().enumerate() {
            segment.signals.iter().for_each(|id| self.by_signal[places[id]].push(index));
            segment.rule.each(&mut |part| {
                if let Rule::Trait { path, .. } = part {
                    let register = path.split('.').next().unwrap_or(path);
                    let users = self.by_trait.entry(register.to_owned()).or_default();
                    if users.last() != Some(&index) {
                        users.push(index);
                    }
                }
            });
            if membership(segment, &nobody).is_ok_and(|intervals| !intervals.is_empty()) {
                self.by_empty_history.push(index);
            }
        }
    }

    /// Every signal.
    pub fn signals(&self) -> impl Iterator<Item = (SignalId, &Signal)> {
        self.signals.iter().map(|(id, signal)| (*id, signal))
    }

    /// The segments in the order given.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment with this slug.
    pub fn segment(&self, slug: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.slug == slug)
    }

    /// The scores in the order given.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// The score with this slug.
    pub fn score(&self, slug: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.slug == slug)
    }

    /// What couldn't be compiled.
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// The places of the signals that an event of this name may change.
    pub(crate) fn named(&self, event: &str) -> impl Iterator<Item = usize> {
        self.by_event.get(event).into_iter().flatten().chain(&self.by_any_event).copied()
    }

    pub(crate) fn signal_at(&self, index: usize) -> &(SignalId, Signal) {
        &self.signals[index]
    }

    pub(crate) fn segments_of_signal(&self, index: usize) -> &[usize] {
        &self.by_signal[index]
    }

    pub(crate) fn segments_of_trait(&self, name: &str) -> &[usize] {
        self.by_trait.get(name).map_or(&[], Vec::as_slice)
    }

    /// The segments that hold for a profile without any event: those are asked at its first record.
    pub(crate) fn segments_of_empty_history(&self) -> &[usize] {
        &self.by_empty_history
    }
}

/// Whether a segment's definition holds for a profile without any event (its scores being zero, its traits unknown).
pub fn true_of_empty_history(definition: &Definition) -> bool {
    let mut catalog = Catalog::default();
    let rule = catalog.rule(&definition.when);
    crate::membership::holds_of(&rule, &State::default()).is_ok_and(|intervals| !intervals.is_empty())
}

impl Rule {
    /// Calls `visit` with this rule and all inside it.
    pub fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Rule)) {
        visit(self);
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each(visit)),
            Self::Not(part) => part.each(visit),
            _ => {}
        }
    }

    fn signals(&self) -> Vec<SignalId> {
        match self {
            Self::Count { signal, .. } | Self::Score { signal, .. } => vec![*signal],
            Self::Sequence { first, next, .. } => vec![*first, *next],
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Trait { .. } => Vec::new(),
        }
    }
}

/// 63 bits of the SHA-256 of the words: a positive integer, which every database orders alike.
fn version_id(words: &str) -> i64 {
    let digest = Sha256::digest(words.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    (u64::from_be_bytes(first) >> 1).cast_signed()
}
