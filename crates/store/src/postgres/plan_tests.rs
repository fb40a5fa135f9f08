//! Which index each statement uses, whatever the planner knows of the tables: nothing, that they are empty, or how full
//! they are.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::PgStore;
use super::generation::Statements;
use super::schema::{Schema, Text};
use super::shared::{READERS, WRITERS};
use crate::model::Purpose;
use crate::traits::Store as _;

/// Puts rows into all tables that are asked by key; `T` is the generation's schema.
const FILL: &str = "
    INSERT INTO T.spans SELECT g % 3, false, g, gen_random_uuid(), g + 5 FROM generate_series(1, 20000) g;
    INSERT INTO T.profile_spans SELECT gen_random_uuid(), g % 3, g, false, g + 5 FROM generate_series(1, 20000) g;
    INSERT INTO T.span_tree SELECT g % 3, 16, g, 0, 1, 1, g, 0, g FROM generate_series(1, 20000) g;
    INSERT INTO T.states SELECT 1, gen_random_uuid(), g, '', '', '', 0 FROM generate_series(1, 20000) g;
    INSERT INTO T.profiles SELECT 1, gen_random_uuid(), '' FROM generate_series(1, 20000) g;
    INSERT INTO T.event_ids SELECT 1, gen_random_uuid(), g, g, '' FROM generate_series(1, 20000) g;
    INSERT INTO T.scores SELECT g % 3, int8send(g), gen_random_uuid() FROM generate_series(1, 20000) g;
    INSERT INTO T.not_admitted SELECT g % 3, g FROM generate_series(1, 20000) g;
    INSERT INTO T.control SELECT g, '' FROM generate_series(1, 20000) g;
    INSERT INTO T.state_redo SELECT g % 3, g, '' FROM generate_series(1, 20000) g;
    INSERT INTO T.records SELECT g % 3, g, '' FROM generate_series(1, 20000) g;
    INSERT INTO T.timeline SELECT gen_random_uuid(), 1, int8send(g), g % 3, g FROM generate_series(1, 20000) g;
    INSERT INTO T.baskets SELECT 1, gen_random_uuid(), '' FROM generate_series(1, 20000) g;
    INSERT INTO T.removals SELECT g % 3, g % 2 = 0, int8send(g), gen_random_uuid(), 'p' || g % 99, '' FROM generate_series(1, 20000) g;
    INSERT INTO T.removal_days SELECT g % 3, g / 10 % 8, g / 5120, g / 60 % 64, '' FROM generate_series(1, 20000) g
      ON CONFLICT DO NOTHING;
    INSERT INTO T.removal_days_new SELECT g % 3, g % 10, g, '' FROM generate_series(1, 20000) g;";

const RANGE: &str = "((segment = $1) AND (past = $2) AND (enters_at <= $3))";
const SPANS_AFTER: &str =
    "((segment = $1) AND (past = $2) AND (enters_at <= $3) AND (ROW(enters_at, profile) > ROW($7, $8)))";
const END_AFTER: &str =
    "((segment = $1) AND (past = $2) AND (enters_at <= $3) AND (ROW(enters_at, profile) > ROW($5, $6)))";
const STRETCH: &str = "((segment = $1) AND (level = $2) AND (bucket >= $3) AND (bucket < $4))";
const DAYS: &str = "((workspace = k.workspace) AND (level = k.level) AND (number = k.number) AND (bucket = k.bucket))";
const WAITING: &str = "((workspace = k.workspace) AND (partition = k.partition) AND (next = k.next))";
const PROFILE: &str = "((workspace = k.workspace) AND (profile = k.profile))";

