//! Which server, database and schema a URL names.

use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// The schema where the URL names none.
const DEFAULT_SCHEMA: &str = "weir";
/// PostgreSQL cuts names at 63 bytes; a generation's number is appended.
const LONGEST_SCHEMA: usize = 40;
/// Prepared statements that a connection keeps: those of a few generations.
const STATEMENTS: usize = 512;

/// Where a store in PostgreSQL is.
pub(crate) struct Target {
    pub(super) options: PgConnectOptions,
    /// The schema of the store's own tables: lower case letters, digits and `_`.
    pub(super) schema: String,
}

impl FromStr for Target {
    type Err = String;

    /// Takes what libpq takes, and `schema=NAME`.
    fn from_str(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut schema = DEFAULT_SCHEMA;
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.strip_prefix("schema=") {
                Some(name) => schema = name,
                None => rest.push(pair),
            }
        }
        let first = schema.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
        let plain = schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !first || !plain || schema.len() > LONGEST_SCHEMA || schema.starts_with("pg_") {
            return Err(format!(
                "schema={schema} can't name Weir's schema: give lower case letters, digits and _, \
                 at most {LONGEST_SCHEMA} of them, not beginning with a digit or pg_"
            ));
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut options = PgConnectOptions::from_str(&url).map_err(|e| format!("not a URL of PostgreSQL: {e}"))?;
        if options.get_application_name().is_none() {
            options = options.application_name("weir");
        }
        let options = options.statement_cache_capacity(STATEMENTS).disable_statement_logging();
        Ok(Self { options, schema: schema.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        url.parse()
    }

    #[test]
    fn the_schema_is_taken_out_of_the_url() {
        let plain = target("postgres://ann@db.example:6543/shop").unwrap();
        assert_eq!(plain.schema, "weir");
        assert_eq!((plain.options.get_host(), plain.options.get_port()), ("db.example", 6543));
        assert_eq!(plain.options.get_database(), Some("shop"));
        assert_eq!(plain.options.get_application_name(), Some("weir"));
        let named = target("postgres://db/shop?sslmode=disable&schema=weir_test2&application_name=mine").unwrap();
        assert_eq!(named.schema, "weir_test2");
        assert_eq!(named.options.get_application_name(), Some("mine"));
    }

    #[test]
    fn names_that_would_need_quoting_are_refused() {
        let long = "a".repeat(41);
        for name in ["", "Weir", "we-ir", "1weir", "we\"ir", "pg_weir", &long, "weir;drop"] {
            let refused = target(&format!("postgres://db/shop?schema={name}")).err().unwrap();
            assert!(refused.contains("schema="), "{name}: {refused}");
        }
        assert!(target("postgres://db:notaport/shop").is_err());
    }
}
