//! `weir rebuild`: new tables from the log, compared with those that are read, and read when an operator says so.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::Client;
use super::show::{self, Show};

/// Between two looks at a rebuild that is followed.
const LOOK: Duration = Duration::from_millis(500);
/// Between two lines about one, where there is no terminal.
const LINE: Duration = Duration::from_secs(10);
/// Differences that are told to people.
const TOLD: usize = 20;

#[derive(Subcommand)]
pub(super) enum Rebuild {
    /// Begin to fill new tables from the first record on; those that are read stay as they are
    Start {
        /// Wait until they have caught up
        #[arg(long)]
        wait: bool,
    },
    /// How far a rebuild is, and what its comparison found
    Status {
        /// Which rebuild
        #[arg(default_value = "latest")]
        id: Id,
        /// Wait until it has caught up
        #[arg(long)]
        follow: bool,
    },
    /// Compare it with the tables that are read; exit 1 if they differ
    Verify {
        /// Which rebuild
        #[arg(default_value = "latest")]
        id: Id,
    },
    /// Read it from now on
    Promote {
        /// Which rebuild
        #[arg(default_value = "latest")]
        id: Id,
        /// Also if it differs: when it is the tables that are read that are wrong
        #[arg(long)]
        accept_differences: bool,
    },
    /// Read the tables from before its promotion again
    Rollback {
        /// Which rebuild
        #[arg(default_value = "latest")]
        id: Id,
    },
    /// Give it up, or, once it is promoted, the tables from before
    Abort {
        /// Which rebuild
        #[arg(default_value = "latest")]
        id: Id,
    },
}

/// A rebuild's id, or `latest`.
#[derive(Clone)]
pub(super) struct Id(String);

impl FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Uuid::try_parse(text) {
            Ok(id) => Ok(Self(id.to_string())),
            Err(_) if text == "latest" => Ok(Self(text.to_owned())),
            Err(_) => Err("a rebuild's id is a UUID, or `latest`"),
        }
    }
}

/// Carries it out and prints the answer. A comparison that finds differences is printed and an error all the same.
pub(super) async fn run(client: &Client, command: Rebuild, as_json: bool) -> anyhow::Result<()> {
    let show: Show = if as_json { show::json } else { text };
    let say = |answer: &Value| show::say(show, answer);
    match command {
        Rebuild::Start { wait } => {
            let mut started = client.post("/api/rebuilds", &json!({})).await?;
            if wait {
                let caught_up = follow(client, started["id"].as_str().unwrap_or("latest")).await?;
                started["state"] = caught_up["state"].clone();
            }
            say(&started)?;
            given_up(&started)
        }
        Rebuild::Status { id: Id(id), follow: true } => {
            let rebuild = follow(client, &id).await?;
            say(&rebuild)?;
            given_up(&rebuild)
        }
        Rebuild::Status { id: Id(id), .. } => Ok(say(&client.get(&format!("/api/rebuilds/{id}")).await?)?),
        Rebuild::Verify { id } => {
            let compared = step(client, &id, "verify", &json!({})).await?;
            say(&compared)?;
            if compared["state"] == "differs" {
                bail!("the rebuild is not the same as the tables that are read");
            }
            Ok(())
        }
        Rebuild::Promote { id, accept_differences } => {
            let body = json!({"accept_differences": accept_differences});
            Ok(say(&step(client, &id, "promote", &body).await?)?)
        }
        Rebuild::Rollback { id } => Ok(say(&step(client, &id, "rollback", &json!({})).await?)?),
        Rebuild::Abort { id } => Ok(say(&step(client, &id, "abort", &json!({})).await?)?),
    }
}

async fn step(client: &Client, Id(id): &Id, step: &str, body: &Value) -> anyhow::Result<Value> {
    let waiting = ProgressBar::new_spinner().with_message(format!("{step} …"));
    waiting.enable_steady_tick(Duration::from_millis(100));
    let answer = client.post(&format!("/api/rebuilds/{id}/{step}"), body).await;
    waiting.finish_and_clear();
    answer
}

