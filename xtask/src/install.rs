//! Installs what the tests need and a plain Debian lacks: packages, Python environments, npm folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::context::Context;
use crate::process::on_path;

/// Makes sure that each program is there; what is missing comes from Debian. The pairs are (program,
/// package). Without root it can only say what to type.
pub(crate) fn debian(cx: &Context, wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(prog, _)| !on_path(prog)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !on_path("apt-get") {
        bail!("missing: {packages}, and there is no apt-get here");
    }
    if !is_root() {
        bail!("missing: {packages}; not root, so run: sudo apt-get install {packages}");
    }
    let mut update = cx.command("apt-get");
    update.args(["update", "-q"]);
    cx.run_ok(update, "apt-update")?;
    let mut install = cx.command("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(&missing);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    cx.run_ok(install, "apt-install")?;
    Ok(())
}

/// Unpacks packages that Debian has only for newer releases than this one, or in its backports, under `.tools/NAME`;
/// nothing is installed. Returns that folder.
pub(crate) fn newer_debian(cx: &Context, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = cx.tools(name);
    let stamp = folder.join("unpacked");
    if stamp.exists() {
        return Ok(folder);
    }
    if !on_path("apt-get") {
        bail!("there is no apt-get here");
    }
    let mut targets = cx.command("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]);
    let targets = targets.output()?;
    let archive = String::from_utf8_lossy(&targets.stdout).into_owned();
    let Some((address, release)) = archive.lines().find_map(|line| line.split_once(' ')) else {
        bail!("apt-get knows no archive");
    };
    fs::create_dir_all(folder.join("lists/partial"))?;
    let sources = folder.join("sources.list");
    fs::write(&sources, format!("deb {address} {release} main\ndeb {address} {release}-backports main\n"))?;
    let apt = |step: &str, arguments: &[&str]| {
        let mut apt = cx.command("apt-get");
        apt.current_dir(&folder).arg("-q").args(["-o", "Dir::Etc::sourceparts=-", "-o"]);
        apt.arg(format!("Dir::Etc::sourcelist={}", sources.display())).arg("-o");
        apt.arg(format!("Dir::State::lists={}", folder.join("lists").display())).args(arguments);
        cx.run_ok(apt, &format!("apt-{name}-{step}"))
    };
    apt("update", &["update"])?;
    apt("download", &[&["download"], packages].concat())?;
    for entry in fs::read_dir(&folder)? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = cx.command("dpkg-deb");
            unpack.arg("-x").arg(&package).arg(&folder);
            cx.run_ok(unpack, &format!("unpack-{name}"))?;
        }
    }
    fs::write(stamp, "")?;
    Ok(folder)
}

/// A Python environment under `.tools/NAME` with exactly what the lock file names. It is made again when
/// the lock file changed.
pub(crate) fn python_env(cx: &Context, name: &str, lock: &Path) -> Result<PathBuf> {
    debian(cx, &[("python3", "python3")])?;
    let env = cx.tools(name);
    let python = env.join("bin/python");
    let wanted = fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = env.join("installed.lock");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    if !has_module(cx, "ensurepip") {
        // Debian's Python cannot make environments without this package.
        debian(cx, &[("an environment maker", "python3-venv")])?;
    }
    let mut venv = cx.command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&env);
    cx.run_ok(venv, &format!("venv-{name}"))?;
    let mut pip = cx.command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"])
        .arg(lock);
    cx.run_ok(pip, &format!("pip-{name}"))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}

/// `npm ci` in a folder with a package-lock.json; skipped while the lock file is the one last installed.
pub(crate) fn npm(cx: &Context, folder: &Path) -> Result<()> {
    debian(cx, &[("node", "nodejs"), ("npm", "npm")])?;
    let lock = folder.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let stamp = folder.join("node_modules/.installed-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let mut npm = cx.command("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    cx.run_ok(npm, "npm-ci")?;
    fs::create_dir_all(folder.join("node_modules"))?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// A program from crates.io under `.tools/cargo`, unless it is on the path already.
pub(crate) fn cargo_tool(cx: &Context, name: &str, version: &str) -> Result<PathBuf> {
    if on_path(name) {
        return Ok(PathBuf::from(name));
    }
    let root = cx.tools("cargo");
    let program = root.join("bin").join(name);
    if !program.exists() {
        let mut install = cx.cargo();
        // It runs for a second: optimising it would take longer than all that it ever does here.
        install.args(["install", name, "--version", version, "--debug", "--locked", "--quiet", "--root"]);
        install.arg(&root).env("CARGO_PROFILE_DEV_DEBUG", "0");
        cx.run_ok(install, &format!("install-{name}"))?;
    }
    Ok(program)
}

fn has_module(cx: &Context, module: &str) -> bool {
    let import = format!("import {module}");
    cx.command("python3").args(["-c", &import]).output().is_ok_and(|out| out.status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
