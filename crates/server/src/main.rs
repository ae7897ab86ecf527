//! The binary `parlor`: a finished chat and a realtime server on one port.

mod api;
mod app;
mod clock;
mod embedded;
mod pages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use app::{EngineKind, Settings};

/// Realtime messaging in one process: rooms, direct messages, presence and history that survive a crash.
#[derive(Parser)]
#[command(name = "parlor", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the chat and everything else (the default).
    Serve(Serve),
}

#[derive(Args)]
struct Serve {
    /// Where to listen; port 0 picks a free one, 0.0.0.0 lets others in your network in.
    #[arg(long, env = "PARLOR_LISTEN", default_value = "127.0.0.1:9527")]
    listen: SocketAddr,
    /// Where messages and the API key are kept.
    #[arg(long, env = "PARLOR_DATA", default_value = "./parlor-data")]
    data: PathBuf,
    /// What keeps the messages.
    #[arg(long, env = "PARLOR_ENGINE", value_enum, default_value = "embedded")]
    engine: EngineName,
    /// A page of this origin may connect, as in https://app.example; may be repeated.
    #[arg(long = "origin", env = "PARLOR_ORIGIN", value_delimiter = ',')]
    origins: Vec<String>,
    /// Threads; one per core if it is not given.
    #[arg(long, env = "PARLOR_WORKERS")]
    workers: Option<usize>,
    /// Lift the limits on rates and connections, for benchmarks. Size limits stay.
    #[arg(long, env = "PARLOR_NO_LIMITS")]
    no_limits: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineName {
    Embedded,
    Memory,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("PARLOR_LOG").unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let serve = match cli.command {
        Some(Command::Serve(serve)) => serve,
        None => cli.serve,
    };
    let settings = Settings {
        listen: serve.listen,
        data: serve.data,
        engine: match serve.engine {
            EngineName::Embedded => EngineKind::Embedded,
            EngineName::Memory => EngineKind::Memory,
        },
        origins: serve.origins,
        workers: serve.workers,
        limits: if serve.no_limits { parlor::Limits::Off } else { parlor::Limits::On },
    };
    match app::serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parlor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
