//! The program as operators meet it: one a directory, its exit codes, its first start.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::Rng as _;
use serde_json::json;
use weir_e2e::history::Seeded;

use crate::house::House;
use crate::process::Process;

fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

/// The process ends by itself with that code; what it said.
fn ends_with(mut process: Process, code: i32) -> Result<String> {
    let ended = process.exit_code()?;
    let said = process.said()?;
    assert_eq!(ended, Some(code), "it said:\n{said}");
    Ok(said)
}

#[tokio::test]
async fn it_starts_says_so_and_stops_when_asked() -> Result<()> {
    let house = House::new(&[])?;
    let mut weir = house.start()?;
    eprintln!("ready after {:?} at a first start", weir.process.age());
    weir.shop.write.post("/api/profiles", json!({"email": "ada@example.com"})).await?.expect(201)?;
    eprintln!("first event accepted after {:?}", weir.process.age());
    assert_eq!(weir.process.terminate()?, Some(0));
    let mut weir = house.open().await?;
    eprintln!("the tables can be read after {:?} at a second start", weir.process.age());
    let found = weir.shop.read.read("/api/profiles?email=ada@example.com").await?;
    assert_eq!(found["profiles"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(weir.process.terminate()?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_second_one_on_the_directory_is_told_the_first_ones_pid() -> Result<()> {
    let house = House::new(&[])?;
    let first = house.open().await?;
    let said = ends_with(house.spawn()?, 1)?;
    assert!(said.contains(&first.process.pid().to_string()), "{said}");
    first.shop.read.read("/api/segments").await?;
    Ok(())
}

#[tokio::test]
async fn every_problem_of_a_configuration_is_named_at_once() -> Result<()> {
    let house = House::new(&[])?;
    let bad = ["--listen", "somewhere", "--partitions", "0", "--log", "mysql:x", "--colour", "--demo", "--test-clock"];
    let said = ends_with(house.spawn_with(&flags(&bad))?, 64)?;
    for problem in ["--listen", "--partitions", "--log", "--colour", "--demo"] {
        assert!(said.contains(problem), "{problem} isn't named in:\n{said}");
    }
    assert!(!house.file("").exists(), "a configuration that was refused left something behind");
    Ok(())
}

#[tokio::test]
async fn a_log_of_the_test_clock_opens_only_with_it() -> Result<()> {
    for (made, opened) in [(&["--test-clock"][..], &[][..]), (&[][..], &["--test-clock"][..])] {
        let house = House::new(made)?;
        let mut weir = house.open().await?;
        let clock = weir.operator.put("/test/clock", json!({"now": null})).await?;
        assert_eq!(clock.status, if made.is_empty() { 404 } else { 204 }, "{}", clock.text);
        assert_eq!(weir.process.terminate()?, Some(0));
        let other = [&["--listen", "127.0.0.1:0"], opened].concat();
        let said = ends_with(house.spawn_with(&flags(&other))?, 64)?;
        assert!(said.contains("test-clock") || said.contains("test clock"), "{said}");
        house.open().await?.shop.read.read("/api/segments").await?;
    }
    Ok(())
}

#[tokio::test]
async fn keys_without_a_workspace_are_used() -> Result<()> {
    // As after a crash between the file and the record.
    let house = House::new(&[])?;
    drop(house.open().await?);
    let keys = house.keys()?;
    let again = House::new(&[])?;
    std::fs::create_dir_all(again.file(""))?;
    std::fs::copy(house.file("keys.json"), again.file("keys.json"))?;
    let weir = again.open().await?;
    assert_eq!(again.keys()?, keys);
    weir.shop.read.read("/api/segments").await?;
    weir.operator.read("/api/status").await?;
    Ok(())
}

#[tokio::test]
async fn a_first_start_that_is_killed_locks_nobody_out() -> Result<()> {
    let mut rng = Seeded::chosen(71);
    for n in 0..6 {
        let house = House::new(&[])?;
        let mut process = house.spawn()?;
        let after = Duration::from_millis(rng.random_range(0..90));
        tokio::time::sleep(after).await;
        process.kill()?;
        let weir =
            house.open().await.with_context(|| format!("start {n}, killed after {after:?}, seed {}", rng.seed()))?;
        weir.shop.write.post("/api/profiles", json!({"user_id": "1"})).await?.expect(201)?;
        weir.shop.read.read("/api/profiles/user:1").await?;
        weir.operator.read("/api/status").await?;
    }
    Ok(())
}

/// Runs a command to its end: exit code, standard output, standard error.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Result<(Option<i32>, String, String)> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    // The program ends with the test that holds its standard input.
    let child = command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.stderr(Stdio::piped()).spawn()?;
    let held = child.stdin.take();
    let output = child.wait_with_output()?;
    drop(held);
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn what_a_command_cannot_use_is_usage() -> Result<()> {
    for (arguments, variables, named) in [
        (&["status", "--url", "nonsense"][..], &[][..], "--url nonsense"),
        (&["status", "--url", "mailto:ada@example.com"], &[], "--url mailto"),
        (&["status"], &[("WEIR_DATTA", "x")], "WEIR_DATTA: no such variable; did you mean WEIR_DATA?"),
        (&["init", "--log", "kafka://broker"], &[], "--log"),
    ] {
        let (code, _, said) = run(arguments, variables)?;
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        assert!(said.contains(named), "{named} isn't named in:\n{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_leaves_no_directory_behind() -> Result<()> {
    let house = House::new(&[])?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let at = format!("localhost:{}", taken.local_addr()?.port());
    let said = ends_with(house.spawn_with(&flags(&["--listen", &at]))?, 1)?;
    assert!(said.contains("can't listen on 127.0.0.1:"), "{said}");
    assert!(!house.file("").exists());
    Ok(())
}

#[tokio::test]
async fn init_makes_what_a_first_start_finds() -> Result<()> {
    let house = House::new(&[])?;
    let data = house.file("");
    let data = data.to_str().context("a path that is no text")?;
    let (code, told, said) =
        run(&["init", "--data", data, "--partitions", "3", "--json"], &[("WEIR_STORE_URL", "postgres://x")])?;
    assert_eq!(code, Some(0), "{said}");
    let made: serde_json::Value = serde_json::from_str(&told)?;
    assert_eq!((&made["made"], &made["partitions"]), (&json!({"log": true, "workspace": true}), &json!(3)), "{told}");
    assert_eq!(made["keys"], house.keys()?);
    let (code, told, said) = run(&["init", "--data", data, "--json"], &[])?;
    assert_eq!(code, Some(0), "{said}");
    let again: serde_json::Value = serde_json::from_str(&told)?;
    assert_eq!((&again["made"], &again["keys"]), (&json!({"log": false, "workspace": false}), &json!(null)), "{told}");
    assert_eq!(again["lineage"], made["lineage"]);
    let (code, _, said) = run(&["init", "--data", data, "--partitions", "4"], &[])?;
    assert_eq!(code, Some(64), "{said}");
    let weir = house.open().await?;
    weir.shop.write.post("/api/profiles", json!({"user_id": "1"})).await?.expect(201)?;
    assert_eq!(weir.operator.read("/api/status").await?["partitions"].as_array().map(Vec::len), Some(3));
    Ok(())
}
