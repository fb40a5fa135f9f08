//! Members of the group as processes: one that is stopped, and one that is killed. Not run by the usual harness, since the
//! program is its own child: `kafka_processes member PREFIX`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod kafka;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tokio::io::AsyncBufReadExt as _;
use weir_event_log::{OpenOptions, open};

const PARTITIONS: u32 = 4;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, prefix] if role == "member" => member(prefix).await,
        _ => tokio::task::block_in_place(a_member_that_stands_still_is_given_up_and_knows_it),
    }
}

/// Tells what it owns whenever that changes, and confirms it whenever a line comes in.
async fn member(prefix: &str) {
    let log = open(&kafka::url(prefix), OpenOptions { partitions: Some(PARTITIONS), ..OpenOptions::default() }).await;
    let share = log.unwrap().join().await.unwrap();
    let mut owned = share.owned();
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            changed = owned.changed() => {
                changed.unwrap();
                let owned: Vec<String> = owned.borrow_and_update().iter().map(u32::to_string).collect();
                println!("owned {}", owned.join(","));
            }
            line = lines.next_line() => {
                if line.unwrap().is_none() {
                    return;
                }
                println!("confirmed {}", share.confirm().await);
            }
        }
    }
}

struct Member {
    process: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    owned: BTreeSet<u32>,
    confirmed: Option<bool>,
}

impl Member {
    fn start(prefix: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["member", prefix])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines() {
                // The member is gone, and so is who listened.
                if line.send(text.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { process, stdin, lines, owned: BTreeSet::new(), confirmed: None }
    }

    /// Waits until the member says what is looked for.
    fn until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) -> Duration {
        let begun = Instant::now();
        while !reached(self) {
            let left = Duration::from_secs(30).checked_sub(begun.elapsed()).expect(what);
            let line = self.lines.recv_timeout(left).expect(what);
            match line.split_once(' ').unwrap() {
                ("owned", list) => self.owned = list.split(',').filter_map(|number| number.parse().ok()).collect(),
                ("confirmed", answer) => self.confirmed = Some(answer == "true"),
                _ => panic!("{line}"),
            }
        }
        begun.elapsed()
    }

    fn confirm(&mut self) {
        self.confirmed = None;
        writeln!(self.stdin).unwrap();
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // One that was killed before is not there any more.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn a_member_that_stands_still_is_given_up_and_knows_it() {
    let prefix = kafka::prefix();
    let (mut one, mut two) = (Member::start(&prefix), Member::start(&prefix));
    one.until("the first owns two", |member| member.owned.len() == 2);
    two.until("the second owns two", |member| member.owned.len() == 2);
    one.confirm();
    one.until("the first is confirmed", |member| member.confirmed == Some(true));

    one.signal("-STOP");
    // It finds the question as the first thing when it goes on.
    one.confirm();
    let taken_over = two.until("the second owns all", |member| member.owned.len() == PARTITIONS as usize);
    assert!(taken_over < Duration::from_secs(15), "{taken_over:?}");
    one.signal("-CONT");
    one.until("the first has its answer", |member| member.confirmed.is_some());
    assert_eq!(one.confirmed, Some(false));
    two.confirm();
    two.until("the second is confirmed", |member| member.confirmed == Some(true));
    // It comes back to the group, as one that owns nothing of before.
    two.until("the second owns two again", |member| member.owned.len() == 2);
    one.until("the first owns the others", |member| member.owned.is_disjoint(&two.owned) && member.owned.len() == 2);

    two.signal("-KILL");
    let taken_over = one.until("the first owns all", |member| member.owned.len() == PARTITIONS as usize);
    assert!(taken_over < Duration::from_secs(15), "{taken_over:?}");
    println!("test a_member_that_stands_still_is_given_up_and_knows_it ... ok");
}
