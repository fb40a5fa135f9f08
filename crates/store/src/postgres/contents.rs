//! All rows of a generation, in chunks: a statement that sends a whole table would be ended by its time limit.

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use weir_event::{ProfileId, Stream};

use super::errors::sort_in;
use super::schema::{Schema, Text};
use super::sessions::Session;
use super::states::profile_row;
use super::{baskets, removal_days};
use crate::baskets::{BasketRow, DaysChanges};
use crate::contents::{Contents, Table, TableRow};
use crate::error::StoreError;
use crate::model::{
    Card, Count, CountRow, GenerationId, IdChunk, ProfileKey, Progress, Quarantined, ScoreRow, SpanKey, SpanRow,
    TimelineRow, TreeRow, TreeRows,
};
use crate::place;

/// A view of everything.
pub(super) struct PgContents {
    pub(super) generation: GenerationId,
    pub(super) schema: Schema,
    pub(super) session: Session,
    pub(super) progress: Vec<Progress>,
}

/// How a table is read: a cursor is opened, and rows are fetched from it until there are none.
struct Reading {
    open: Option<Text>,
    fetch: Text,
    done: bool,
}

impl PgContents {
    fn reading(&self, table: Table) -> Reading {
        // A cursor has the table's name: what was prepared for one must not be used for another.
        let name = table.name();
        let open = format!("CLOSE ALL; DECLARE {name} NO SCROLL CURSOR FOR {}", select(table));
        // Rows of redo, and of changes, may be megabytes.
        let rows = match table {
            Table::StateRedo | Table::RemovalDaysNew => 4,
            Table::RemovalDays => 64,
            _ => 2_000,
        };
        let fetch = self.schema.text(&format!("FETCH FORWARD {rows} FROM {name}"));
        Reading { open: Some(self.schema.text(&open)), fetch, done: false }
    }

    async fn chunk(&mut self, reading: &mut Reading) -> Result<Vec<PgRow>, StoreError> {
        let failed = |e| sort_in(self.generation, "reading a whole table", e);
        if let Some(open) = reading.open.take() {
            self.session.script(open.sql()).await.map_err(failed)?;
        }
        self.session.rows(reading.fetch.query()).await.map_err(failed)
    }
}

#[async_trait]
impl Contents for PgContents {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        Ok(self.progress.clone())
    }

    fn rows(&mut self, table: Table) -> BoxStream<'_, Result<TableRow, StoreError>> {
        let reading = self.reading(table);
        let chunks = stream::try_unfold((self, reading), move |(contents, mut reading)| async move {
            if reading.done {
                return Ok(None);
            }
            let rows = contents.chunk(&mut reading).await?;
            reading.done = rows.is_empty();
            Ok(Some((rows, (contents, reading))))
        });
        let rows = chunks.map_ok(move |rows| stream::iter(rows.into_iter().map(move |row| read(table, &row))));
        rows.try_flatten().boxed()
    }
}

/// Columns are in the order of [`read`].
const fn select(table: Table) -> &'static str {
    match table {
        Table::Control => "SELECT log_offset, record FROM @control",
        Table::Profiles => "SELECT workspace, profile, card FROM @profiles",
        Table::StateRedo => "SELECT partition, rows FROM @state_redo ORDER BY partition, next",
        Table::States => "SELECT workspace, profile, last_offset, state, open_spans, event_ids, id_chunks FROM @states",
        Table::EventIds => "SELECT workspace, profile, chunk, newest, ids FROM @event_ids",
        Table::Spans => "SELECT segment, past, enters_at, profile, leaves_at FROM @spans",
        Table::ProfileSpansNew => "SELECT segment, past, enters_at, profile, leaves_at FROM @profile_spans_new",
        Table::ProfileSpans => "SELECT segment, past, enters_at, profile, leaves_at FROM @profile_spans",
        Table::SpanTree => {
            "SELECT partition, segment, level, bucket, delta, rows, last_leave, past_rows, past_leave FROM @span_tree"
        }
        Table::Scores => "SELECT score, place, profile FROM @scores",
        Table::Counts => "SELECT partition, workspace, what, n FROM @counts",
        Table::NotAdmitted => "SELECT partition, log_offset FROM @not_admitted",
        Table::Quarantine => "SELECT stream, partition, log_offset, reason, record FROM @quarantine",
        Table::Records => "SELECT partition, log_offset, record FROM @records",
        Table::TimelineNew => "SELECT workspace, profile, place, partition, log_offset FROM @timeline_new",
        Table::Baskets => "SELECT workspace, profile, state FROM @baskets",
        Table::Removals => "SELECT workspace, draft, place, profile, product, removal FROM @removals",
        Table::RemovalDaysNew => "SELECT workspace, partition, next, changes FROM @removal_days_new",
        Table::RemovalDays => "SELECT workspace, level, number, bucket, sums FROM @removal_days",
        Table::BasketCounts => "SELECT partition, workspace, what, n FROM @basket_counts",
        Table::Timeline => "SELECT workspace, profile, place, partition, log_offset FROM @timeline",
    }
}

