//! The benchmark program: the raw limit (a server) and the duel (load generator and harness).

mod clients;
mod contest;
mod contestant;
mod histogram;
mod http;
mod install;
mod machine;
mod options;
mod peers;
mod poller;
mod publisher;
mod rawlimit;
mod report;
mod scenario;
mod server;
mod socketio;
mod swarm;
mod transports;
mod wire;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: parlor-benches rawlimit [--batch] [--frame-bytes N] [--listen ADDR]
       parlor-benches duel     [OPTION…]        (this is `cargo xtask bench`)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    match args.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("rawlimit", rest)) => rawlimit::run(&rawlimit::Options::parse(rest)?),
        Some(("duel", rest)) => contest::run(rest),
        _ => bail!("{USAGE}"),
    }
}
