//! Commands: most of them talk to a running service, over the same HTTP as everybody.

mod client;
mod log;
mod quarantine;
mod rebuild;
mod show;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use weir_lifecycle::{ConfigError, Source, TELEMETRY_SETTINGS, Unsaid, complain, settings};

use crate::USAGE;
use client::{Client, Fitting};
use show::Show;

/// Customer events in, customer segments out, right to the second.
#[derive(Parser)]
#[command(name = "weir", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
struct Line {
    #[command(flatten)]
    service: Service,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "`weir up` runs the service, `weir init` makes a log for services by themselves; --help lists their settings. All others but `weir log` talk to a running service.\n\
                          Exit: 0 done, 1 refused or failed, 64 wrong usage or configuration.";

/// Which service is meant, and how to answer.
#[derive(Args)]
struct Service {
    /// Where the service listens [default: from WEIR_LISTEN, else http://127.0.0.1:8080]
    #[arg(long, env = "WEIR_URL", global = true, value_name = "URL")]
    url: Option<String>,
    /// The key to ask with [default: the fitting one of DIR/keys.json]
    #[arg(long, env = "WEIR_KEY", hide_env_values = true, global = true, value_name = "KEY")]
    key: Option<String>,
    /// The data directory whose keys.json is read
    #[arg(long, env = "WEIR_DATA", global = true, value_name = "DIR", default_value = "./weir-data")]
    data: std::path::PathBuf,
    /// Print one JSON object, the service's answer
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run ingest, projector and query API in one process
    #[command(disable_help_flag = true)]
    Up,
    /// Make a log for services by themselves: topics, first record, workspace, keys
    #[command(disable_help_flag = true)]
    Init,
    /// Workspaces (with the operator key)
    #[command(subcommand)]
    Workspaces(Workspaces),
    /// Keys of the workspace (with an admin key)
    #[command(subcommand)]
    Keys(Keys),
    /// Segments of the workspace
    #[command(subcommand)]
    Segments(Segments),
    /// The log itself, without a running service
    #[command(subcommand)]
    Log(log::Log),
    /// Rebuilds: fill new tables beside those that are read, compare, switch (with the operator key)
    #[command(subcommand)]
    Rebuild(rebuild::Rebuild),
    /// Records that could not be taken in (with the operator key)
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// How far the tables are, and what each segment's state is
    Status,
}

#[derive(Subcommand)]
enum Workspaces {
    /// Make a workspace with keys of its own; they are shown once
    Create {
        /// 1 to 64 characters out of a-z, 0-9 and -
        slug: String,
    },
}

#[derive(Subcommand)]
enum Keys {
    /// Make a key; it is shown once
    Create {
        /// What it may do
        #[arg(long)]
        role: KeyRole,
        /// What people call it
        #[arg(long)]
        name: Option<String>,
    },
    /// List the keys, without their text
    List,
    /// Revoke a key: refused everywhere within 5 seconds
    Revoke {
        /// The key's id, as `weir keys list` shows it
        id: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyRole {
    Write,
    Read,
    Admin,
}

#[derive(Subcommand)]
enum Segments {
    /// List the segments with their counts
    List,
    /// Print a segment's definition
    Definition {
        /// The segment
        slug: String,
    },
    /// Make or change a segment
    Put {
        /// The segment
        slug: String,
        /// A file with the definition; - for standard input
        file: String,
    },
    /// Delete a segment
    Delete {
        /// The segment
        slug: String,
    },
    /// Count a segment's members
    Count {
        /// The segment
        slug: String,
    },
    /// List a segment's members, the first page of them
    Members {
        /// The segment
        slug: String,
        /// How many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
}

/// Reads the line and carries it out.
pub(crate) fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let usage = error.use_stderr();
            // Standard output or error are gone if this fails: nobody is left to tell.
            let _ = error.print();
            return if usage { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let unknown = weir_lifecycle::unknown_variables(&[settings::ALL, TELEMETRY_SETTINGS], &Source::process(1));
    if !unknown.is_empty() {
        complain(&ConfigError { problems: unknown });
        return ExitCode::from(USAGE);
    }
    let ran = crate::runtime().map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(carry_out(line)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(unsaid) = error.downcast_ref::<Unsaid>() {
                return ExitCode::from(unsaid.exit_code());
            }
            complain(&format_args!("weir: {}", weir_lifecycle::causes(error.as_ref())));
            let usage =
                error.is::<client::Unusable>() || error.is::<crate::copy::Unusable>() || crate::up::is_usage(&error);
            if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

async fn carry_out(line: Line) -> anyhow::Result<()> {
    let client = |fitting| Client::new(&line.service, fitting);
    let show: Show = if line.service.json { show::json } else { show::text };
    let answer = match line.command {
        // They were told apart before the line was read.
        Command::Up | Command::Init => return Ok(()),
        Command::Workspaces(Workspaces::Create { slug }) => {
            client(Fitting::Operator)?.post("/api/workspaces", &json!({"slug": slug})).await?
        }
        Command::Keys(command) => keys(&client(Fitting::Admin)?, command).await?,
        Command::Segments(command @ (Segments::Put { .. } | Segments::Delete { .. })) => {
            change_segment(&client(Fitting::Admin)?, command).await?
        }
        Command::Segments(command) => read_segments(&client(Fitting::Read)?, command).await?,
        Command::Log(command) => log::run(command).await?,
        Command::Rebuild(command) => {
            return rebuild::run(&client(Fitting::Operator)?, command, line.service.json).await;
        }
        Command::Quarantine(command) => quarantine::run(&client(Fitting::Operator)?, command).await?,
        Command::Status => client(Fitting::Operator)?.get("/api/status").await?,
    };
    Ok(show::say(show, &answer)?)
}

async fn keys(client: &Client, command: Keys) -> anyhow::Result<Value> {
    match command {
        Keys::Create { role, name } => {
            let role = role.to_possible_value().map(|role| role.get_name().to_owned());
            client.post("/api/keys", &json!({"role": role, "name": name})).await
        }
        Keys::List => client.get("/api/keys").await,
        Keys::Revoke { id } => client.delete(&["api", "keys", &id]).await,
    }
}

async fn change_segment(client: &Client, command: Segments) -> anyhow::Result<Value> {
    match command {
        Segments::Put { slug, file } => client.put(&["api", "segments", &slug], client::read(&file)?).await,
        Segments::Delete { slug } => client.delete(&["api", "segments", &slug]).await,
        other => read_segments(client, other).await,
    }
}

async fn read_segments(client: &Client, command: Segments) -> anyhow::Result<Value> {
    match command {
        Segments::Definition { slug } => client.get_part(&["api", "segments", &slug, "definition"], &[]).await,
        Segments::Count { slug } => client.get_part(&["api", "segments", &slug, "count"], &[]).await,
        Segments::Members { slug, limit } => {
            client.get_part(&["api", "segments", &slug], &[("limit", limit.to_string())]).await
        }
        _ => client.get("/api/segments").await,
    }
}
