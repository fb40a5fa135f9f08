//! Processes of the program: started, stopped, and killed at the end, whatever happens.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// As long as anything of a process may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a process is started.
#[derive(Clone)]
pub struct Start {
    /// `weir`, `ingest`, `projector` or `query-api`.
    pub program: &'static str,
    pub arguments: Vec<String>,
    /// Where its standard error is appended to.
    pub errors: PathBuf,
    /// A fault, see `weir-under-test`.
    pub sabotage: Option<&'static str>,
}

impl Start {
    pub fn spawn(&self) -> Result<Process> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-under-test"));
        command.arg0(self.program).args(&self.arguments);
        // The programs refuse variables of their own that they don't know, such as the tests' seed.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEIR_")) {
            command.env_remove(name);
        }
        command.env_remove("SABOTAGE").envs(self.sabotage.map(|how| ("SABOTAGE", how)));
        // It ends when the other end of its standard input is gone: with this test at the latest.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let from = std::fs::metadata(&self.errors).map_or(0, |found| found.len());
        command.stderr(OpenOptions::new().create(true).append(true).open(&self.errors)?);
        let begun = Instant::now();
        let mut child = command.spawn().context("can't start weir-under-test")?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let (tell, told) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        Ok(Process { child, lines: told, errors: self.errors.clone(), from, begun })
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

    /// Whether it still runs, or stands still.
    pub fn is_there(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
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

    /// A signal by its name, such as `STOP`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status()?;
        ensure!(sent.success(), "can't send SIG{name}");
        Ok(())
    }

    /// SIGTERM; how it ended.
    pub fn terminate(&mut self) -> Result<Option<i32>> {
        self.signal("TERM")?;
        self.exit_code()
    }

    /// Waits for the end; nothing if a signal ended it.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            ensure!(begun.elapsed() < PATIENCE, "still running after {PATIENCE:?}; it said:\n{}", self.said()?);
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
