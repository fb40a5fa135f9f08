//! Which version of a definition is the newest, and which one is read.
//!
//! Invariant: what is read is a version that the generation was filled by, whole; a newer one is read only when a
//! generation filled by it is live. A definition that was deleted in the meantime is gone at once, and what is put
//! under its slug afterwards is another one: it doesn't borrow the members of the deleted one.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_control::{Definition, Kind, Version, Workspace};
use weir_http::Problem;
use weir_segment::{Catalog, Score, ScoreDefinition, Segment};
use weir_store::serving_catalog;

/// What is kept compiled of a workspace; `None` is not compiled yet.
#[derive(Default)]
pub(crate) struct Definitions {
    pub(crate) newest: Option<Arc<Compiled>>,
    pub(crate) served: Option<Arc<Compiled>>,
}

/// What a state's definitions serve, compiled, and where it is by slug.
pub(crate) struct Compiled {
    pub(crate) catalog: Catalog,
    segments: HashMap<String, usize>,
    scores: HashMap<String, usize>,
}

impl Compiled {
    pub(crate) fn of(workspace: Option<&Workspace>) -> Self {
        let catalog = workspace.map_or_else(Catalog::default, serving_catalog);
        let segments = catalog.segments().iter().enumerate().map(|(at, each)| (each.slug.clone(), at)).collect();
        let scores = catalog.scores().iter().enumerate().map(|(at, each)| (each.slug.clone(), at)).collect();
        Self { catalog, segments, scores }
    }

    fn segment(&self, slug: &str) -> Option<&Segment> {
        self.segments.get(slug).map(|at| &self.catalog.segments()[*at])
    }

    fn score(&self, slug: &str) -> Option<&Score> {
        self.scores.get(slug).map(|at| &self.catalog.scores()[*at])
    }
}

/// How the newest version of a definition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// It is being filled, or waits for it.
    Backfilling,
    /// It is read.
    Ready,
    /// This release can't compile it.
    Failed,
}

/// A definition that isn't deleted.
pub(crate) struct Standing<'a, T> {
    pub(crate) kind: Kind,
    pub(crate) slug: &'a str,
    /// The newest version.
    pub(crate) newest: &'a Version,
    pub(crate) stage: Stage,
    /// What is read; `None` before the first version is filled.
    pub(crate) serving: Option<&'a T>,
    /// Why the newest version failed.
    pub(crate) reason: Option<String>,
}

/// What a compiled definition is called in tables.
pub(crate) trait Compiles {
    const KIND: Kind;
    fn id(&self) -> i64;
    fn version(&self) -> u32;
    fn find<'a>(compiled: &'a Compiled, slug: &str) -> Option<&'a Self>;
}

impl Compiles for Segment {
    const KIND: Kind = Kind::Segment;
    fn id(&self) -> i64 {
        self.id
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn find<'a>(compiled: &'a Compiled, slug: &str) -> Option<&'a Self> {
        compiled.segment(slug)
    }
}

impl Compiles for Score {
    const KIND: Kind = Kind::Score;
    fn id(&self) -> i64 {
        self.id
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn find<'a>(compiled: &'a Compiled, slug: &str) -> Option<&'a Self> {
        compiled.score(slug)
    }
}

/// A workspace and its definitions.
pub(crate) struct Catalogs<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) newest: Arc<Compiled>,
    pub(crate) served: Arc<Compiled>,
}

impl Catalogs<'_> {
    /// The definition with that slug.
    ///
    /// # Errors
    /// 404 `segment_not_found` or `score_not_found`; a deleted one is gone too.
    pub(crate) fn find<'a, T: Compiles>(&'a self, slug: &'a str) -> Result<Standing<'a, T>, Problem> {
        let definitions = self.workspace.definitions(T::KIND);
        definitions.get(slug).and_then(|definition| self.standing(slug, definition)).ok_or_else(|| match T::KIND {
            Kind::Segment => Problem::not_found("segment_not_found", "this workspace has no such segment"),
            Kind::Score => Problem::not_found("score_not_found", "this workspace has no such score"),
        })
    }

    /// Every definition that isn't deleted, by slug.
    pub(crate) fn all<'a, T: Compiles + 'a>(&'a self) -> impl Iterator<Item = Standing<'a, T>> {
        let definitions = self.workspace.definitions(T::KIND).iter();
        definitions.filter_map(|(slug, definition)| self.standing(slug, definition))
    }

    fn standing<'a, T: Compiles>(&'a self, slug: &'a str, definition: &'a Definition) -> Option<Standing<'a, T>> {
        let newest = definition.live()?;
        let compiled = T::find(&self.newest, slug).filter(|compiled| compiled.version() == newest.number);
        let deleted_since =
            |version: u32| definition.versions.iter().any(|each| each.number >= version && each.deletion.is_some());
        let serving = T::find(&self.served, slug).filter(|served: &&T| !deleted_since(served.version()));
        let stage = match (compiled, serving) {
            (None, _) => Stage::Failed,
            // The id also tells whether the scores that it names are of the versions that are read.
            (Some(newest), Some(serving)) if newest.id() == serving.id() => Stage::Ready,
            _ => Stage::Backfilling,
        };
        let reason = (stage == Stage::Failed).then(|| self.reason(T::KIND, slug, newest));
        Some(Standing { kind: T::KIND, slug, newest, stage, serving, reason })
    }

    /// Why a version can't be compiled.
    fn reason(&self, kind: Kind, slug: &str, version: &Version) -> String {
        let problems = match kind {
            Kind::Segment => weir_segment::Definition::parse(&version.body).err(),
            Kind::Score => ScoreDefinition::parse(&version.body).err(),
        };
        if let Some(problems) = problems {
            let lines: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.pointer, p.message)).collect();
            return lines.join("; ");
        }
        // Sound in itself, it names what can't be compiled.
        let failed = self.newest.catalog.failed().iter().find(|f| f.slug == slug && f.version == version.number);
        failed.map_or_else(String::new, |failed| failed.reason.clone())
    }
}

impl<'a, T> Standing<'a, T> {
    /// The version that is read.
    ///
    /// # Errors
    /// There is none: 503 `segment_backfilling` while the first is filled, 409 `segment_failed` if it can't be
    /// compiled; `score_…` likewise.
    pub(crate) fn read(&self) -> Result<&'a T, Problem> {
        if let Some(serving) = self.serving {
            return Ok(serving);
        }
        let (backfilling, failed) = match self.kind {
            Kind::Segment => ("segment_backfilling", "segment_failed"),
            Kind::Score => ("score_backfilling", "score_failed"),
        };
        let what = self.kind.as_str();
        Err(match self.stage {
            Stage::Failed => Problem::conflict(
                failed,
                format!(
                    "this release can't compile the {what}: {}; change it",
                    self.reason.as_deref().unwrap_or("of a form that it doesn't know")
                ),
            ),
            _ => Problem::unavailable(
                backfilling,
                format!("the {what} is being filled from the log; /api/status shows how far"),
                2,
            ),
        })
    }

    /// The name in the newest version, also if it can't be compiled.
    pub(crate) fn name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            name: Option<String>,
        }
        serde_json::from_str::<Named>(&self.newest.body).ok()?.name
    }
}
