//! Where things are and how a group runs programs: paths, the shared release build, the group's deadline.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Finished};

/// Everything that a group may know about the run it is part of.
#[derive(Debug)]
pub(crate) struct Context {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target directory; logs are kept in `xtask/` below it.
    pub(crate) target: PathBuf,
    /// The group that is running: a word for logs and progress lines.
    pub(crate) group: &'static str,
    /// When the group's time budget ends.
    pub(crate) deadline: Instant,
}

impl Context {
    pub(crate) fn new(group: &'static str, deadline: Instant) -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask has no parent directory")?.to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        fs::create_dir_all(target.join("xtask"))?;
        Ok(Context { root, target, group, deadline })
    }

    /// An ignored folder for what the tests install, for example `.tools/clients`.
    pub(crate) fn tools(&self, name: &str) -> PathBuf {
        self.root.join(".tools").join(name)
    }

    /// Where the log of a step of this group is kept.
    pub(crate) fn log(&self, step: &str) -> PathBuf {
        self.target.join("xtask").join(format!("{}-{step}.log", self.group))
    }

    /// A command in the checkout's root.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The cargo that started this, without terminal colours.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        command
    }

    /// Runs a command within the group's time budget; `step` names its log.
    pub(crate) fn run(&self, command: Command, step: &str) -> Result<Finished> {
        println!("[{}] {}", self.group, words(&command));
        process::run(command, &self.log(step), self.group, self.deadline)
    }

    /// As `run`, but not to succeed is an error that shows the end of the output.
    pub(crate) fn run_ok(&self, command: Command, step: &str) -> Result<String> {
        let shown = words(&command);
        let done = self.run(command, step)?;
        if !done.ok {
            bail!("`{shown}` failed:\n{}", tail(&done.output, 40));
        }
        Ok(done.output)
    }

    /// Builds what the groups share, once: the server, the examples and the kill test's helper. One set
    /// of packages on every call, so that cargo resolves the same features and builds nothing twice.
    pub(crate) fn release(&self, args: &[&str]) -> Command {
        let mut cargo = self.cargo();
        cargo.args(args).args(["--release", "-p", "parlor-server", "-p", "parlor", "-p", "parlor-testkit"]);
        cargo
    }

    /// The release binary `parlor`, built if it is not up to date.
    pub(crate) fn parlor_bin(&self) -> Result<PathBuf> {
        self.build_release()?;
        Ok(self.target.join("release/parlor"))
    }

    /// The release example `echo`, built if it is not up to date.
    pub(crate) fn echo_bin(&self) -> Result<PathBuf> {
        self.build_release()?;
        Ok(self.target.join("release/examples/echo"))
    }

    /// The folder of the release examples, built if they are not up to date.
    pub(crate) fn examples(&self) -> Result<PathBuf> {
        self.build_release()?;
        Ok(self.target.join("release/examples"))
    }

    fn build_release(&self) -> Result<()> {
        let mut build = self.release(&["build"]);
        build.args(["--bin", "parlor", "--examples"]);
        self.run_ok(build, "release-build").map(drop)
    }
}

/// The last `count` lines, so that a failure can be read where it is reported.
pub(crate) fn tail(output: &str, count: usize) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A command as one would type it, with the program's folder left out.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let args = command.get_args().map(OsStr::to_string_lossy);
    std::iter::once(program.to_string_lossy()).chain(args).collect::<Vec<_>>().join(" ")
}
