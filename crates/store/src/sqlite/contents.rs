//! All rows of a generation.

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use sqlx::Transaction;
use sqlx::sqlite::{Sqlite, SqliteRow};
use weir_event::Stream;

use super::rows::{get, profile_id};
use super::{baskets, positions, removal_days};
use crate::baskets::DaysChanges;
use crate::contents::{Contents, Table, TableRow};
use crate::error::StoreError;
use crate::model::{
    Card, Count, CountRow, IdChunk, ProfileKey, ProfileRow, Progress, Quarantined, ScoreRow, SpanKey, SpanRow,
    TimelineRow, TreeRow, TreeRows,
};
use crate::place;

/// A view of both files.
pub(super) struct SqliteContents {
    pub(super) tables: Transaction<'static, Sqlite>,
    pub(super) timeline: Transaction<'static, Sqlite>,
}

#[async_trait]
impl Contents for SqliteContents {
    async fn progress(&mut self) -> Result<Vec<Progress>, StoreError> {
        let mut all = positions::read(&mut self.tables).await?;
        all.extend(positions::read(&mut self.timeline).await?);
        all.sort();
        Ok(all)
    }

    fn rows(&mut self, table: Table) -> BoxStream<'_, Result<TableRow, StoreError>> {
        let file = match table {
            Table::Records
            | Table::TimelineNew
            | Table::Timeline
            | Table::Baskets
            | Table::Removals
            | Table::RemovalDaysNew
            | Table::RemovalDays
            | Table::BasketCounts => &mut self.timeline,
            _ => &mut self.tables,
        };
        let rows = sqlx::query(select(table)).fetch(&mut **file);
        rows.map(move |row| read(table, &row.map_err(|e| StoreError::from_sqlx("reading a whole table", e))?)).boxed()
    }
}

/// Columns are in the order of [`read`].
const fn select(table: Table) -> &'static str {
    match table {
        Table::Control => "SELECT log_offset, record FROM control",
        Table::Profiles => "SELECT workspace, profile, card FROM profiles",
        Table::StateRedo => "SELECT partition, rows FROM state_redo ORDER BY partition, next",
        Table::States => "SELECT workspace, profile, last_offset, state, open_spans, event_ids, id_chunks FROM states",
        Table::EventIds => "SELECT workspace, profile, chunk, newest, ids FROM event_ids",
        Table::Spans => "SELECT segment, past, enters_at, profile, leaves_at FROM spans",
        Table::ProfileSpansNew => "SELECT segment, past, enters_at, profile, leaves_at FROM profile_spans_new",
        Table::ProfileSpans => "SELECT segment, past, enters_at, profile, leaves_at FROM profile_spans",
        Table::SpanTree => {
            "SELECT partition, segment, level, bucket, delta, rows, last_leave, past_rows, past_leave FROM span_tree"
        }
        Table::Scores => "SELECT score, place, profile FROM scores",
        Table::Counts => "SELECT partition, workspace, what, n FROM counts",
        Table::NotAdmitted => "SELECT partition, log_offset FROM not_admitted",
        Table::Quarantine => "SELECT stream, partition, log_offset, reason, record FROM quarantine",
        Table::Records => "SELECT partition, log_offset, record FROM records",
        Table::TimelineNew => "SELECT workspace, profile, place, partition, log_offset FROM timeline_new",
        Table::Baskets => "SELECT workspace, profile, state FROM baskets",
        Table::Removals => "SELECT workspace, draft, place, profile, product, removal FROM removals",
        Table::RemovalDaysNew => "SELECT workspace, partition, next, changes FROM removal_days_new",
        Table::RemovalDays => "SELECT workspace, level, number, bucket, sums FROM removal_days",
        Table::BasketCounts => "SELECT partition, workspace, what, n FROM basket_counts",
        Table::Timeline => "SELECT workspace, profile, place, partition, log_offset FROM timeline",
    }
}

