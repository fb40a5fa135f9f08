//! Standard output and standard error, whose reader may leave: `weir segments list | head`, `weir log copy 2>&1 | head`.
//!
//! `println!` and `eprintln!` panic then. To let SIGPIPE end the process, as most tools do, was rejected: a connection whose peer is gone
//! would end it too.

use std::fmt;
use std::io::{self, Write as _};

/// Of 128 + SIGPIPE: how a shell sees a tool whose reader left.
const READER_LEFT: u8 = 141;

/// Standard output didn't take what was said.
#[derive(Debug, thiserror::Error)]
#[error("can't write to standard output")]
pub struct Unsaid(#[source] io::Error);

impl Unsaid {
    /// The exit code of a program that had nothing else to do. Why is told on standard error, but for a reader who left:
    /// that is nothing to be told.
    pub fn exit_code(&self) -> u8 {
        if self.0.kind() == io::ErrorKind::BrokenPipe {
            return READER_LEFT;
        }
        complain(&crate::causes(self));
        1
    }
}

/// Writes a line to standard error. Where nobody reads that, nobody is left to be told.
pub fn complain(line: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a text and the end of its line to standard output, at once.
///
/// # Errors
/// Nobody reads it any more, or there is no room for it.
pub fn say(text: &str) -> Result<(), Unsaid> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Unsaid)
}
