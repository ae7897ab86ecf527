//! The command line: one file for each command.

mod bench;
mod check_config;
mod connect;
mod history;
mod members;
mod publish;
mod remote;
mod rooms;
mod serve;
mod show;
mod tail;

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};
use parlor_client::Error;
use parlor_proto::codes::Code;

/// Realtime messaging in one process: rooms, direct messages, presence and history that survive a crash.
///
/// Without a command it serves: `parlor` and then http://localhost:9527/ is all it takes.
#[derive(Debug, Parser)]
#[command(name = "parlor", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the chat and everything else (the default).
    Serve(serve::Serve),
    /// Chat from a terminal, or talk to any WebSocket server.
    Connect(connect::Connect),
    /// Publish a message in a room, as the application.
    Publish(publish::Publish),
    /// Follow rooms: print their messages as they come.
    Tail(tail::Tail),
    /// List rooms.
    Rooms(rooms::Rooms),
    /// List who is in a room.
    Members(members::Members),
    /// Print a room's past messages.
    History(history::History),
    /// Measure a running Parlor: echo, fan-out, stored messages, idle connections.
    Bench(bench::Bench),
    /// Check the settings and say where each comes from.
    CheckConfig(serve::Serve),
    /// Print a settings file with all defaults and their reasons.
    PrintDefaults,
}

pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(command) => command.run(),
        Command::CheckConfig(command) => check_config::run(command),
        Command::PrintDefaults => {
            Ok(std::io::stdout().write_all(crate::config::print_defaults().as_bytes())?)
        }
        Command::Connect(command) => wait(command.run()),
        Command::Publish(command) => wait(command.run()),
        Command::Tail(command) => wait(command.run()),
        Command::Rooms(command) => wait(command.run()),
        Command::Members(command) => wait(command.run()),
        Command::History(command) => wait(command.run()),
        Command::Bench(command) => wait(command.run()),
    }
}

/// Runs a command that talks to a server.
fn wait(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    // A thread may still wait for a line of stdin; nobody waits for it.
    runtime.shutdown_background();
    done
}

/// What to type next after an error, where there is something.
pub(crate) fn what_next(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<Error>()? {
        Error::Unreachable { .. } => {
            Some("Start a server with `parlor`, or say where one is with --server or an address.".to_owned())
        }
        Error::Refused(refused) if refused.known() == Some(Code::NameTaken) => {
            let free = refused.suggestions.first()?;
            Some(format!("Try --name {}.", show::quoted(free)))
        }
        Error::Refused(refused) if refused.known() == Some(Code::Unauthenticated) => Some(
            "Name the key with --key-file; the server wrote it to api.key in its data directory.".to_owned(),
        ),
        Error::Refused(refused)
            if matches!(refused.known(), Some(Code::RateLimited | Code::TooManyConnections)) =>
        {
            Some("To measure a server, start it with `parlor --no-limits`.".to_owned())
        }
        _ => None,
    }
}