fn read(table: Table, row: &SqliteRow) -> Result<TableRow, StoreError> {
    let unsigned = |column| Ok::<_, StoreError>(get::<i64>(row, column)?.cast_unsigned());
    Ok(match table {
        Table::Control => TableRow::Control(unsigned(0)?, get(row, 1)?),
        Table::Profiles => TableRow::Card(Card { key: key(row)?, card: get(row, 2)? }),
        Table::StateRedo => TableRow::Redo(get(row, 0)?, get(row, 1)?),
        Table::States => TableRow::State(ProfileRow {
            key: key(row)?,
            last_offset: unsigned(2)?,
            state: get(row, 3)?,
            open_spans: get(row, 4)?,
            event_ids: get(row, 5)?,
            id_chunks: get(row, 6)?,
        }),
        Table::EventIds => {
            TableRow::IdChunk(IdChunk { key: key(row)?, chunk: unsigned(2)?, newest: get(row, 3)?, ids: get(row, 4)? })
        }
        Table::Spans => TableRow::Span(SpanRow { key: span(row)?, leaves: get(row, 4)? }),
        Table::ProfileSpansNew | Table::ProfileSpans => TableRow::ProfileSpan(span(row)?, get(row, 4)?),
        Table::SpanTree => TableRow::Tree(get(row, 0)?, tree(row)?),
        Table::Scores => TableRow::Score(score(row)?),
        Table::Counts | Table::BasketCounts => TableRow::Count(get(row, 0)?, count(row)?),
        Table::Baskets => TableRow::Basket(baskets::basket(row)?),
        Table::Removals => TableRow::Removal(baskets::removal(row)?),
        Table::RemovalDaysNew => {
            let changes = DaysChanges { workspace: unsigned(0)?, changes: get(row, 3)? };
            TableRow::RemovalDaysNew(get(row, 1)?, unsigned(2)?, changes)
        }
        Table::RemovalDays => TableRow::RemovalDays(removal_days::row(row)?),
        Table::NotAdmitted => TableRow::NotAdmitted(get(row, 0)?, unsigned(1)?),
        Table::Quarantine => TableRow::Quarantined(Quarantined {
            stream: Stream::parse(get(row, 0)?).ok_or(StoreError::Damaged("an unknown stream"))?,
            partition: get(row, 1)?,
            offset: unsigned(2)?,
            reason: get(row, 3)?,
            record: get(row, 4)?,
        }),
        Table::Records => TableRow::Record(get(row, 0)?, unsigned(1)?, get(row, 2)?),
        Table::TimelineNew | Table::Timeline => TableRow::Place(TimelineRow {
            key: key(row)?,
            place: get(row, 2)?,
            partition: get(row, 3)?,
            offset: unsigned(4)?,
            record: Vec::new(),
        }),
    })
}

/// Of the columns workspace and profile, in front.
pub(super) fn key(row: &SqliteRow) -> Result<ProfileKey, StoreError> {
    Ok(ProfileKey { workspace: get::<i64>(row, 0)?.cast_unsigned(), profile: profile_id(get(row, 1)?)? })
}

fn span(row: &SqliteRow) -> Result<SpanKey, StoreError> {
    Ok(SpanKey { segment: get(row, 0)?, past: get(row, 1)?, enters: get(row, 2)?, profile: profile_id(get(row, 3)?)? })
}

fn tree(row: &SqliteRow) -> Result<TreeRow, StoreError> {
    let rows = |count, last_leave| {
        Ok::<_, StoreError>(TreeRows { count: get(row, count)?, last_leave: get(row, last_leave)? })
    };
    Ok(TreeRow {
        segment: get(row, 1)?,
        level: get(row, 2)?,
        bucket: get(row, 3)?,
        delta: get(row, 4)?,
        rows: [rows(5, 6)?, rows(7, 8)?],
    })
}

fn score(row: &SqliteRow) -> Result<ScoreRow, StoreError> {
    let points = get::<Vec<u8>>(row, 1)?.try_into().map_err(|_| StoreError::Damaged("points of a strange length"))?;
    Ok(ScoreRow { score: get(row, 0)?, points: place::to_points(points), profile: profile_id(get(row, 2)?)? })
}

/// A count from the columns workspace, name and number after the first.
pub(super) fn count(row: &SqliteRow) -> Result<CountRow, StoreError> {
    let name: &str = get(row, 2)?;
    let what = Count::ALL
        .into_iter()
        .find(|what| what.name() == name)
        .ok_or(StoreError::Damaged("an unknown count in `counts` or `basket_counts`"))?;
    Ok(CountRow { workspace: u64::try_from(get::<i64>(row, 1)?).ok(), what, n: get(row, 3)? })
}
