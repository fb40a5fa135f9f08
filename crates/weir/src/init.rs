//! `weir init`: makes a log that services by themselves can be started on.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use weir_event::{Clock, Stream};
use weir_lifecycle::settings::ALL;
use weir_lifecycle::{Exit, Failure, Health, Program, Source, TELEMETRY_SETTINGS, launch, say};

use crate::directory::Directory;
use crate::first_start::{Begun, begin, take_log_directory};
use crate::first_words;
use crate::settings::{INIT, InitSettings};

const PROGRAM: Program<'static> = Program {
    name: "weir init",
    about: "Makes the log: its topics, its first record, the workspace `default` and its keys. What is there stays as it is.",
    settings: &[INIT, TELEMETRY_SETTINGS],
    elsewhere: &[ALL],
};

/// A broker that is being started answers within this.
const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: &str =
    "the log didn't answer for 60 seconds; what was made so far stays, and doing it again goes on there";

/// Reads the configuration and makes what is missing.
pub(crate) fn main() -> ExitCode {
    launch(&PROGRAM, &Source::process(2), InitSettings::read, run)
}

async fn run(settings: InitSettings) -> Result<Exit, Failure> {
    let directory = Directory::take(&settings.data)?;
    let _log_directory = take_log_directory(&settings.log.url, &settings.data)?;
    let (file, component, clock) = (directory.file("keys.json"), Health::default().component("log"), Clock::system());
    let begin = begin(&settings.log, &file, &clock, &component, "weir init");
    let begun = tokio::select! {
        begun = begin => begun?,
        signal = next_signal() => return signal,
        () = tokio::time::sleep(PATIENCE) => return Err(NOBODY.into()),
    };
    let said = say(&words(&settings, &begun, &file));
    begun.log.close().await;
    Ok(Exit { code: said.map_or_else(|unsaid| unsaid.exit_code(), |()| 0), running: Vec::new() })
}

/// It waits for a log that is away, so it has to be able to be told to stop.
async fn next_signal() -> Result<Exit, Failure> {
    let signal = weir_lifecycle::signals()?.recv().await;
    Ok(Exit { code: signal.map_or(1, weir_lifecycle::Signal::exit_code), running: Vec::new() })
}

/// What was done.
fn words(settings: &InitSettings, begun: &Begun, file: &std::path::Path) -> String {
    let (url, partitions) = (&settings.log.url, begun.log.partitions(Stream::Events));
    let lineage = begun.opened.lineage;
    if settings.json {
        let made = json!({"log": begun.new_log, "workspace": begun.first_keys.is_some()});
        let answer = json!({
            "log": url.to_string(), "lineage": lineage, "partitions": partitions, "made": made,
            "workspace": "default", "keys": begun.first_keys, "keys_file": begun.first_keys.as_ref().map(|_| file),
        });
        return answer.to_string();
    }
    let how = if begun.new_log { "made" } else { "was there" };
    let workspace = match &begun.first_keys {
        Some(keys) => first_words::keys(keys, file),
        None => "workspace: was there, with keys of its own".to_owned(),
    };
    format!("log {url}: {how}, lineage {lineage}, {partitions} partitions of events.v1\n{workspace}")
}
