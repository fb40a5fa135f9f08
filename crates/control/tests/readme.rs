//! The records in the README are what the crate reads and writes.

use weir_control::{Command, Outcome, State};

#[test]
fn every_record_of_the_readme_is_accepted_in_order() {
    let readme = include_str!("../README.md");
    let blocks: Vec<_> = readme.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect();
    let mut state = State::default();
    for (offset, record) in (0..).zip(&blocks) {
        let outcome = state.evolve(offset, record.as_bytes());
        assert!(matches!(outcome, Outcome::Accepted(_)), "{record}: {outcome:?}");
    }
    assert_eq!(blocks.len(), 8, "one example of each of the eight types");
    let tags = ["log.opened", "workspace.created", "key.created", "key.revoked"];
    let definitions = ["segment.put", "score.put", "segment.deleted", "score.deleted"];
    for tag in tags.into_iter().chain(definitions) {
        assert!(blocks.iter().any(|block| block.contains(&format!("\"type\":\"{tag}\""))), "{tag}");
    }
}

#[test]
fn a_command_is_written_as_the_readme_shows() {
    let readme = include_str!("../README.md");
    let command = Command::KeyRevoked(weir_control::KeyRevoked {
        workspace: Some("default".to_owned()),
        id: "d9a1c7b4-7a64-4c3e-8a6f-9f0b6e1ad005".parse().unwrap(),
        by: "5e6c8b1e-93f3-4d0c-8f0e-1de1f1c0b003".to_owned(),
        at: weir_event::Timestamp::parse("2026-11-20T10:06:00Z").unwrap(),
    });
    let text = String::from_utf8(weir_control::encode(&command)).unwrap();
    assert!(readme.contains(&text), "{text}");
}
