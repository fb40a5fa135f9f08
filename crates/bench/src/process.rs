//! What this process has spent so far, read from `/proc` (Linux only).

use std::fs::read_to_string;

use anyhow::{Context, Result};

/// Kernel clock ticks per second as `/proc/self/stat` reports them; 100 on every Linux platform that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Counters since the start of the process; subtract two readings.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// User and system time of all threads, seconds.
    pub cpu: f64,
    /// Bytes given to write calls (WAL and database file together).
    pub written: u64,
    /// Bytes of pages that this process made dirty, as the block layer counts them.
    pub storage: u64,
}

impl Spent {
    /// Reads the counters.
    ///
    /// # Errors
    /// `/proc` is missing or has another layout.
    pub fn now() -> Result<Self> {
        let stat = read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
        let after_name = stat.rsplit_once(')').context("layout of /proc/self/stat")?.1;
        let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
        let io = read_to_string("/proc/self/io").context("read /proc/self/io")?;
        let field = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in io"))?;
            line.trim().parse::<u64>().context("number in /proc/self/io")
        };
        Ok(Self { cpu: ticks / TICKS_PER_SECOND, written: field("wchar:")?, storage: field("write_bytes:")? })
    }
}

/// The load average of the last minute, or 0 where it can't be read.
#[must_use]
pub fn load_average() -> f64 {
    read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0)
}

/// CPU model, number of processors, memory and kernel on one line, for the head of a table.
#[must_use]
pub fn machine() -> String {
    let value = |path: &str, name: &str| {
        let text = read_to_string(path).unwrap_or_default();
        text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let memory = value("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} x {cpu}, {memory}, Linux {}", kernel.trim())
}
