//! Every setting of Weir's programs, by name: their values mean something only to those who read them.
//!
//! Invariant: all programs can be given the same variables and the same file. What one of them doesn't read is known to
//! it all the same, as `elsewhere` in its [`Program`](crate::Program); only what no program knows is refused. That takes
//! one list, and this is the one crate that all programs share.

use crate::Setting;

/// The directory of the process's own files.
pub const DATA: Setting = Setting::value(
    "data",
    "DIR",
    "where the keys of the first workspace lie, and log and tables unless they are told otherwise [default: ./weir-data]",
);
/// Where HTTP is served.
pub const LISTEN: Setting = Setting::value(
    "listen",
    "ADDRESS",
    "where HTTP is served [default: 127.0.0.1:8080; of a query-api by itself 8081, of a projector 8082]",
);
/// The event log.
pub const LOG_URL: Setting = Setting::value(
    "log_url",
    "URL",
    "the event log: kafka://HOST:PORT[,HOST:PORT…]/PREFIX, or sqlite:PATH for one process alone",
)
.flagged("--log");
/// The tables.
pub const STORE_URL: Setting = Setting::value(
    "store_url",
    "URL",
    "the tables: postgres://USER@HOST/DATABASE, or sqlite:PATH for one process alone",
)
.flagged("--store")
.secret();
/// Partitions of a log that is made.
pub const PARTITIONS: Setting =
    Setting::value("partitions", "N", "partitions of events.v1 when the log is made [default: 8 over Kafka, else 1]");
/// The window of repeats of a log that is made.
pub const DEDUP_WINDOW: Setting = Setting::value(
    "dedup_window",
    "DAYS",
    "for how many days an id sent again is a repeat, when the log is made [default: 28]",
);
/// Whether topics are used that keep less than Weir asks for.
pub const ACCEPT_WEAK_ACKS: Setting = Setting::switch(
    "accept_weak_acks",
    "use topics of which one broker's loss can lose acknowledged records: for trying Kafka out",
);
/// What is passed on to the client of Kafka.
pub const KAFKA: Setting = Setting::family(
    "kafka",
    "a property of the Kafka client that has to do with security, such as --kafka-security-protocol for security.protocol",
);
/// Whether no key is asked for.
pub const OPEN: Setting = Setting::switch("open", "ask for no key, and listen on loopback only: for trying it out");
/// Whether a synthetic shop posts events.
pub const DEMO: Setting = Setting::switch("demo", "let a small synthetic shop post events at a visible pace");
/// Whether the clock can be held over HTTP.
pub const TEST_CLOCK: Setting =
    Setting::switch("test_clock", "serve PUT /test/clock, which holds the clock: for tests of what depends on time");

/// All of them, those of the logs apart ([`TELEMETRY_SETTINGS`](crate::TELEMETRY_SETTINGS)), which every program reads.
pub const ALL: &[Setting] =
    &[DATA, LISTEN, LOG_URL, STORE_URL, PARTITIONS, DEDUP_WINDOW, ACCEPT_WEAK_ACKS, KAFKA, OPEN, DEMO, TEST_CLOCK];
