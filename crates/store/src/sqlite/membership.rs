//! What a batch of `membership` writes besides the fold's own memory.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnection;

use super::rows::{Many, id};
use super::states;
use super::waiting::Waiting;
use crate::model::{Fence, MembershipBatch, Quarantined, SpanKey};
use crate::place;

const CARDS: Many = Many {
    head: "INSERT INTO profiles (workspace, profile, card)",
    columns: 3,
    tail: "ON CONFLICT DO UPDATE SET card = excluded.card",
};
pub(super) const SPANS_GONE: Many =
    Many { head: "DELETE FROM spans WHERE (segment, past, enters_at, profile) IN (", columns: 4, tail: ")" };
const SPANS: Many = Many {
    head: "INSERT INTO spans (segment, past, enters_at, profile, leaves_at)",
    columns: 5,
    tail: "ON CONFLICT DO UPDATE SET leaves_at = excluded.leaves_at",
};
const PROFILE_SPANS: Many = Many {
    head: "INSERT INTO profile_spans_new (profile, segment, enters_at, past, leaves_at)",
    columns: 5,
    tail: "ON CONFLICT DO UPDATE SET past = excluded.past, leaves_at = excluded.leaves_at",
};
/// Spans by profile that wait.
pub(super) const fn waiting_spans() -> Waiting {
    Waiting::new(
        "profile_spans_new",
        &[
            "INSERT INTO profile_spans (profile, segment, enters_at, past, leaves_at)
         SELECT profile, segment, enters_at, past, leaves_at FROM profile_spans_new
         WHERE profile > ?1 AND profile <= ?2 AND leaves_at IS NOT NULL
         ON CONFLICT DO UPDATE SET past = excluded.past, leaves_at = excluded.leaves_at",
            "DELETE FROM profile_spans WHERE (profile, segment, enters_at) IN
         (SELECT profile, segment, enters_at FROM profile_spans_new
          WHERE profile > ?1 AND profile <= ?2 AND leaves_at IS NULL)",
            "DELETE FROM profile_spans_new WHERE profile > ?1 AND profile <= ?2",
        ],
    )
}
const TREE: Many = Many {
    head: "INSERT INTO span_tree
           (segment, level, bucket, partition, delta, rows, last_leave, past_rows, past_leave)",
    columns: 9,
    tail: "ON CONFLICT DO UPDATE SET delta = delta + excluded.delta,
           rows = rows + excluded.rows, last_leave = max(last_leave, excluded.last_leave),
           past_rows = past_rows + excluded.past_rows, past_leave = max(past_leave, excluded.past_leave)",
};
pub(super) const SCORES_GONE: Many =
    Many { head: "DELETE FROM scores WHERE (score, place, profile) IN (", columns: 3, tail: ")" };
const SCORES: Many = Many { head: "INSERT INTO scores (score, place, profile)", columns: 3, tail: "" };
const COUNTS: Many = Many {
    head: "INSERT INTO counts (workspace, partition, what, n)",
    columns: 4,
    tail: "ON CONFLICT DO UPDATE SET n = n + excluded.n",
};
const NOT_ADMITTED: Many = Many { head: "INSERT INTO not_admitted (partition, log_offset)", columns: 2, tail: "" };
const QUARANTINE: Many =
    Many { head: "INSERT INTO quarantine (stream, partition, log_offset, reason, record)", columns: 5, tail: "" };
const CONTROL: Many = Many { head: "INSERT INTO control (log_offset, record)", columns: 2, tail: "" };

