//! Which index each statement uses. There are no statistics, so a plan is the same for ten rows and ten million.

use std::path::Path;

use sqlx::sqlite::SqlitePool;
use sqlx::{AssertSqlSafe, Row as _};
use tempfile::TempDir;

use super::files::File;
use super::waiting::Waiting;
use super::{baskets, generation, membership, removal_days, states, timeline, view};

async fn plan(pool: &SqlitePool, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(explain).fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get(3)).collect()
}

/// Each statement seeks as the key says, scans nothing but rows that came with it, and sorts nothing.
async fn check(pool: &SqlitePool, statements: &[(String, &str)]) {
    for (statement, seek) in statements {
        let plan = plan(pool, statement).await;
        assert!(plan.iter().any(|step| step.starts_with("SEARCH") && step.ends_with(seek)), "{statement}: {plan:?}");
        for step in &plan {
            let ours = |step: &str| {
                ["VALUES CLAUSE", "CONSTANT ROW", "(subquery-", "SCAN t"].iter().any(|own| step.contains(own))
            };
            assert!(!step.starts_with("SCAN") || ours(step), "{statement}: {plan:?}");
            // A page's rows may be put in order once they are picked.
            let page = statement.ends_with("ORDER BY t.place DESC, t.partition DESC, t.log_offset DESC")
                || statement.contains("UNION ALL SELECT * FROM (SELECT workspace, draft");
            assert!(page || !step.contains("TEMP B-TREE"), "{statement}: {plan:?}");
        }
    }
}

async fn open(directory: &Path, schema: &'static str) -> File {
    File::open(&directory.join("file.db"), schema, 1).await.unwrap().unwrap()
}

#[tokio::test]
async fn statements_over_tables_seek() {
    let directory = TempDir::new().unwrap();
    let file = open(directory.path(), generation::TABLES).await;
    let mut statements = vec![
        (view::spans_query(), "(segment=? AND past=? AND (enters_at,profile)>(?,?) AND enters_at<?)"),
        (view::scan_end_query(), "(segment=? AND past=? AND (enters_at,profile)>(?,?) AND enters_at<?)"),
        (view::stretch_query(false), "(segment=? AND level=? AND bucket>? AND bucket<?)"),
        (view::stretch_query(true), "(segment=? AND level=? AND bucket>? AND bucket<?)"),
        (view::tally_query(5), "(segment=? AND level=? AND bucket>? AND bucket<?)"),
        (view::spans_of_query(1), "(profile=? AND segment=?)"),
        (view::spans_of_query(50), "(profile=? AND segment=?)"),
        (view::SCORES.to_owned(), "(score=? AND (place,profile)>(?,?))"),
        (view::CONTROL.to_owned(), "INTEGER PRIMARY KEY (rowid>?)"),
        (generation::NOT_ADMITTED.to_owned(), "(partition=? AND log_offset>? AND log_offset<?)"),
        (states::REDO.to_owned(), "(partition=?)"),
        (states::REDO_DONE.to_owned(), "(partition=? AND next<?)"),
        (states::CHUNKS.to_owned(), "(workspace=? AND profile=?)"),
    ];
    for rows in [1, 2, 512] {
        statements.extend([
            (states::READ.statement(rows), "(workspace=? AND profile=?)"),
            (view::CARDS.statement(rows), "(workspace=? AND profile=?)"),
            (states::DROP_CHUNKS.statement(rows), "(workspace=? AND profile=? AND chunk=?)"),
            (membership::SPANS_GONE.statement(rows), "(segment=? AND past=? AND enters_at=? AND profile=?)"),
            (membership::SCORES_GONE.statement(rows), "(score=? AND place=? AND profile=?)"),
        ]);
    }
    check(&file.readers, &statements).await;
    check(&file.readers, &moving(&membership::waiting_spans())).await;
}

/// The statements that move waiting rows: a stretch of profiles at a time.
fn moving(waiting: &Waiting) -> Vec<(String, &'static str)> {
    let moves = waiting.moves.iter().map(|statement| ((*statement).to_owned(), "(profile>? AND profile<?)"));
    moves.chain([(waiting.last_of_turn(), "(profile>?)")]).collect()
}

#[tokio::test]
async fn statements_over_the_timeline_seek() {
    let directory = TempDir::new().unwrap();
    let file = open(directory.path(), generation::TIMELINE).await;
    let mut statements = vec![
        (timeline::events_query(true), "(profile=? AND workspace=? AND place<?)"),
        (timeline::events_query(true), "(partition=? AND log_offset=?)"),
        (timeline::events_query(false), "(profile=? AND workspace=?)"),
        (removal_days::stretches_query(1), "(workspace=? AND level=? AND number>? AND number<?)"),
        (removal_days::stretches_query(12), "(workspace=? AND level=? AND number>? AND number<?)"),
        (removal_days::CHANGES.to_owned(), "(workspace=?)"),
    ];
    for rows in [1, 512] {
        statements.extend([
            (baskets::READ.statement(rows), "(workspace=? AND profile=?)"),
            (removal_days::ROWS.statement(rows), "(workspace=? AND level=? AND number=? AND bucket=?)"),
            (removal_days::GONE.statement(rows), "(workspace=? AND level=? AND number=? AND bucket=?)"),
            (removal_days::WAITING.statement(rows), "(workspace=? AND partition=? AND next=?)"),
            (removal_days::FORGET.statement(rows), "(workspace=? AND partition=? AND next=?)"),
            (baskets::GONE.statement(rows), "(workspace=? AND draft=? AND place=? AND profile=? AND product=?)"),
        ]);
    }
    statements.push((baskets::latest_query(3), "(workspace=? AND product=? AND draft=? AND place>? AND place<?)"));
    for (product, after, seek) in [
        (false, false, "(workspace=? AND draft=? AND place>? AND place<?)"),
        (false, true, "(workspace=? AND draft=? AND place>? AND (place,profile,product)<(?,?,?))"),
        (true, false, "(workspace=? AND product=? AND draft=? AND place>? AND place<?)"),
        (true, true, "(workspace=? AND product=? AND draft=? AND place>? AND (place,profile)<(?,?))"),
    ] {
        for draft in [None, Some(true), Some(false)] {
            statements.push((baskets::removals_query(draft, product, after), seek));
        }
    }
    check(&file.readers, &statements).await;
    check(&file.readers, &moving(&timeline::waiting_places())).await;
}
