//! The group `conformance`: Autobahn|Testsuite against both roles of our WebSocket, and against the Rust client.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::outcome::GroupResult;
use crate::process::{kill_group, spawn_group};

/// The groups that a normal run has whole. Group 9 (limits) is left to the whole run.
const CUT: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];
/// Of 12 and 13 (compression; 216 cases of 1,000 messages each, 25 minutes for one role) a normal run has messages
/// of 16 bytes, of 1 KB, and of 8 KB in fragments of 256 bytes, with every combination of parameters.
const COMPRESSED: [(u32, u32); 2] = [(12, 5), (13, 7)];
const SIZES: [u32; 3] = [1, 4, 11];

/// Runs the cut that fits a normal run, or every case if `full`.
pub(crate) fn run(cx: &Context, full: bool) -> GroupResult {
    let suite = match Suite::install(cx) {
        Ok(suite) => suite,
        Err(error) => return GroupResult::skipped(format!("cannot be installed: {error:#}")),
    };
    let mut result = GroupResult::default();
    for role in [Role::Server, Role::Client, Role::RustClient] {
        let outcome = suite.judge(role, full);
        result
            .add(outcome.unwrap_or_else(|error| GroupResult::failed(format!("{}: {error:#}", role.name()))));
    }
    result
}

/// What of ours is tested.
#[derive(Debug, Clone, Copy)]
enum Role {
    Server,
    /// The machine in `proto` as client.
    Client,
    /// The crate `parlor-client`.
    RustClient,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
            Role::RustClient => "rust-client",
        }
    }
}

/// The installed suite.
struct Suite<'c> {
    cx: &'c Context,
    env: PathBuf,
    /// The committed half: locks and verdicts.
    folder: PathBuf,
    /// Reports of this run.
    reports: PathBuf,
}

impl<'c> Suite<'c> {
    /// Makes the Python 2.7 environment under `.tools/autobahn`, unless it is there with the same locks.
    fn install(cx: &'c Context) -> Result<Self> {
        let folder = cx.root.join("interop/autobahn");
        let tools = cx.tools("autobahn");
        let env = tools.join("env");
        let reports = cx.target.join("xtask/autobahn");
        fs::create_dir_all(&reports)?;
        let suite = Suite { cx, env, folder, reports };

        let locks = ["virtualenv.txt", "build.txt", "requirements.txt"];
        let wanted = locks.iter().map(|lock| fs::read_to_string(suite.folder.join(lock)));
        let wanted = wanted.collect::<Result<String, _>>()?;
        let stamp = tools.join("installed.lock");
        if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
            return Ok(suite);
        }

        let python = python2()?;
        let maker = tools.join("virtualenv");
        for old in [&maker, &suite.env] {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        let maker_dir = maker.to_string_lossy().into_owned();
        suite.pip(&python, &["--target", &maker_dir], "virtualenv.txt")?;
        let mut virtualenv = cx.command(&python);
        virtualenv
            .env("PYTHONPATH", &maker)
            .args(["-m", "virtualenv", "--quiet", "--no-download"])
            .arg(&suite.env);
        cx.run_ok(virtualenv, "virtualenv")?;
        let inside = suite.python();
        suite.pip(&inside, &[], "build.txt")?;
        suite.pip(&inside, &["--no-deps", "--no-build-isolation"], "requirements.txt")?;
        fs::write(stamp, wanted)?;
        Ok(suite)
    }

