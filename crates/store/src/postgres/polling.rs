//! Learning of what other processes commit.
//!
//! While anybody listens, one small statement every few milliseconds reads the positions of all generations; a batch
//! writes its position's row even where it takes it nowhere, so the row's transaction tells too. Not `LISTEN`: a
//! `NOTIFY` takes a lock at commit that all committers of the database share.

use std::sync::Weak;
use std::time::Duration;

use sqlx::Row as _;

use super::errors::tables_are_gone;
use super::schema::Text;
use super::shared::Shared;
use crate::model::GenerationId;

/// Between looks while somebody listens.
const PAUSE: Duration = Duration::from_millis(10);
/// Between looks while the server is away.
const AWAY: Duration = Duration::from_millis(250);

/// What a look saw.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    live: Option<i64>,
    generations: Vec<i64>,
    /// A note's revision only rises.
    notes: i64,
    positions: Vec<i64>,
}

/// Looks for changes until the store is dropped.
pub(super) async fn watch(store: Weak<Shared>) {
    let mut last: Option<Seen> = None;
    let mut known = Vec::new();
    loop {
        let Some(shared) = store.upgrade() else { return };
        if shared.links.changes.receiver_count() == 0 {
            let wanted = shared.listened.clone();
            let listened = wanted.notified();
            drop(shared);
            // Whoever listens from now on reads first.
            listened.await;
            last = None;
            continue;
        }
        let pause = match look(&shared, &known).await {
            Ok(seen) => {
                known.clone_from(&seen.generations);
                if last.as_ref().is_some_and(|last| *last != seen) {
                    shared.links.changes.send_modify(|n| *n += 1);
                }
                last = Some(seen);
                PAUSE
            }
            Err(error) => {
                tracing::debug!(%error, "can't look for changes");
                let removed = tables_are_gone(&error);
                known.clear();
                // Whatever happened meanwhile is a change.
                last = Some(Seen { live: None, generations: Vec::new(), notes: -1, positions: Vec::new() });
                if removed { PAUSE } else { AWAY }
            }
        };
        drop(shared);
        tokio::time::sleep(pause).await;
    }
}

async fn look(shared: &Shared, known: &[i64]) -> Result<Seen, sqlx::Error> {
    let asked = shared.links.pointer.ask();
    let rows = shared.links.askers.ask(&statement(shared, known)).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let live: Option<i64> = row.get(0);
    shared.links.pointer.answer(asked, live.map(|id| GenerationId(id.cast_unsigned())));
    Ok(Seen { live, generations: row.get(1), notes: row.get(2), positions: row.get(3) })
}

fn statement(shared: &Shared, known: &[i64]) -> Text {
    let sums = known.iter().map(|id| {
        let schema = shared.schema.of_generation(GenerationId(id.cast_unsigned()));
        schema.template("(SELECT coalesce(sum(next + xmin::text::bigint), 0)::bigint FROM @positions)")
    });
    let sums: Vec<String> = sums.collect();
    shared.schema.text(&format!(
        "SELECT s.live, array(SELECT id FROM @generations ORDER BY id),
                (SELECT coalesce(sum(revision), 0) FROM @rebuilds)::bigint, ARRAY[{}]::bigint[]
         FROM @store s",
        sums.join(", ")
    ))
}
