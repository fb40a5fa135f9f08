//! `weir log copy` as an operator runs it: the copy is the whole deployment.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde_json::{Value, json};
use tempfile::TempDir;

fn weir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command
}

/// A `weir up` that answers; dropping it kills it.
struct Up {
    child: Child,
    /// What else it says there goes nowhere, but it may say it.
    _output: BufReader<ChildStdout>,
    base: String,
    keys: Value,
    http: reqwest::Client,
}

impl Up {
    async fn start(data: &Path, log: Option<&str>, store: Option<&str>) -> Self {
        let mut command = weir();
        command.arg("up").arg("--data").arg(data).args(["--listen", "127.0.0.1:0", "--log-filter", "warn"]);
        command.args(log.into_iter().flat_map(|url| ["--log", url]));
        command.args(store.into_iter().flat_map(|url| ["--store", url]));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("ready: ").expect("no ready line").to_owned();
        let keys = serde_json::from_str(&std::fs::read_to_string(data.join("keys.json")).unwrap()).unwrap();
        let up =
            Self { child, _output: output, base, keys, http: reqwest::Client::builder().no_proxy().build().unwrap() };
        let begun = Instant::now();
        while !up.http.get(format!("{}/readyz", up.base)).send().await.unwrap().status().is_success() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the tables can't be read");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        up
    }

    fn key(&self, role: &str) -> &str {
        self.keys[role].as_str().unwrap()
    }

    async fn post(&self, path: &str, role: &str, body: &Value) -> (Value, String) {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(self.key(role)).json(body);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        let position = answer.headers()["weir-position"].to_str().unwrap().to_owned();
        (answer.json().await.unwrap(), position)
    }

    /// Asks until it is answered: a segment may still be filled.
    async fn get(&self, path: &str, key: &str, after: Option<&str>) -> Value {
        let begun = Instant::now();
        loop {
            let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(key).header("prefer", "wait=20");
            let request = after.into_iter().fold(request, |request, position| request.header("weir-after", position));
            let answer = request.send().await.unwrap();
            if answer.status() != 503 {
                return answer.error_for_status().unwrap().json().await.unwrap();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{path}: {}", answer.text().await.unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What is told about everybody, but for the instant of the answer.
    async fn everything(&self, other_workspace: &str, after: Option<&str>) -> Value {
        let read = self.key("read");
        let mut found = Vec::new();
        for path in [
            "/api/segments/abandoned-cart?limit=1000",
            "/api/segments/abandoned-cart-never-ordered?limit=1000",
            "/api/segments/buyers?limit=1000",
            "/api/segments/buyers/definition",
            "/api/scores/points/profiles?limit=1000",
            "/api/segments",
            "/api/profiles/email:p7@example.com",
            "/api/profiles/email:p7@example.com/events",
            "/api/profiles/email:p7@example.com/segments",
            "/api/profiles/email:p7@example.com/basket",
            "/api/baskets/removed-items?limit=1000",
            "/api/baskets/removed-items/summary",
        ] {
            let mut answer = self.get(path, read, after).await;
            answer.as_object_mut().unwrap().remove("as_of");
            found.push(answer);
        }
        let mut other = self.get("/api/segments/abandoned-cart", other_workspace, after).await;
        other.as_object_mut().unwrap().remove("as_of");
        found.push(other);
        found.into()
    }

    fn stop(mut self) {
        let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status().unwrap();
        assert!(kill.success() && self.child.wait().unwrap().success());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name).display())
    }
}

fn copy(from: &str, to: &str, more: &[&str]) -> Command {
    let mut command = weir();
    command.args(["log", "copy", "--from", from, "--to", to]).args(more);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn shopping(rng: &mut impl rand::Rng, count: usize) -> Value {
    let names = ["cart.added", "cart.removed", "product.viewed", "order.completed", "LOGIN", "PURCHASE"];
    let event = |n: usize| {
        json!({
            "email": format!("p{}@example.com", n % 400), "name": names[rng.random_range(0..names.len())],
            "properties": {"n": n, "product_id": n % 7, "price": 1.5, "currency": "EUR"},
        })
    };
    (0..count).map(event).collect()
}

/// Fills a log; answers what is told about everybody, and a key of the other workspace.
async fn live(data: &Path, events: usize) -> (Value, String) {
    let up = Up::start(data, None, None).await;
    let definition = json!({"when": {"event": "order.completed"}});
    let put = up.http.put(format!("{}/api/segments/buyers", up.base)).bearer_auth(up.key("admin")).json(&definition);
    put.send().await.unwrap().error_for_status().unwrap();
    let (other, _) = up.post("/api/workspaces", "operator", &json!({"slug": "other"})).await;
    let other = other["admin"].as_str().unwrap();
    let mut position = String::new();
    for _ in 0..events / 5_000 {
        let batch = shopping(&mut rand::rng(), 5_000);
        let (answer, at) = up.post("/api/events", "write", &batch).await;
        assert_eq!(answer["accepted"], 5_000);
        position = at;
    }
    let found = up.everything(other, Some(&position)).await;
    let refused =
        copy(&format!("sqlite:{}", data.join("log.db").display()), "sqlite:elsewhere.db", &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&format!("pid {}", up.child.id())), "{}", said(&refused));
    up.stop();
    (found, other.to_owned())
}

#[tokio::test]
async fn a_start_over_a_copy_answers_the_same() {
    let place = Place::new();
    let to = place.log("moved/events.db");
    there_and_back(&place, &to, None).await;
}

#[tokio::test]
async fn a_log_moves_to_kafka_and_back() {
    let server = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| {
            panic!(
                "{name} is not set: run deploy/test.sh, or `eval \"$(deploy/services.sh env)\"` after \
                 `deploy/services.sh up`"
            )
        })
    };
    let name = format!("moved_{}", std::process::id());
    let to = format!("kafka://{}/{name}", server("WEIR_TEST_KAFKA"));
    let store = format!("{}?schema={name}", server("WEIR_TEST_POSTGRES"));
    there_and_back(&Place::new(), &to, Some(&store)).await;
}

