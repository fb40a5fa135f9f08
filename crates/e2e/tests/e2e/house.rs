//! Where the program lives: a directory, and processes that are started, killed and stopped on it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::caller::{Caller, Shop, eventually};

/// As long as anything of a process may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for data, and how the program is started on it.
pub struct House {
    dir: TempDir,
    flags: Vec<String>,
    sabotage: Option<&'static str>,
}

impl House {
    /// A new directory. The flags are those beside `--data` and `--listen`.
    pub fn new(flags: &[&str]) -> Result<Self> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Ok(Self { dir: tempfile::tempdir()?, flags, sabotage: None })
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
        let shop = Shop::new(&base, &keys)?;
        let operator = shop.admin.with_key(keys["operator"].as_str().context("no operator key")?);
        Ok(Weir { base, process, shop, operator })
    }

    /// Starts the program and goes on.
    pub fn spawn(&self) -> Result<Process> {
        let mut flags = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        flags.extend(self.flags.iter().cloned());
        self.spawn_with(&flags)
    }

    /// Starts the program on the directory with just these flags.
    pub fn spawn_with(&self, flags: &[String]) -> Result<Process> {
        let errors = self.dir.path().join("stderr");
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
        command.arg("up").arg("--data").arg(self.dir.path().join("data")).args(flags);
        // The program refuses variables of its own that it doesn't know, such as the tests' seed.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            command.env_remove(name);
        }
        command.env_remove("SABOTAGE").envs(self.sabotage.map(|how| ("SABOTAGE", how)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let from = std::fs::metadata(&errors).map_or(0, |found| found.len());
        command.stderr(OpenOptions::new().create(true).append(true).open(&errors)?);
        let begun = Instant::now();
        let mut child = command.spawn().context("can't start weir-under-test")?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let (tell, told) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        Ok(Process { child, lines: told, errors, from, begun })
    }
}

/// A process of the program; dropping it kills it.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    errors: PathBuf,
    from: u64,
    begun: Instant,
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits for the ready line; where HTTP is served.
    pub fn ready(&mut self) -> Result<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => match line.strip_prefix("ready: ") {
                Some(base) => Ok(base.to_owned()),
                None => bail!("the first line is not the ready line: {line}"),
            },
            Err(RecvTimeoutError::Timeout) => bail!("not ready after {PATIENCE:?}; it said:\n{}", self.said()?),
            Err(RecvTimeoutError::Disconnected) => {
                let code = self.exit_code()?;
                bail!("ended with {code:?} before it was ready; it said:\n{}", self.said()?)
            }
        }
    }

    /// What it wrote to standard error.
    pub fn said(&self) -> Result<String> {
        let mut file = std::fs::File::open(&self.errors)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(self.from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; how it ended.
    pub fn terminate(&mut self) -> Result<Option<i32>> {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid())).status()?;
        anyhow::ensure!(sent.success(), "can't send SIGTERM");
        self.exit_code()
    }

    /// Waits for the end; nothing if a signal ended it.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "still running after {PATIENCE:?}; it said:\n{}", self.said()?);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running, ready program.
pub struct Weir {
    pub base: String,
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
        Shop::new(&self.base, &keys)
    }
}
