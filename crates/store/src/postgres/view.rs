//! What readers ask: each view is one `REPEATABLE READ` transaction.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use weir_event::{ProfileId, Stream};

use super::errors::sort_in;
use super::rows::{column, limit_of};
use super::schema::{Schema, Text};
use super::sessions::{Bound, Session};
use super::{contents, generation};
use crate::error::StoreError;
use crate::model::{Card, CountRow, GenerationId, ProfileKey, Progress, Quarantined, ScoreRow, SpanKey, SpanRow};
use crate::place;
use crate::traits::{SpanRange, SpanView, View};

pub(super) struct Statements {
    pub(super) cards: Text,
    pub(super) control: Text,
    pub(super) scores: Text,
    counts: Text,
    quarantine: Text,
    /// Of a range from its beginning, and after a place.
    pub(super) spans: [Text; 2],
    pub(super) scan_end: [Text; 2],
    /// Of spans that are not past, and of those that are.
    pub(super) stretch: [Text; 2],
    pub(super) tally: Text,
    pub(super) spans_of: Text,
}

impl Statements {
    pub(super) fn new(schema: &Schema) -> Self {
        // The part of the order that a range speaks of, from its beginning and after the place that two values name.
        let ranges = |after: &str, text: &dyn Fn(&str) -> String| {
            ["", after].map(|after| {
                schema.text(&text(&format!(
                    "FROM @spans WHERE segment = $1 AND past = $2 AND enters_at <= $3 {after}
                     ORDER BY enters_at, profile"
                )))
            })
        };
        // A stretch's rows are one of each partition: what one added another may have taken away.
        let stretch = |rows: &str, leave: &str| {
            schema.text(&format!(
                "SELECT bucket FROM @span_tree WHERE segment = $1 AND level = $2 AND bucket >= $3 AND bucket < $4
                 GROUP BY bucket HAVING sum({rows}) > 0 AND max({leave}) > $5 ORDER BY bucket LIMIT 1"
            ))
        };
        Self {
            cards: schema.text(
                "SELECT p.workspace, p.profile, p.card
                 FROM unnest($1::bigint[], $2::uuid[]) AS k (workspace, profile) CROSS JOIN LATERAL
                   (SELECT * FROM @profiles p WHERE p.workspace = k.workspace AND p.profile = k.profile OFFSET 0) AS p",
            ),
            control: schema.text("SELECT log_offset, record FROM @control WHERE log_offset >= $1 ORDER BY log_offset"),
            scores: schema.text(
                "SELECT place, profile FROM @scores WHERE score = $1 AND (place, profile) > ($2, $3)
                 ORDER BY place, profile LIMIT $4",
            ),
            counts: schema.text("SELECT workspace, what, sum(n)::bigint FROM @counts GROUP BY workspace, what"),
            quarantine: schema.text(
                "SELECT stream, partition, log_offset, reason, record FROM @quarantine
                 WHERE (stream, partition, log_offset) >= ($1, $2, $3)
                 ORDER BY stream, partition, log_offset LIMIT $4",
            ),
            // Those of the first $4 that leave after $5.
            spans: ranges("AND (enters_at, profile) > ($7, $8)", &|range| {
                format!(
                    "SELECT enters_at, profile, leaves_at FROM
                       (SELECT enters_at, profile, leaves_at {range} LIMIT $4) AS s
                     WHERE leaves_at > $5 LIMIT $6"
                )
            }),
            // The one behind the first $4.
            scan_end: ranges("AND (enters_at, profile) > ($5, $6)", &|range| {
                format!("SELECT enters_at, profile {range} LIMIT 1 OFFSET $4")
            }),
            stretch: [stretch("rows", "last_leave"), stretch("past_rows", "past_leave")],
            // A sum for each stretch, not a join of all: the planner can't but seek for each.
            tally: schema.text(
                "SELECT coalesce(sum(t.n), 0)::bigint
                 FROM unnest($2::smallint[], $3::bigint[], $4::bigint[]) AS s (level, first, after)
                 CROSS JOIN LATERAL
                   (SELECT sum(delta) AS n FROM @span_tree
                    WHERE segment = $1 AND level = s.level AND bucket >= s.first AND bucket < s.after) AS t",
            ),
            spans_of: schema.text(
                "SELECT segment, past, enters_at, leaves_at FROM @profile_spans
                 WHERE profile = $1 AND segment = ANY($2)",
            ),
        }
    }
}

/// A view of all tables but the timeline.
pub(super) struct PgView {
    pub(super) generation: GenerationId,
    pub(super) statements: Arc<generation::Statements>,
    pub(super) session: Session,
    pub(super) progress: Vec<Progress>,
}

impl PgView {
    async fn rows(&mut self, what: &'static str, query: Bound) -> Result<Vec<PgRow>, StoreError> {
        self.session.rows(query).await.map_err(|e| sort_in(self.generation, what, e))
    }
}

