//! The binary `parlor`: a finished chat and a realtime server on one port, and the commands to talk to one.

mod api;
mod app;
mod cli;
mod clock;
mod config;
mod embedded;
mod pages;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit(&error),
    }
}

/// All exit codes: 0 done, 1 it did not work, 2 it was asked wrongly (clap uses the same), 70 the store failed and
/// nothing more can be promised (the engine ends the process itself), 130 stopped by a second Ctrl-C.
fn exit(error: &anyhow::Error) -> ExitCode {
    let io = error.downcast_ref::<std::io::Error>();
    if io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        // Whoever read the output has enough, as in `parlor tail lobby | head -1`.
        return ExitCode::SUCCESS;
    }
    eprintln!("parlor: {error:#}");
    if let Some(next) = cli::what_next(error) {
        eprintln!("{next}");
    }
    ExitCode::from(if error.is::<config::Wrong>() { 2 } else { 1 })
}
