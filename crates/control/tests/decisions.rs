//! What each command does, and each reason to refuse one.

mod log;

use log::*;
use uuid::Uuid;
use weir_control::{
    Accepted, Command, CopiedFrom, DefinitionPut, Kind, Name, NewDefinition, Outcome, Refusal, RefusalClass, Role,
    State, builtin, encode, limits, valid_slug,
};

fn seg(slug: &str) -> Name {
    Name::segment(slug)
}

fn put_of(workspace: u64, name: Name, version: u32, created: bool, unchanged: bool) -> Accepted {
    Accepted::Put { workspace, name, version, created, unchanged }
}

fn if_version(command: Command, number: u32) -> Command {
    match command {
        Command::SegmentPut(put) => Command::SegmentPut(DefinitionPut { if_version: Some(number), ..put }),
        Command::SegmentDeleted(mut deleted) => {
            deleted.if_version = Some(number);
            Command::SegmentDeleted(deleted)
        }
        other => other,
    }
}

fn empty(slug: &str, body: u32) -> Command {
    Command::SegmentPut(put("a", NewDefinition { true_of_empty: true, ..definition(slug, body, &[]) }))
}

/// A log with something of everything.
fn furnished() -> Log {
    let mut log = Log::with_workspaces();
    for command in [
        key(Some("a"), new_key(1, Role::Admin, 1)),
        key(None, new_key(2, Role::Operator, 2)),
        key(Some("b"), new_key(3, Role::Write, 3)),
        score("points", 1),
        segment("base", 1, &[]),
        segment("middle", 1, &[seg("base"), Name::score("points")]),
        segment("top", 1, &[seg("middle")]),
        segment("gone", 1, &[seg("base")]),
        delete_segment("gone"),
        segment("freed", 1, &[]),
        segment("once", 1, &[seg("freed")]),
        segment("once", 2, &[]),
    ] {
        log.accept(&command);
    }
    log
}

#[test]
fn each_refusal_has_its_code_its_class_and_leaves_the_state_alone() {
    use RefusalClass::{Conflict, Invalid, NotFound, PreconditionFailed};
    let in_workspace = |slug: &str, each: NewDefinition| Command::SegmentPut(put(slug, each));
    let twice = |role| {
        let mut made = workspace_made("c");
        made.keys = vec![new_key(8, role, 8), new_key(9, role, 8)];
        Command::WorkspaceCreated(made)
    };
    let dangling = {
        let mut made = workspace_made("c");
        made.segments = vec![definition("x", 1, &[seg("base")])];
        Command::WorkspaceCreated(made)
    };
    for (command, code, class) in [
        (opened(), "log_already_opened", Conflict),
        (workspace("a"), "slug_taken", Conflict),
        (workspace("A"), "slug_invalid", Invalid),
        (workspace(""), "slug_invalid", Invalid),
        (twice(Role::Write), "key_taken", Conflict),
        (twice(Role::Operator), "key_taken", Conflict),
        (dangling, "names_unknown_segment", Invalid),
        (key(Some("z"), new_key(9, Role::Read, 9)), "unknown_workspace", NotFound),
        (key(Some("a"), new_key(1, Role::Read, 9)), "key_taken", Conflict),
        (key(Some("a"), new_key(3, Role::Read, 9)), "key_taken", Conflict),
        (key(Some("a"), new_key(9, Role::Read, 2)), "key_taken", Conflict),
        (key(Some("a"), new_key(9, Role::Operator, 9)), "role_misplaced", Invalid),
        (key(None, new_key(9, Role::Admin, 9)), "role_misplaced", Invalid),
        (revoke(Some("a"), 9), "unknown_key", NotFound),
        (revoke(Some("a"), 3), "unknown_key", NotFound),
        (revoke(Some("a"), 2), "unknown_key", NotFound),
        (revoke(None, 1), "unknown_key", NotFound),
        (revoke(Some("z"), 1), "unknown_workspace", NotFound),
        (in_workspace("z", definition("x", 1, &[])), "unknown_workspace", NotFound),
        (in_workspace("a", definition("X", 1, &[])), "slug_invalid", Invalid),
        (in_workspace("b", definition("x", 1, &[seg("base")])), "names_unknown_segment", Invalid),
        (segment("x", 1, &[seg("gone")]), "names_unknown_segment", Invalid),
        (segment("x", 1, &[seg("points")]), "names_unknown_segment", Invalid),
        (segment("x", 1, &[Name::score("base")]), "names_unknown_score", Invalid),
        (segment("base", 2, &[seg("base")]), "definition_cycle", Invalid),
        (segment("x", 2, &[seg("x")]), "definition_cycle", Invalid),
        (segment("base", 2, &[seg("top")]), "definition_cycle", Invalid),
        (if_version(segment("base", 2, &[]), 2), "version_changed", PreconditionFailed),
        (if_version(segment("base", 1, &[]), 0), "version_changed", PreconditionFailed),
        (if_version(segment("gone", 2, &[]), 1), "version_changed", PreconditionFailed),
        (if_version(delete_segment("top"), 7), "version_changed", PreconditionFailed),
        (if_version(delete_segment("gone"), 1), "unknown_segment", NotFound),
        (delete_segment("gone"), "unknown_segment", NotFound),
        (delete_segment("points"), "unknown_segment", NotFound),
        (delete_segment("no slug"), "unknown_segment", NotFound),
        (delete_score("base"), "unknown_score", NotFound),
        (delete_segment("base"), "definition_in_use", Conflict),
        (delete_score("points"), "definition_in_use", Conflict),
    ] {
        let mut log = furnished();
        let before = log.state.clone();
        let Outcome::Refused(refusal) = log.append(&command) else { panic!("not refused: {command:?}") };
        assert_eq!((refusal.code(), refusal.class()), (code, class), "{command:?}: {refusal}");
        assert_eq!(log.state.next(), before.next() + 1);
        let mut moved = before;
        moved.evolve(log.state.next() - 1, b"{\"type\":\"later\"}");
        assert_eq!(log.state, moved, "{command:?} changed something");
    }
}

