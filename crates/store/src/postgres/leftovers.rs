//! Dropping schemas of generations that were removed.
//!
//! Whoever has a view open goes on: a view holds a lock on `positions` from its first statement on, and a schema is
//! dropped only behind an exclusive lock on that table, which is asked for without waiting (an exclusive lock that waits
//! holds up every reader behind it). Whoever has the generation but no view has about a second to find out; then the
//! tables are gone, and it is told that there is no such generation.
//!
//! A generation's row goes first. So nobody opens it anew, and a schema without a row is what any process drops that
//! finds it, at its start at the latest.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use sqlx::Row as _;

use super::errors::tables_are_gone;
use super::schema;
use super::shared::Shared;
use crate::model::GenerationId;

/// How long a reader may take from learning which generation is read to opening a view of it.
const GRACE: Duration = Duration::from_secs(1);
/// Between attempts, the first and the last of them.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

/// Drops the schemas as soon as nobody is in the way.
pub(super) async fn sweep(store: Weak<Shared>, mut left: BTreeSet<GenerationId>) {
    let [mut pause, longest] = PAUSES;
    tokio::time::sleep(GRACE).await;
    loop {
        let Some(shared) = store.upgrade() else { return };
        for id in left.clone() {
            match try_drop(&shared, id).await {
                Ok(()) => drop(left.remove(&id)),
                Err(error) => tracing::debug!(%error, generation = id.0, "a removed generation's tables are in use"),
            }
        }
        drop(shared);
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

async fn try_drop(shared: &Shared, id: GenerationId) -> Result<(), sqlx::Error> {
    let schema = shared.schema.of_generation(id);
    let (mut session, _) = shared.links.steering.begin(&shared.statements.change).await?;
    // A store that was deleted meanwhile counts its generations from 1 again.
    let known = session.rows(shared.statements.known.query().bind(id.0.cast_signed())).await?;
    if !known.is_empty() {
        return session.roll_back().await;
    }
    let there =
        session.row(sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(format!("{}.positions", schema.name())));
    if there.await?.is_some_and(|row| row.get(0)) {
        let gate = schema.text("LOCK TABLE @positions IN ACCESS EXCLUSIVE MODE NOWAIT");
        match session.script(gate.sql()).await {
            Err(error) if !tables_are_gone(&error) => return Err(error),
            _ => {}
        }
    }
    schema::discard(&mut session, &schema).await?;
    session.commit().await
}
