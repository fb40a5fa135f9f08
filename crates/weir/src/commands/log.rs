//! `weir log copy`: works on the logs themselves, not on a running service.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weir_event_log::LogUrl;

use crate::copy::{self, Asked, Meter, Opened};

/// What can be done with a log.
#[derive(Subcommand)]
pub(super) enum Log {
    /// Copy a whole log to another one: to move it, or to give it other partitions. Stop Weir first
    #[command(after_help = COPY)]
    Copy(Copy),
}

const COPY: &str = "Control records keep their offsets, the events of a profile their order. What is there already is checked and left; \
     so after an interruption, or when the source has grown, the same command goes on. In the end both logs are read and \
     compared. The source is never written.";

/// From where to where.
#[derive(Args)]
pub(super) struct Copy {
    /// The log to copy: sqlite:PATH or kafka://HOST:PORT[,…]/PREFIX
    #[arg(long, value_name = "URL")]
    from: LogUrl,
    /// The log to make, or to go on with
    #[arg(long, value_name = "URL")]
    to: LogUrl,
    /// Partitions of events.v1 in the target [default: as many as the source has; in Kafka 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: Option<u32>,
    /// Let Kafka acknowledge what a single broker holds
    #[arg(long)]
    accept_weak_acks: bool,
}

/// Carries it out; answers what was copied.
pub(super) async fn run(command: Log) -> anyhow::Result<Value> {
    let Log::Copy(Copy { from, to, partitions, accept_weak_acks }) = command;
    let (from_text, to_text) = (from.to_string(), to.to_string());
    let logs = Opened::open(&Asked { from, to, partitions, accept_weak_acks }).await?;
    let copied = copy::copy(logs.from(), logs.to(), logs.pace, &Meter::standard_error()).await;
    logs.close().await;
    let mut answer = json!({"from": from_text, "to": to_text});
    if let (Value::Object(answer), Value::Object(report)) = (&mut answer, serde_json::to_value(copied?)?) {
        answer.extend(report);
    }
    Ok(answer)
}
