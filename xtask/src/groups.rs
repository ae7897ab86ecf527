//! The table of test groups: what each is for, how long it may take, and the function that runs it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::context::{Context, tail};
use crate::outcome::GroupResult;
use crate::{autobahn, counts, fuzz, install, tidy};

/// How much of the tests is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The inner loop: only what is under a minute once built.
    Quick,
    /// What every change must pass: 45 minutes on two cores from cold, at most.
    Normal,
    /// Whole conformance suites and long crash tests.
    Full,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// Why the group exists, for `--list`.
    pub(crate) reason: &'static str,
    /// Minutes that it may take in a normal run, builds included, on two cores from cold.
    minutes: u64,
    /// The same for `--full`.
    full_minutes: u64,
    /// Part of `--quick`?
    pub(crate) quick: bool,
    /// Does it talk to other people's software (`cargo xtask interop`)?
    pub(crate) interop: bool,
    pub(crate) run: fn(&Context, Depth) -> Result<GroupResult>,
}

impl Group {
    pub(crate) fn budget(&self, depth: Depth) -> Duration {
        Duration::from_secs(60 * if depth == Depth::Full { self.full_minutes } else { self.minutes })
    }
}

/// In the order in which they run: what fails fastest comes first, and `unit` and `kill` pay for the two builds.
#[rustfmt::skip]
pub(crate) const GROUPS: &[Group] = &[
    Group { name: "tidy", reason: "formatting, lints and the rules of the house", minutes: 10, full_minutes: 10, quick: true, interop: false, run: run_tidy },
    Group { name: "unit", reason: "unit, property, engine and cross-crate tests", minutes: 25, full_minutes: 30, quick: true, interop: false, run: run_unit },
    Group { name: "doc", reason: "the documentation builds without warnings", minutes: 4, full_minutes: 4, quick: false, interop: false, run: run_doc },
    Group { name: "kill", reason: "kill -9 loses nothing that was acknowledged", minutes: 30, full_minutes: 75, quick: false, interop: false, run: run_kill },
    Group { name: "torture", reason: "every transport on a bad network, on one node and on two; ten thousand seeds of the hub in a world of its own", minutes: 15, full_minutes: 60, quick: false, interop: false, run: run_torture },
    Group { name: "redis", reason: "several nodes on a Redis, and on a Valkey, that is killed, paused and emptied", minutes: 12, full_minutes: 12, quick: false, interop: true, run: run_redis },
    Group { name: "fuzz", reason: "a minute of coverage-guided fuzzing", minutes: 20, full_minutes: 30, quick: false, interop: false, run: run_fuzz },
    Group { name: "conformance", reason: "Autobahn|Testsuite, both roles and the Rust client", minutes: 25, full_minutes: 90, quick: false, interop: true, run: run_conformance },
    Group { name: "clients", reason: "Python clients, curl lines and hostile input on the real binary", minutes: 10, full_minutes: 10, quick: false, interop: true, run: run_clients },
    Group { name: "socketio", reason: "stock Socket.IO clients on our server, and our client on Node's", minutes: 20, full_minutes: 25, quick: false, interop: true, run: run_socketio },
    Group { name: "examples", reason: "the tutorial programs with independent clients", minutes: 10, full_minutes: 10, quick: false, interop: true, run: run_examples },
    Group { name: "browser", reason: "people in real Chromium", minutes: 15, full_minutes: 15, quick: false, interop: true, run: run_browser },
    Group { name: "deny", reason: "licences and sources of dependencies", minutes: 15, full_minutes: 15, quick: false, interop: false, run: run_deny },
];

/// The library crates that `--quick` tests: no sockets, no database, no browser.
const QUICK_CRATES: [&str; 3] = ["parlor-proto", "parlor-hub", "xtask"];

fn run_tidy(cx: &Context, depth: Depth) -> Result<GroupResult> {
    let mut result = tidy::check(&cx.root)?;
    for failure in &result.failures {
        println!("[tidy] {failure}");
    }
    if depth == Depth::Quick {
        return Ok(result);
    }
    let mut fmt = cx.cargo();
    fmt.args(["fmt", "--all", "--check"]);
    result.add(pass_or_fail(cx, fmt, "fmt")?);
    let mut clippy = cx.cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]);
    result.add(pass_or_fail(cx, clippy, "clippy")?);
    Ok(result)
}

fn run_unit(cx: &Context, depth: Depth) -> Result<GroupResult> {
    let mut test = cx.cargo();
    test.args(["test", "--no-fail-fast"]);
    if depth == Depth::Quick {
        for name in QUICK_CRATES {
            test.args(["-p", name]);
        }
        test.arg("--tests");
    } else {
        test.arg("--workspace");
    }
    cargo_counts(cx, test, "unit")
}

fn run_doc(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    let mut doc = cx.cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings");
    pass_or_fail(cx, doc, "doc")
}

