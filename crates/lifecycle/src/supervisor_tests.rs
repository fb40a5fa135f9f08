//! How a process ends.

use std::future::pending;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

type Nothing = Result<(), io::Error>;

fn supervisor(deadline: Duration) -> (Supervisor, UnboundedSender<Signal>, mpsc::UnboundedReceiver<Signal>) {
    let (sender, receiver) = unbounded_channel();
    (Supervisor::new(deadline), sender, receiver)
}

/// A task that ends as it is told to.
fn orderly(supervisor: &mut Supervisor, name: &str) {
    let shutdown = supervisor.shutdown();
    supervisor.spawn(name, async move {
        shutdown.cancelled().await;
        Nothing::Ok(())
    });
}

/// What the process logged while `run` ran.
async fn logged(run: impl Future<Output = Exit>) -> (Exit, String) {
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
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let exit = run.await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (exit, text)
}

#[tokio::test]
async fn a_signal_ends_the_process_in_order() {
    let (mut supervisor, sender, receiver) = supervisor(HOUR);
    orderly(&mut supervisor, "projector");
    supervisor.spawn_finite("first start", async { Nothing::Ok(()) });
    sender.send(Signal::Terminate).unwrap();
    assert_eq!(supervisor.run(receiver).await, Exit { code: 0, running: vec![] });
}

#[tokio::test]
async fn the_token_ends_the_process_in_order_too() {
    let (mut supervisor, _sender, receiver) = supervisor(HOUR);
    orderly(&mut supervisor, "projector");
    supervisor.shutdown().cancel();
    assert_eq!(supervisor.run(receiver).await.code, 0);
}

#[tokio::test]
async fn a_task_that_fails_stops_the_process_and_is_logged_once_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("the log can't be read")]
    struct Outer(#[source] io::Error);

    let (mut supervisor, _sender, receiver) = supervisor(HOUR);
    orderly(&mut supervisor, "http");
    let shutdown = supervisor.shutdown();
    supervisor.spawn("projector", async { Err(Outer(io::Error::other("offset 7 is damaged"))) });
    let (exit, log) = logged(supervisor.run(receiver)).await;
    assert_eq!(exit, Exit { code: 1, running: vec![] });
    assert!(shutdown.is_cancelled());
    assert_eq!(log.matches("the log can't be read: offset 7 is damaged").count(), 1, "{log}");
    assert_eq!(log.matches("projector").count(), 1, "{log}");
}

#[tokio::test]
async fn ending_early_is_a_failure_also_without_an_error() {
    let (mut supervisor, _sender, receiver) = supervisor(HOUR);
    supervisor.spawn("projector", async { Nothing::Ok(()) });
    let (exit, log) = logged(supervisor.run(receiver)).await;
    assert_eq!(exit.code, 1);
    assert!(log.contains("it ended before the process did"), "{log}");
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let (mut supervisor, _sender, receiver) = supervisor(HOUR);
    supervisor.spawn_finite("demo", async { if true { panic!("boom") } else { Nothing::Ok(()) } });
    let (exit, log) = logged(supervisor.run(receiver)).await;
    assert_eq!(exit.code, 1);
    assert!(log.contains("demo") && log.contains("it panicked"), "{log}");
}

#[tokio::test]
async fn failing_while_stopping_is_a_failure() {
    let (mut supervisor, sender, receiver) = supervisor(HOUR);
    let shutdown = supervisor.shutdown();
    supervisor.spawn("log", async move {
        shutdown.cancelled().await;
        Err(io::Error::other("disk full"))
    });
    sender.send(Signal::Interrupt).unwrap();
    let (exit, log) = logged(supervisor.run(receiver)).await;
    assert_eq!(exit.code, 1);
    assert!(log.contains("disk full"), "{log}");
}

#[tokio::test]
async fn past_the_deadline_the_process_leaves_and_names_who_is_late() {
    let (mut supervisor, sender, receiver) = supervisor(Duration::from_millis(30));
    orderly(&mut supervisor, "http");
    supervisor.spawn("projector", pending::<Nothing>());
    sender.send(Signal::Terminate).unwrap();
    let (exit, log) = logged(supervisor.run(receiver)).await;
    assert_eq!(exit, Exit { code: 1, running: vec!["projector".to_owned()] });
    assert!(log.contains("projector"), "{log}");
}

#[tokio::test]
async fn a_second_signal_leaves_now() {
    for (second, code) in [(Signal::Terminate, 143), (Signal::Interrupt, 130)] {
        let (mut supervisor, sender, receiver) = supervisor(HOUR);
        supervisor.spawn("projector", pending::<Nothing>());
        sender.send(Signal::Terminate).unwrap();
        sender.send(second).unwrap();
        let exit = supervisor.run(receiver).await;
        assert_eq!(exit, Exit { code, running: vec!["projector".to_owned()] });
    }
}

#[tokio::test]
async fn without_signals_the_tasks_decide() {
    let (mut supervisor, sender, receiver) = supervisor(HOUR);
    drop(sender);
    orderly(&mut supervisor, "http");
    let shutdown = supervisor.shutdown();
    let run = tokio::spawn(supervisor.run(receiver));
    tokio::task::yield_now().await;
    shutdown.cancel();
    assert_eq!(run.await.unwrap().code, 0);
}

#[tokio::test]
async fn a_start_that_waits_is_ended_by_a_signal() {
    let (mut supervisor, sender, mut receiver) = supervisor(HOUR);
    orderly(&mut supervisor, "http");
    assert_eq!(supervisor.starting(&mut receiver, async { 7 }).await, Some(7));
    sender.send(Signal::Terminate).unwrap();
    assert_eq!(supervisor.starting(&mut receiver, pending::<()>()).await, None);
    assert_eq!(supervisor.run(receiver).await, Exit { code: 0, running: vec![] });
}

#[tokio::test]
async fn a_task_that_fails_during_the_start_ends_the_process() {
    let (mut supervisor, _sender, mut receiver) = supervisor(HOUR);
    orderly(&mut supervisor, "http");
    supervisor.spawn("log", async { Err(io::Error::other("gone")) });
    assert_eq!(supervisor.starting(&mut receiver, pending::<()>()).await, None);
    assert_eq!(supervisor.run(receiver).await, Exit { code: 1, running: vec![] });
}
