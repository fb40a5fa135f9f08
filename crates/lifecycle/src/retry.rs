//! Waiting for what a service stands on.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use crate::{Component, causes};

/// The pause after the first failure; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Tries until `attempt` succeeds or fails by an error that doesn't pass. Each failure is a line in the log; meanwhile
/// `component` isn't ready and says what it waits for. `what` is a clause such as `opening the log`.
///
/// It goes on for ever: a service that is started before what it stands on has nothing better to do, and an exit would
/// only leave the trying to whoever starts it again. Dropping it ends it.
///
/// # Errors
/// The error for which `may_pass` says no.
pub async fn keep_trying<T, E, F>(
    what: &'static str,
    component: &Component,
    may_pass: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> Result<T, E>
where
    E: Error + 'static,
    F: Future<Output = Result<T, E>>,
{
    let mut pause = FIRST_PAUSE;
    component.not_ready(what);
    loop {
        let error = match attempt().await {
            Err(error) if may_pass(&error) => error,
            ended => return ended,
        };
        tracing::warn!(cause = causes(&error), next_in = ?pause, "{what} failed, it is tried again");
        component.not_ready(format!("{what} failed, it is tried again"));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;
    use crate::Health;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_and_the_rest_told() {
        let health = Health::default();
        let component = health.component("log");
        let may_pass = |error: &Error| error.kind() == ErrorKind::ConnectionRefused;
        let begun = tokio::time::Instant::now();
        let mut left = 6;
        let attempt = || {
            left -= 1;
            let outcome = if left > 0 { Err(Error::from(ErrorKind::ConnectionRefused)) } else { Ok(left) };
            std::future::ready(outcome)
        };
        assert_eq!(keep_trying("opening it", &component, may_pass, attempt).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), Duration::from_millis(250 + 500 + 1_000 + 2_000 + 2_000));
        assert_eq!(health.report().reasons(), "log: opening it failed, it is tried again");

        let attempt = || std::future::ready(Err::<(), _>(Error::from(ErrorKind::NotFound)));
        let refused = keep_trying("opening it", &component, may_pass, attempt).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
