//! `weir quarantine`: what was set aside.

use std::str::FromStr;

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;

#[derive(Subcommand)]
pub(super) enum Quarantine {
    /// List the records, the first page of them
    List {
        /// How many
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Where to go on: `next_cursor` of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one record
    Show {
        /// Where it lies on the log, such as events.v1/0/42
        #[arg(value_name = "STREAM/PARTITION/OFFSET")]
        place: Place,
    },
}

/// A place on the log.
#[derive(Clone)]
pub(super) struct Place {
    stream: String,
    partition: u32,
    offset: u64,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let mut parts = text.split('/');
            let (stream, partition, offset) = (parts.next()?, parts.next()?, parts.next()?);
            let place =
                Self { stream: stream.to_owned(), partition: partition.parse().ok()?, offset: offset.parse().ok()? };
            parts.next().is_none().then_some(place)
        };
        parts().ok_or("name it as `weir quarantine list` does, such as events.v1/0/42")
    }
}

pub(super) async fn run(client: &Client, command: Quarantine) -> anyhow::Result<Value> {
    match command {
        Quarantine::List { limit, cursor } => {
            let cursor = cursor.map(|cursor| ("cursor", cursor));
            let query: Vec<_> = [("limit", limit.to_string())].into_iter().chain(cursor).collect();
            client.get_part(&["api", "quarantine"], &query).await
        }
        Quarantine::Show { place: Place { stream, partition, offset } } => {
            let (partition, offset) = (partition.to_string(), offset.to_string());
            client.get_part(&["api", "quarantine", &stream, &partition, &offset], &[]).await
        }
    }
}