/// One machine's log is copied to three partitions, and back. `store`: where the tables over the copy are; without it
/// beside its keys.
async fn there_and_back(place: &Place, to: &str, store: Option<&str>) {
    let one = place.path("one");
    let (before, other) = live(&one, 20_000).await;
    let from = place.log("one/log.db");

    // Killed now and then, at any point, it goes on where it was.
    let mut kills = 0;
    for at_most in [60, 120, 180, 240, 300, 360] {
        let mut child =
            copy(&from, to, &["--partitions", "3"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(at_most / 2..at_most))).await;
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = copy(&from, to, &["--partitions", "3", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    eprintln!("after {kills} kills: {}", String::from_utf8_lossy(&output.stdout).trim());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["events"], 20_000, "{report}");
    assert_eq!((&report["from_partitions"], &report["to_partitions"]), (&json!(1), &json!(3)), "{report}");
    assert_eq!((&report["from"], &report["to"]), (&json!(from), &json!(to)), "{report}");
    assert!(report["control"].as_u64() >= Some(4) && report["digest"].as_str().unwrap().len() == 32, "{report}");

    let two = place.path("two");
    std::fs::create_dir(&two).unwrap();
    std::fs::copy(one.join("keys.json"), two.join("keys.json")).unwrap();
    let up = Up::start(&two, Some(to), store).await;
    assert_eq!(before, up.everything(&other, None).await);
    // It lives on: what is posted now belongs to the same profile.
    let event = json!([{"email": "p7@example.com", "name": "cart.added"}]);
    let (_, position) = up.post("/api/events", "write", &event).await;
    let found = up.get("/api/profiles/email:p7@example.com/events", up.key("read"), Some(&position)).await;
    // Five thousand events in a row over 400 profiles: 13 for each of the first 200 of them.
    assert_eq!(found["events"].as_array().unwrap().len(), 4 * 13 + 1, "{found}");
    up.stop();

    // The old log, and what was copied of it before, are another life now.
    let output = copy(&from, to, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the source has no such record"), "{}", said(&output));
    // And the way back.
    let output = copy(to, &place.log("back/log.db"), &["--partitions", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("events: 20001") && text.contains("to_partitions: 1"), "{text}");
}

#[test]
fn wrong_usage_is_told_apart() {
    let place = Place::new();
    let log = place.log("log.db");
    for (more, code) in [
        (&["--partitions", "0"][..], 64),
        (&["--partitions", "many"], 64),
        (&["--from", "mysql:x"], 64),
        (&["--accept-weak-acks"], 64),
        (&[], 1),
    ] {
        let mut command = weir();
        command.args(["log", "copy", "--to", &log]);
        if !more.contains(&"--from") {
            command.args(["--from", &place.log("none.db")]);
        }
        let output = command.args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", said(&output));
    }
    let output = copy(&log, &log, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 0, "a refusal left something behind");
}
