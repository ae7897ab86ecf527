//! Builds and installs the peers from their lock files, into ignored folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::peers::Bench;

/// axum and socketioxide: one small workspace of their own.
pub(crate) fn rust(bench: &Bench) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(bench.root.join("benches/peers/rust"));
    build
        .args(["build", "--release", "--locked", "--quiet", "--target-dir"])
        .arg(bench.scratch.join("peers-rust"));
    run(bench, build, "peers-rust")
}

/// ws and socket.io.
pub(crate) fn node(bench: &Bench) -> Result<()> {
    let folder = bench.root.join("benches/peers/node");
    if newer(&folder.join("node_modules/.package-lock.json"), &folder.join("package-lock.json")) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund"]);
    run(bench, npm, "peers-node")
}

/// websockets, gevent-websocket, python-socketio and Channels: one environment from one lock file.
pub(crate) fn python(bench: &Bench) -> Result<()> {
    let lock = bench.root.join("benches/peers/python/requirements.txt");
    let env = python_env(bench);
    let stamp = env.join("installed.lock");
    let wanted = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&env);
    run(bench, venv, "peers-python-env")?;
    let mut pip = Command::new(env.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"])
        .arg(&lock);
    run(bench, pip, "peers-python")?;
    Ok(fs::write(stamp, wanted)?)
}

/// Where [`python`] installs to.
pub(crate) fn python_env(bench: &Bench) -> PathBuf {
    bench.scratch.join("peers-python")
}

/// nginx with nchan, from Debian.
pub(crate) fn nchan(bench: &Bench) -> Result<()> {
    if Path::new("/usr/lib/nginx/modules/ngx_nchan_module.so").exists() {
        return Ok(());
    }
    let mut update = Command::new("apt-get");
    update.args(["update", "-q"]);
    run(bench, update, "peers-nchan-update")?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends", "nginx", "libnginx-mod-nchan"]);
    // Debian would start one right away.
    install.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    run(bench, install, "peers-nchan")
}

fn run(bench: &Bench, mut command: Command, step: &str) -> Result<()> {
    let log = bench.scratch.join(format!("{step}.log"));
    println!("installing {step} …");
    let out = fs::File::create(&log)?;
    command.stdout(out.try_clone()?).stderr(out);
    let shown = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        let text = fs::read_to_string(&log)?;
        let lines: Vec<&str> = text.lines().collect();
        bail!("{step}:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
    }
    Ok(())
}

fn newer(made: &Path, from: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    matches!((time(made), time(from)), (Some(made), Some(from)) if made >= from)
}