    fn pip(&self, python: &Path, options: &[&str], lock: &str) -> Result<()> {
        let mut pip = self.cx.command(python);
        pip.args(["-W", "ignore", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--require-hashes"]).args(options).arg("-r").arg(self.folder.join(lock));
        self.cx.run_ok(pip, &format!("pip-{lock}")).map(drop)
    }

    fn python(&self) -> PathBuf {
        self.env.join("bin/python")
    }

    /// Runs the cases for one role and holds the verdicts against the committed ones.
    fn judge(&self, role: Role, full: bool) -> Result<GroupResult> {
        let cases = cases(role, full);
        let report = self.reports.join(role.name());
        if report.exists() {
            fs::remove_dir_all(&report)?;
        }
        match role {
            Role::Server => self.test_server(&report, &cases)?,
            Role::Client => self.test_client(&report, &cases, "parlor-proto", "blocking_echo")?,
            Role::RustClient => self.test_client(&report, &cases, "parlor-client", "autobahn")?,
        }
        let mut print = self.cx.command(self.python());
        print.arg(self.folder.join("verdicts.py")).arg(report.join("index.json"));
        let found = self.cx.run_ok(print, &format!("{}-verdicts", role.name()))?;
        fs::write(self.reports.join(format!("{}.txt", role.name())), &found)?;
        let expected = fs::read_to_string(self.folder.join(format!("expected-{}.txt", role.name())))?;
        let result = compare(role.name(), &expected, &found, &cases);
        // A case is a few hundred lines of JSON and HTML; what matters is in the verdicts unless one is wrong.
        if result.is_ok() {
            fs::remove_dir_all(&report)?;
        }
        Ok(result)
    }

    /// The example `echo` against the suite's client.
    fn test_server(&self, report: &Path, cases: &[String]) -> Result<()> {
        let mut echo = self.cx.command(self.cx.echo_bin()?);
        echo.args(["--listen", "127.0.0.1:0"]);
        echo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(self.cx.log("echo"))?);
        let mut echo = Running(spawn_group(&mut echo)?);
        let mut line = String::new();
        BufReader::new(echo.0.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.with_context(|| format!("the echo example said `{}`", line.trim()))?;
        let servers = format!(r#""servers": [{{"agent": "parlor", "url": "ws://{address}/ws"}}]"#);
        let wstest = self.wstest("fuzzingclient", &servers, report, cases)?;
        self.cx.run_ok(wstest, "fuzzingclient").map(drop)
    }

    /// An example that echoes as a client, against the suite's server.
    fn test_client(&self, report: &Path, cases: &[String], package: &str, example: &str) -> Result<()> {
        let mut build = self.cx.release(&["build"]);
        build.args(["-p", package, "--example", example]);
        self.cx.run_ok(build, "client-build")?;

        // The suite cannot choose a port by itself; this one was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut server =
            self.wstest("fuzzingserver", &format!(r#""url": "ws://{address}""#), report, cases)?;
        let log = File::create(self.cx.log("fuzzingserver"))?;
        server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = Running(spawn_group(&mut server)?);
        let patience = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            if server.0.try_wait()?.is_some() || Instant::now() > patience {
                bail!("the fuzzing server does not listen (log: {})", self.cx.log("fuzzingserver").display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let mut client = self.cx.command(self.cx.target.join("release/examples").join(example));
        client.args(["--client", &address.to_string()]);
        self.cx.run_ok(client, "client").map(drop)
    }

    /// The suite's program in one of its modes, with a specification of its own.
    fn wstest(&self, mode: &str, own: &str, report: &Path, cases: &[String]) -> Result<Command> {
        let spec = self.reports.join(format!("{mode}.json"));
        let cases = cases.iter().map(|case| format!("{case:?}")).collect::<Vec<_>>().join(", ");
        let report = report.to_string_lossy();
        fs::write(
            &spec,
            format!(
                "{{{own},\n \"outdir\": {report:?},\n \"cases\": [{cases}],\n \"exclude-cases\": [],\n \
                 \"exclude-agent-cases\": {{}}}}\n"
            ),
        )?;
        let mut command = self.cx.command(self.python());
        command.arg(self.env.join("bin/wstest")).args(["--mode", mode, "--webport", "0", "--spec"]).arg(spec);
        Ok(command)
    }
}

/// A program that is killed when this goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(&mut self.0);
    }
}

/// CPython 2.7 where pyenv puts it, or from the path. pyenv's own `python2.7` on the path need not lead anywhere, so
/// each is tried.
fn python2() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let pyenv = std::env::var_os("PYENV_ROOT").map_or_else(|| Path::new(&home).join(".pyenv"), PathBuf::from);
    let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin/python2.7"));
    let runs = |python: &PathBuf| {
        Command::new(python).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    installed
        .chain(["python2.7".into()])
        .find(runs)
        .context("no CPython 2.7, neither on the path nor from pyenv (pyenv install 2.7.18)")
}

/// One case is one test. Verdicts are lines `CASE BEHAVIOUR CLOSE`; what is expected may have more than one, with bars
/// between them, where it is up to the network.
fn compare(role: &str, expected: &str, found: &str, cases: &[String]) -> GroupResult {
    let expected: BTreeMap<&str, &str> = expected.lines().filter_map(|line| line.split_once(' ')).collect();
    let found: BTreeMap<&str, &str> = found.lines().filter_map(|line| line.split_once(' ')).collect();
    let wanted = expected.keys().filter(|case| cases.iter().any(|pattern| matches(pattern, case)));
    let mut result = GroupResult::default();
    for case in wanted.chain(found.keys().filter(|case| !expected.contains_key(*case))) {
        let (old, new) = (expected.get(case).unwrap_or(&"none"), found.get(case).unwrap_or(&"none"));
        if old.split(" | ").any(|old| old == *new) {
            result.passed += 1;
        } else {
            result.failures.push(format!("{role}, case {case}: {new}, expected {old}"));
        }
    }
    result
}

/// What is run, as the suite's specification has it.
fn cases(role: Role, full: bool) -> Vec<String> {
    match (role, full) {
        // Group 9 sends messages in more fragments than a connection of this client takes; the frames of the other
        // groups of a whole run are the machine's, which has its own row.
        (Role::RustClient, _) => return CUT.map(String::from).into(),
        (_, true) => return vec!["*".into()],
        (_, false) => {}
    }
    let compressed = COMPRESSED.iter().flat_map(|(group, parameters)| {
        (1..=*parameters).flat_map(move |set| SIZES.map(|size| format!("{group}.{set}.{size}")))
    });
    CUT.map(String::from).into_iter().chain(compressed).collect()
}

/// Of the suite's patterns, those that are used here: a case, or the beginning of many and `*`.
fn matches(pattern: &str, case: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => pattern == case,
        Some(beginning) => case.starts_with(beginning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_changes_either_way_is_a_failure() {
        let expected = "1.1 OK OK\n6.4.3 NON-STRICT OK\n9.1 OK OK\n";
        let run = |found| {
            let result = compare("server", expected, found, &["1.*".into(), "6.*".into()]);
            (result.passed, result.failures)
        };
        assert_eq!(run("1.1 OK OK\n6.4.3 NON-STRICT OK\n"), (2, vec![]), "group 9 was not asked for");
        let either = compare("client", "4.1 OK OK | NON-STRICT OK", "4.1 NON-STRICT OK", &["4.*".into()]);
        assert_eq!((either.passed, either.failures), (1, vec![]));
        let better = "server, case 6.4.3: OK OK, expected NON-STRICT OK".to_owned();
        assert_eq!(run("1.1 OK OK\n6.4.3 OK OK\n"), (1, vec![better]));
        let missing = "server, case 1.1: none, expected OK OK".to_owned();
        assert_eq!(run("6.4.3 NON-STRICT OK\n"), (1, vec![missing]));
        let new = "server, case 1.2: OK OK, expected none".to_owned();
        assert_eq!(run("1.1 OK OK\n1.2 OK OK\n6.4.3 NON-STRICT OK\n"), (2, vec![new]));
    }

    #[test]
    fn a_normal_run_is_a_cut_of_the_whole() {
        let chosen = |full| {
            let patterns = cases(Role::Server, full);
            let count = |case| patterns.iter().filter(|pattern| matches(pattern, case)).count();
            ["1.1.1", "10.1.1", "9.1.1", "12.5.11", "12.1.10", "13.7.4"].map(count)
        };
        assert_eq!(chosen(false), [1, 1, 0, 1, 0, 1]);
        assert_eq!(chosen(true), [1; 6]);
    }
}
