//! A deployment of many processes over Kafka and PostgreSQL: ingests, projectors, a query API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weir_e2e::oracle::instant;

use crate::caller::{Caller, Doors, Shop, eventually_within};
use crate::kafka;
use crate::place::Place;
use crate::process::{Process, Start};
use crate::proxy::Proxy;

/// How long a deployment may take to have everything in its tables after the last fault.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// A projector found its tables to be wrong and writes to them no more: this doesn't pass.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(String);

/// What is started, and with how many of each.
pub struct Size {
    pub ingests: usize,
    pub projectors: usize,
    pub partitions: usize,
    /// A fault of all projectors.
    pub sabotage: Option<&'static str>,
}

/// One place for a process, which may be empty for a while.
pub struct Slot {
    start: Start,
    process: Option<Process>,
    base: String,
    /// A projector's way to its tables.
    pub proxy: Option<Proxy>,
}

impl Slot {
    /// Starts the process and waits for its ready line.
    pub fn start(&mut self) -> Result<()> {
        let process = self.process.insert(self.start.spawn()?);
        self.base = tokio::task::block_in_place(|| process.ready())?;
        Ok(())
    }

    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill())
    }

    /// SIGTERM, and the end.
    pub fn terminate(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let code = tokio::task::block_in_place(|| process.terminate())?;
        ensure!(code == Some(0), "{} ended with {code:?}; it said:\n{}", self.start.program, process.said()?);
        Ok(())
    }

    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.as_ref().context("there is no process")?.signal(name)
    }

    /// What the process wrote to standard error.
    pub fn said(&self) -> Result<String> {
        self.process.as_ref().context("there is no process")?.said()
    }

    fn is_there(&mut self) -> Result<bool> {
        self.process.as_mut().map_or(Ok(false), Process::is_there)
    }

    /// The sum of a metric over its labels.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = Caller::new(&Doors::one(&self.base), "")?.get("/metrics").await?.text;
        let of = |line: &str| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
        };
        Ok(text.lines().filter_map(of).sum())
    }

    /// Why it isn't ready; nothing if it is.
    async fn not_ready(&self) -> Result<Option<String>> {
        let said = match Caller::new(&Doors::one(&self.base), "")?.get("/readyz").await {
            Ok(answer) if answer.status == 200 => return Ok(None),
            Ok(answer) => answer.text,
            Err(error) => format!("{error:#}"),
        };
        Ok(Some(format!("{} at {}: {said}", self.start.program, self.base)))
    }
}

/// The processes, and what is theirs.
pub struct Fleet {
    pub place: Place,
    pub ingests: Vec<Slot>,
    pub projectors: Vec<Slot>,
    pub query: Slot,
    pub shop: Shop,
    pub operator: Caller,
    doors: Doors,
    files: PathBuf,
    sabotage: Option<&'static str>,
}

