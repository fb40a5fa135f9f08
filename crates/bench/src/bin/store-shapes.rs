//! Measures how states and event ids of profiles should lie in SQLite: `cargo run --release -p weir-bench --bin store-shapes`.
//!
//! Every variant is measured in several windows, interleaved with the others, because the machine's noise lasts longer
//! than a window; the table gives the median and the range.
#![allow(clippy::print_stdout)] // A program whose output is a table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use sqlx::Connection;
use weir_bench::process::{Spent, load_average, machine};
use weir_bench::state_shapes::{Layout, Pragmas, StateFile, Writing};
use weir_bench::state_workload::{Population, Random, States};

/// Compares shapes of the state tables in SQLite.
#[derive(Parser)]
struct Options {
    /// Profiles in the tables before the first batch.
    #[arg(long, default_value_t = 1_000_000)]
    profiles: usize,
    /// Windows for each variant (some side variants have one).
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds measured in each window of a main variant (others: half).
    #[arg(long, default_value_t = 7.0)]
    seconds: f64,
    /// Only variants whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where the files are made (about 10 GB); they are removed at the end.
    #[arg(long, default_value = "target/store-shapes")]
    dir: PathBuf,
}

#[derive(Clone)]
struct Variant {
    name: String,
    layout: Layout,
    writing: Writing,
    pragmas: Pragmas,
    batch: usize,
    zipf: bool,
    weight: Weight,
}

#[derive(Clone, Copy)]
struct Window {
    rate: f64,
    cpu: f64,
    written: f64,
    storage: f64,
    p99: f64,
    worst: f64,
    load: f64,
}

/// How much a variant matters: how long its windows are, and whether they are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Main,
    Side,
    Once,
}

const PRAGMAS: Pragmas = Pragmas { page: 4_096, cache: 256, checkpoint: 64, mmap: 0, full: false, replace: false };
const SWEEP: Writing = Writing::Sweep { every: 1_000_000, redo: true };
const CHUNK: Layout = Layout::Wide(64);

fn variant(name: &str, layout: Layout, writing: Writing, page: u32, weight: Weight) -> Variant {
    let pragmas = Pragmas { page, ..PRAGMAS };
    Variant { name: name.to_owned(), layout, writing, pragmas, batch: 10_000, zipf: false, weight }
}

fn variants() -> Vec<Variant> {
    use Weight::{Main, Once, Side};
    let (direct, snapshot) = (Writing::Direct, Writing::Snapshot { every: 1_000_000 });
    let (no_redo, slow) =
        (Writing::Sweep { every: 1_000_000, redo: false }, Writing::Sweep { every: 2_000_000, redo: true });
    let fast = Writing::Sweep { every: 500_000, redo: true };
    let shapes = [
        (variant("A row a profile", Layout::Rows, direct, 4_096, Main), Main),
        (variant("B ids by week", Layout::IdRows, direct, 4_096, Side), Once),
        (variant("C 16 a row", Layout::Wide(16), direct, 4_096, Side), Once),
        (variant("C 64 a row", CHUNK, direct, 4_096, Side), Once),
        (variant("D redo+sweep, 64 a row, page 32k", CHUNK, SWEEP, 32_768, Main), Main),
        (variant("D redo+sweep, row a profile, page 16k", Layout::Rows, SWEEP, 16_384, Main), Once),
    ];
    let mut all = Vec::new();
    for (shape, others) in shapes {
        all.push(Variant { batch: 1_000, weight: others, ..shape.clone() });
        all.push(shape.clone());
        all.push(Variant { batch: 50_000, weight: others, ..shape });
    }
    all.extend([
        variant("D redo+snapshot, 64 a row, page 32k", CHUNK, snapshot, 32_768, Main),
        variant("E sweep, no redo, 64 a row, page 32k", CHUNK, no_redo, 32_768, Main),
        variant("D redo+sweep per 2M, 64 a row, page 32k", CHUNK, slow, 32_768, Side),
        variant("D redo+sweep per 500k, 64 a row, page 32k", CHUNK, fast, 32_768, Side),
        variant("D redo+sweep per 500k, row a profile, page 16k", Layout::Rows, fast, 16_384, Side),
        variant("D redo+sweep, row a profile, page 4k", Layout::Rows, SWEEP, 4_096, Once),
        variant("A page 16k", Layout::Rows, direct, 16_384, Side),
    ]);
    all.extend(pragma_variants());
    all
}

