//! How far a measurement is: a bar on a terminal, a line every few seconds elsewhere. Standard error either way.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const EVERY: Duration = Duration::from_secs(10);

/// The progress of one step.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    total: u64,
    said: Instant,
}

impl Progress {
    /// Begins a step of `total` units.
    pub(crate) fn begin(what: impl Into<String>, total: u64) -> Self {
        let what = what.into();
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {eta} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(what.clone());
        if bar.is_hidden() {
            eprintln!("{what} …");
        }
        Self { bar, what, total, said: Instant::now() }
    }

    /// So much is done.
    pub(crate) fn at(&mut self, done: u64, message: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_position(done);
            self.bar.set_message(message.to_owned());
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            eprintln!("{}: {done} of {} {message}", self.what, self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
