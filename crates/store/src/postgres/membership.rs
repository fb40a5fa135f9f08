//! What a batch of `membership` or `control` writes besides the fold's own memory.

use std::collections::BTreeMap;

use super::copy::{apart, copy};
use super::rows::{ROWS, column, delete};
use super::schema::{Schema, Text};
use super::sessions::Session;
use crate::model::{Fence, MembershipBatch, Quarantined, ScoreRow, SpanRow, TreeRow};
use crate::place;

pub(super) struct Statements {
    cards: Text,
    copy_cards: Text,
    pub(super) spans_gone: Text,
    spans: Text,
    copy_spans: Text,
    pub(super) profile_spans_gone: Text,
    profile_spans: Text,
    copy_profile_spans: Text,
    tree: Text,
    copy_tree: Text,
    pub(super) scores_gone: Text,
    scores: Text,
    counts: Text,
    not_admitted: Text,
    quarantine: Text,
    control: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        Self {
            cards: schema.text(
                "INSERT INTO @profiles (workspace, profile, card)
                 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bytea[])
                 ON CONFLICT (workspace, profile) DO UPDATE SET card = excluded.card",
            ),
            copy_cards: schema.text("COPY @profiles (workspace, profile, card) FROM STDIN (FORMAT binary)"),
            spans_gone: delete(
                schema,
                "@spans",
                "$1::bigint[], $2::boolean[], $3::bigint[], $4::uuid[]",
                &["segment", "past", "enters_at", "profile"],
            ),
            spans: schema.text(
                "INSERT INTO @spans (segment, past, enters_at, profile, leaves_at)
                 SELECT * FROM unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::uuid[], $5::bigint[])
                 ON CONFLICT (segment, past, enters_at, profile) DO UPDATE SET leaves_at = excluded.leaves_at",
            ),
            copy_spans: schema
                .text("COPY @spans (segment, past, enters_at, profile, leaves_at) FROM STDIN (FORMAT binary)"),
            profile_spans_gone: delete(
                schema,
                "@profile_spans",
                "$1::uuid[], $2::bigint[], $3::bigint[]",
                &["profile", "segment", "enters_at"],
            ),
            profile_spans: schema.text(
                "INSERT INTO @profile_spans (profile, segment, enters_at, past, leaves_at)
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::boolean[], $5::bigint[])
                 ON CONFLICT (profile, segment, enters_at) DO UPDATE
                 SET past = excluded.past, leaves_at = excluded.leaves_at",
            ),
            copy_profile_spans: schema
                .text("COPY @profile_spans (profile, segment, enters_at, past, leaves_at) FROM STDIN (FORMAT binary)"),
            tree: schema.text(
                "INSERT INTO @span_tree AS t
                   (segment, level, bucket, partition, delta, rows, last_leave, past_rows, past_leave)
                 SELECT k.segment, k.level, k.bucket, $4, k.delta, k.rows, k.last_leave, k.past_rows, k.past_leave
                 FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                             $8::bigint[], $9::bigint[])
                   AS k (segment, level, bucket, delta, rows, last_leave, past_rows, past_leave)
                 ON CONFLICT (segment, level, bucket, partition) DO UPDATE
                 SET delta = t.delta + excluded.delta, rows = t.rows + excluded.rows,
                     last_leave = greatest(t.last_leave, excluded.last_leave),
                     past_rows = t.past_rows + excluded.past_rows,
                     past_leave = greatest(t.past_leave, excluded.past_leave)",
            ),
            copy_tree: schema.text(
                "COPY @span_tree
                   (segment, level, bucket, partition, delta, rows, last_leave, past_rows, past_leave)
                 FROM STDIN (FORMAT binary)",
            ),
            scores_gone: delete(
                schema,
                "@scores",
                "$1::bigint[], $2::bytea[], $3::uuid[]",
                &["score", "place", "profile"],
            ),
            scores: schema.text(
                "INSERT INTO @scores (score, place, profile) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::uuid[])",
            ),
            counts: schema.text(
                "INSERT INTO @counts AS c (workspace, partition, what, n)
                 SELECT k.workspace, $2, k.what, k.n
                 FROM unnest($1::bigint[], $3::text[], $4::bigint[]) AS k (workspace, what, n)
                 ON CONFLICT (workspace, partition, what) DO UPDATE SET n = c.n + excluded.n",
            ),
            not_admitted: schema
                .text("INSERT INTO @not_admitted (partition, log_offset) SELECT $1, unnest($2::bigint[])"),
            quarantine: schema.text(
                "INSERT INTO @quarantine (stream, partition, log_offset, reason, record)
                 SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[])",
            ),
            control: schema.text(
                "INSERT INTO @control (log_offset, record) SELECT * FROM unnest($1::bigint[], $2::bytea[])",
            ),
        }
    }

    /// Writes a batch of `membership`.
    pub(super) async fn commit(
        &self,
        session: &mut Session,
        fence: Fence,
        batch: &MembershipBatch,
    ) -> Result<(), sqlx::Error> {
        let partition = fence.partition.cast_signed();
        self.write_cards(session, batch).await?;
        self.write_spans(session, batch).await?;
        self.write_profile_spans(session, batch).await?;
        // The first batch of a partition finds nothing of it.
        let (copied, looked_for) = if fence.expected == 0 { apart(&batch.tree) } else { (&[][..], &batch.tree[..]) };
        self.copy_tree(session, partition, copied).await?;
        self.write_tree(session, partition, looked_for).await?;
        self.write_scores(session, &self.scores_gone, &batch.removed_scores).await?;
        self.write_scores(session, &self.scores, &batch.scores).await?;
        if !batch.counts.is_empty() {
            let query = self
                .counts
                .query()
                .bind(column(&batch.counts, |row| row.workspace.map_or(-1, u64::cast_signed)))
                .bind(partition)
                .bind(column(&batch.counts, |row| row.what.name()))
                .bind(column(&batch.counts, |row| row.n));
            session.execute(query).await?;
        }
        if !batch.not_admitted.is_empty() {
            let offsets = column(&batch.not_admitted, |offset| offset.cast_signed());
            session.execute(self.not_admitted.query().bind(partition).bind(offsets)).await?;
        }
        self.write_quarantine(session, &batch.quarantine).await
    }

    async fn write_cards(&self, session: &mut Session, batch: &MembershipBatch) -> Result<(), sqlx::Error> {
        let (copied, looked_for) = apart(&batch.new.cards);
        let cards = copy(session, &self.copy_cards, 3, copied, |values, row| {
            values.bigint(row.key.workspace.cast_signed()).uuid(row.key.profile.0).bytes(&row.card);
        });
        cards.await?;
        for cards in looked_for.chunks(ROWS).chain(batch.cards.chunks(ROWS)) {
            let query = self
                .cards
                .query()
                .bind(column(cards, |row| row.key.workspace.cast_signed()))
                .bind(column(cards, |row| row.key.profile.0))
                .bind(column(cards, |row| row.card.as_slice()));
            session.execute(query).await?;
        }
        Ok(())
    }

    async fn write_spans(&self, session: &mut Session, batch: &MembershipBatch) -> Result<(), sqlx::Error> {
        for gone in batch.removed_spans.chunks(ROWS) {
            let query = self
                .spans_gone
                .query()
                .bind(column(gone, |key| key.segment))
                .bind(column(gone, |key| key.past))
                .bind(column(gone, |key| key.enters))
                .bind(column(gone, |key| key.profile.0));
            session.execute(query).await?;
        }
        let (copied, looked_for) = apart(&batch.new.spans);
        let spans = copy(session, &self.copy_spans, 5, copied, |values, row| {
            values.bigint(row.key.segment).boolean(row.key.past).bigint(row.key.enters);
            values.uuid(row.key.profile.0).bigint(row.leaves);
        });
        spans.await?;
        for spans in looked_for.chunks(ROWS).chain(batch.spans.chunks(ROWS)) {
            let query = self
                .spans
                .query()
                .bind(column(spans, |row| row.key.segment))
                .bind(column(spans, |row| row.key.past))
                .bind(column(spans, |row| row.key.enters))
                .bind(column(spans, |row| row.key.profile.0))
                .bind(column(spans, |row| row.leaves));
            session.execute(query).await?;
        }
        Ok(())
    }

    async fn write_profile_spans(&self, session: &mut Session, batch: &MembershipBatch) -> Result<(), sqlx::Error> {
        let by_profile = |row: &SpanRow| (row.key.profile, row.key.segment, row.key.enters);
        let mut new = batch.new.spans.clone();
        new.sort_unstable_by_key(by_profile);
        let (copied, looked_for) = apart(&new);
        let spans = copy(session, &self.copy_profile_spans, 5, copied, |values, row| {
            values.uuid(row.key.profile.0).bigint(row.key.segment).bigint(row.key.enters);
            values.boolean(row.key.past).bigint(row.leaves);
        });
        spans.await?;
        // What is no more first: a span that is past now is the same one to its profile.
        let gone = batch.removed_spans.iter().map(|key| (*key, None));
        let put = batch.spans.iter().chain(looked_for).map(|row| (row.key, Some(row.leaves)));
        let rows: BTreeMap<_, _> =
            gone.chain(put).map(|(key, leaves)| ((key.profile, key.segment, key.enters), (key.past, leaves))).collect();
        let (mut gone, mut put) = (Vec::new(), Vec::new());
        for (key, (past, leaves)) in rows {
            match leaves {
                None => gone.push(key),
                Some(leaves) => put.push((key, past, leaves)),
            }
        }
        for gone in gone.chunks(ROWS) {
            let query = self
                .profile_spans_gone
                .query()
                .bind(column(gone, |(profile, _, _)| profile.0))
                .bind(column(gone, |(_, segment, _)| *segment))
                .bind(column(gone, |(_, _, enters)| *enters));
            session.execute(query).await?;
        }
        for put in put.chunks(ROWS) {
            let query = self
                .profile_spans
                .query()
                .bind(column(put, |((profile, _, _), _, _)| profile.0))
                .bind(column(put, |((_, segment, _), _, _)| *segment))
                .bind(column(put, |((_, _, enters), _, _)| *enters))
                .bind(column(put, |(_, past, _)| *past))
                .bind(column(put, |(_, _, leaves)| *leaves));
            session.execute(query).await?;
        }
        Ok(())
    }

    async fn write_tree(&self, session: &mut Session, partition: i32, tree: &[TreeRow]) -> Result<(), sqlx::Error> {
        for tree in tree.chunks(ROWS) {
            let query = self
                .tree
                .query()
                .bind(column(tree, |row| row.segment))
                .bind(column(tree, level))
                .bind(column(tree, |row| row.bucket))
                .bind(partition)
                .bind(column(tree, |row| row.delta))
                .bind(column(tree, |row| row.rows[0].count))
                .bind(column(tree, |row| row.rows[0].last_leave))
                .bind(column(tree, |row| row.rows[1].count))
                .bind(column(tree, |row| row.rows[1].last_leave));
            session.execute(query).await?;
        }
        Ok(())
    }

    async fn copy_tree(&self, session: &mut Session, partition: i32, tree: &[TreeRow]) -> Result<(), sqlx::Error> {
        let copied = copy(session, &self.copy_tree, 9, tree, |values, row| {
            values.bigint(row.segment).smallint(level(row)).bigint(row.bucket).integer(partition).bigint(row.delta);
            for rows in row.rows {
                values.bigint(rows.count).bigint(rows.last_leave);
            }
        });
        copied.await
    }

    async fn write_scores(
        &self,
        session: &mut Session,
        statement: &Text,
        rows: &[ScoreRow],
    ) -> Result<(), sqlx::Error> {
        for rows in rows.chunks(ROWS) {
            let query = statement
                .query()
                .bind(column(rows, |row| row.score))
                .bind(column(rows, |row| place::of_points(row.points)))
                .bind(column(rows, |row| row.profile.0));
            session.execute(query).await?;
        }
        Ok(())
    }

    /// Writes records set aside.
    pub(super) async fn write_quarantine(
        &self,
        session: &mut Session,
        rows: &[Quarantined],
    ) -> Result<(), sqlx::Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let query = self
            .quarantine
            .query()
            .bind(column(rows, |row| row.stream.name()))
            .bind(column(rows, |row| row.partition.cast_signed()))
            .bind(column(rows, |row| row.offset.cast_signed()))
            .bind(column(rows, |row| row.reason.as_bytes()))
            .bind(column(rows, |row| row.record.as_slice()));
        session.execute(query).await.map(drop)
    }

    /// Writes records of `control`.
    pub(super) async fn write_control(
        &self,
        session: &mut Session,
        records: &[(u64, Vec<u8>)],
    ) -> Result<(), sqlx::Error> {
        if records.is_empty() {
            return Ok(());
        }
        let offsets = column(records, |(offset, _)| offset.cast_signed());
        let query = self.control.query().bind(offsets).bind(column(records, |(_, record)| record.as_slice()));
        session.execute(query).await.map(drop)
    }
}

/// Levels are below 64.
fn level(row: &TreeRow) -> i16 {
    i16::try_from(row.level).unwrap_or(i16::MAX)
}
