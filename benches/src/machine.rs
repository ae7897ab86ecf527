//! What the numbers depend on: the processor, the kernel, the commit, and how long an fsync takes here.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Facts that stand above every table of results.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// The commit that was measured, with `+` if files differ from it.
    pub(crate) commit: String,
}

impl Machine {
    pub(crate) fn read(root: &Path) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let commit = git(root, &["rev-parse", "--short=10", "HEAD"]);
        let dirty = !git(root, &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        Machine {
            cpu: model.map_or_else(|| "unknown".into(), |(_, name)| name.to_string()),
            // This process is pinned to one of them.
            cores: info.lines().filter(|line| line.starts_with("processor")).count().max(1),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_string(),
            commit: format!("{commit}{}", if dirty { "+" } else { "" }),
        }
    }

    /// A word for file names: the processor and its cores.
    pub(crate) fn slug(&self) -> String {
        let kept = self.cpu.split_whitespace().filter(|word| !word.contains(['(', '@']));
        let words: Vec<String> =
            kept.map(str::to_lowercase).filter(|w| w != "cpu" && w != "processor").collect();
        let slug: String =
            words.join("-").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        format!("{slug}-{}c", self.cores)
    }
}

/// The median time of a small append with fdatasync in `folder`: what a durable commit waits for.
pub(crate) fn fsync_time(folder: &Path) -> Result<Duration> {
    const ROUNDS: usize = 101;
    let path = folder.join("fsync-probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        file.write_all(&[0; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(path)?;
    times.sort();
    Ok(times[ROUNDS / 2])
}

fn git(root: &Path, args: &[&str]) -> String {
    let output = Command::new("git").current_dir(root).args(args).output();
    output.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_string()).unwrap_or_default()
}
