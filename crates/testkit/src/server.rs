//! The binary `parlor`, for tests that kill it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;

/// Where it is: where `PARLOR_BIN` says, or built here, in the profile of the test.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("PARLOR_BIN") {
        return given.into();
    }
    // Tests lie in `deps` below the directory with the binaries of their profile.
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(2).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "parlor-server", "--bin", "parlor"]);
    if target.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the server is built");
    target.join("parlor")
}

/// Starts it on a free port and with a store in this directory; returns where it listens.
#[track_caller]
pub fn serve(binary: &Path, data: &Path) -> (Process, SocketAddr) {
    serve_with(binary, data, &[])
}

/// The same with further settings.
#[track_caller]
pub fn serve_with(binary: &Path, data: &Path, settings: &[&str]) -> (Process, SocketAddr) {
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--no-limits", "--data"]).arg(data).args(settings);
    let server = Process::spawn(&mut command);
    let line = server.line_with("listening on http://");
    (server, line["listening on http://".len()..].parse().unwrap())
}
