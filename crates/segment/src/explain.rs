//! Why a profile is a member or isn't: the definition's tree, each part with what it found.

use serde::Serialize;
use serde_json::{Value, json};
use weir_event::{EventKey, Timestamp};

use crate::catalog::{Rule, Segment};
use crate::definition::{Condition, ScoreBound};
use crate::interval::NEVER;
use crate::membership::{holds_of, membership};
use crate::signal::counter;
use crate::signal::recent::Latest;
use crate::state::State;
use weir_event::codec::Damaged;

/// An answer and its reasons.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Whether the profile exists at the instant: before its first record it is in nothing, whatever the conditions say.
    pub exists: bool,
    /// Whether it is a member.
    pub member: bool,
    /// The definition's tree.
    pub conditions: Explained,
    /// The next instant at which membership changes if nothing more happens.
    pub next_flip: Option<Timestamp>,
}

/// One part of a definition.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// `all`, `any`, `not`, `event`, `trait` or `score`.
    pub condition: &'static str,
    /// Whether it holds at the instant.
    pub holds: bool,
    /// The next instant at which that changes if nothing more happens.
    pub next_flip: Option<Timestamp>,
    /// What was found in the profile's state; nothing for `all`, `any` and `not`.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub found: Value,
    /// The parts of `all`, `any` and `not`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Explained>,
}

/// Explains the membership at an instant from the state's horizon on.
///
/// # Errors
/// The state's bytes are damaged.
pub fn explain(segment: &Segment, state: &State, instant: Timestamp) -> Result<Explanation, Damaged> {
    let now = instant.micros();
    let intervals = membership(segment, state)?;
    let mut conditions = part(&segment.definition.when, &segment.rule, state, now)?;
    if segment.signals.iter().any(|signal| state.is_set_aside(*signal)) {
        conditions.found =
            json!({"set_aside": "a signal of this profile went past its bounds; it is in no segment that uses it"});
    }
    Ok(Explanation {
        exists: state.exists(),
        member: state.exists() && intervals.contains(now),
        conditions,
        next_flip: intervals.next_flip(now).map(Timestamp::from_micros),
    })
}

fn part(condition: &Condition, rule: &Rule, state: &State, now: i64) -> Result<Explained, Damaged> {
    let intervals = holds_of(rule, state)?;
    let inner = match (condition, rule) {
        (Condition::All(conditions), Rule::All(rules)) | (Condition::Any(conditions), Rule::Any(rules)) => {
            conditions.iter().zip(rules).map(|(c, r)| part(c, r, state, now)).collect::<Result<Vec<_>, _>>()?
        }
        (Condition::Not(condition), Rule::Not(rule)) => vec![part(condition, rule, state, now)?],
        _ => Vec::new(),
    };
    Ok(Explained {
        condition: match condition {
            Condition::All(_) => "all",
            Condition::Any(_) => "any",
            Condition::Not(_) => "not",
            Condition::Event(_) => "event",
            Condition::Trait(_) => "trait",
            Condition::Score(_) => "score",
        },
        holds: intervals.contains(now),
        next_flip: intervals.next_flip(now).map(Timestamp::from_micros),
        found: found(rule, state, now)?,
        conditions: inner,
    })
}

fn found(rule: &Rule, state: &State, now: i64) -> Result<Value, Damaged> {
    Ok(match rule {
        Rule::All(_) | Rule::Any(_) | Rule::Not(_) => Value::Null,
        Rule::Count { signal, least, most, within } => {
            let latest = Latest::read(state.signal(*signal))?;
            let counted: Vec<&EventKey> = latest
                .0
                .iter()
                .filter(|event| within.is_none_or(|within| event.at.saturating_add(within) > now))
                .collect();
            let enough = most.map_or(*least, |most| most + 1) as usize;
            json!({
                "counted": counted.len(),
                "or_more": counted.len() >= enough,
                "latest": counted.first().map(|event| event_found(event)),
            })
        }
        Rule::Sequence { first, next, .. } => {
            let first = Latest::read(state.signal(*first))?;
            let next = Latest::read(state.signal(*next))?;
            let after = first.first().and_then(|a| next.0.iter().find(|b| b.follows(a)));
            json!({"latest": first.first().map(event_found), "followed_by": after.map(event_found)})
        }
        Rule::Trait { path, .. } => {
            let value = state.facts.value(path.split('.').next().unwrap_or(path));
            json!({"trait": path, "value": value.and_then(|text| serde_json::from_str::<Value>(&text).ok())})
        }
        Rule::Score { signal, bound } => {
            let needs = match bound {
                ScoreBound::AtLeast(least) => json!({"at_least": least}),
                ScoreBound::AtMost(most) => json!({"at_most": most}),
            };
            json!({"points": counter::read(state.signal(*signal))?, "needs": needs})
        }
    })
}

fn event_found(event: &EventKey) -> Value {
    json!({"id": event.id, "at": Timestamp::from_micros(event.at)})
}

/// The end of a span for people: `None` where it has none.
pub fn end(leaves: i64) -> Option<Timestamp> {
    (leaves != NEVER).then(|| Timestamp::from_micros(leaves))
}
