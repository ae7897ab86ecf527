//! Runs other programs: each in a process group of its own, with a log file and a deadline.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Process groups that are running now, so that an interrupt leaves nothing behind.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// How often a running program is looked at; short against any build or test.
const POLL: Duration = Duration::from_millis(30);

/// A sign of life on the terminal while a long program runs.
const PROGRESS: Duration = Duration::from_secs(30);

/// What became of a program that ended by itself.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ok: bool,
    /// Standard output and standard error, mixed as they came.
    pub(crate) output: String,
}

/// Runs `command` until it ends or `deadline` passes; then its whole process group is killed and the
/// answer is an error that says so. Its output goes to `log`, which stays for reading.
pub(crate) fn run(mut command: Command, log: &Path, label: &str, deadline: Instant) -> Result<Finished> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let name = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let mut child = spawn_group(&mut command).with_context(|| format!("cannot start {name}"))?;
    let mut next_progress = started + PROGRESS;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let now = Instant::now();
        if now >= deadline {
            kill_group(&mut child);
            bail!("over its time budget after {} s of {name}", started.elapsed().as_secs());
        }
        if now >= next_progress {
            println!("[{label}] … {} s", started.elapsed().as_secs());
            next_progress += PROGRESS;
        }
        thread::sleep(POLL);
    };
    // What the program started and forgot must not outlive it.
    kill_group(&mut child);
    let output = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    Ok(Finished { ok: status.success(), output })
}

/// Starts `command` as the leader of a new process group.
pub(crate) fn spawn_group(command: &mut Command) -> Result<Child> {
    let child = command.process_group(0).spawn()?;
    running().insert(child.id());
    Ok(child)
}

/// Kills a child that `spawn_group` started, with everything that it started itself.
pub(crate) fn kill_group(child: &mut Child) {
    signal_group(child.id());
    // Already waited for: nothing to do. Otherwise it has just been killed.
    let _ = child.wait();
    running().remove(&child.id());
}

/// Makes Ctrl-C and SIGTERM end the children as well: they are not in the terminal's foreground group.
pub(crate) fn kill_children_on_interrupt() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for group in running().iter() {
                signal_group(*group);
            }
            std::process::exit(128 + signal);
        }
    });
}

/// Is there a program of this name on the path?
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn running() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn signal_group(leader: u32) {
    // The shell's own `kill` is everywhere, and keeps this file free of foreign calls.
    let kill = format!("kill -KILL -{leader}");
    let _ = Command::new("sh").args(["-c", &kill]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, name: &str, deadline: Instant) -> Result<Finished> {
        let log = std::env::temp_dir().join(format!("xtask-{}-{name}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let done = run(command, &log, name, deadline);
        let _ = fs::remove_file(log);
        done
    }

    #[test]
    fn output_and_status_come_back() {
        let far = Instant::now() + Duration::from_secs(60);
        let done = shell("echo one; echo two >&2; exit 3", "status", far).unwrap();
        assert!(!done.ok);
        assert_eq!(done.output, "one\ntwo\n");
    }

    #[test]
    fn a_program_over_its_deadline_is_killed_with_its_children() {
        // The grandchild would hold the test up for a minute if only its parent were killed and waited for.
        let error = shell("sleep 60 & wait", "deadline", Instant::now()).unwrap_err();
        assert!(error.to_string().starts_with("over its time budget"), "{error}");
    }
}