fn statements(of: &Statements) -> Vec<(&Text, &'static str)> {
    let Statements { states, membership, timeline, baskets, view, not_admitted, .. } = of;
    vec![
        (&view.spans[0], RANGE),
        (&view.spans[1], SPANS_AFTER),
        (&view.scan_end[0], RANGE),
        (&view.scan_end[1], END_AFTER),
        (&view.stretch[0], STRETCH),
        (&view.stretch[1], STRETCH),
        (&view.tally, "((segment = $1) AND (level = s.level) AND (bucket >= s.first) AND (bucket < s.after))"),
        // A profile has few spans, in whatever segments.
        (&view.spans_of, "(profile = $1)"),
        (&view.scores, "((score = $1) AND (ROW(place, profile) > ROW($2, $3)))"),
        (&view.control, "(log_offset >= $1)"),
        (&view.cards, PROFILE),
        (&states.read, PROFILE),
        (&states.chunks, "((workspace = $1) AND (profile = $2))"),
        (&states.drop_chunks, "((workspace = k.workspace) AND (profile = k.profile) AND (chunk = k.chunk))"),
        (&states.redo, "(partition = $1)"),
        (&states.redo_done, "((partition = $1) AND (next <= $2))"),
        (
            &membership.spans_gone,
            "((segment = k.segment) AND (past = k.past) AND (enters_at = k.enters_at) AND (profile = k.profile))",
        ),
        (
            &membership.profile_spans_gone,
            "((profile = k.profile) AND (segment = k.segment) AND (enters_at = k.enters_at))",
        ),
        (&membership.scores_gone, "((score = k.score) AND (place = k.place) AND (profile = k.profile))"),
        (&timeline.latest, "((partition = timeline.partition) AND (log_offset = timeline.log_offset))"),
        (&timeline.latest, "((profile = $1) AND (workspace = $2))"),
        (&timeline.before, "((profile = $1) AND (workspace = $2) AND (place < $4))"),
        (&baskets.read, PROFILE),
        // By either index: both hold all of the key.
        (&baskets.gone, "AND (place = k.place) AND (profile = k.profile)"),
        (&baskets.days.rows, DAYS),
        (&baskets.days.gone, DAYS),
        (&baskets.days.waiting, WAITING),
        (&baskets.days.forget, WAITING),
        (&baskets.days.changes, "(workspace = $1)"),
        (
            &baskets.days.stretches,
            "((workspace = $1) AND (level = k.level) AND (number >= k.first) AND (number < k.past) AND (bucket >= $5) AND (bucket < $6))",
        ),
        (&baskets.list[0][0], "((workspace = $1) AND (draft = $2) AND (place >= $3) AND (place < $4))"),
        (
            &baskets.list[0][1],
            "((workspace = $1) AND (draft = $2) AND (place >= $3) AND (ROW(place, profile, product) < ROW($6, $7, $8)))",
        ),
        (
            &baskets.list[1][0],
            "((workspace = $1) AND (product = $6) AND (draft = $2) AND (place >= $3) AND (place < $4))",
        ),
        (
            &baskets.list[1][1],
            "((workspace = $1) AND (product = $6) AND (draft = $2) AND (place >= $3) AND (ROW(place, profile) < ROW($7, $8)))",
        ),
        (
            &baskets.latest,
            "((workspace = $1) AND (product = k.product) AND (draft = d.draft) AND (place >= $3) AND (place < $4))",
        ),
        (not_admitted, "((partition = $1) AND (log_offset >= $2) AND (log_offset < $3))"),
    ]
}

/// Each statement seeks as the key says, scans nothing but rows that came with it, and sorts nothing.
async fn check(connection: &mut PgConnection, statements: &[(&Text, &str)], when: &str) {
    for (text, seek) in statements {
        let sql = text.sql();
        let values = (1..20).filter(|n| sql.as_str().contains(&format!("${n}"))).max().unwrap_or(0);
        let explain = format!(
            "PREPARE p AS {}; EXPLAIN (COSTS OFF) EXECUTE p({}); DEALLOCATE p",
            sql.as_str(),
            vec!["NULL"; values].join(", ")
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>(0).trim().to_owned()).collect();
        assert!(
            plan.iter().any(|step| step.starts_with("Index Cond: ") && step.contains(seek)),
            "{when}: {}: {plan:#?}",
            sql.as_str()
        );
        for step in &plan {
            let bad = ["Seq Scan", "Sort", "Hash", "Bitmap", "Merge", "Materialize", "Gather"];
            assert!(!bad.iter().any(|bad| step.contains(bad)), "{when}: {}: {plan:#?}", sql.as_str());
        }
    }
}

#[tokio::test]
async fn statements_seek_whatever_the_planner_knows() {
    let server = std::env::var("WEIR_TEST_POSTGRES").expect(
        "WEIR_TEST_POSTGRES is not set: run deploy/test.sh, \
         or `eval \"$(deploy/services.sh env)\"` after `deploy/services.sh up`",
    );
    let name = format!("weir_plans_{}", std::process::id());
    let store = PgStore::open(&format!("{server}?schema={name}")).await.unwrap();
    let id = store.create(0, 1, Purpose::Switch).await.unwrap();
    let schema = Schema::of_store(&name).of_generation(id);
    let tables = Statements::new(&schema);
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let run = async |sql: String| {
        let mut connection = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    };
    for settings in [READERS.settings, WRITERS.settings] {
        sqlx::raw_sql(settings).execute(&mut connection).await.unwrap();
        check(&mut connection, &statements(&tables), "new").await;
    }
    let filled = FILL.replace("T.", &format!("{}.", schema.name()));
    let filled_tables = filled.lines().filter_map(|line| line.trim().strip_prefix("INSERT INTO ")?.split(' ').next());
    let analyze = format!("ANALYZE {}", filled_tables.collect::<Vec<_>>().join(", "));
    run(analyze.clone()).await;
    check(&mut connection, &statements(&tables), "known to be empty").await;
    run(filled).await;
    check(&mut connection, &statements(&tables), "full, believed to be empty").await;
    run(analyze).await;
    check(&mut connection, &statements(&tables), "known to be full").await;
    drop(store);
    run(format!("DROP SCHEMA {name}, {} CASCADE", schema.name())).await;
}
