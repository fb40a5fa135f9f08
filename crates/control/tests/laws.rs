//! Laws of the fold, and the fold against a naive model that shares no code with it, over random logs.

mod log;
mod model;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use log::*;
use model::Model;
use proptest::collection::vec;
use proptest::prelude::*;
use weir_control::{Accepted, Command, Kind, Name, NewDefinition, NewKey, Outcome, Role, State};

const SLUGS: [&str; 5] = ["s", "t", "u", "v", "Bad slug"];
const WORKSPACES: [&str; 4] = ["a", "b", "full", "Bad slug"];
const ROLES: [Role; 4] = [Role::Write, Role::Read, Role::Admin, Role::Operator];

/// What every log here begins with. The workspace `full` has one segment less than it may have that are true of an
/// empty history.
fn beginning() -> [Command; 3] {
    let mut made = workspace_made("full");
    let empty = |n: u32| NewDefinition { true_of_empty: true, ..definition(&format!("e{n}"), 0, &[]) };
    made.segments = (0..49).map(empty).collect();
    [opened(), Command::WorkspaceCreated(made), workspace("a")]
}

static FURNISHED: LazyLock<Log> = LazyLock::new(|| {
    let mut log = Log::default();
    for command in beginning() {
        log.accept(&command);
    }
    log
});

fn a_workspace() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just("a"), 4 => Just("full"), 2 => Just("b"), 1 => Just("Bad slug")]
}

fn a_slug() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => prop::sample::select(&SLUGS[..4]), 1 => prop::sample::select(&SLUGS[..])]
}

fn a_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![3 => Just(Kind::Segment), 1 => Just(Kind::Score)]
}

fn a_definition() -> impl Strategy<Value = NewDefinition> {
    let names = vec((a_kind(), a_slug()).prop_map(|(kind, slug)| Name { kind, slug: slug.to_owned() }), 0..3);
    (a_slug(), 0..3_u32, names, prop::bool::weighted(0.3))
        .prop_map(|(slug, body, names, empty)| NewDefinition { true_of_empty: empty, ..definition(slug, body, &names) })
}

fn a_key() -> impl Strategy<Value = NewKey> {
    (0..8_u8, prop::sample::select(&ROLES[..]), 0..8_u8).prop_map(|(id, role, hash)| new_key(id, role, hash))
}

fn an_owner() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![1 => Just(None), 3 => a_workspace().prop_map(Some)]
}

fn a_version() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![3 => Just(None), 1 => (0..4_u32).prop_map(Some)]
}

fn a_command() -> impl Strategy<Value = Command> {
    let put = (a_kind(), a_workspace(), a_definition(), a_version()).prop_map(|(kind, workspace, each, version)| {
        let mut put = put(workspace, each);
        put.if_version = version;
        if kind == Kind::Segment { Command::SegmentPut(put) } else { Command::ScorePut(put) }
    });
    let delete = (a_kind(), a_workspace(), a_slug(), a_version()).prop_map(|(kind, workspace, slug, version)| {
        let delete = deletion(workspace, slug, version);
        if kind == Kind::Segment { Command::SegmentDeleted(delete) } else { Command::ScoreDeleted(delete) }
    });
    let create = (prop::sample::select(&WORKSPACES[..]), vec(a_key(), 0..3), vec(a_definition(), 0..2)).prop_map(
        |(slug, keys, segments)| {
            let mut made = workspace_made(slug);
            (made.keys, made.segments) = (keys, segments);
            Command::WorkspaceCreated(made)
        },
    );
    prop_oneof![
        12 => put,
        5 => delete,
        2 => create,
        3 => (an_owner(), a_key()).prop_map(|(owner, each)| key(owner, each)),
        2 => (an_owner(), 0..8_u8).prop_map(|(owner, id)| revoke(owner, id)),
        1 => Just(opened()),
    ]
}

/// An outcome in the model's words.
fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(Accepted::LogOpened) => "+opened".into(),
        Outcome::Accepted(Accepted::Workspace { no }) => format!("+workspace {no}"),
        Outcome::Accepted(Accepted::Key { .. }) => "+key".into(),
        Outcome::Accepted(Accepted::Revoked { .. }) => "+revoked".into(),
        Outcome::Accepted(Accepted::Put { version, unchanged: true, .. }) => format!("+put {version} unchanged"),
        Outcome::Accepted(Accepted::Put { version, created, .. }) => {
            format!("+put {version}{}", if *created { " created" } else { "" })
        }
        Outcome::Accepted(Accepted::Deleted { version, .. }) => format!("+deleted {version}"),
        Outcome::Refused(refusal) => format!("-{}", refusal.code()),
        other => format!("{other:?}"),
    }
}