#[test]
fn before_the_log_is_opened_every_command_is_refused() {
    for command in [
        workspace("a"),
        key(None, new_key(1, Role::Operator, 1)),
        revoke(None, 1),
        segment("x", 1, &[]),
        delete_segment("x"),
        score("x", 1),
        delete_score("x"),
    ] {
        let mut log = Log::default();
        assert_eq!(log.append(&command), Outcome::Refused(Refusal::NotOpened));
        assert_eq!(log.accept(&opened()), Accepted::LogOpened, "it can still be opened");
    }
}

#[test]
fn a_copy_says_where_it_comes_from_and_others_say_nothing() {
    let text = String::from_utf8(encode(&opened())).unwrap();
    assert!(!text.contains("copied_from"), "{text}");
    let Command::LogOpened(mut copy) = opened() else { unreachable!() };
    copy.copied_from = Some(CopiedFrom { lineage: Uuid::from_u128(7), control: 3, events: 4 });
    let mut state = State::default();
    state.evolve(0, &encode(&Command::LogOpened(copy.clone())));
    assert_eq!(state.log(), Some(&copy));
}

#[test]
fn a_second_opening_changes_nothing() {
    let mut log = Log::opened();
    let Command::LogOpened(first) = opened() else { unreachable!() };
    let mut other = first.clone();
    other.events_partitions = 9;
    assert_eq!(log.append(&Command::LogOpened(other)), Outcome::Refused(Refusal::AlreadyOpened));
    assert_eq!(log.state.log(), Some(&first));
}

