//! Profiles as lists show them.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::http::Uri;
use serde::Serialize;
use uuid::Uuid;
use weir_control::Workspace;
use weir_event::{Identifier, ProfileId};
use weir_http::{Problem, ProfileRef};
use weir_segment::{Facts, State};
use weir_store::{ProfileKey, View};

use crate::failure;

/// Who a profile is. In a row of a list it is who the profile is now, whatever instant the list is about.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Person {
    pub(crate) id: ProfileId,
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
}

impl Person {
    pub(crate) fn of(id: ProfileId, facts: &Facts) -> Self {
        // A trait may hold anything; a name is text.
        let text = |name| facts.value(name).and_then(|json: Cow<'_, str>| serde_json::from_str(&json).ok());
        Self { id, identifiers: facts.identifier.iter().cloned().collect(), email: text("email"), name: text("name") }
    }

    /// A profile of which nothing is known but its id.
    fn unknown(id: ProfileId) -> Self {
        Self::of(id, &Facts::default())
    }
}

/// The profile that a path names.
///
/// # Errors
/// 422 `profile_id_invalid`.
pub(crate) fn named(workspace: &Workspace, id: &str) -> Result<ProfileKey, Problem> {
    Ok(key(workspace, ProfileRef::parse(id)?.resolve(workspace.namespace)))
}

/// A profile of the workspace.
pub(crate) fn key(workspace: &Workspace, profile: ProfileId) -> ProfileKey {
    ProfileKey { workspace: workspace.no, profile }
}

/// What a profile shows: its facts and points.
///
/// # Errors
/// 404 `profile_not_found`.
pub(crate) async fn shown(view: &mut dyn View, key: ProfileKey) -> Result<State, Problem> {
    found(view, key).await?.ok_or_else(failure::no_profile)
}

/// What a profile shows; `None` if there is no such profile.
pub(crate) async fn found(view: &mut dyn View, key: ProfileKey) -> Result<Option<State>, Problem> {
    let cards = view.cards(&[key]).await.map_err(failure::store)?;
    cards.first().map(|card| State::decode(&card.card)).transpose().map_err(failure::damaged)
}

/// Who the profiles are, in the order given; one may be asked for many times.
pub(crate) async fn people(
    view: &mut dyn View,
    workspace: u64,
    profiles: impl Iterator<Item = ProfileId>,
) -> Result<Vec<Person>, Problem> {
    let keys: Vec<ProfileKey> = profiles.map(|profile| ProfileKey { workspace, profile }).collect();
    let mut once = keys.clone();
    once.sort_unstable();
    once.dedup();
    let cards = view.cards(&once).await.map_err(failure::store)?;
    let mut known: HashMap<Uuid, Person> = HashMap::with_capacity(cards.len());
    for card in cards {
        let state = State::decode(&card.card).map_err(failure::damaged)?;
        known.insert(card.key.profile.0, Person::of(card.key.profile, &state.facts));
    }
    let person = |key: &ProfileKey| known.get(&key.profile.0).cloned().unwrap_or_else(|| Person::unknown(key.profile));
    Ok(keys.iter().map(person).collect())
}

/// Refuses every parameter, on routes that have none.
pub(crate) fn no_parameters(uri: &Uri) -> Result<(), Problem> {
    weir_http::Query::parse(uri, &[]).map(drop)
}
