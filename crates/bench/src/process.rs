//! What a process has spent so far, and what machine it runs on, read from `/proc` (Linux only).

use std::fs::{File, read_to_string};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

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
    /// Reads this process's counters.
    ///
    /// # Errors
    /// `/proc` is missing or has another layout.
    pub fn now() -> Result<Self> {
        Self::of("self")
    }

    /// Reads the counters of the process with this id.
    ///
    /// # Errors
    /// There is no such process (of ours), or `/proc` has another layout.
    pub fn of_process(pid: u32) -> Result<Self> {
        Self::of(&pid.to_string())
    }

    fn of(process: &str) -> Result<Self> {
        let stat = read_to_string(format!("/proc/{process}/stat")).context("read the process's stat")?;
        let ticks = ticks(&stat, 2).context("layout of the process's stat")?;
        let io = read_to_string(format!("/proc/{process}/io")).context("read the process's io")?;
        let field = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{name} in io"))?;
            line.trim().parse::<u64>().context("number in the process's io")
        };
        Ok(Self { cpu: ticks / TICKS_PER_SECOND, written: field("wchar:")?, storage: field("write_bytes:")? })
    }
}

/// CPU seconds of the process with this id so far; 0 if there is none.
#[must_use]
pub fn cpu_of(pid: u32) -> f64 {
    let Ok(stat) = read_to_string(format!("/proc/{pid}/stat")) else { return 0.0 };
    ticks(&stat, 2).unwrap_or(0.0) / TICKS_PER_SECOND
}

/// CPU seconds of a process and its children, those that have ended too; 0 if there is none. Grandchildren are not counted.
#[must_use]
pub fn cpu_of_family(parent: u32) -> f64 {
    let Ok(stat) = read_to_string(format!("/proc/{parent}/stat")) else { return 0.0 };
    // User, system, and both of children that have ended.
    let of_parent = ticks(&stat, 4).unwrap_or(0.0);
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0.0 };
    let stats = processes.flatten().filter_map(|entry| read_to_string(entry.path().join("stat")).ok());
    let children: f64 = stats
        .filter(|stat| fields(stat).and_then(|mut fields| fields.nth(1)?.parse().ok()) == Some(parent))
        .filter_map(|stat| ticks(&stat, 2))
        .sum();
    (of_parent + children) / TICKS_PER_SECOND
}

/// The fields of a `stat` behind the name, which may hold anything: state, parent, ….
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

fn ticks(stat: &str, columns: usize) -> Option<f64> {
    Some(fields(stat)?.skip(11).take(columns).filter_map(|ticks| ticks.parse::<f64>().ok()).sum())
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

/// What the process with this id has resident now, bytes.
///
/// # Errors
/// There is no such process, or `/proc` has another layout.
pub fn memory(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// Forgets what the process with this id had resident at most before.
///
/// # Errors
/// There is no such process, or it isn't ours.
pub fn reset_peak_memory(pid: u32) -> Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("forget the peak of memory")
}

/// The most memory that the process with this id had resident so far, bytes.
///
/// # Errors
/// There is no such process, or `/proc` has another layout.
pub fn peak_memory(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &'static str) -> Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context(name)?;
    let kilobytes = line.trim().trim_end_matches("kB").trim().parse::<u64>().context("number in status")?;
    Ok(kilobytes * 1024)
}

/// How long it takes to make 4 KiB at the end of a file durable there: median and 99th percentile of 200.
///
/// # Errors
/// The file can't be made or written.
pub fn sync_time(dir: &Path) -> Result<(Duration, Duration)> {
    const TIMES: usize = 200;
    let path = dir.join("sync-time");
    let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    // The space is there beforehand, as in a WAL that is written over.
    file.write_all(&vec![0; 4096 * TIMES])?;
    file.sync_all()?;
    file.rewind()?;
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        took.push(began.elapsed());
    }
    std::fs::remove_file(&path)?;
    took.sort_unstable();
    Ok((took[TIMES / 2], took[TIMES * 99 / 100]))
}
