//! Whoever reads standard output may leave: `weir … | head`. So may whoever reads standard error.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// 128 + SIGPIPE.
const READER_LEFT: Option<i32> = Some(141);
/// EX_USAGE of sysexits.h.
const USAGE: i32 = 64;

/// The program, with nobody at the other end of its standard output.
fn unread(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.args(arguments).stdout(writer).stderr(Stdio::piped());
    command
}

#[track_caller]
fn assert_quiet(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), errors.as_ref()), (READER_LEFT, ""));
}

/// A service that answers every request with this object, and its URL.
fn answering(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The header of a request without a body fits.
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}").unwrap();
        }
    });
    url
}

#[test]
fn an_answer_that_nobody_reads_ends_a_command_quietly() {
    let url = answering(r#"{"state":"verified","rows":[{"a":1}]}"#);
    for command in [&["status"][..], &["status", "--json"], &["rebuild", "status"], &["segments", "list"]] {
        assert_quiet(&unread(&[command, &["--url", &url, "--key", "k"]].concat()).output().unwrap());
    }
}

#[test]
fn a_complaint_that_nobody_reads_changes_no_exit_code() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    for (command, code) in [
        (&["status", "--url", &url, "--key", "k"][..], 1),
        (&["status", "--frobnicate"], USAGE),
        (&["up", "--listen", "nowhere"], USAGE),
        (&["log", "copy", "--from", "sqlite:/nowhere/log.db", "--to", "sqlite:/nowhere/log.db"], USAGE),
    ] {
        let complained = unread(command).output().unwrap();
        assert_eq!((complained.status.code(), complained.stderr.is_empty()), (Some(code), false), "{command:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(unread(command).stderr(writer).status().unwrap().code(), Some(code), "{command:?}");
    }
}

#[test]
fn help_that_nobody_reads_ends_quietly() {
    assert_quiet(&unread(&["up", "--help"]).output().unwrap());
}

#[test]
fn an_answer_for_which_there_is_no_room_is_a_failure() {
    let url = answering("{}");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = unread(&["status", "--json", "--url", &url, "--key", "k"]);
    let output = command.stdout(full).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.starts_with("can't write to standard output: ") && errors.lines().count() == 1, "{errors}");
}

#[test]
fn a_log_is_made_though_nobody_reads_that_it_was() {
    let data = tempfile::tempdir().unwrap();
    let data_flag = ["--data", data.path().to_str().unwrap()];
    assert_quiet(&unread(&[&["init"], &data_flag[..]].concat()).output().unwrap());
    let mut again = unread(&[&["init", "--json"], &data_flag[..]].concat());
    let again = again.stdout(Stdio::piped()).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(answer["made"], serde_json::json!({"log": false, "workspace": false}));
}

#[test]
fn a_service_goes_on_though_nobody_reads_that_it_is_ready() {
    let data = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (data, listen) = (data.path().to_str().unwrap().to_owned(), address.to_string());
    let mut service = unread(&["up", "--data", &data, "--listen", &listen]).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !is_ready(&listen) {
        assert_eq!(service.try_wait().unwrap(), None, "it ended");
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not ready");
        thread::sleep(Duration::from_millis(20));
    }
    let told = Command::new("kill").arg("-TERM").arg(service.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(service.wait().unwrap().code(), Some(0));
}

fn is_ready(address: &str) -> bool {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: weir\r\nconnection: close\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}
