//! What belongs to the whole process: its log, its panics, its metrics, its signals. One test, because it is one process.

#![allow(clippy::unwrap_used)]

use std::io::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use weir_lifecycle::{Metrics, Signal, Telemetry, TelemetryError, signals, start_logging};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged about a panic at this level.
fn panicking(level: tracing::Level, panic: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || assert!(std::panic::catch_unwind(panic).is_err()));
    let text = lines.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

fn quoting() {
    panic!("no profile {}", std::hint::black_box("ada@example.com").to_owned());
}

#[tokio::test]
async fn a_process() {
    start_logging(&Telemetry::default()).unwrap();
    assert!(matches!(start_logging(&Telemetry::default()), Err(TelemetryError::Logging(_))));

    let fixed = panicking(tracing::Level::INFO, || panic!("a fixed text"));
    assert!(fixed.contains("a fixed text") && fixed.contains("process.rs"), "{fixed}");
    assert_eq!(fixed.lines().count(), 1, "{fixed}");
    let withheld = panicking(tracing::Level::INFO, quoting);
    assert!(withheld.contains("process.rs") && !withheld.contains("example.com"), "{withheld}");
    assert!(panicking(tracing::Level::DEBUG, quoting).contains("example.com"));

    let metrics = Metrics::install().unwrap();
    assert!(matches!(Metrics::install(), Err(TelemetryError::Metrics(_))));
    metrics::counter!("events_total").increment(3);
    assert!(metrics.render().contains("events_total 3"));
    let shutdown = CancellationToken::new();
    let keeping = tokio::spawn(metrics.keep(shutdown.clone()));
    shutdown.cancel();
    keeping.await.unwrap();

    let mut signals = signals().unwrap();
    for (name, signal) in [("-TERM", Signal::Terminate), ("-INT", Signal::Interrupt)] {
        let sent = Command::new("kill").arg(name).arg(std::process::id().to_string()).status().unwrap();
        assert!(sent.success());
        assert_eq!(signals.recv().await, Some(signal));
    }
}
