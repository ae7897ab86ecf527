//! `cargo xtask bench`: builds the servers and hands over to `parlor-benches`, which measures them.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::context::Context;

/// Builds and runs; everything after `bench` belongs to the harness (`cargo xtask bench --help`).
pub(crate) fn run(args: &[String]) -> Result<bool> {
    // A first build of everything on two slow cores.
    let cx = Context::new("bench", Instant::now() + Duration::from_secs(1800))?;
    // What ships is measured; tuning is quicker without fat LTO.
    let profile = if args.iter().any(|arg| arg == "--quick") { "release" } else { "dist" };
    let mut build = cx.cargo();
    build.args([
        "build",
        "--profile",
        profile,
        "-p",
        "parlor-benches",
        "-p",
        "parlor-server",
        "-p",
        "parlor",
    ]);
    build.args([
        "--bin",
        "parlor-benches",
        "--bin",
        "parlor",
        "--example",
        "echo",
        "--example",
        "socketio_bench",
    ]);
    cx.run_ok(build, "build")?;
    let mut harness = cx.command(cx.target.join(profile).join("parlor-benches"));
    harness.arg("duel").args(args).env("PARLOR_TARGET", &cx.target);
    // It shares the terminal: progress lines, and Ctrl-C reaches it directly.
    Ok(harness.status()?.success())
}
