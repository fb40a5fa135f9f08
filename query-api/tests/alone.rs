//! The binary as operators meet it: what it needs, and what it does while PostgreSQL is away.

// Helpers of tests may panic; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

fn query_api() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_query-api"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command
}

#[test]
fn without_a_store_it_says_what_it_needs_and_what_does_without() {
    let output = query_api().env("WEIR_LOG_URL", "kafka://a:1/w").output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["WEIR_STORE_URL", "postgres://", "weir up"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("WEIR_LOG_URL"), "a setting of its siblings: {said}");
}

/// Ends it with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Status line, headers and body.
fn get(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn it_starts_without_postgresql_and_answers_not_now() {
    // Taken and let go: nobody answers there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = format!("postgres://weir@{nobody}/weir");
    let mut command = query_api();
    command.args(["--listen", "localhost:0", "--store", &store]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = line.trim().strip_prefix("ready: http://").unwrap().to_owned();
    assert!(get(&at, "/livez").starts_with("HTTP/1.1 200"));
    for path in ["/readyz", "/api/segments", "/api/status"] {
        let answer = get(&at, path).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 503"), "{path}: {answer}");
        assert!(answer.contains("retry-after: ") && answer.contains("application/problem+json"), "{path}: {answer}");
    }
    let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", running.0.id())).status().unwrap();
    assert!(asked.success());
    assert_eq!(running.0.wait().unwrap().code(), Some(0), "a signal ends it in order");
}
