//! Each migration is a pair: the same files for both backends, with the same tables and columns in the same order.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a column's type in SQLite is in PostgreSQL.
const TYPES: [(&str, &[&str]); 3] = [
    ("INTEGER", &["bigint", "integer", "smallint", "boolean"]),
    ("BLOB", &["bytea", "uuid"]),
    ("TEXT", &["text", "bytea"]),
];
/// Tables of a file of SQLite's that has a schema in common with another one in PostgreSQL, and where they are then.
const ELSEWHERE: [(&str, &str, &str); 1] = [("timeline/0001_timeline.sql", "positions", "generation/0001_tables.sql")];

/// Columns with their types, by table.
type Tables = BTreeMap<String, Vec<(String, String)>>;

fn migrations(backend: &str) -> BTreeMap<String, Tables> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(backend);
    let mut found = BTreeMap::new();
    for directory in entries(&root) {
        for file in entries(&directory) {
            let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            found.insert(name, tables(&std::fs::read_to_string(&file).unwrap()));
        }
    }
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn tables(sql: &str) -> Tables {
    let mut tables = Tables::new();
    let mut current: Option<String> = None;
    for line in sql.lines().map(|line| line.split("--").next().unwrap().trim_end()) {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            let name = rest.strip_suffix(" (").unwrap().to_owned();
            assert!(tables.insert(name.clone(), Vec::new()).is_none(), "{name} is made twice");
            current = Some(name);
        } else if line.starts_with(')') {
            current = None;
        } else if let (Some(table), false) = (&current, line.trim_start().starts_with("PRIMARY KEY")) {
            let mut words = line.split_whitespace();
            if let (Some(column), Some(kind)) = (words.next(), words.next()) {
                let kind = kind.trim_end_matches(',').to_owned();
                tables.get_mut(table).unwrap().push((column.to_owned(), kind));
            }
        }
    }
    tables
}

#[test]
fn both_backends_have_the_same_tables() {
    let (sqlite, postgres) = (migrations("sqlite"), migrations("postgres"));
    let names = |of: &BTreeMap<String, Tables>| of.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&sqlite), names(&postgres), "files");
    assert!(sqlite.values().map(Tables::len).sum::<usize>() > 18, "{sqlite:?}");
    for (file, tables) in &sqlite {
        let elsewhere = |table: &str| ELSEWHERE.iter().find(|(of, name, _)| of == file && *name == table);
        for (table, columns) in tables {
            let other = elsewhere(table).map_or(file.as_str(), |(_, _, there)| there);
            let others = postgres[other].get(table).unwrap_or_else(|| panic!("{other} doesn't make {table}"));
            let names = |of: &[(String, String)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            assert_eq!(names(columns), names(others), "{table}");
            for ((column, kind), (_, other)) in columns.iter().zip(others) {
                let (_, fitting) = TYPES.iter().find(|(known, _)| known == kind).unwrap();
                assert!(fitting.contains(&other.as_str()), "{table}.{column} is {kind} and {other}");
            }
        }
        let made_here = tables.keys().filter(|table| elsewhere(table).is_none());
        assert_eq!(made_here.collect::<Vec<_>>(), postgres[file].keys().collect::<Vec<_>>(), "{file}");
    }
}
