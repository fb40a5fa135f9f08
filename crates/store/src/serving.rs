//! Which definition versions a generation serves.

use weir_control::{Kind, Workspace};
use weir_segment::{Catalog, Definition, ScoreDefinition, Source};

/// Compiles what a workspace serves, given its definitions as the generation's definition set has them: of each that
/// isn't deleted the newest version that this release can compile. One that it can't never replaces one that it can.
/// What has no such version is named in [`Catalog::failed`].
pub fn serving_catalog(workspace: &Workspace) -> Catalog {
    let chosen = |kind: Kind, compiles: fn(&str) -> bool| {
        let live = workspace.definitions(kind).iter().filter(|(_, definition)| definition.live().is_some());
        live.filter_map(move |(slug, definition)| {
            let versions = definition.versions.iter().rev();
            // A version before a deletion belongs to an earlier life of the slug.
            let mut this_life = versions.take_while(|version| version.deletion.is_none());
            let version = this_life.find(|version| compiles(&version.body)).or(definition.newest())?;
            Some(Source { slug, version: version.number, body: &version.body })
        })
        .collect::<Vec<_>>()
    };
    let segments = chosen(Kind::Segment, |body| Definition::parse(body).is_ok());
    let scores = chosen(Kind::Score, |body| ScoreDefinition::parse(body).is_ok());
    Catalog::compile(workspace.no, segments, scores)
}
