//! A server of the test's own, and commands that talk to it.

use std::net::SocketAddr;
use std::process::{Command, Output};

use parlor_testkit::process::Process;
use tempfile::TempDir;

/// A running `parlor serve` on a free port and a data directory of its own.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) data: TempDir,
}

impl Server {
    pub(crate) fn start() -> Server {
        let data = tempfile::tempdir().unwrap();
        let (process, address) = serve(&data, "127.0.0.1:0");
        Server { process, address, data }
    }

    /// `kill -9`, and a new process on the same address and data.
    pub(crate) fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process.wait();
        self.start_again();
    }

    pub(crate) fn start_again(&mut self) {
        (self.process, _) = serve(&self.data, &self.address.to_string());
    }

    /// A command that finds this server and its key as on the machine of a user: by its environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = parlor();
        command.args(args);
        command.env("PARLOR_SERVER", format!("http://{}", self.address));
        command.env("PARLOR_DATA", self.data.path());
        command
    }

    /// The stdout of a command that works.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "parlor {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

/// The binary, with nothing of the surroundings of the test.
pub(crate) fn parlor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlor"));
    command.env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn serve(data: &TempDir, listen: &str) -> (Process, SocketAddr) {
    let mut command = parlor();
    command.args(["--no-limits", "--workers", "2", "--listen", listen, "--data"]).arg(data.path());
    let process = Process::spawn(&mut command);
    let line = process.line_with("listening on http://");
    (process, line["listening on http://".len()..].parse().unwrap())
}

/// Exit code and stderr of a command that is refused.
#[track_caller]
pub(crate) fn refused(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(!status.success(), "{command:?} works");
    (status.code().unwrap(), text(&stderr))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