fn read(table: Table, row: &PgRow) -> Result<TableRow, StoreError> {
    let unsigned = |column| row.get::<i64, _>(column).cast_unsigned();
    let partition = |column| row.get::<i32, _>(column).cast_unsigned();
    Ok(match table {
        Table::Control => TableRow::Control(unsigned(0), row.get(1)),
        Table::Profiles => TableRow::Card(Card { key: key(row), card: row.get(2) }),
        Table::StateRedo => TableRow::Redo(partition(0), row.get(1)),
        Table::States => TableRow::State(profile_row(row)),
        Table::EventIds => {
            TableRow::IdChunk(IdChunk { key: key(row), chunk: unsigned(2), newest: row.get(3), ids: row.get(4) })
        }
        Table::Spans => TableRow::Span(SpanRow { key: span(row), leaves: row.get(4) }),
        Table::ProfileSpansNew | Table::ProfileSpans => TableRow::ProfileSpan(span(row), row.get(4)),
        Table::SpanTree => TableRow::Tree(partition(0), tree(row)?),
        Table::Scores => TableRow::Score(score(row)?),
        Table::Counts | Table::BasketCounts => TableRow::Count(partition(0), count(row, 1)?),
        Table::Baskets => TableRow::Basket(BasketRow { key: key(row), state: row.get(2) }),
        Table::Removals => TableRow::Removal(baskets::removal(row)),
        Table::RemovalDaysNew => {
            let changes = DaysChanges { workspace: unsigned(0), changes: row.get(3) };
            TableRow::RemovalDaysNew(partition(1), unsigned(2), changes)
        }
        Table::RemovalDays => TableRow::RemovalDays(removal_days::row(row)),
        Table::NotAdmitted => TableRow::NotAdmitted(partition(0), unsigned(1)),
        Table::Quarantine => TableRow::Quarantined(quarantined(row)?),
        Table::Records => TableRow::Record(partition(0), unsigned(1), row.get(2)),
        Table::TimelineNew | Table::Timeline => TableRow::Place(TimelineRow {
            key: key(row),
            place: row.get(2),
            partition: partition(3),
            offset: unsigned(4),
            record: Vec::new(),
        }),
    })
}

/// Of the columns workspace and profile, in front.
fn key(row: &PgRow) -> ProfileKey {
    ProfileKey { workspace: row.get::<i64, _>(0).cast_unsigned(), profile: ProfileId(row.get(1)) }
}

fn span(row: &PgRow) -> SpanKey {
    SpanKey { segment: row.get(0), past: row.get(1), enters: row.get(2), profile: ProfileId(row.get(3)) }
}

fn tree(row: &PgRow) -> Result<TreeRow, StoreError> {
    let rows = |count, last_leave| TreeRows { count: row.get(count), last_leave: row.get(last_leave) };
    Ok(TreeRow {
        segment: row.get(1),
        level: u32::try_from(row.get::<i16, _>(2)).map_err(|_| StoreError::Damaged("a level is below zero"))?,
        bucket: row.get(3),
        delta: row.get(4),
        rows: [rows(5, 6), rows(7, 8)],
    })
}

fn score(row: &PgRow) -> Result<ScoreRow, StoreError> {
    let points = row.get::<&[u8], _>(1).try_into();
    let points = points.map_err(|_| StoreError::Damaged("a score's place is not 16 bytes"))?;
    Ok(ScoreRow { score: row.get(0), points: place::to_points(points), profile: ProfileId(row.get(2)) })
}

/// A count from the columns workspace, name and number from `first` on.
pub(super) fn count(row: &PgRow, first: usize) -> Result<CountRow, StoreError> {
    let name: &str = row.get(first + 1);
    let what = Count::ALL
        .into_iter()
        .find(|what| what.name() == name)
        .ok_or(StoreError::Damaged("an unknown count in `counts` or `basket_counts`"))?;
    Ok(CountRow { workspace: u64::try_from(row.get::<i64, _>(first)).ok(), what, n: row.get(first + 2) })
}

/// A record set aside.
pub(super) fn quarantined(row: &PgRow) -> Result<Quarantined, StoreError> {
    let reason = String::from_utf8(row.get(3));
    Ok(Quarantined {
        stream: Stream::parse(row.get(0)).ok_or(StoreError::Damaged("an unknown stream"))?,
        partition: row.get::<i32, _>(1).cast_unsigned(),
        offset: row.get::<i64, _>(2).cast_unsigned(),
        reason: reason.map_err(|_| StoreError::Damaged("a reason is not UTF-8"))?,
        record: row.get(4),
    })
}
