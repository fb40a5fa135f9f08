//! The binary as operators meet it who didn't give it a log.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

/// Runs it with these arguments and variables, and no other of Weir's.
fn ingest(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = ingest(arguments, variables);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_a_log_it_says_what_it_needs_and_what_does_without() {
    let said = refused(&[], &[]);
    for part in ["WEIR_LOG_URL", "kafka://", "weir init", "weir up"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let said = refused(&["--log", "sqlite:log.db"], &[]);
    assert!(said.contains("--log") && said.contains("weir up"), "{said}");
}

#[test]
fn the_environment_of_its_siblings_is_no_problem_and_its_own_are_told_at_once() {
    let shared = [("WEIR_STORE_URL", "postgres://ada:hunter2@db/weir"), ("WEIR_PARTITIONS", "12"), ("WEIR_DATA", "/x")];
    let said = refused(&["--listen", "8080"], &shared);
    assert!(said.contains("--listen") && said.contains("WEIR_LOG_URL"), "{said}");
    for part in ["WEIR_STORE_URL", "WEIR_PARTITIONS", "WEIR_DATA", "hunter2"] {
        assert!(!said.contains(part), "{part} in {said}");
    }
    let said =
        refused(&["--store", "postgres://db/weir"], &[("WEIR_LOG_URL", "kafka://a:1/w"), ("WEIR_KAFKA_ACKS", "1")]);
    assert!(said.contains("--store: no such flag") && said.contains("acks can't be set"), "{said}");
}

#[test]
fn help_is_no_failure() {
    let output = ingest(&["--help"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["--log <URL>", "WEIR_LOG_URL", "--kafka-", "WEIR_KAFKA_", "--accept-weak-acks", "--listen"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("--store"), "{text}");
}
