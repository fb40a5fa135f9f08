//! Schemas: one for the store's own tables, one for each generation, and what marks them as Weir's.
//!
//! A schema is marked by its comment, in the transaction that fills it. One of another release is dropped and filled
//! anew, since its tables can be rebuilt; one that holds tables without our mark is somebody else's and left alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::postgres::{PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr as _, SqlStr};

use super::sessions::{Bound, Session};
use crate::model::GenerationId;

const STORE: &str = include_str!("../../../../migrations/postgres/store/0001_generations.sql");
const TABLES: &str = include_str!("../../../../migrations/postgres/generation/0001_tables.sql");
const TIMELINE: &str = include_str!("../../../../migrations/postgres/timeline/0001_timeline.sql");
const BASKETS: &str = include_str!("../../../../migrations/postgres/timeline/0002_baskets.sql");

/// Tables are disposable: a schema of another version is not migrated but filled anew. Raised with every new migration.
const VERSION: u32 = 3;
const STORE_MARK: &str = "Weir store, version ";
const GENERATION_MARK: &str = "Weir generation, version ";

/// A schema's name. It needs no quoting but for reserved words: see [`super::target::Target`].
#[derive(Clone, Debug)]
pub(super) struct Schema(Arc<str>);

/// Statement text over the tables of one schema.
#[derive(Clone, Debug)]
pub(super) struct Text(Arc<str>);

impl Schema {
    pub(super) fn of_store(name: &str) -> Self {
        Self(name.into())
    }

    pub(super) fn of_generation(&self, id: GenerationId) -> Self {
        Self(format!("{}_g{}", self.0, id.0).into())
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// The one place where names get into statements: `@table` is the schema's table.
    pub(super) fn text(&self, template: &str) -> Text {
        Text(self.template(template).into())
    }

    /// The same, as a part of the statement of another schema.
    pub(super) fn template(&self, template: &str) -> String {
        template.replace('@', &format!("\"{}\".", self.0))
    }
}

impl Text {
    /// The text as sqlx takes it. Nothing but schema names of our own making was put into it.
    pub(super) fn sql(&self) -> SqlStr {
        AssertSqlSafe(self.0.clone()).into_sql_str()
    }

    /// A statement to bind values to.
    pub(super) fn query(&self) -> Bound {
        let query: Query<'static, Postgres, _> = sqlx::query(self.sql());
        query
    }
}

/// What is found of a schema.
pub(super) enum Found {
    /// Nothing, or a schema without anything in it.
    Nothing,
    /// Ours, of this release.
    Ours,
    /// Ours, of another release.
    Other,
    /// Somebody else's.
    Strange,
}

/// Looks at the store's schema.
pub(super) async fn look(session: &mut Session, schema: &Schema) -> Result<Found, sqlx::Error> {
    let query = sqlx::query(
        "SELECT coalesce(obj_description(n.oid, 'pg_namespace'), ''),
                EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
         FROM pg_namespace n WHERE n.nspname = $1",
    );
    let Some(row) = session.row(query.bind(schema.name().to_owned())).await? else { return Ok(Found::Nothing) };
    let (mark, holds): (String, bool) = (row.get(0), row.get(1));
    Ok(match mark.strip_prefix(STORE_MARK) {
        Some(version) if version == VERSION.to_string() => Found::Ours,
        Some(_) => Found::Other,
        None if holds => Found::Strange,
        None => Found::Nothing,
    })
}

/// Makes the store's own tables.
pub(super) async fn make_store(session: &mut Session, schema: &Schema) -> Result<(), sqlx::Error> {
    make(session, schema, &[STORE], STORE_MARK).await
}

/// Makes a generation's tables.
pub(super) async fn make_generation(session: &mut Session, schema: &Schema) -> Result<(), sqlx::Error> {
    make(session, schema, &[TABLES, TIMELINE, BASKETS], GENERATION_MARK).await
}

async fn make(session: &mut Session, schema: &Schema, tables: &[&str], mark: &str) -> Result<(), sqlx::Error> {
    let (name, tables) = (schema.name(), tables.join("\n"));
    let script = format!(
        "CREATE SCHEMA IF NOT EXISTS \"{name}\"; SET LOCAL search_path = \"{name}\";
         {tables}
         SET LOCAL search_path = pg_catalog; COMMENT ON SCHEMA \"{name}\" IS '{mark}{VERSION}'"
    );
    session.script(AssertSqlSafe(script).into_sql_str()).await.map(drop)
}

/// Drops a schema.
pub(super) async fn discard(session: &mut Session, schema: &Schema) -> Result<(), sqlx::Error> {
    let script = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", schema.name());
    session.script(AssertSqlSafe(script).into_sql_str()).await.map(drop)
}

/// The generations' schemas that are there, and whether each has all its tables, of this release.
pub(super) async fn generations(
    session: &mut Session,
    store: &Schema,
) -> Result<Vec<(GenerationId, bool)>, sqlx::Error> {
    let query = sqlx::query(
        "SELECT substr(n.nspname, length($1) + 3), coalesce(obj_description(n.oid, 'pg_namespace'), ''),
                array(SELECT relname::text FROM pg_class WHERE relnamespace = n.oid AND relkind = 'r')
         FROM pg_namespace n WHERE starts_with(n.nspname, $1 || '_g')
           AND obj_description(n.oid, 'pg_namespace') LIKE $2 || '%'",
    );
    let rows = session.rows(query.bind(store.name().to_owned()).bind(GENERATION_MARK)).await?;
    let wanted = table_names(&[TABLES, TIMELINE, BASKETS]);
    let generation = |row: &PgRow| {
        let number: String = row.get(0);
        let tables: Vec<String> = row.get(2);
        let ours = row.get::<&str, _>(1) == format!("{GENERATION_MARK}{VERSION}");
        let whole = wanted.iter().all(|name| tables.iter().any(|table| table == name));
        Some((GenerationId(number.parse().ok()?), ours && whole))
    };
    Ok(rows.iter().filter_map(generation).collect())
}

/// The tables that a migration makes.
fn table_names<'m>(migrations: &[&'m str]) -> BTreeSet<&'m str> {
    let all = migrations.iter().flat_map(|sql| sql.lines());
    all.filter_map(|line| line.strip_prefix("CREATE TABLE ")?.split([' ', '(']).next()).collect()
}
