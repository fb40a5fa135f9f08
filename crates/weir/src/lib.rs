#![doc = include_str!("../README.md")]

mod commands;
mod copy;
mod demo;
mod directory;
mod first_start;
mod first_words;
mod init;
mod keys_file;
mod settings;
mod up;

use std::process::ExitCode;

/// Usage or configuration is wrong: nothing was done.
const USAGE: u8 = 64;

/// Runs the program with the process's arguments and environment.
pub fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("up") => up::main(),
        Some("init") => init::main(),
        _ => commands::main(),
    }
}

/// A runtime for a program that waits more than it works.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
