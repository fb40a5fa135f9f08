//! What `weir up` and `weir init` can be told: by flags, by variables, in a file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use weir_event_log::{ClientSettings, LogUrl, OpenOptions};
use weir_lifecycle::settings::{ACCEPT_WEAK_ACKS, ALL, DATA, DEDUP_WINDOW, KAFKA, LOG_URL, PARTITIONS};
use weir_lifecycle::{Config, Setting};
use weir_store::StoreUrl;

/// Settings of `weir up`.
pub(crate) const UP: &[Setting] = ALL;

/// Settings of `weir init`.
pub(crate) const INIT: &[Setting] = &[
    DATA,
    LOG_URL,
    PARTITIONS,
    DEDUP_WINDOW,
    ACCEPT_WEAK_ACKS,
    KAFKA,
    Setting::switch("json", "print one JSON object").flag_only(),
];

/// Which log, and how it is made where there is none.
pub(crate) struct LogSettings {
    pub(crate) url: LogUrl,
    pub(crate) options: OpenOptions,
    pub(crate) dedup_window_micros: Option<i64>,
}

/// What `weir up` was told.
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) log: LogSettings,
    pub(crate) store: StoreUrl,
    pub(crate) open: bool,
    pub(crate) demo: bool,
    pub(crate) test_clock: bool,
}

/// What `weir init` was told.
pub(crate) struct InitSettings {
    pub(crate) data: PathBuf,
    pub(crate) log: LogSettings,
    pub(crate) json: bool,
}

impl LogSettings {
    fn read(config: &mut Config, data: &Path) -> Self {
        Self {
            url: config.get_or("log_url", LogUrl::Sqlite(data.join("log.db"))),
            options: OpenOptions {
                partitions: config.get_with("partitions", partitions),
                create: true,
                accept_weak_acks: config.switch("accept_weak_acks"),
                client: config.family("kafka", ClientSettings::new),
            },
            dedup_window_micros: config.get_with("dedup_window", days),
        }
    }
}

impl InitSettings {
    /// Reads them; what is wrong is noted in `config`, which must be finished before they are used.
    pub(crate) fn read(config: &mut Config) -> Self {
        let data = data(config);
        Self { log: LogSettings::read(config, &data), json: config.switch("json"), data }
    }
}

impl Settings {
    /// Reads them; what is wrong is noted in `config`, which must be finished before they are used.
    pub(crate) fn read(config: &mut Config) -> Self {
        let data = data(config);
        let settings = Self {
            listen: config.listen(8080),
            log: LogSettings::read(config, &data),
            store: config.get_or("store_url", StoreUrl::Sqlite(data.join("store.db"))),
            open: config.switch("open"),
            demo: config.switch("demo"),
            test_clock: config.switch("test_clock"),
            data,
        };
        settings.check(config);
        settings
    }

    fn check(&self, config: &mut Config) {
        if self.open && !self.listen.ip().is_loopback() {
            config.refuse(format!(
                "--open asks for no key, so it listens on loopback only; leave one of --open and --listen {} out",
                self.listen
            ));
        }
        if self.demo && self.test_clock {
            config.refuse("--demo posts at the pace of the real clock; leave one of --demo and --test-clock out");
        }
        if let (LogUrl::Sqlite(log), StoreUrl::Sqlite(store)) = (&self.log.url, &self.store)
            && log == store
        {
            config.refuse("--log and --store name one file; give the tables a file of their own");
        }
    }
}

fn data(config: &mut Config) -> PathBuf {
    config.get_or("data", "./weir-data".into())
}

fn partitions(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=1024).contains(n))
        .ok_or_else(|| "must be a whole number from 1 to 1024".to_owned())
}

fn days(text: &str) -> Result<i64, String> {
    let days = text.strip_suffix('d').unwrap_or(text).parse::<i64>().ok().filter(|days| (1..=3_650).contains(days));
    days.map(|days| days * 86_400_000_000)
        .ok_or_else(|| "must be a number of days from 1 to 3650, such as 28d".to_owned())
}

#[cfg(test)]
mod tests {
    use weir_lifecycle::{Program, Source, TELEMETRY_SETTINGS};

    use super::*;

    fn up(arguments: &[&str], variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let program = Program { name: "weir up", about: "", settings: &[UP, TELEMETRY_SETTINGS], elsewhere: &[] };
        let source = Source::of(arguments.iter().copied(), variables.iter().copied());
        let mut config = Config::load(&program, &source).unwrap();
        let settings = Settings::read(&mut config);
        (settings, config.finish().map_or_else(|error| error.problems, |()| Vec::new()))
    }

    #[test]
    fn two_urls_are_all_that_many_machines_take() {
        let variables = [
            ("WEIR_LOG_URL", "kafka://a:9092,b:9092/weir"),
            ("WEIR_STORE_URL", "postgres://weir@db/weir"),
            ("WEIR_KAFKA_SECURITY_PROTOCOL", "SSL"),
        ];
        let (settings, problems) = up(&["--listen", "localhost:0", "--partitions", "12"], &variables);
        assert_eq!(problems, [""; 0]);
        assert!(matches!(settings.log.url, LogUrl::Kafka { .. }));
        assert!(matches!(settings.store, StoreUrl::Postgres(_)));
        assert_eq!(settings.log.options.partitions, Some(12));
        assert_eq!(settings.log.options.client.names().collect::<Vec<_>>(), ["security.protocol"]);
        assert!(settings.listen.ip().is_loopback());
    }

    #[test]
    fn what_the_log_promises_is_not_for_settings_to_change() {
        let (_, problems) = up(&["--store", "postgres://weir@db/weir?schema=Weir"], &[("WEIR_KAFKA_ACKS", "1")]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("WEIR_KAFKA_*: acks can't be set"), "{problems:?}");
        assert!(problems[1].starts_with("--store: the value can't be used: schema=Weir"), "{problems:?}");
    }

    #[test]
    fn init_reads_the_file_of_weir_up() {
        let program =
            Program { name: "weir init", about: "", settings: &[INIT, TELEMETRY_SETTINGS], elsewhere: &[ALL] };
        let file = "store_url = \"postgres://x\"\nlisten = \"0.0.0.0:80\"\nlog_url = \"kafka://a:1/w\"";
        let source = Source::of(["--config", "weir.toml", "--json"], []).with_file("weir.toml", file);
        let mut config = Config::load(&program, &source).unwrap();
        let settings = InitSettings::read(&mut config);
        assert_eq!(config.finish(), Ok(()));
        assert!(settings.json && matches!(settings.log.url, LogUrl::Kafka { .. }));
    }
}
