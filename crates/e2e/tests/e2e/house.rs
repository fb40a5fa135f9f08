//! Where the program lives: a directory, and processes that are started, killed and stopped on it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use weir_e2e::oracle::Oracle;

use crate::caller::{Caller, Doors, Shop, eventually};
use crate::place::{Place, Servers};
use crate::process::{Process, Start};
use crate::{kafka, raw_log};

/// A directory for data, and how the program is started on it.
pub struct House {
    dir: TempDir,
    flags: Vec<String>,
    sabotage: Option<&'static str>,
    /// On servers; none is in the directory.
    place: Option<Place>,
}

impl House {
    /// A new directory. The flags are those beside `--data` and `--listen`.
    pub fn new(flags: &[&str]) -> Result<Self> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Ok(Self { dir: tempfile::tempdir()?, flags, sabotage: None, place: None })
    }

    /// With log and tables on Kafka and PostgreSQL.
    pub fn on_servers(flags: &[&str]) -> Result<Self> {
        let place = Place::new(Servers::of_tests()?);
        let (log, store) = (place.log(), place.store());
        let mut all = vec!["--log", &log, "--store", &store];
        all.extend(flags);
        Ok(Self { place: Some(place), ..Self::new(&all)? })
    }

    /// A new directory with a copy of the log, made by the program, in that many partitions; the keys are the same.
    pub fn copied(&self, partitions: usize, flags: &[&str]) -> Result<Self> {
        let copy = Self::new(flags)?;
        std::fs::create_dir(copy.file(""))?;
        std::fs::copy(self.file("keys.json"), copy.file("keys.json"))?;
        let url = |house: &Self| format!("sqlite:{}", house.file("log.db").display());
        let (from, to, partitions) = (url(self), url(&copy), partitions.to_string());
        let arguments = ["log", "copy", "--from", &from, "--to", &to, "--partitions", &partitions];
        let arguments = arguments.map(str::to_owned).to_vec();
        let errors = copy.dir.path().join("copy");
        let mut process = Start { program: "weir", arguments, errors, sabotage: None }.spawn()?;
        let code = process.exit_code()?;
        ensure!(code == Some(0), "weir log copy ended with {code:?}; it said:\n{}", process.said()?);
        Ok(copy)
    }

    /// Deletes the tables in files, so that they are made anew.
    pub fn delete_tables(&self) -> Result<()> {
        for entry in std::fs::read_dir(self.file(""))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("store.db") {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// With a fault.
    pub fn sabotaged(flags: &[&str], how: Option<&'static str>) -> Result<Self> {
        Ok(Self { sabotage: how, ..Self::new(flags)? })
    }

    /// A file of the data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("data").join(name)
    }

    /// The keys of the first workspace.
    pub fn keys(&self) -> Result<Value> {
        let path = self.file("keys.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Starts the program and waits until it can be asked: the first tables are filled behind the ready line.
    pub async fn open(&self) -> Result<Weir> {
        let weir = self.start()?;
        eventually("the tables can be read", async || {
            Ok((weir.operator.get("/readyz").await?.status == 200).then_some(()))
        })
        .await?;
        Ok(weir)
    }

    /// Starts the program and waits for its ready line.
    pub fn start(&self) -> Result<Weir> {
        let mut process = self.spawn()?;
        let base = process.ready()?;
        let keys = self.keys()?;
        let doors = Doors::one(&base);
        let shop = Shop::new(&doors, &keys)?;
        let operator = shop.admin.with_key(keys["operator"].as_str().context("no operator key")?);
        Ok(Weir { base, doors, process, shop, operator })
    }

    /// Starts the program and goes on.
    pub fn spawn(&self) -> Result<Process> {
        let mut flags = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        flags.extend(self.flags.iter().cloned());
        self.spawn_with(&flags)
    }

    /// Starts the program on the directory with just these flags.
    pub fn spawn_with(&self, flags: &[String]) -> Result<Process> {
        let mut arguments =
            vec!["up".to_owned(), "--data".to_owned(), self.dir.path().join("data").display().to_string()];
        arguments.extend(flags.iter().cloned());
        let errors = self.dir.path().join("stderr");
        Start { program: "weir", arguments, errors, sabotage: self.sabotage }.spawn()
    }

    /// What lies on `events.v1`, by partition and offset. Nothing may be posted meanwhile.
    pub async fn records(&self) -> Result<Vec<Vec<Vec<u8>>>> {
        match &self.place {
            None => raw_log::read(&self.file("log.db")).await,
            Some(place) => kafka::read(place),
        }
    }

    /// What the log says.
    pub async fn oracle(&self) -> Result<Oracle> {
        Ok(Oracle::new(&self.records().await?, raw_log::DEDUP_WINDOW))
    }
}

/// A running, ready program.
pub struct Weir {
    pub base: String,
    doors: Doors,
    pub process: Process,
    /// The workspace `default`.
    pub shop: Shop,
    pub operator: Caller,
}

impl Weir {
    /// A new workspace.
    pub async fn make_shop(&self, slug: &str) -> Result<Shop> {
        let body = serde_json::json!({ "slug": slug });
        let keys = self.operator.post("/api/workspaces", body).await?.expect(201)?;
        Shop::new(&self.doors, &keys)
    }
}