/// Writes a batch of `membership`.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    waiting: &Waiting,
    fence: Fence,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    states::write_redo(connection, fence, batch).await?;
    states::write(connection, batch).await?;
    for cards in [&batch.new.cards, &batch.cards] {
        let cards = CARDS.write(connection, cards, |query, row| {
            query.bind(row.key.workspace.cast_signed()).bind(id(row.key.profile)).bind(row.card.clone())
        });
        cards.await?;
    }
    write_spans(connection, waiting, fence.partition, batch).await?;
    write_scores(connection, batch).await?;
    let counts = COUNTS.write(connection, &batch.counts, |query, row| {
        let workspace = row.workspace.map_or(-1, u64::cast_signed);
        query.bind(workspace).bind(fence.partition).bind(row.what.name()).bind(row.n)
    });
    counts.await?;
    let not_admitted = NOT_ADMITTED
        .write(connection, &batch.not_admitted, |query, offset| query.bind(fence.partition).bind(offset.cast_signed()));
    not_admitted.await?;
    write_quarantine(connection, &batch.quarantine).await
}

async fn write_spans(
    connection: &mut SqliteConnection,
    waiting: &Waiting,
    partition: u32,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    let gone = SPANS_GONE.write(connection, &batch.removed_spans, |query, key| {
        query.bind(key.segment).bind(key.past).bind(key.enters).bind(id(key.profile))
    });
    gone.await?;
    for spans in [&batch.new.spans, &batch.spans] {
        let spans = SPANS.write(connection, spans, |query, row| {
            let SpanKey { segment, past, enters, profile } = row.key;
            query.bind(segment).bind(past).bind(enters).bind(id(profile)).bind(row.leaves)
        });
        spans.await?;
    }
    write_profile_spans(connection, waiting, batch).await?;
    let tree = TREE.write(connection, &batch.tree, |query, row| {
        let [rows, past] = row.rows;
        query
            .bind(row.segment)
            .bind(row.level)
            .bind(row.bucket)
            .bind(partition)
            .bind(row.delta)
            .bind(rows.count)
            .bind(rows.last_leave)
            .bind(past.count)
            .bind(past.last_leave)
    });
    tree.await
}

async fn write_profile_spans(
    connection: &mut SqliteConnection,
    waiting: &Waiting,
    batch: &MembershipBatch,
) -> Result<(), sqlx::Error> {
    // What is no more first: a span that is past now is the same one to its profile.
    let gone = batch.removed_spans.iter().map(|key| (*key, None));
    let put = batch.spans.iter().chain(&batch.new.spans).map(|row| (row.key, Some(row.leaves)));
    let rows: BTreeMap<_, _> =
        gone.chain(put).map(|(key, leaves)| ((key.profile, key.segment, key.enters), (key.past, leaves))).collect();
    let rows: Vec<_> = rows.into_iter().collect();
    let spans = PROFILE_SPANS.write(connection, &rows, |query, ((profile, segment, enters), (past, leaves))| {
        query.bind(id(*profile)).bind(*segment).bind(*enters).bind(*past).bind(*leaves)
    });
    spans.await?;
    waiting.settle(connection, rows.len()).await
}

async fn write_scores(connection: &mut SqliteConnection, batch: &MembershipBatch) -> Result<(), sqlx::Error> {
    for (statement, rows) in [(SCORES_GONE, &batch.removed_scores), (SCORES, &batch.scores)] {
        let scores = statement.write(connection, rows, |query, row| {
            query.bind(row.score).bind(place::of_points(row.points).to_vec()).bind(id(row.profile))
        });
        scores.await?;
    }
    Ok(())
}

/// Writes records set aside.
pub(super) async fn write_quarantine(
    connection: &mut SqliteConnection,
    rows: &[Quarantined],
) -> Result<(), sqlx::Error> {
    let quarantine = QUARANTINE.write(connection, rows, |query, row| {
        query
            .bind(row.stream.name())
            .bind(row.partition)
            .bind(row.offset.cast_signed())
            .bind(row.reason.clone())
            .bind(row.record.clone())
    });
    quarantine.await
}

/// Writes records of `control`.
pub(super) async fn write_control(
    connection: &mut SqliteConnection,
    records: &[(u64, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    let control = CONTROL
        .write(connection, records, |query, (offset, record)| query.bind(offset.cast_signed()).bind(record.clone()));
    control.await
}