#[async_trait]
impl View for PgView {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        Ok(self.progress.clone())
    }

    async fn control(&mut self, from: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let query = self.statements.view.control.query().bind(from.cast_signed());
        let rows = self.rows("reading control records", query).await?;
        Ok(rows.iter().map(|row| (row.get::<i64, _>(0).cast_unsigned(), row.get(1))).collect())
    }

    async fn cards(&mut self, keys: &[ProfileKey]) -> Result<Vec<Card>, StoreError> {
        let workspaces = column(keys, |key| key.workspace.cast_signed());
        let query = self.statements.view.cards.query().bind(workspaces).bind(column(keys, |key| key.profile.0));
        let rows = self.rows("reading profiles", query).await?;
        let card = |row: &PgRow| {
            let key = ProfileKey { workspace: row.get::<i64, _>(0).cast_unsigned(), profile: ProfileId(row.get(1)) };
            Card { key, card: row.get(2) }
        };
        Ok(rows.iter().map(card).collect())
    }

    async fn scores(
        &mut self,
        score: i64,
        after: Option<(i128, ProfileId)>,
        limit: usize,
    ) -> Result<Vec<ScoreRow>, StoreError> {
        // Before every place: the empty one.
        let (place, profile) =
            after.map_or_else(Default::default, |(points, profile)| (place::of_points(points).to_vec(), profile.0));
        let query = self.statements.view.scores.query();
        let query = query.bind(score).bind(place).bind(profile).bind(limit_of(limit));
        let rows = self.rows("reading a score's list", query).await?;
        let score_row = |row: &PgRow| {
            let place: &[u8] = row.get(0);
            let place = place.try_into().map_err(|_| StoreError::Damaged("a score's place is not 16 bytes"))?;
            Ok(ScoreRow { score, points: place::to_points(place), profile: ProfileId(row.get(1)) })
        };
        rows.iter().map(score_row).collect()
    }

    async fn counts(&mut self) -> Result<Vec<CountRow>, StoreError> {
        let query = self.statements.view.counts.query();
        let rows = self.rows("reading counts", query).await?;
        rows.iter().map(|row| contents::count(row, 0)).collect()
    }

    async fn quarantine(
        &mut self,
        from: Option<(Stream, u32, u64)>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        // Before every record: the empty name.
        let (stream, partition, offset) =
            from.map_or(("", 0, 0), |(stream, partition, offset)| (stream.name(), partition, offset));
        let query = self.statements.view.quarantine.query();
        let query = query.bind(stream).bind(i32::try_from(partition).unwrap_or(i32::MAX)).bind(offset.cast_signed());
        let query = query.bind(limit_of(limit));
        let rows = self.rows("reading the quarantine", query).await?;
        rows.iter().map(contents::quarantined).collect()
    }
}

/// The statement for a range with or without a beginning, and what it says of the part of the order.
fn in_range(range: &SpanRange, [from_the_start, after_a_place]: &[Text; 2]) -> Bound {
    let statement = if range.after.is_some() { after_a_place } else { from_the_start };
    statement.query().bind(range.segment).bind(range.past).bind(range.enters_until)
}

/// Binds the place after which a range begins, the last of a statement's values.
fn after(query: Bound, range: &SpanRange) -> Bound {
    match range.after {
        Some((enters, profile)) => query.bind(enters).bind(profile.0),
        None => query,
    }
}

#[async_trait]
impl SpanView for PgView {
    async fn spans(&mut self, range: &SpanRange, scan: usize, limit: usize) -> Result<Vec<SpanRow>, StoreError> {
        let query = in_range(range, &self.statements.view.spans);
        let query = query.bind(limit_of(scan)).bind(range.leaves_after).bind(limit_of(limit));
        let rows = self.rows("reading members", after(query, range)).await?;
        let span = |row: &PgRow| {
            let (segment, past) = (range.segment, range.past);
            let key = SpanKey { segment, past, enters: row.get(0), profile: ProfileId(row.get(1)) };
            SpanRow { key, leaves: row.get(2) }
        };
        Ok(rows.iter().map(span).collect())
    }

    async fn scan_end(&mut self, range: &SpanRange, scan: usize) -> Result<Option<(i64, ProfileId)>, StoreError> {
        let query = in_range(range, &self.statements.view.scan_end).bind(limit_of(scan.saturating_sub(1)));
        let rows = self.rows("reading members", after(query, range)).await?;
        Ok(rows.first().map(|row| (row.get(0), ProfileId(row.get(1)))))
    }

    async fn next_stretch(
        &mut self,
        range: &SpanRange,
        level: u32,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, StoreError> {
        let query = self.statements.view.stretch[usize::from(range.past)].query();
        let query = query.bind(range.segment).bind(small(level)).bind(from).bind(to).bind(range.leaves_after);
        Ok(self.rows("reading the span tree", query).await?.first().map(|row| row.get(0)))
    }

    async fn tally(&mut self, segment: i64, stretches: &[(u32, i64, i64)]) -> Result<i64, StoreError> {
        let query = self
            .statements
            .view
            .tally
            .query()
            .bind(segment)
            .bind(column(stretches, |(level, _, _)| small(*level)))
            .bind(column(stretches, |(_, from, _)| *from))
            .bind(column(stretches, |(_, _, to)| *to));
        Ok(self.rows("counting members", query).await?.first().map_or(0, |row| row.get(0)))
    }

    async fn spans_of(&mut self, profile: ProfileId, segments: &[i64]) -> Result<Vec<SpanRow>, StoreError> {
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let query = self.statements.view.spans_of.query().bind(profile.0).bind(segments.to_vec());
        let rows = self.rows("reading a profile's segments", query).await?;
        let span = |row: &PgRow| SpanRow {
            key: SpanKey { segment: row.get(0), past: row.get(1), enters: row.get(2), profile },
            leaves: row.get(3),
        };
        let mut rows: Vec<SpanRow> = rows.iter().map(span).collect();
        rows.sort_unstable_by_key(|row| (row.key.segment, row.key.enters));
        Ok(rows)
    }
}

/// A level of the tree as its column has it; levels are below 64.
pub(super) fn small(level: u32) -> i16 {
    i16::try_from(level).unwrap_or(i16::MAX)
}