fn run_kill(cx: &Context, depth: Depth) -> Result<GroupResult> {
    let parlor = cx.parlor_bin()?;
    let mut test = cx.release(&["test"]);
    test.args(["--test", "kill", "--no-fail-fast"]).env("PARLOR_BIN", parlor);
    // Five rounds show that the test works; two hundred are for a release.
    test.env("PARLOR_KILL_ROUNDS", if depth == Depth::Full { "200" } else { "5" });
    cargo_counts(cx, test, "kill")
}

fn run_torture(cx: &Context, depth: Depth) -> Result<GroupResult> {
    let parlor = cx.parlor_bin()?;
    let full = depth == Depth::Full;
    let redis = redis_server(cx);
    let mut test = cx.release(&["test"]);
    test.args(["--test", "simulation", "--test", "torture", "--no-fail-fast"]).env("PARLOR_BIN", parlor);
    if redis.is_ok() {
        test.args(["--features", "parlor-testkit/redis-tests"]);
    }
    test.env("PARLOR_SEEDS", if full { "100000" } else { "10000" });
    // Of each: one node, and two on a Redis.
    test.env("PARLOR_TORTURE_SECONDS", if full { "600" } else { "40" });
    let mut result = cargo_counts(cx, test, "torture")?;
    if let Err(error) = redis {
        result.add(GroupResult::skipped(format!("two nodes: cannot be installed: {error:#}")));
    }
    Ok(result)
}

/// Debian's, unless `REDIS_SERVER` names another one.
fn redis_server(cx: &Context) -> Result<()> {
    match std::env::var_os("REDIS_SERVER") {
        Some(_) => Ok(()),
        None => install::debian(cx, &[("redis-server", "redis-server")]),
    }
}

fn run_redis(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    // What somebody names is what they want tried.
    if let Some(named) = std::env::var_os("REDIS_SERVER") {
        return on_redis(cx, named.as_ref());
    }
    let mut result = match redis_server(cx) {
        Ok(()) => on_redis(cx, Path::new("redis-server"))?,
        Err(error) => GroupResult::skipped(format!("Redis cannot be installed: {error:#}")),
    };
    result.add(match install::newer_debian(cx, "valkey", &["valkey-server", "valkey-tools"]) {
        Ok(valkey) => on_redis(cx, &valkey.join("usr/bin/valkey-server"))?,
        Err(error) => GroupResult::skipped(format!("Valkey cannot be had: {error:#}")),
    });
    Ok(result)
}

fn on_redis(cx: &Context, server: &Path) -> Result<GroupResult> {
    let mut test = cx.cargo();
    test.args(["test", "--no-fail-fast", "-p", "parlor-testkit", "-p", "parlor-server"]);
    test.args(["--features", "parlor-testkit/redis-tests,parlor-server/redis-tests"]);
    test.args(["--test", "redis", "--test", "redis_socketio", "--test", "nodes"]);
    test.env("REDIS_SERVER", server);
    let step = server.file_name().unwrap_or_default().to_string_lossy();
    cargo_counts(cx, test, &step)
}

fn run_fuzz(cx: &Context, depth: Depth) -> Result<GroupResult> {
    fuzz::smoke(cx, if depth == Depth::Full { 600 } else { 60 })
}

fn run_conformance(cx: &Context, depth: Depth) -> Result<GroupResult> {
    Ok(autobahn::run(cx, depth == Depth::Full))
}

fn run_clients(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    let folder = cx.root.join("interop/clients");
    let lock = folder.join("requirements.txt");
    let python =
        match install::debian(cx, &[("curl", "curl"), ("nginx", "nginx-light"), ("openssl", "openssl")])
            .and_then(|()| install::python_env(cx, "clients", &lock))
        {
            Ok(python) => python,
            Err(error) => return Ok(GroupResult::skipped(format!("cannot be installed: {error:#}"))),
        };
    let parlor = cx.parlor_bin()?;
    let mut build = cx.cargo();
    build.args(["build", "-p", "parlor-testkit", "--bin", "clocked"]);
    cx.run_ok(build, "clocked-build")?;
    let mut tests = cx.command(python);
    tests.current_dir(folder).args(["-m", "unittest", "discover", "-v", "-p", "test_*.py"]);
    tests.env("PARLOR_BIN", parlor).env("CLOCKED_BIN", cx.target.join("debug/clocked"));
    tests.env("PYTHONDONTWRITEBYTECODE", "1");
    counted(cx, tests, "unittest", counts::unittest)
}