fn pragma_variants() -> Vec<Variant> {
    use Weight::{Once, Side};
    let a = variant("A", Layout::Rows, Writing::Direct, 4_096, Side);
    let d = variant("D redo+sweep, 64 a row, page 32k,", CHUNK, SWEEP, 32_768, Side);
    let told = |from: &Variant, what: &str, weight: Weight, change: fn(&mut Pragmas)| {
        let mut variant = Variant { name: format!("{} {what}", from.name), weight, ..from.clone() };
        change(&mut variant.pragmas);
        variant
    };
    let zipf = |from: &Variant| Variant { name: format!("{} Zipf", from.name), zipf: true, ..from.clone() };
    vec![
        told(&a, "cache 64 MB", Once, |p| p.cache = 64),
        told(&a, "cache 1 GB", Side, |p| p.cache = 1_024),
        told(&a, "checkpoint 4 MB", Side, |p| p.checkpoint = 4),
        told(&a, "checkpoint 256 MB", Side, |p| p.checkpoint = 256),
        told(&a, "mmap 4 GB", Once, |p| p.mmap = 4_095),
        told(&a, "synchronous FULL", Once, |p| p.full = true),
        told(&a, "INSERT OR REPLACE", Once, |p| p.replace = true),
        told(&d, "cache 16 MB", Once, |p| p.cache = 16),
        told(&d, "checkpoint 16 MB", Side, |p| p.checkpoint = 16),
        told(&d, "checkpoint 256 MB", Side, |p| p.checkpoint = 256),
        told(&d, "synchronous FULL", Once, |p| p.full = true),
        zipf(&a),
        zipf(&d),
    ]
}

async fn window(file: &mut StateFile, variant: &Variant, seconds: f64, seed: u64) -> Result<Window> {
    let mut db = file.open(&variant.pragmas).await?;
    let mut random = Random::new(seed);
    let how = (variant.zipf, &variant.pragmas);
    let warm = Instant::now();
    while warm.elapsed().as_secs_f64() < 1.5 || !file.at_snapshot() {
        file.batch(&mut db, &mut random, variant.batch, how).await?;
    }
    let (before, mut busy, mut times) = (Spent::now()?, Duration::ZERO, Vec::new());
    while busy.as_secs_f64() < seconds || !file.at_snapshot() {
        let took = file.batch(&mut db, &mut random, variant.batch, how).await?;
        busy += took;
        times.push(took);
    }
    let (after, events) = (Spent::now()?, (times.len() * variant.batch) as f64);
    db.close().await?;
    times.sort_unstable();
    Ok(Window {
        rate: events / busy.as_secs_f64(),
        cpu: (after.cpu - before.cpu) * 1e6 / events,
        written: (after.written - before.written) as f64 / events,
        storage: (after.storage - before.storage) as f64 / events,
        p99: times[(times.len() * 99 / 100).min(times.len() - 1)].as_secs_f64() * 1e3,
        worst: times[times.len() - 1].as_secs_f64() * 1e3,
        load: load_average(),
    })
}

