//! Folding: one admitted event into one profile's state.

use crate::catalog::Catalog;
use crate::signal::recent::Latest;
use crate::signal::{Signal, SignalId, counter};
use crate::state::State;
use weir_event::codec::Damaged;
use weir_event::{Decimal, Event};

/// What an event changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Places in [`Catalog::segments`] whose membership may be another now, each once, in order.
    pub segments: Vec<usize>,
    /// Scores whose points are others now.
    pub scores: Vec<ScoreChange>,
    /// Whether what is known about the profile changed, or the profile is new.
    pub facts: bool,
}

/// A profile's points in one score, before and after an event. `None` is no place in the score's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreChange {
    /// The place in [`Catalog::scores`].
    pub score: usize,
    /// The points before.
    pub before: Option<Decimal>,
    /// The points after.
    pub after: Option<Decimal>,
}

/// Folds an admitted event into the state. The caller admits each event once (a repeat changes nothing) and folds it
/// once (a counter can't tell).
///
/// # Errors
/// The state's bytes are damaged; the state must be thrown away.
pub fn fold(catalog: &Catalog, state: &mut State, event: &Event<'_>) -> Result<Touched, Damaged> {
    let mut touched = Touched::default();
    if !state.exists() {
        touched.segments.extend_from_slice(catalog.segments_of_empty_history());
        touched.facts = true;
    }
    let horizon = state.horizon.map_or(event.key.received, |horizon| horizon.max(event.key.received));
    state.horizon = Some(horizon);
    if state.created.is_none_or(|created| event.key.received < created) {
        state.created = Some(event.key.received);
        touched.facts = true;
    }
    let updated = state.facts.updated;
    for written in state.facts.fold(event) {
        touched.segments.extend_from_slice(catalog.segments_of_trait(&written));
        touched.facts = true;
    }
    touched.facts |= state.facts.updated != updated;
    for index in catalog.named(event.name) {
        let (id, signal) = catalog.signal_at(index);
        if state.is_set_aside(*id) {
            continue;
        }
        let changed = match signal {
            Signal::Recent(recent) if recent.filter.lets_by(event) => {
                let mut latest = Latest::read(state.signal(*id))?;
                latest.insert(&event.key, recent.keep);
                latest.prune(recent, horizon);
                let bytes = latest.write();
                let changed = bytes != state.signal(*id);
                state.put_signal(*id, bytes);
                changed
            }
            Signal::Recent(_) => false,
            Signal::Counter(rules) => {
                let Some(points) = counter::points(rules, event) else { continue };
                add(catalog, state, *id, points, &mut touched)?;
                true
            }
        };
        if changed {
            touched.segments.extend_from_slice(catalog.segments_of_signal(index));
        }
    }
    touched.segments.sort_unstable();
    touched.segments.dedup();
    Ok(touched)
}

/// Adds points to a counter; a sum past i128 sets it aside.
fn add(
    catalog: &Catalog,
    state: &mut State,
    id: SignalId,
    points: Option<Decimal>,
    touched: &mut Touched,
) -> Result<(), Damaged> {
    let before = points_of(state, id)?;
    match points.and_then(|points| before.unwrap_or(Decimal::ZERO).checked_add(points)) {
        Some(sum) => state.put_signal(id, counter::write(sum)),
        None => state.put_aside(id),
    }
    let after = points_of(state, id)?;
    let scores = catalog.scores().iter().enumerate().filter(|(_, score)| score.signal == id);
    touched.scores.extend(scores.map(|(score, _)| ScoreChange { score, before, after }));
    Ok(())
}

/// The points in a score's counter; `None` where no event matched a rule yet, or the counter was set aside.
///
/// # Errors
/// The state's bytes are damaged.
pub fn points_of(state: &State, counter: SignalId) -> Result<Option<Decimal>, Damaged> {
    let bytes = state.signal(counter);
    if bytes.is_empty() { Ok(None) } else { counter::read(bytes).map(Some) }
}
