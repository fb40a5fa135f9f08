//! `weir-bench`: starts the built `weir` and measures it beside its limits.
#![allow(clippy::print_stdout, reason = "tables are for standard output")]

mod bench;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let command = bench::Command::parse();
    match bench::run(&command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
