//! How far the copying is, on standard error: a bar on a terminal, else a line now and then.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use weir_lifecycle::complain;

/// Between two lines.
const PACE: Duration = Duration::from_secs(5);
/// Between two pictures of the bar's own figures.
const TICK: Duration = Duration::from_millis(100);
const TEMPLATE: &str = "{prefix:>9} [{bar:32}] {percent:>3} %  {human_pos}/{human_len}  {msg}  {eta_precise} left";

/// Shows how far each phase is. Clones show the same.
#[derive(Clone)]
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    state: Arc<Mutex<State>>,
    lines: bool,
}

struct State {
    what: &'static str,
    total: u64,
    records: u64,
    bytes: u64,
    begun: Instant,
    shown: Instant,
}

impl Meter {
    /// On standard error.
    pub(crate) fn standard_error() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { bar: terminal.then(|| ProgressBar::new(0)), lines: !terminal, ..Self::silent() }
    }

    /// Shows nothing.
    pub(crate) fn silent() -> Self {
        let now = Instant::now();
        let state = State { what: "", total: 0, records: 0, bytes: 0, begun: now, shown: now };
        Self { bar: None, state: Arc::new(Mutex::new(state)), lines: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Figures for people: nothing depends on them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A phase of that many records begins.
    pub(crate) fn phase(&self, what: &'static str, total: u64) {
        let now = Instant::now();
        *self.lock() = State { what, total, records: 0, bytes: 0, begun: now, shown: now };
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_length(total);
            bar.set_prefix(what);
            bar.enable_steady_tick(TICK);
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
        }
    }

    /// So much more is done.
    pub(crate) fn add(&self, records: u64, bytes: u64) {
        let mut state = self.lock();
        state.records += records;
        state.bytes += bytes;
        if state.shown.elapsed() < if self.lines { PACE } else { TICK } {
            return;
        }
        state.shown = Instant::now();
        self.show(&state);
    }

    /// The phase is over.
    pub(crate) fn done(&self) {
        let state = self.lock();
        self.show(&state);
        if let Some(bar) = &self.bar {
            bar.disable_steady_tick();
            bar.suspend(|| complain(&state.line()));
            bar.finish_and_clear();
        }
    }

    fn show(&self, state: &State) {
        if let Some(bar) = &self.bar {
            bar.set_position(state.records);
            bar.set_message(state.rates());
        } else if self.lines && !state.what.is_empty() {
            complain(&state.line());
        }
    }
}

impl State {
    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64().max(0.001)
    }

    fn rates(&self) -> String {
        let records = self.records as f64 / self.seconds();
        let megabytes = self.bytes as f64 / self.seconds() / 1e6;
        format!("{} records/s  {megabytes:.1} MB/s", HumanCount(records as u64))
    }

    fn line(&self) -> String {
        let (done, total) = (HumanCount(self.records), HumanCount(self.total));
        let left = self.total.saturating_sub(self.records);
        if left == 0 || self.records == 0 {
            return format!("{}: {done} of {total}  {}", self.what, self.rates());
        }
        let eta = Duration::from_secs_f64(self.seconds() * left as f64 / self.records as f64);
        format!("{}: {done} of {total}  {}  {} left", self.what, self.rates(), HumanDuration(eta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_far_it_is_and_how_long_it_takes() {
        let begun = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let state = State { what: "copying", total: 4_000, records: 1_000, bytes: 20_000_000, begun, shown: begun };
        let line = state.line();
        for part in ["copying: 1,000 of 4,000", "records/s", "MB/s", "30 seconds left"] {
            assert!(line.contains(part), "{part:?} is missing in {line:?}");
        }
    }
}