impl Fleet {
    /// Makes the log, starts all, and waits until they are ready.
    pub async fn open(place: Place, size: &Size) -> Result<Self> {
        let files = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&place.name);
        std::fs::create_dir_all(&files)?;
        let keys = init(&place, &files, size.partitions)?;
        let doors = Doors::default();
        let shop = Shop::new(&doors, &keys)?;
        let operator = shop.admin.with_key(keys["operator"].as_str().context("no operator key")?);
        let slot = |program, name: &str, arguments: &[&str]| {
            slot(&files, program, name, arguments, size.sabotage.filter(|_| program == "projector"))
        };
        let log = place.log();
        let ingests =
            (0..size.ingests).map(|n| slot("ingest", &format!("ingest-{n}"), &["--log", &log])).collect::<Vec<_>>();
        let query = slot("query-api", "query-api", &["--store", &place.store()]);
        let sabotage = size.sabotage;
        let mut fleet = Self { place, ingests, projectors: Vec::new(), query, shop, operator, doors, files, sabotage };
        for slot in fleet.ingests.iter_mut().chain([&mut fleet.query]) {
            slot.start()?;
        }
        for _ in 0..size.projectors {
            fleet.add_projector().await?;
        }
        fleet.know_addresses();
        fleet.ready().await?;
        Ok(fleet)
    }

    /// Starts one more projector, with a way of its own to the tables; answers which it is.
    pub async fn add_projector(&mut self) -> Result<usize> {
        let postgres = &self.place.servers.postgres;
        let address = postgres.split_once('@').and_then(|(_, rest)| rest.split('/').next());
        let proxy = Proxy::open(address.with_context(|| format!("{postgres} has no address"))?).await?;
        let store = self.place.store_at(&proxy.through(postgres)?);
        let n = self.projectors.len();
        let arguments = ["--log", &self.place.log(), "--store", &store];
        let mut slot = slot(&self.files, "projector", &format!("projector-{n}"), &arguments, self.sabotage);
        slot.proxy = Some(proxy);
        slot.start()?;
        self.projectors.push(slot);
        Ok(n)
    }

    /// Tells callers where the processes listen now.
    pub fn know_addresses(&self) {
        let writes = self.ingests.iter().map(|slot| slot.base.clone()).collect();
        self.doors.set(writes, self.query.base.clone());
    }

    fn slots(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.ingests.iter_mut().chain(&mut self.projectors).chain([&mut self.query])
    }

    /// Starts what was killed; whoever else is gone went by itself, and should not have.
    pub fn mend(&mut self) -> Result<()> {
        for slot in self.slots() {
            let Some(process) = &mut slot.process else {
                slot.start()?;
                continue;
            };
            if !process.is_there()? {
                let (code, said) = (process.exit_code()?, process.said()?);
                anyhow::bail!("{} ended by itself with {code:?}; it said:\n{said}", slot.start.program)
            }
        }
        self.know_addresses();
        Ok(())
    }

    /// Waits until every process that is there calls itself ready; for one that says [`Damaged`], no longer.
    pub async fn ready(&mut self) -> Result<()> {
        let mut why = Vec::new();
        let ready = eventually_within(SETTLED_WITHIN, "all processes are ready", async || {
            why.clear();
            for slot in self.slots() {
                if slot.is_there()? {
                    why.extend(slot.not_ready().await?);
                }
            }
            if let Some(damaged) = why.iter().find(|why| why.contains("are damaged")) {
                return Err(Damaged(damaged.clone()).into());
            }
            Ok(why.is_empty().then_some(()))
        });
        ready.await.map_err(|error| if error.is::<Damaged>() { error } else { error.context(why.join("; ")) })
    }

    /// Waits until the tables have everything that is on the log, by the log's own word.
    pub async fn caught_up(&self) -> Result<()> {
        self.reached(SETTLED_WITHIN, &kafka::ends(&self.place)?).await?;
        // What the deployment says of itself must become true, too.
        eventually_within(SETTLED_WITHIN, "the deployment knows that it has caught up", async || {
            let answer = self.operator.get("/api/status").await?;
            Ok((answer.status == 200 && answer.json()?["lag"] == json!(0)).then_some(()))
        })
        .await
    }

    /// Waits until the tables have every record below these offsets.
    pub async fn reached(&self, within: Duration, ends: &[u64]) -> Result<()> {
        let what = format!("the tables are at {ends:?}");
        let reached = eventually_within(within, &what, async || {
            let positions = self.positions().await?;
            Ok(positions.filter(|at| at.len() == ends.len() && at.iter().zip(ends).all(|(at, end)| at >= end)))
        });
        reached.await.map(drop)
    }

    /// How far the tables are, by partition; nothing while they can't be asked.
    pub async fn positions(&self) -> Result<Option<Vec<u64>>> {
        let Ok(answer) = self.operator.get("/api/status").await else { return Ok(None) };
        if answer.status != 200 {
            return Ok(None);
        }
        let body = answer.json()?;
        let rows = body["partitions"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().map(|row| row["position"].as_u64()).collect())
    }

    /// Kills all, and removes what they wrote.
    pub fn discard(mut self) -> Result<()> {
        for slot in self.slots() {
            slot.kill()?;
        }
        std::fs::remove_dir_all(&self.files)?;
        Ok(())
    }

    /// Stops all, and removes what they wrote; without this it is kept, and said where.
    pub fn close(mut self) -> Result<()> {
        for slot in self.slots() {
            slot.terminate()?;
        }
        std::fs::remove_dir_all(&self.files)?;
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.files.exists() {
            eprintln!("what the processes wrote is in {}, at {}", self.files.display(), instant::format(now()));
        }
    }
}

/// The clock of this machine.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn slot(files: &Path, program: &'static str, name: &str, arguments: &[&str], sabotage: Option<&'static str>) -> Slot {
    let arguments = arguments.iter().chain(&["--listen", "127.0.0.1:0"]).map(|word| (*word).to_owned()).collect();
    let start = Start { program, arguments, errors: files.join(format!("{name}.log")), sabotage };
    Slot { start, process: None, base: String::new(), proxy: None }
}

/// `weir init`; the keys that it made.
fn init(place: &Place, files: &Path, partitions: usize) -> Result<Value> {
    let (data, partitions) = (files.join("data"), partitions.to_string());
    let data = data.to_str().context("a path that is no text")?;
    let arguments = ["init", "--data", data, "--log", &place.log(), "--partitions", &partitions];
    let arguments = arguments.map(str::to_owned).to_vec();
    let mut process = Start { program: "weir", arguments, errors: files.join("init.log"), sabotage: None }.spawn()?;
    let code = tokio::task::block_in_place(|| process.exit_code())?;
    ensure!(code == Some(0), "weir init ended with {code:?}; it said:\n{}", process.said()?);
    let keys = std::fs::read_to_string(files.join("data/keys.json"))?;
    Ok(serde_json::from_str(&keys)?)
}
