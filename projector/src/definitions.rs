//! What a generation folds by: the definitions of its set, compiled, by workspace.

use std::collections::HashMap;
use std::sync::Arc;

use weir_control::{Accepted, Outcome, State};
use weir_event::Stream;
use weir_event_log::{EventLog, ReadError};
use weir_segment::Catalog;
use weir_store::serving_catalog;

const READ_BYTES: usize = 1 << 20;

/// A workspace as the fold knows it.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its number in tables.
    pub workspace: u64,
    /// What its profiles are folded by.
    pub catalog: Catalog,
}

/// The definition set of a generation: what was defined before its bound, and what came with workspaces made later.
/// It never changes for a workspace once read, so a batch folds by one set and a rebuild folds by the same.
pub(crate) struct DefinitionSet {
    log: Arc<dyn EventLog>,
    bound: u64,
    state: State,
    served: HashMap<String, Arc<Served>>,
}

impl DefinitionSet {
    pub(crate) fn new(log: Arc<dyn EventLog>, bound: u64) -> Self {
        Self { log, bound, state: State::default(), served: HashMap::new() }
    }

    /// The workspace of this slug; one that isn't known makes `control.v1` be read to its end first. A workspace is made
    /// before any of its events, so one that still isn't known never was.
    pub(crate) async fn workspace(&mut self, slug: &str) -> Result<Option<Arc<Served>>, ReadError> {
        if let Some(served) = self.served.get(slug) {
            return Ok(Some(served.clone()));
        }
        self.catch_up().await?;
        let Some(workspace) = self.state.workspace(slug) else { return Ok(None) };
        let served = Arc::new(Served { workspace: workspace.no, catalog: serving_catalog(workspace) });
        self.served.insert(slug.to_owned(), served.clone());
        Ok(Some(served))
    }

    /// For how long an id sent again is a repeat, as the log's first record says.
    pub(crate) async fn dedup_window(&mut self) -> Result<i64, ReadError> {
        if self.state.log().is_none() {
            self.catch_up().await?;
        }
        Ok(self.state.log().map_or(weir_event::limits::DEDUP_WINDOW_MICROS, |log| log.dedup_window_micros))
    }

    async fn catch_up(&mut self) -> Result<(), ReadError> {
        loop {
            let chunk = self.log.read(Stream::Control, 0, self.state.next(), READ_BYTES).await?;
            for record in &chunk.records {
                self.state.evolve_bound(record.offset, &record.value, self.bound);
            }
            if chunk.records.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Follows `control.v1` for what a generation would have to be filled anew for.
pub(crate) struct Changes {
    log: Arc<dyn EventLog>,
    state: State,
    newest: Option<Change>,
}

/// A record that made or changed a definition.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Where it lies.
    pub offset: u64,
    /// Which definition, for people.
    pub what: String,
}

impl Changes {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, state: State::default(), newest: None }
    }

    /// Reads to the stream's end and answers where that is.
    pub(crate) async fn catch_up(&mut self) -> Result<u64, ReadError> {
        loop {
            let chunk = self.log.read(Stream::Control, 0, self.state.next(), READ_BYTES).await?;
            for record in &chunk.records {
                let outcome = self.state.evolve(record.offset, &record.value);
                if let Outcome::Accepted(Accepted::Put { unchanged: false, .. }) = outcome {
                    self.newest = Some(Change { offset: record.offset, what: name(&record.value) });
                }
            }
            if chunk.records.is_empty() {
                return Ok(self.state.next());
            }
        }
    }

    /// For how long an id sent again is a repeat, as the log's first record says.
    pub(crate) fn dedup_window(&self) -> i64 {
        self.state.log().map_or(weir_event::limits::DEDUP_WINDOW_MICROS, |log| log.dedup_window_micros)
    }

    /// The last record that made or changed a definition, those that came with a workspace apart.
    pub(crate) const fn newest(&self) -> Option<&Change> {
        self.newest.as_ref()
    }
}

/// What a record that was accepted as a definition defines.
fn name(record: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Put {
        r#type: String,
        workspace: String,
        slug: String,
    }
    serde_json::from_slice(record).map_or_else(
        |_| "a definition".to_owned(),
        |Put { r#type, workspace, slug }| {
            let kind = r#type.split_once('.').map_or("definition", |(kind, _)| kind);
            format!("{kind} `{slug}` of workspace `{workspace}`")
        },
    )
}
