//! A rebuild from the command line, against the program as it is.
#![allow(clippy::unwrap_used)] // clippy.toml allows it in tests, not in what they share

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::{Value, json};
use weir_event::ProfileId;
use weir_store::{Card, Fence, MembershipBatch, ProfileKey, Projection, StoreUrl};

/// `weir up` on a free port.
struct Up {
    child: Child,
    url: String,
}

impl Up {
    fn start(data: &Path) -> Self {
        let mut child = weir(data, &["up", "--listen", "127.0.0.1:0", "--log-filter", "warn"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.unwrap().strip_prefix("ready: ").map(str::to_owned)).unwrap();
        // What else it says is read too, so that it never waits for that.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: ready }
    }
}

impl Drop for Up {
    /// As `kill -9` does.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn weir(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    // Variables of the tests are none of the program's.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
        command.env_remove(name);
    }
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null());
    command
}

/// A deployment with some people and events in it.
struct Shop {
    data: tempfile::TempDir,
    up: Up,
    http: Client,
}

impl Shop {
    async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let up = Up::start(data.path());
        let shop = Self { data, up, http: Client::builder().no_proxy().build().unwrap() };
        let item = |n: u32| {
            let name = if n.is_multiple_of(7) { "order.completed" } else { "cart.added" };
            json!({"email": format!("visitor-{}@shop.example", n % 60), "name": name, "properties": {"n": n}})
        };
        let events: Vec<Value> = (0..400).map(item).collect();
        let posted = shop.http.post(shop.at("/api/events")).bearer_auth(shop.key("write")).json(&events).send().await;
        assert_eq!(posted.unwrap().json::<Value>().await.unwrap()["accepted"], 400);
        // Whoever posts and then asks sees it: with these in the tables, there are tables.
        shop.count_when_there().await;
        shop
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.up.url)
    }

    fn key(&self, role: &str) -> String {
        let keys = std::fs::read(self.data.path().join("keys.json")).unwrap();
        serde_json::from_slice::<Value>(&keys).unwrap()[role].as_str().unwrap().to_owned()
    }

    /// The command, over JSON: its exit code, its one object, and what it complains of.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let output = self.output(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() <= 1, "one object: {text}");
        let answer = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (output.status.code(), answer, String::from_utf8(output.stderr).unwrap())
    }

    fn output(&self, arguments: &[&str]) -> Output {
        weir(self.data.path(), arguments).arg("--url").arg(&self.up.url).output().unwrap()
    }

    /// Runs a command that succeeds.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Value {
        let (code, answer, complaint) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {complaint}");
        answer
    }

    /// Runs a command that is refused.
    #[track_caller]
    fn refused(&self, arguments: &[&str], code: &str) {
        let (exit, answer, complaint) = self.run(arguments);
        assert_eq!((exit, answer), (Some(1), Value::Null), "{arguments:?}");
        assert!(complaint.contains(code), "{complaint}");
    }

    /// Members of a segment, and the generation that says so.
    async fn count(&self) -> (u64, i64) {
        count(&self.http, &self.at("/api/segments/abandoned-cart/count"), &self.key("read")).await.unwrap()
    }

    async fn count_when_there(&self) -> (u64, i64) {
        let begun = Instant::now();
        let (at, key) = (self.at("/api/segments/abandoned-cart/count"), self.key("read"));
        loop {
            match count(&self.http, &at, &key).await {
                Ok(counted) => return counted,
                Err(503) if begun.elapsed() < Duration::from_secs(60) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(status) => panic!("status {status}"),
            }
        }
    }
}

async fn count(http: &Client, at: &str, key: &str) -> Result<(u64, i64), u16> {
    let answer = http.get(at).bearer_auth(key).send().await.unwrap();
    if !answer.status().is_success() {
        return Err(answer.status().as_u16());
    }
    let generation = answer.headers()["weir-generation"].to_str().unwrap().parse().unwrap();
    Ok((generation, answer.json::<Value>().await.unwrap()["count"].as_i64().unwrap()))
}

