//! The binary as operators meet it who gave it neither log nor store.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, not in what they share

use std::process::Command;

#[test]
fn without_log_and_store_it_says_what_it_needs_and_what_does_without() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_projector"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    let output = command.env("WEIR_OPEN", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["WEIR_LOG_URL", "kafka://", "WEIR_STORE_URL", "postgres://", "weir init", "weir up"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("WEIR_OPEN"), "a setting of its siblings: {said}");
}
