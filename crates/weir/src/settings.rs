//! What `weir up` can be told: by flags, by variables, in a file.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_event_log::LogUrl;
use weir_lifecycle::{Config, Setting, Telemetry};
use weir_store::StoreUrl;

/// Settings of `weir up`.
pub(crate) const UP: &[Setting] = &[
    Setting::value("data", "DIR", "where log, tables and keys lie [default: ./weir-data]"),
    Setting::value("listen", "ADDRESS", "where HTTP is served [default: 127.0.0.1:8080]"),
    Setting::value("log_url", "URL", "the event log: sqlite:PATH [default: sqlite:DIR/log.db]").flagged("--log"),
    Setting::value("store_url", "URL", "the tables: sqlite:PATH [default: sqlite:DIR/store.db]")
        .flagged("--store")
        .secret(),
    Setting::value("partitions", "N", "partitions of events.v1 when the log is made [default: 1]"),
    Setting::value(
        "dedup_window",
        "DAYS",
        "for how many days an id sent again is a repeat, when the log is made [default: 28]",
    ),
    Setting::switch("open", "ask for no key, and listen on loopback only: for trying it out"),
    Setting::switch("demo", "let a small synthetic shop post events at a visible pace"),
    Setting::switch("test_clock", "serve PUT /test/clock, which holds the clock: for tests of what depends on time"),
];

/// What `weir up` was told.
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) log: LogUrl,
    pub(crate) store: StoreUrl,
    pub(crate) partitions: Option<u32>,
    pub(crate) dedup_window_micros: Option<i64>,
    pub(crate) open: bool,
    pub(crate) demo: bool,
    pub(crate) test_clock: bool,
    pub(crate) telemetry: Telemetry,
}

impl Settings {
    /// Reads them; what is wrong is noted in `config`, which must be finished before they are used.
    pub(crate) fn read(config: &mut Config) -> Self {
        let data: PathBuf = config.get_or("data", "./weir-data".into());
        let settings = Self {
            listen: config.get_or("listen", SocketAddr::from(([127, 0, 0, 1], 8080))),
            log: config.get_or("log_url", LogUrl::Sqlite(data.join("log.db"))),
            store: config.get_or("store_url", StoreUrl::Sqlite(data.join("store.db"))),
            partitions: config.get_with("partitions", partitions),
            dedup_window_micros: config.get_with("dedup_window", days),
            open: config.switch("open"),
            demo: config.switch("demo"),
            test_clock: config.switch("test_clock"),
            telemetry: Telemetry::from_config(config),
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
        if let (LogUrl::Sqlite(log), StoreUrl::Sqlite(store)) = (&self.log, &self.store)
            && log == store
        {
            config.refuse("--log and --store name one file; give the tables a file of their own");
        }
    }
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
