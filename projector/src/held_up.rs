//! What is held up, for whoever asks whether the process is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weir_store::GenerationId;

use crate::error::FoldError;

/// What is held up for less isn't told: a database that is started anew, a lock that somebody holds for a moment.
const PATIENCE: Duration = Duration::from_secs(3);

/// The projections that are held up at present.
#[derive(Debug, Default)]
pub(crate) struct HeldUp(Mutex<BTreeMap<Task, Wait>>);

/// Generation, partition and projection.
type Task = (GenerationId, u32, &'static str);

#[derive(Debug)]
struct Wait {
    since: Instant,
    /// What it waits for, in words that may be shown to anybody.
    what: String,
}

impl HeldUp {
    /// Which projection of the generation has been held up the longest, and what it waits for; nothing for the first
    /// seconds.
    pub(crate) fn reason(&self, generation: GenerationId, now: Instant) -> Option<String> {
        let waits = self.waits();
        let late = |((of, ..), wait): &(&Task, &Wait)| *of == generation && now.duration_since(wait.since) >= PATIENCE;
        let late: Vec<(&Task, &Wait)> = waits.iter().filter(late).collect();
        let ((_, partition, projection), Wait { since, what }) = late.iter().min_by_key(|(_, wait)| wait.since)?;
        let more = if late.len() > 1 { format!(" (and {} more)", late.len() - 1) } else { String::new() };
        let seconds = now.duration_since(*since).as_secs();
        Some(format!("{projection} of partition {partition}{more} is held up for {seconds} s and waits for {what}"))
    }

    fn waits(&self) -> MutexGuard<'_, BTreeMap<Task, Wait>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A projection's own line among them; it goes with the projection.
pub(crate) struct Line {
    all: Arc<HeldUp>,
    task: Task,
}

impl Line {
    /// The line of a projection that is not held up.
    pub(crate) fn new(all: &Arc<HeldUp>, generation: GenerationId, partition: u32, projection: &'static str) -> Self {
        Self { all: all.clone(), task: (generation, partition, projection) }
    }

    /// It is held up, perhaps not for the first time in a row.
    pub(crate) fn held_up(&self, error: &FoldError) {
        // Not their causes: what a server said is in the log lines.
        let what = match error {
            FoldError::Store(error) => format!("the tables: {error}"),
            FoldError::Log(error) => format!("the log: {error}"),
            other => other.to_string(),
        };
        let mut waits = self.all.waits();
        let since = waits.get(&self.task).map_or_else(Instant::now, |wait| wait.since);
        waits.insert(self.task, Wait { since, what });
    }

    /// It goes on.
    pub(crate) fn goes_on(&self) {
        self.all.waits().remove(&self.task);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.goes_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_store::StoreError;

    #[test]
    fn what_is_held_up_for_seconds_is_told_until_it_goes_on() {
        let all = Arc::new(HeldUp::default());
        let (live, other) = (GenerationId(7), GenerationId(8));
        let line = |generation, partition| Line::new(&all, generation, partition, "membership");
        let (first, second, rebuilt) = (line(live, 3), line(live, 1), line(other, 0));
        let failed = FoldError::Store(StoreError::Damaged("x"));
        let told = |seconds| all.reason(live, Instant::now() + Duration::from_secs(seconds));
        let begins = |told: Option<String>, begin: &str| assert!(told.as_ref().unwrap().starts_with(begin), "{told:?}");
        for line in [&first, &rebuilt, &second, &first] {
            line.held_up(&failed);
        }
        assert_eq!(told(2), None);
        begins(told(5), "membership of partition 3 (and 1 more) is held up for 5 s and waits for the tables: ");
        first.goes_on();
        begins(told(3), "membership of partition 1 is held up for 3 s");
        drop(second);
        assert_eq!(told(5), None);
        assert!(all.reason(other, Instant::now() + PATIENCE).is_some());
    }
}
