//! The frame of a `main`: configuration, log lines, a runtime, an exit code.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::process::ExitCode;

use crate::{Config, ConfigError, Exit, Help, Program, Source, Telemetry, causes, complain, say, start_logging};

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a program ends without having run, or not in order.
///
/// Any error becomes one with exit code 1 by `?`. It is no error itself, since nobody but [`launch`] handles it.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: BoxError,
}

impl Failure {
    /// What was asked for doesn't fit what is there: somebody must change one of them, and no retry helps (exit code 64).
    pub fn configuration(error: impl Into<BoxError>) -> Self {
        Self { code: ConfigError::EXIT_CODE, error: error.into() }
    }

    /// A failure of this kind if `is_configuration` says so, else one with exit code 1.
    pub fn sorted_by<E: Into<BoxError>>(error: E, is_configuration: impl FnOnce(&E) -> bool) -> Self {
        let code = if is_configuration(&error) { ConfigError::EXIT_CODE } else { 1 };
        Self { code, error: error.into() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&causes(self.error.as_ref()))
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: 1, error: error.into() }
    }
}

/// Runs a program: reads its settings (`read` notes in the configuration what is wrong with them), starts logging by
/// [`TELEMETRY_SETTINGS`](crate::TELEMETRY_SETTINGS), which it must declare, and runs it. Then the process ends, without
/// waiting for threads that are still at work; only what keeps it from running is answered.
pub fn launch<S, R>(
    program: &Program<'_>,
    source: &Source,
    read: impl FnOnce(&mut Config) -> S,
    run: impl FnOnce(S) -> R,
) -> ExitCode
where
    R: Future<Output = Result<Exit, Failure>>,
{
    let mut config = match Config::load(program, source) {
        Ok(config) => config,
        Err(Help(text)) => {
            return match say(text.trim_end()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(unsaid) => ExitCode::from(unsaid.exit_code()),
            };
        }
    };
    let settings = read(&mut config);
    let telemetry = Telemetry::from_config(&mut config);
    if let Err(problems) = config.finish() {
        complain(&problems);
        return ExitCode::from(ConfigError::EXIT_CODE);
    }
    // A program of Weir waits more than it works.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ran = match (start_logging(&telemetry), runtime) {
        (Ok(()), Ok(runtime)) => runtime.block_on(run(settings)),
        (Err(error), _) => Err(error.into()),
        (_, Err(error)) => Err(error.into()),
    };
    match ran {
        Ok(exit) => exit.leave(),
        Err(failure) => {
            let name = program.name.split(' ').next().unwrap_or_default();
            complain(&format_args!("{name}: {failure}"));
            // A task of a start that failed may be waiting for somebody who is away.
            Exit { code: failure.code, running: Vec::new() }.leave()
        }
    }
}
