//! Asking again and again whether what a component stands on is there.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Component;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take before the component counts as not ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks whether something is there.
pub trait Probe: Send {
    /// Asks now.
    ///
    /// # Errors
    /// Why it isn't, in words that may be shown to anybody.
    fn ask(&mut self) -> impl Future<Output = Result<(), String>> + Send;

    /// Returns when it is worth asking before it is time; never, unless told otherwise. May be dropped at any time.
    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Keeps `component` ready for as long as the probe succeeds. It asks twice a second, and when it is woken, so that bad
/// news and good news are told within two seconds.
///
/// A question that takes long isn't dropped, only held against the component: what it waits for may hold a thread, and
/// asking anew would hold one more each time.
pub async fn keep_probing(component: &Component, mut probe: impl Probe, shutdown: &CancellationToken) {
    let asking = async {
        loop {
            match patiently(component, probe.ask()).await {
                Ok(()) => component.ready(),
                Err(reason) => component.not_ready(reason),
            }
            tokio::select! {
                () = probe.woken() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    };
    let _ended: Option<()> = shutdown.run_until_cancelled(asking).await;
}

async fn patiently(component: &Component, answer: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let mut answer = pin!(answer);
    if let Ok(answer) = tokio::time::timeout(PATIENCE, answer.as_mut()).await {
        return answer;
    }
    component.not_ready("what it stands on doesn't answer");
    answer.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Health;

    /// Fails and recovers by the clock.
    struct ByTheClock<'a>(tokio::time::Instant, &'a mut usize);

    impl Probe for ByTheClock<'_> {
        async fn ask(&mut self) -> Result<(), String> {
            *self.1 += 1;
            match self.0.elapsed().as_secs() {
                10..20 => Err("it refuses".to_owned()),
                20..30 => {
                    // As a call does that has a timeout of its own.
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    Err("no answer".to_owned())
                }
                _ => Ok(()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bad_news_and_good_news_are_told_within_two_seconds() {
        let health = Health::default();
        let component = health.component("log");
        let (begun, stop, mut asked) = (tokio::time::Instant::now(), CancellationToken::new(), 0);
        let looking = async {
            for (at, reasons) in
                [(1, ""), (11, "log: it refuses"), (22, "log: what it stands on doesn't answer"), (32, "")]
            {
                tokio::time::sleep_until(begun + Duration::from_secs(at)).await;
                assert_eq!(health.report().reasons(), reasons, "after {at} s");
            }
            stop.cancel();
        };
        tokio::join!(keep_probing(&component, ByTheClock(begun, &mut asked), &stop), looking);
        assert!(asked < 70, "{asked}");
    }

    /// Fails once, and is woken at once.
    struct Woken<'a>(&'a mut bool, CancellationToken);

    impl Probe for Woken<'_> {
        async fn ask(&mut self) -> Result<(), String> {
            if std::mem::replace(self.0, true) {
                self.1.cancel();
                return Ok(());
            }
            Err("filling".to_owned())
        }

        async fn woken(&mut self) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_is_answered_at_once() {
        let health = Health::default();
        let (component, stop, mut asked) = (health.component("tables"), CancellationToken::new(), false);
        let begun = tokio::time::Instant::now();
        keep_probing(&component, Woken(&mut asked, stop.clone()), &stop).await;
        assert_eq!((begun.elapsed(), asked), (Duration::ZERO, true));
    }
}