/// What can be seen of the state must be what the model holds.
fn compare(state: &State, model: &Model) {
    let workspaces: BTreeMap<_, _> = state.workspaces().map(|each| (each.slug.to_string(), each.no)).collect();
    assert_eq!(workspaces, model.workspaces);
    for workspace in state.workspaces() {
        assert_eq!(state.workspace_by_no(workspace.no), Some(workspace));
        let live: Vec<_> = workspace
            .live_definitions()
            .map(|(kind, slug, each)| (Name { kind, slug: slug.to_owned() }, each.number, each.body.to_string()))
            .collect();
        let expected: Vec<_> =
            model.live(&workspace.slug).into_values().map(|each| (each.name, each.number, each.body)).collect();
        assert_eq!(live, expected);
        let versions: usize =
            workspace.segments.values().chain(workspace.scores.values()).map(|each| each.versions.len()).sum();
        assert_eq!(versions, model.versions.iter().filter(|each| *each.workspace == *workspace.slug).count());
    }
    for hash in 0..8_u8 {
        let found =
            state.authenticate(&[hash; 32]).map(|each| (each.key_id, each.role, each.workspace.map(|s| s.to_string())));
        let expected = model.keys.iter().find(|each| each.key.sha256 == [hash; 32] && !each.revoked);
        assert_eq!(found, expected.map(|each| (each.key.id, each.key.role, each.owner.clone())));
    }
}

/// The numbers of each definition's versions are 1, 2, 3 and so on, at growing offsets.
fn versions_grow(state: &State) {
    for definition in state.workspaces().flat_map(|each| each.segments.values().chain(each.scores.values())) {
        assert!(definition.versions.iter().map(|each| each.number).eq(1..=definition.versions.len() as u32));
        assert!(definition.versions.is_sorted_by(|a, b| a.offset < b.offset));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12_000))]

    #[test]
    fn the_fold_decides_as_the_model(commands in vec(a_command(), 1..40)) {
        let mut log = FURNISHED.clone();
        let mut model = Model::default();
        for (offset, command) in (0..).zip(&beginning()) {
            model.step(offset, command);
        }
        for command in &commands {
            let offset = log.records.len() as u64;
            let expected = model.step(offset, command);
            prop_assert_eq!(in_words(&log.append(command)), expected, "{:?}", command);
        }
        compare(&log.state, &model);
        versions_grow(&log.state);
    }

    #[test]
    fn the_same_log_gives_the_same_state(commands in vec(a_command(), 1..40), bound in 0..45_u64) {
        let mut log = FURNISHED.clone();
        let outcomes: Vec<_> = commands.iter().map(|command| log.append(command)).collect();
        let (mut again, mut unbound, mut bounded) = (State::default(), State::default(), State::default());
        let mut prefix = State::default();
        for (offset, record) in (0..).zip(&log.records) {
            let outcome = again.evolve(offset, record);
            prop_assert_eq!(&unbound.evolve_bound(offset, record, u64::MAX), &outcome);
            if let Some(first) = usize::try_from(offset).unwrap().checked_sub(FURNISHED.records.len()) {
                prop_assert_eq!(&outcome, &outcomes[first]);
            }
            let at_bound = bounded.evolve_bound(offset, record, bound);
            if offset < bound {
                prop_assert_eq!(&prefix.evolve(offset, record), &outcome);
                prop_assert_eq!(at_bound, outcome);
            } else if at_bound != Outcome::Ignored {
                prop_assert_eq!(at_bound, outcome, "keys and workspaces are decided alike");
            }
        }
        prop_assert_eq!(&again, &log.state);
        prop_assert_eq!(&unbound, &log.state);
        // The definitions that stand at the bound are those of the log up to there.
        for workspace in prefix.workspaces() {
            let later = bounded.workspace(&workspace.slug).unwrap();
            prop_assert_eq!((&later.segments, &later.scores), (&workspace.segments, &workspace.scores));
        }
        for workspace in bounded.workspaces() {
            prop_assert_eq!(&workspace.keys, &log.state.workspace(&workspace.slug).unwrap().keys);
        }
    }

    #[test]
    fn any_bytes_are_harmless(records in vec(vec(any::<u8>(), 0..80), 0..8)) {
        let mut state = FURNISHED.state.clone();
        let before = state.clone();
        for record in &records {
            let outcome = state.evolve(state.next(), record);
            prop_assert!(matches!(outcome, Outcome::Poison(_) | Outcome::Ignored), "{:?}", outcome);
        }
        prop_assert!(state.workspaces().eq(before.workspaces()));
    }

    #[test]
    fn a_damaged_record_never_panics(command in a_command(), cut in any::<prop::sample::Index>(), byte in any::<u8>(), truncate in any::<bool>()) {
        let mut record = weir_control::encode(&command);
        let at = cut.index(record.len());
        if truncate { record.truncate(at) } else { record[at] = byte }
        let mut state = FURNISHED.state.clone();
        let offset = state.next();
        let outcome = state.evolve(offset, &record);
        prop_assert!(!truncate || matches!(outcome, Outcome::Poison(_)));
        prop_assert_eq!(state.next(), offset + 1);
    }

    #[test]
    fn offsets_at_the_end_of_their_range_are_harmless(command in a_command()) {
        let mut state = FURNISHED.state.clone();
        state.evolve(u64::MAX, &weir_control::encode(&command));
        prop_assert_eq!(state.next(), u64::MAX);
        state.evolve(u64::MAX, &weir_control::encode(&command));
    }
}