#[test]
fn a_sentence_names_the_things_and_the_remedy() {
    let mut log = furnished();
    let mut sentence = |command: &Command| match log.append(command) {
        Outcome::Refused(refusal) => refusal.sentence(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        sentence(&segment("base", 2, &[seg("top")])),
        "the definition would depend on itself: the segment `base` names the segment `top`, the segment `top` names \
         the segment `middle`, the segment `middle` names the segment `base`; leave one of these out"
    );
    assert_eq!(
        sentence(&delete_score("points")),
        "the score `points` is named by the segment `middle`; change or delete what names it first"
    );
    assert_eq!(
        sentence(&if_version(segment("base", 2, &[]), 4)),
        "the segment `base` was to have version 4, but has version 1 now; read it again and repeat the change"
    );
    assert_eq!(
        sentence(&if_version(segment("x", 2, &[]), 4)),
        "the segment `x` was to have version 4, but isn't there; read it again and repeat the change"
    );
    assert_eq!(
        sentence(&if_version(segment("base", 2, &[]), 0)),
        "the segment `base` was to be new, but is there with version 1; read it again and repeat the change"
    );
}

#[test]
fn a_long_cycle_is_found_without_recursion_and_told_in_short() {
    let mut log = Log::with_workspaces();
    log.accept(&segment("s0", 0, &[]));
    for n in 1..limits::SEGMENTS {
        log.accept(&segment(&format!("s{n}"), 0, &[seg(&format!("s{}", n - 1))]));
    }
    let Outcome::Refused(refusal) = log.append(&segment("s0", 1, &[seg(&format!("s{}", limits::SEGMENTS - 1))])) else {
        panic!("accepted")
    };
    assert!(matches!(&refusal, Refusal::Cycle { path } if path.len() == limits::SEGMENTS + 1));
    assert!(refusal.sentence().len() < 1_000);
}

#[test]
fn versions_grow_across_puts_and_deletes() {
    let mut log = Log::with_workspaces();
    let name = || seg("x");
    assert_eq!(log.accept(&segment("x", 1, &[])), put_of(1, name(), 1, true, false));
    assert_eq!(log.accept(&segment("x", 1, &[])), put_of(1, name(), 1, false, true));
    assert_eq!(log.accept(&segment("x", 2, &[])), put_of(1, name(), 2, false, false));
    assert_eq!(log.accept(&segment("x", 1, &[])), put_of(1, name(), 3, false, false));
    assert_eq!(log.accept(&delete_segment("x")), Accepted::Deleted { workspace: 1, name: name(), version: 3 });
    let workspace = log.state.workspace("a").unwrap();
    assert!(workspace.segments["x"].deleted());
    assert_eq!(workspace.live(&name()), None);
    // The same body as that of the deleted version is no repetition: what is deleted isn't there.
    assert_eq!(log.accept(&segment("x", 1, &[])), put_of(1, name(), 4, true, false));
    let definition = &log.state.workspace("a").unwrap().segments["x"];
    let offsets: Vec<_> = definition.versions.iter().map(|each| (each.number, each.offset)).collect();
    assert_eq!(offsets, [(1, 3), (2, 5), (3, 6), (4, 8)]);
    assert_eq!(definition.version(3).unwrap().deletion.as_ref().unwrap().offset, 7);
    assert_eq!(definition.live().unwrap().number, 4);
    assert_eq!(definition.version(5), None);
}

#[test]
fn a_condition_on_the_version_holds_or_refuses() {
    let mut log = Log::with_workspaces();
    log.accept(&if_version(segment("x", 1, &[]), 0));
    log.accept(&if_version(segment("x", 2, &[]), 1));
    log.accept(&if_version(segment("x", 2, &[]), 2));
    log.accept(&if_version(delete_segment("x"), 2));
    assert_eq!(log.accept(&if_version(segment("x", 3, &[]), 0)), put_of(1, seg("x"), 3, true, false));
}

#[test]
fn only_the_newest_live_version_of_another_definition_holds_a_name() {
    let mut log = furnished();
    // `once` named `freed` in version 1, `gone` named `base` before it was deleted.
    log.accept(&delete_segment("freed"));
    log.accept(&delete_segment("top"));
    log.accept(&delete_segment("middle"));
    log.accept(&delete_segment("base"));
    log.accept(&delete_score("points"));
}

#[test]
fn a_key_opens_its_workspace_until_it_is_revoked() {
    let mut log = furnished();
    let found = log.state.authenticate(&[1; 32]).unwrap();
    assert_eq!((found.key_id, found.role, found.workspace.as_deref()), (key_id(1), Role::Admin, Some("a")));
    let found = log.state.authenticate(&[2; 32]).unwrap();
    assert_eq!((found.key_id, found.role, found.workspace), (key_id(2), Role::Operator, None));
    assert_eq!(log.state.authenticate(&[9; 32]), None);
    assert_eq!(log.accept(&revoke(Some("a"), 1)), Accepted::Revoked { workspace: Some(1), id: key_id(1) });
    assert_eq!(log.state.authenticate(&[1; 32]), None);
    let kept = &log.state.workspace("a").unwrap().keys[&key_id(1)];
    assert_eq!(kept.revoked.as_ref().map(|revocation| revocation.by.as_str()), Some("me"));
    let unknown = Refusal::UnknownKey { id: key_id(1) };
    assert_eq!(log.append(&revoke(Some("a"), 1)), Outcome::Refused(unknown));
    // Neither its id nor its secret ever opens anything again.
    for again in [new_key(1, Role::Admin, 9), new_key(9, Role::Admin, 1)] {
        let refused = log.append(&key(Some("a"), again));
        assert!(matches!(refused, Outcome::Refused(Refusal::KeyTaken { .. })), "{refused:?}");
    }
    assert_eq!(log.accept(&revoke(None, 2)), Accepted::Revoked { workspace: None, id: key_id(2) });
    assert_eq!(log.state.authenticate(&[2; 32]), None);
}

#[test]
fn a_workspace_comes_whole() {
    let mut log = Log::opened();
    let mut made = workspace_made("shop");
    made.keys = vec![new_key(1, Role::Write, 1), new_key(2, Role::Operator, 2)];
    (made.segments, made.scores) = (builtin::segments(), builtin::scores());
    made.segments.push(definition("rich", 1, &[Name::score("points"), seg("abandoned-cart")]));
    assert_eq!(log.accept(&Command::WorkspaceCreated(made)), Accepted::Workspace { no: 1 });
    let workspace = log.state.workspace("shop").unwrap();
    assert_eq!(Some(workspace), log.state.workspace_by_no(1));
    assert_eq!((workspace.no, &*workspace.slug), (1, "shop"));
    assert_eq!(workspace.keys.len(), 1, "the operator key isn't the workspace's");
    assert_eq!(log.state.operators().map(|key| key.id).collect::<Vec<_>>(), [key_id(2)]);
    let names: Vec<_> = workspace.live_definitions().map(|(kind, slug, live)| (kind, slug, live.number)).collect();
    assert_eq!(
        names,
        [
            (Kind::Segment, "abandoned-cart", 1),
            (Kind::Segment, "abandoned-cart-never-ordered", 1),
            (Kind::Segment, "removed-before-checkout", 1),
            (Kind::Segment, "rich", 1),
            (Kind::Score, "points", 1)
        ]
    );
    assert_eq!(&*workspace.live(&Name::score("points")).unwrap().body, builtin::POINTS);
    assert_eq!(log.state.workspaces().count(), 1);
    assert_eq!(log.state.workspace_by_no(0), None);
}

#[test]
fn limits_hold_for_what_is_live() {
    let mut log = Log::with_workspaces();
    for n in 0..limits::TRUE_OF_EMPTY {
        log.accept(&empty(&format!("e{n}"), 0));
    }
    assert_eq!(log.append(&empty("more", 0)), Outcome::Refused(Refusal::TooManyEmpty));
    log.accept(&segment("more", 0, &[]));
    assert_eq!(log.append(&empty("more", 1)), Outcome::Refused(Refusal::TooManyEmpty));
    log.accept(&empty("e0", 1));
    log.accept(&segment("e0", 2, &[]));
    log.accept(&empty("more", 1));
    log.accept(&delete_segment("e1"));
    log.accept(&empty("other", 1));
    for n in 0..limits::SCORES {
        log.accept(&score(&format!("s{n}"), 0));
    }
    let full = Refusal::TooManyDefinitions { kind: Kind::Score, limit: limits::SCORES };
    assert_eq!(log.append(&score("more", 0)), Outcome::Refused(full));
    log.accept(&score("s0", 1));
    log.accept(&delete_score("s1"));
    log.accept(&score("more", 0));
}

#[test]
fn keys_that_are_not_revoked_are_limited() {
    let mut log = Log::with_workspaces();
    let nth = |n: usize| {
        let mut key = new_key(0, Role::Write, 0);
        key.id.0 = uuid::Uuid::from_u128(1_000 + n as u128);
        key.sha256[..8].copy_from_slice(&(n as u64).to_be_bytes());
        key
    };
    for n in 0..limits::KEYS {
        log.accept(&key(Some("a"), nth(n)));
    }
    let refused = log.append(&key(Some("a"), nth(limits::KEYS)));
    assert_eq!(refused, Outcome::Refused(Refusal::TooManyKeys));
    log.accept(&key(Some("b"), nth(limits::KEYS)));
    let mut made = workspace_made("c");
    made.keys = (limits::KEYS + 1..=2 * limits::KEYS + 1).map(nth).collect();
    assert_eq!(log.append(&Command::WorkspaceCreated(made)), Outcome::Refused(Refusal::TooManyKeys));
}

#[test]
fn what_a_later_release_adds_is_harmless() {
    let mut log = Log::with_workspaces();
    let mut fold = |record: &str| log.state.evolve(log.state.next(), record.as_bytes());
    assert_eq!(fold(r#"{"type":"moon.landed","body":[[1]]}"#), Outcome::Ignored);
    let put =
        r#"{"type":"segment.put","workspace":"a","slug":"x","body":"{}","colour":{"r":1},"at":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(fold(put), Outcome::Accepted(put_of(1, seg("x"), 1, true, false)));
}

#[test]
fn malformed_records_are_poison_and_change_nothing() {
    let definition =
        |fields: &str| format!(r#"{{"type":"segment.put","workspace":"a",{fields}"at":"2026-01-01T00:00:00Z"}}"#);
    let opened = |fields: &str| format!(r#"{{"type":"log.opened",{fields}"at":"2026-01-01T00:00:00Z"}}"#);
    let created = r#"{"type":"workspace.created","slug":"c","namespace":"00000000-0000-0000-0000-000000000001","#;
    let key = r#""id":"00000000-0000-0000-0000-000000000009","role":"write""#;
    for record in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"type":7}"#.to_owned(),
        r#"{"type":"moon.landed""#.to_owned(),
        r#"{"type":"segment.put","type":"segment.put"}"#.to_owned(),
        r#"{"type":"key.revoked","id":"no uuid","at":"2026-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"type":"segment.deleted","workspace":"a","slug":"x","at":"yesterday"}"#.to_owned(),
        definition(""),
        definition(r#""slug":"x","#),
        definition(r#""slug":"x","body":{},"#),
        definition(r#""slug":"x","body":"","#),
        definition(r#""slug":"x","body":"[]","#),
        definition(r#""slug":"x","body":"{","#),
        definition(r#""slug":"x","body":"{}{}","#),
        definition(r#""slug":"x","body":"{}","body":"{}","#),
        definition(r#""slug":"x","body":"{}","if_version":-1,"#),
        definition(r#""slug":"x","body":"{}","names":["y"],"#),
        opened(r#""lineage":"00000000-0000-0000-0000-000000000001","events_partitions":0,"dedup_window_micros":1,"#),
        opened(r#""lineage":"00000000-0000-0000-0000-000000000001","events_partitions":1,"dedup_window_micros":-1,"#),
        format!(
            r#"{created}"scores":[{{"slug":"x","body":"{{}}"}},{{"slug":"x","body":"{{}}"}}],"at":"2026-01-01T00:00:00Z"}}"#
        ),
        format!(r#"{created}"keys":[{{{key},"sha256":"00"}}],"at":"2026-01-01T00:00:00Z"}}"#),
        format!(r#"{created}"keys":[{{{key},"sha256":"{}"}}],"at":"2026-01-01T00:00:00Z"}}"#, "zz".repeat(32)),
        format!(r#"{created}"keys":[{{{key},"sha256":"{}"}}],"at":"2026-01-01T00:00:00Z"}}"#, "é".repeat(32)),
    ] {
        let mut log = Log::with_workspaces();
        let mut moved = log.state.clone();
        let outcome = log.state.evolve(3, record.as_bytes());
        assert!(matches!(&outcome, Outcome::Poison(reason) if reason.len() < 2_000), "{record}: {outcome:?}");
        moved.evolve(3, b"{\"type\":\"later\"}");
        assert_eq!(log.state, moved, "{record}");
    }
}

#[test]
fn offsets_may_have_gaps_and_a_record_is_folded_once() {
    let mut log = Log::opened();
    let record = weir_control::encode(&workspace("a"));
    assert_eq!(log.state.evolve(7, &record), Outcome::Accepted(Accepted::Workspace { no: 7 }));
    let before = log.state.clone();
    assert_eq!(log.state.evolve(7, &record), Outcome::Ignored);
    assert_eq!(log.state, before);
    assert_eq!(log.state.next(), 8);
}

#[test]
fn a_bound_state_passes_over_later_definitions_only() {
    let mut log = furnished();
    let bound = log.records.len() as u64;
    log.accept(&segment("late", 1, &[]));
    log.accept(&segment("base", 2, &[]));
    log.accept(&delete_segment("top"));
    log.accept(&key(Some("a"), new_key(7, Role::Read, 7)));
    log.accept(&revoke(Some("a"), 1));
    let mut made = workspace_made("c");
    made.segments = builtin::segments();
    log.accept(&Command::WorkspaceCreated(made));
    let mut state = weir_control::State::default();
    for (offset, record) in (0..).zip(&log.records) {
        state.evolve_bound(offset, record, bound);
    }
    assert_eq!(state.next(), log.state.next());
    let (old, new) = (state.workspace("a").unwrap(), log.state.workspace("a").unwrap());
    assert_eq!(old.live(&seg("late")), None);
    assert_eq!(old.live(&seg("base")).unwrap().number, 1);
    assert!(old.live(&seg("top")).is_some());
    assert_eq!(old.keys, new.keys);
    assert_eq!(state.workspace("c"), log.state.workspace("c"));
    assert!(state.authenticate(&[7; 32]).is_some() && state.authenticate(&[1; 32]).is_none());
}

#[test]
fn slugs() {
    let longest = "a".repeat(64);
    for slug in ["a", "0", "-", "abandoned-cart", longest.as_str()] {
        assert!(valid_slug(slug), "{slug}");
    }
    let too_long = "a".repeat(65);
    for slug in ["", "A", "a_b", "a b", "ä", "a/b", "a\0", too_long.as_str()] {
        assert!(!valid_slug(slug), "{slug}");
    }
}