fn run_socketio(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    let (ours, theirs) = (cx.root.join("interop/socketio"), cx.root.join("interop/client"));
    let python = match install::debian(cx, &[("chromium", "chromium")])
        .and_then(|()| install::npm(cx, &ours))
        .and_then(|()| install::npm(cx, &theirs))
        .and_then(|()| install::python_env(cx, "socketio", &ours.join("requirements.txt")))
    {
        Ok(python) => python,
        Err(error) => return Ok(GroupResult::skipped(format!("cannot be installed: {error:#}"))),
    };
    let examples = cx.examples()?;
    let programs = [
        ("DEMO_BIN", "socketio_demo"),
        ("ECHO_BIN", "socketio_echo"),
        ("ENGINE_BIN", "engineio"),
        ("AXUM_BIN", "axum"),
    ];
    let programs = programs.map(|(variable, name)| (variable, examples.join(name)));
    let mut node = cx.command("node");
    node.current_dir(&ours).args(["--test", "--test-concurrency=1", "--test-reporter=tap"]);
    node.envs(programs.clone()).env("CHROMIUM", "/usr/bin/chromium").env("PARLOR_BIN", cx.parlor_bin()?);
    let mut result = counted(cx, node, "node", counts::tap)?;
    let mut tests = cx.command(python);
    tests.current_dir(&ours).args(["-m", "unittest", "-v", "test_python"]);
    tests.envs(programs).env("PYTHONDONTWRITEBYTECODE", "1");
    result.add(counted(cx, tests, "unittest", counts::unittest)?);
    let mut build = cx.cargo();
    build.args(["build", "--release", "-p", "parlor-client", "--example", "lines"]);
    cx.run_ok(build, "client-build")?;
    let mut client = cx.command("node");
    client.current_dir(&theirs).args(["--test", "--test-reporter=tap"]);
    client.env("PARLOR_CLIENT_LINES", cx.target.join("release/examples/lines"));
    result.add(counted(cx, client, "client", counts::tap)?);
    Ok(result)
}

fn run_examples(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    let folder = cx.root.join("interop/examples");
    let python = match install::debian(cx, &[("curl", "curl"), ("chromium", "chromium")])
        .and_then(|()| install::npm(cx, &cx.root.join("web")))
        .and_then(|()| install::python_env(cx, "examples", &folder.join("requirements.txt")))
    {
        Ok(python) => python,
        Err(error) => return Ok(GroupResult::skipped(format!("cannot be installed: {error:#}"))),
    };
    let examples = cx.examples()?;
    let mut tests = cx.command(python);
    tests.current_dir(&folder).args(["-m", "unittest", "discover", "-v", "-p", "test_*.py"]);
    tests.env("PARLOR_EXAMPLES", &examples).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut result = counted(cx, tests, "unittest", counts::unittest)?;
    let mut pages = cx.command("node");
    pages.args(["--test", "--test-reporter=tap", "interop/examples/"]);
    pages.env("PARLOR_EXAMPLES", examples).env("CHROMIUM", "/usr/bin/chromium");
    result.add(counted(cx, pages, "node", counts::tap)?);
    Ok(result)
}

fn run_browser(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    let web = cx.root.join("web");
    let packages = [("chromium", "chromium"), ("nginx", "nginx-light")];
    if let Err(error) = install::debian(cx, &packages).and_then(|()| install::npm(cx, &web)) {
        return Ok(GroupResult::skipped(format!("cannot be installed: {error:#}")));
    }
    let parlor = cx.parlor_bin()?;
    let mut types = cx.command(web.join("node_modules/.bin/tsc"));
    types.args(["-p", "web"]);
    let mut result = pass_or_fail(cx, types, "tsc")?;
    let mut tests = cx.command("node");
    tests.args(["--test", "--test-reporter=tap", "web/tests/"]);
    tests.env("PARLOR_BIN", parlor).env("CHROMIUM", "/usr/bin/chromium");
    result.add(counted(cx, tests, "node", counts::tap)?);
    Ok(result)
}

fn run_deny(cx: &Context, _depth: Depth) -> Result<GroupResult> {
    // Compiling it takes some minutes, once.
    let program = match install::cargo_tool(cx, "cargo-deny", "0.19.0") {
        Ok(program) => program,
        Err(error) => return Ok(GroupResult::skipped(format!("cannot be installed: {error:#}"))),
    };
    let mut deny = cx.command(program);
    // Advisories need a database from elsewhere; what is checked here is decided by Cargo.lock alone.
    deny.args(["--locked", "check", "licenses", "bans", "sources"]);
    pass_or_fail(cx, deny, "deny")
}

/// One command that either works or does not.
fn pass_or_fail(cx: &Context, command: std::process::Command, step: &str) -> Result<GroupResult> {
    let done = cx.run(command, step)?;
    if done.ok {
        return Ok(GroupResult::passed(1));
    }
    println!("{}", tail(&done.output, 60));
    Ok(GroupResult::failed(format!("{step} (log: {})", cx.log(step).display())))
}

/// `cargo test` in any form.
fn cargo_counts(cx: &Context, command: std::process::Command, step: &str) -> Result<GroupResult> {
    counted(cx, command, step, counts::cargo_test)
}

/// A test runner whose output holds its own counts.
pub(crate) fn counted(
    cx: &Context,
    command: std::process::Command,
    step: &str,
    read: fn(&str) -> GroupResult,
) -> Result<GroupResult> {
    let done = cx.run(command, step)?;
    let mut result = read(&done.output);
    if !done.ok {
        println!("{}", tail(&done.output, 80));
        if result.is_ok() {
            // A build error, or a runner that died: nothing was counted, and that is a failure.
            result.failures.push(format!("{step} did not finish (log: {})", cx.log(step).display()));
        }
    } else if result == GroupResult::default() {
        bail!("{step} ran no tests at all");
    }
    Ok(result)
}