/// Reads all the time; answers which generations it met, in order. Every read succeeds and says the same.
fn read_all_the_time(shop: &Shop, expected: i64, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<Vec<u64>> {
    let (http, key) = (shop.http.clone(), shop.key("read"));
    let at = shop.at("/api/segments/abandoned-cart/count");
    tokio::spawn(async move {
        let mut met = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let (generation, counted) = count(&http, &at, &key).await.unwrap();
            assert_eq!(counted, expected);
            met.push(generation);
        }
        met.dedup();
        met
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_is_proved_promoted_and_rolled_back_while_reads_go_on() {
    let shop = Shop::open().await;
    let (first, members) = shop.count().await;
    assert!(members > 0);
    shop.refused(&["rebuild", "status"], "rebuild_not_found");
    let stop = Arc::new(AtomicBool::new(false));
    let reading = read_all_the_time(&shop, members, stop.clone());

    let started = shop.done(&["rebuild", "start"]);
    let (id, generation) = (started["id"].as_str().unwrap(), started["generation"].as_u64().unwrap());
    // So few records may be filled in by the time that this is answered.
    assert!(["filling", "following"].contains(&started["state"].as_str().unwrap()), "{started}");
    assert_eq!(started.as_object().unwrap().len(), 3);
    assert!(generation > first);
    shop.refused(&["rebuild", "start"], "rebuild_open");
    let followed = shop.done(&["rebuild", "status", id, "--follow"]);
    assert_eq!((&followed["state"], &followed["progress"]), (&json!("following"), &json!(1.0)));
    shop.refused(&["rebuild", "promote"], "rebuild_unverified");
    let compared = shop.done(&["rebuild", "verify"]);
    assert_eq!((&compared["state"], &compared["differences"]), (&json!("verified"), &json!([])));
    assert_eq!(compared["compared"]["rows"]["timeline"], 400, "{compared}");
    assert_eq!(shop.count().await.0, first);

    assert_eq!(shop.done(&["rebuild", "promote"])["state"], "promoted");
    assert_eq!(shop.count().await, (generation, members));
    assert_eq!(shop.done(&["rebuild", "rollback", id])["state"], "rolled_back");
    assert_eq!(shop.count().await, (first, members));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(reading.await.unwrap(), [first, generation, first]);

    assert_eq!(shop.done(&["rebuild", "abort"])["state"], "aborted");
    shop.refused(&["rebuild", "verify"], "rebuild_closed");
    assert_eq!(shop.run(&["rebuild", "verify", "no-id"]).0, Some(64));
    let waited = shop.done(&["rebuild", "start", "--wait"]);
    assert_eq!(waited["state"], "following");
    assert_eq!(shop.done(&["quarantine", "list"]), json!({"records": [], "next_cursor": null}));
    shop.refused(&["quarantine", "show", "events.v1/0/0"], "record_not_found");
    assert_eq!(shop.run(&["quarantine", "show", "events.v1"]).0, Some(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_is_named_and_mended() {
    let mut shop = Shop::open().await;
    let victim = shop.profile("visitor-1@shop.example").await;
    let other = shop.profile("visitor-2@shop.example").await;
    let Shop { data, up, http } = shop;
    drop(up);
    show_as(data.path(), &victim, &other).await;
    let up = Up::start(data.path());
    shop = Shop { data, up, http };
    shop.count_when_there().await;
    assert_eq!(shop.profile("visitor-1@shop.example").await["email"], "visitor-2@shop.example", "it is damaged");

    shop.done(&["rebuild", "start", "--wait"]);
    let (code, compared, complaint) = shop.run(&["rebuild", "verify"]);
    assert_eq!((code, &compared["state"]), (Some(1), &json!("differs")), "{complaint}");
    assert_eq!(compared["differences"], json!([{"table": "profiles", "profile_id": victim["id"]}]));
    assert_eq!(compared["differences_total"], 1);
    let told = String::from_utf8(shop.output(&["rebuild", "verify"]).stdout).unwrap();
    let line = format!("profiles {}", victim["id"].as_str().unwrap());
    assert!(told.contains("differs from the tables that are read in 1 places") && told.contains(&line), "{told}");
    shop.refused(&["rebuild", "promote"], "rebuild_differs");
    assert_eq!(shop.done(&["rebuild", "promote", "--accept-differences"])["state"], "promoted");
    assert_eq!(shop.profile("visitor-1@shop.example").await["email"], "visitor-1@shop.example", "it is mended");
}

impl Shop {
    async fn profile(&self, email: &str) -> Value {
        let asked = self.http.get(self.at(&format!("/api/profiles/email:{email}"))).bearer_auth(self.key("read"));
        asked.send().await.unwrap().json().await.unwrap()
    }
}

/// Makes one profile show what another one shows, in the tables that are read.
async fn show_as(data: &Path, victim: &Value, other: &Value) {
    // The workspace is made by the log's second record.
    let key = |profile: &Value| ProfileKey {
        workspace: 1,
        profile: ProfileId(profile["id"].as_str().unwrap().parse().unwrap()),
    };
    let store = weir_store::open(&StoreUrl::Sqlite(data.join("store.db"))).await.unwrap();
    let tables = store.live().await.unwrap().unwrap();
    let card = tables.view().await.unwrap().cards(&[key(other)]).await.unwrap().remove(0).card;
    let owner = uuid::Uuid::new_v4();
    let next = tables.claim(Projection::Membership, 0, owner).await.unwrap();
    let cards = vec![Card { key: key(victim), card }];
    let batch = MembershipBatch { cards, ..MembershipBatch::default() };
    let fence = Fence { partition: 0, owner, expected: next, next, newest_receipt: None };
    tables.commit_membership(fence, &batch).await.unwrap();
}
