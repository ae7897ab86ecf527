//! Idle connections: how fast they open, and what each costs the server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parlor_client::Address;

use super::super::show::count;
use super::measure::Report;
use super::swarm::{self, HANDSHAKES};

/// The server frees what it needed for the handshakes before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) async fn run(server: &Address, connections: usize, pid: Option<u32>) -> Result<Report> {
    let before = pid.map(resident).transpose()?;
    let started = Instant::now();
    let sockets = swarm::open(server, connections, None)
        .await
        .context("if files ran out, `ulimit -n 65536` gives more, here and for the server")?;
    let took = started.elapsed();
    tokio::time::sleep(SETTLE).await;
    let after = pid.map(resident).transpose()?;
    let setting =
        format!("{} opened, {HANDSHAKES} handshakes at once", count(connections as u64, "connection"));
    let mut report = Report::new("idle", setting);
    report.figure("opened", connections as f64 / took.as_secs_f64(), "/s");
    match (before, after) {
        (Some(before), Some(after)) => {
            report.figure(
                "resident memory each",
                after.saturating_sub(before) as f64 / connections as f64,
                "bytes",
            );
        }
        _ => report.note("For the memory of each, give the server's process: --pid"),
    }
    drop(sockets);
    Ok(report)
}

/// Resident memory of a process in bytes (Linux: VmRSS of proc_pid_status(5)).
fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {path}; is {pid} the server?"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has no memory")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
