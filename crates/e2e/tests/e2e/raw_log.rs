//! The log, read behind the program's back.

use std::path::Path;

use anyhow::{Context as _, Result};
use weir_e2e::oracle::instant;
use weir_event::Stream;
use weir_event_log::{LogUrl, OpenOptions, open};

/// How many days an id sent again is a repeat, if nothing else was said.
pub const DEDUP_WINDOW: i64 = 28 * instant::DAY;

/// All records of `events.v1`, by partition and offset, read from a copy of the log's file. The program may run
/// meanwhile, as long as nothing is posted.
pub async fn read(log: &Path) -> Result<Vec<Vec<Vec<u8>>>> {
    let place = tempfile::tempdir()?;
    let copy = place.path().join("log.db");
    // The WAL first: what moves from it into the file in between is then in both.
    for suffix in ["-wal", ""] {
        let name = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            name
        };
        match std::fs::copy(name(log), name(&copy)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && suffix == "-wal" => {}
            copied => drop(copied.with_context(|| log.display().to_string())?),
        }
    }
    let log = open(&LogUrl::Sqlite(copy), OpenOptions::default()).await?;
    let mut partitions = Vec::new();
    for partition in 0..log.partitions(Stream::Events) {
        let end = log.bounds(Stream::Events, partition).await?.end;
        let (mut records, mut next) = (Vec::new(), 0);
        while next < end {
            let chunk = log.read(Stream::Events, partition, next, 4_000_000).await?;
            next = chunk.next;
            records.extend(chunk.records.into_iter().map(|record| record.value.to_vec()));
        }
        partitions.push(records);
    }
    log.close().await;
    Ok(partitions)
}