fn middle(windows: &[Window], field: impl Fn(&Window) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = windows.iter().map(field).collect();
    values.sort_unstable_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn print_table(results: &BTreeMap<usize, Vec<Window>>, variants: &[Variant]) {
    println!(
        "\n| shape | events a transaction | events/s, median (min–max) | CPU µs/event | bytes given to write()/event | bytes to storage/event | transaction p99 ms | worst ms | load |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (at, windows) in results {
        let (variant, (rate, least, most)) = (&variants[*at], middle(windows, |w| w.rate));
        let worst = middle(windows, |w| w.worst).2;
        let of = |field: fn(&Window) -> f64| middle(windows, field).0;
        println!(
            "| {} | {} | {rate:.0} ({least:.0}–{most:.0}) | {:.1} | {:.0} | {:.0} | {:.1} | {worst:.0} | {:.1} |",
            variant.name,
            variant.batch,
            of(|w| w.cpu),
            of(|w| w.written),
            of(|w| w.storage),
            of(|w| w.p99),
            of(|w| w.load)
        );
    }
}

/// Files are shared by variants that differ only in what can be changed on opening.
fn file_name(variant: &Variant) -> String {
    let plain: String = format!("{:?}-{:?}-{}", variant.layout, variant.writing, variant.pragmas.page);
    plain.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let variants: Vec<Variant> = variants().into_iter().filter(|v| v.name.contains(&options.only)).collect();
    std::fs::create_dir_all(&options.dir).context("make the directory")?;
    println!("{}", machine());
    let (population, mut files, began) = (Population::new(options.profiles), BTreeMap::new(), Instant::now());
    let mut results: BTreeMap<usize, Vec<Window>> = BTreeMap::new();
    for round in 0..options.rounds {
        for (at, variant) in variants.iter().enumerate() {
            if round > 0 && variant.weight == Weight::Once {
                continue;
            }
            let name = file_name(variant);
            if !files.contains_key(&name) {
                files.insert(name.clone(), filled(&options, variant, &population).await?);
            }
            let file = files.get_mut(&name).context("made above")?;
            let seconds = if variant.weight == Weight::Main { options.seconds } else { options.seconds / 2.0 };
            let measured = window(file, variant, seconds, (round * 1_000 + at) as u64).await?;
            results.entry(at).or_default().push(measured);
            println!(
                "{:4.0} s  round {round}  {:42} {:6}  {:8.0}/s  {:6.0} B/event  p99 {:6.1} ms  load {:.1}",
                began.elapsed().as_secs_f64(),
                variant.name,
                variant.batch,
                measured.rate,
                measured.written,
                measured.p99,
                measured.load
            );
        }
        print_table(&results, &variants);
    }
    recoveries(&mut files, &variants).await?;
    std::fs::remove_dir_all(&options.dir).context("remove the files")
}

async fn filled(options: &Options, variant: &Variant, population: &Arc<Population>) -> Result<StateFile> {
    let path = options.dir.join(format!("{}.db", file_name(variant)));
    for old in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{old}", path.display()));
    }
    let states = States::new(population.clone());
    let began = Instant::now();
    let mut file = StateFile::create(&path, variant.layout, variant.writing, states, variant.pragmas.page).await?;
    println!("        {} filled in {:.1} s", path.display(), began.elapsed().as_secs_f64());
    if let Writing::Sweep { every, .. } = variant.writing {
        // One pass and a bit, so that the redo log has its lasting length.
        let (mut db, mut random) = (file.open(&variant.pragmas).await?, Random::new(5));
        for _ in 0..every * 6 / 5 / 10_000 {
            file.batch(&mut db, &mut random, 10_000, (false, &variant.pragmas)).await?;
        }
    }
    Ok(file)
}

async fn recoveries(files: &mut BTreeMap<String, StateFile>, variants: &[Variant]) -> Result<()> {
    println!(
        "\n| file | size MB | open after a crash ms | redo read ms (MB) | index entries (MB) | read all s | cold read of one profile, median / p99 µs |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut done = Vec::new();
    for variant in variants {
        let name = file_name(variant);
        if done.contains(&name) {
            continue;
        }
        let file = files.get_mut(&name).context("every variant ran")?;
        let r = file.recover(&variant.pragmas).await.with_context(|| format!("recover {name}"))?;
        println!(
            "| {} | {} | {:.0} | {:.0} ({}) | {} ({}) | {:.1} | {} / {} |",
            variant.name,
            r.file_bytes >> 20,
            r.open.as_secs_f64() * 1e3,
            r.redo.as_secs_f64() * 1e3,
            r.redo_bytes >> 20,
            r.index_entries,
            r.index_bytes >> 20,
            r.read_all.as_secs_f64(),
            r.cold.0.as_micros(),
            r.cold.1.as_micros()
        );
        done.push(name);
    }
    Ok(())
}
