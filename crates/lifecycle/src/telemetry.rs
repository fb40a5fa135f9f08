//! Logs to standard error, metrics to whoever asks.

use std::fmt;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{Config, Setting};

/// What every program can be told about its logs.
pub const TELEMETRY_SETTINGS: &[Setting] = &[
    Setting::value("log_filter", "FILTER", "which log lines are written, such as `info` or `weir_store=debug,warn`")
        .from_variable("WEIR_LOG"),
    Setting::value("log_format", "FORMAT", "how log lines look: `text` or `json`"),
];

/// Seconds; from a read out of memory to a request that is given up.
const SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Records of a batch.
const RECORDS: [f64; 9] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0];
/// Bytes of a request or a batch.
const BYTES: [f64; 8] = [256.0, 1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 5e6];

/// A filter of log lines that is known to be well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("it is `text` or `json`"),
        }
    }
}

/// The settings of logs, read.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// Which lines are written.
    pub filter: LogFilter,
    /// How they look.
    pub format: LogFormat,
}

impl Telemetry {
    /// Takes [`TELEMETRY_SETTINGS`] from a configuration that declares them.
    pub fn from_config(config: &mut Config) -> Self {
        Self {
            filter: config.get_or("log_filter", LogFilter::default()),
            format: config.get_or("log_format", LogFormat::default()),
        }
    }
}

/// Logs or metrics can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process logs already.
    #[error("logging was started twice")]
    Logging(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process records metrics already, or the buckets are wrong.
    #[error("metrics can't be recorded")]
    Metrics(#[source] BuildError),
}

/// Starts logging to standard error, for the whole process; panics are logged from then on, once, by where they
/// happened. What a panic says is logged only if it is fixed text, or at level debug: it may quote a customer's data.
///
/// # Errors
/// The process logs already.
pub fn start_logging(telemetry: &Telemetry) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse_lossy(&telemetry.filter.0);
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A closed standard error must not end the process: then there is nobody to complain to.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .log_internal_errors(false);
    match telemetry.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(TelemetryError::Logging)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let said = match panic.payload().downcast_ref::<&'static str>() {
        Some(fixed) => fixed,
        None if tracing::enabled!(tracing::Level::DEBUG) => panic.payload_as_str().unwrap_or("nothing"),
        None => "withheld, since it may quote data; WEIR_LOG=debug shows it",
    };
    tracing::error!(location, said, "panicked");
}

/// The process's metrics.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Starts recording for the whole process: what is recorded by the `metrics` macros is kept from then on.
    ///
    /// # Errors
    /// The process records metrics already.
    pub fn install() -> Result<Self, TelemetryError> {
        let builder = builder().map_err(TelemetryError::Metrics)?;
        builder.install_recorder().map(Self).map_err(TelemetryError::Metrics)
    }

    /// The text of `/metrics`, in the format of Prometheus (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds recorded durations into their buckets, until `shutdown`: without it they pile up while nobody asks.
    pub async fn keep(self, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(Duration::from_secs(5));
        while shutdown.run_until_cancelled(every.tick()).await.is_some() {
            self.0.run_upkeep();
        }
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_go_to_buckets() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("x_seconds", "route" => "/a").record(0.004);
            metrics::counter!("y_total").increment(2);
        });
        let text = Metrics(handle).render();
        for line in [
            "x_seconds_bucket{route=\"/a\",le=\"0.0025\"} 0",
            "x_seconds_bucket{route=\"/a\",le=\"0.005\"} 1",
            "y_total 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_bad_filter_or_format_is_found_before_it_is_used() {
        assert!("info,weir_store=debug".parse::<LogFilter>().is_ok());
        assert!("weir=loud".parse::<LogFilter>().is_err());
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
