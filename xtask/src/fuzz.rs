//! `cargo xtask fuzz` and the group `fuzz`: coverage-guided fuzzing of the targets in `fuzz/`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::context::{Context, tail};
use crate::install;
use crate::outcome::GroupResult;
use crate::process::on_path;

/// The version that the committed corpora were made with.
const CARGO_FUZZ: &str = "0.13.1";

/// Runs the named targets, or all, for `--seconds` in all; true if none found anything.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let mut seconds = 60;
    let mut names = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().context("--seconds needs a number")?;
                seconds = value.parse().with_context(|| format!("`{value}` is not a number of seconds"))?;
            }
            name if !name.starts_with('-') => names.push(name.to_string()),
            other => bail!("unknown option `{other}`; there is --seconds N"),
        }
    }
    // Compiling the fuzzer and the targets is not fuzzing time.
    let limit = Duration::from_secs(seconds) * 2 + Duration::from_secs(1200);
    let cx = Context::new("fuzz", Instant::now() + limit)?;
    let result = fuzz(&cx, seconds, &names)?;
    result.skips.iter().for_each(|reason| println!("skipped  {reason}"));
    println!("{result}");
    Ok(result.is_ok())
}

/// All targets for `seconds` in all: it shows that they still build and that nothing falls out at once.
pub(crate) fn smoke(cx: &Context, seconds: u64) -> Result<GroupResult> {
    fuzz(cx, seconds, &[])
}

fn fuzz(cx: &Context, seconds: u64, names: &[String]) -> Result<GroupResult> {
    let targets = if names.is_empty() { targets(cx)? } else { names.to_vec() };
    if targets.is_empty() {
        return Ok(GroupResult::skipped("there are no fuzz targets"));
    }
    let program = match fuzzer(cx) {
        Ok(program) => program,
        Err(error) => return Ok(GroupResult::skipped(format!("cannot be installed: {error:#}"))),
    };
    let each = (seconds / targets.len() as u64).max(1);
    let mut result = GroupResult::default();
    for target in targets {
        let mut command = cx.command("rustup");
        command.args(["run", "nightly"]).arg(&program).args(["fuzz", "run", &target, "--"]);
        command.args([
            format!("-max_total_time={each}"),
            "-timeout=10".into(),
            "-print_final_stats=1".into(),
        ]);
        let done = cx.run(command, &target)?;
        if done.ok {
            result.passed += 1;
        } else {
            println!("{}", tail(&done.output, 60));
            result.failures.push(format!("{target} (log: {})", cx.log(&target).display()));
        }
    }
    Ok(result)
}

/// Every file in `fuzz/fuzz_targets` is a target of that name.
fn targets(cx: &Context) -> Result<Vec<String>> {
    let Ok(folder) = std::fs::read_dir(cx.root.join("fuzz/fuzz_targets")) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in folder {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// cargo-fuzz needs a nightly compiler, which cannot be installed everywhere; the fuzzer itself can.
fn fuzzer(cx: &Context) -> Result<PathBuf> {
    if !on_path("rustup") {
        bail!("no rustup, so no nightly compiler");
    }
    let version = cx.command("rustup").args(["run", "nightly", "rustc", "--version"]).output()?;
    if !version.status.success() {
        bail!("no nightly compiler (rustup toolchain install nightly)");
    }
    install::debian(cx, &[("c++", "g++")])?;
    install::cargo_tool(cx, "cargo-fuzz", CARGO_FUZZ)
}