/// Looks at the rebuild until it isn't filling any more; a bar on a terminal's standard error, lines elsewhere.
async fn follow(client: &Client, id: &str) -> anyhow::Result<Value> {
    let bar = ProgressBar::new(1_000);
    bar.set_style(ProgressStyle::with_template("filling [{bar:30}] {msg}")?);
    let mut said: Option<Instant> = None;
    let mut rebuild = client.get(&format!("/api/rebuilds/{id}")).await?;
    // `latest` may be another one by and by.
    let id = rebuild["id"].as_str().unwrap_or(id).to_owned();
    while rebuild["state"] == "filling" {
        if !bar.is_hidden() {
            bar.set_position(thousandths(&rebuild));
            bar.set_message(pace(&rebuild));
        } else if said.is_none_or(|said| said.elapsed() >= LINE) {
            weir_lifecycle::complain(&format_args!("filling: {}", pace(&rebuild)));
            said = Some(Instant::now());
        }
        tokio::time::sleep(LOOK).await;
        rebuild = client.get(&format!("/api/rebuilds/{id}")).await?;
    }
    bar.finish_and_clear();
    Ok(rebuild)
}

/// What is followed in vain is an error.
fn given_up(rebuild: &Value) -> anyhow::Result<()> {
    match rebuild["state"].as_str() {
        Some(state @ ("aborted" | "failed")) => {
            bail!("the rebuild is {state}: {}", rebuild["reason"].as_str().unwrap_or("`weir rebuild status` says why"))
        }
        _ => Ok(()),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A share.
fn thousandths(rebuild: &Value) -> u64 {
    (rebuild["progress"].as_f64().unwrap_or(0.0) * 1_000.0) as u64
}

/// `43.1 %, 120000 events/s, 12 s left`
fn pace(rebuild: &Value) -> String {
    let share = thousandths(rebuild);
    let mut line = format!("{}.{} %", share / 10, share % 10);
    if let Some(rate) = rebuild["rate"].as_f64() {
        line.push_str(&format!(", {rate:.0} events/s"));
    }
    if let Some(seconds) = rebuild["eta_seconds"].as_u64() {
        line.push_str(&format!(", {seconds} s left"));
    }
    line
}

/// A line on where it stands, and what differs.
fn text(rebuild: &Value) -> Vec<String> {
    let plain = |name: &str| rebuild[name].as_str().unwrap_or_default().to_owned();
    let state = plain("state");
    let found = &rebuild["differences_total"];
    let stands = match state.as_str() {
        "filling" if rebuild.get("progress").is_some() => format!("filling, {}", pace(rebuild)),
        "following" => "following: it has caught up, and can be verified".to_owned(),
        "verified" => {
            let rows = rebuild["compared"]["rows"].as_object().into_iter().flat_map(|rows| rows.values());
            let rows: u64 = rows.filter_map(Value::as_u64).sum();
            format!("verified: {rows} rows are the same as in the tables that are read")
        }
        "differs" => format!("differs from the tables that are read in {found} places"),
        "promoted" => "promoted: it is read".to_owned(),
        "rolled_back" => "rolled back: the tables from before are read".to_owned(),
        other => other.to_owned(),
    };
    let mut lines = vec![format!("rebuild {}, generation {}: {stands}", plain("id"), rebuild["generation"])];
    if !plain("reason").is_empty() {
        lines.push(format!("  {}", plain("reason")));
    }
    if !plain("asked").is_empty() {
        lines.push(format!("  {} is under way", plain("asked")));
    }
    let differences = rebuild["differences"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.extend(differences.iter().take(TOLD).map(|difference| {
        let parts = ["table", "profile_id", "row"].into_iter().filter_map(|name| difference[name].as_str());
        format!("  {}", parts.collect::<Vec<_>>().join(" "))
    }));
    if found.as_u64().is_some_and(|found| found > TOLD as u64) {
        lines.push("  …; --json has up to 1000".to_owned());
    }
    lines
}
