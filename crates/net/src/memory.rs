//! `Memory`: how much of it the process uses, and what is refused or ended when it runs short.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parlor_proto::limits::{MEMORY_CUT_PERCENT, MEMORY_LOOK, MEMORY_REFUSE_PERCENT};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::errand::{Errand, Errands};

/// A limit in bytes, and a way to learn what is used.
#[derive(Clone)]
pub struct Memory {
    limit: u64,
    used: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
}

impl Memory {
    /// `used` gives bytes, or `None` if they cannot be told now; it is asked once a second.
    pub fn new(limit: u64, used: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Memory {
        Memory { limit, used: Arc::new(used) }
    }

    /// This process's resident memory against `limit`, or against what its container or the machine has. `None` on
    /// systems that do not tell either.
    pub fn of_this_process(limit: Option<u64>) -> Option<Memory> {
        let limit = limit.or_else(available)?;
        resident().map(|_| Memory::new(limit, resident))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// How things stand; what new connections are asked against.
#[derive(Debug, Default)]
pub(crate) struct Pressure(AtomicU8);

/// In the order of what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Calm,
    /// New connections are refused.
    Refuse,
    /// And the slowest readers are cut, one of each worker a second.
    Cut,
}

impl Pressure {
    pub(crate) fn refuses(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Level::Refuse as u8
    }

    /// Notes what is used and returns the level; says so in the log when it changed.
    fn look(&self, memory: &Memory) -> Level {
        let Some(used) = (memory.used)() else {
            // Who cannot look refuses nobody.
            self.0.store(Level::Calm as u8, Ordering::Relaxed);
            return Level::Calm;
        };
        let level = level(used, memory.limit);
        let before = self.0.swap(level as u8, Ordering::Relaxed);
        if before != level as u8 {
            let (used, limit) = (used >> 20, memory.limit >> 20);
            match level {
                Level::Calm => tracing::info!("memory is no longer short: {used} of {limit} MB"),
                Level::Refuse => {
                    tracing::warn!("memory is short ({used} of {limit} MB): new connections are refused");
                }
                Level::Cut => {
                    tracing::warn!(
                        "memory is very short ({used} of {limit} MB): the slowest readers are cut"
                    );
                }
            }
        }
        level
    }
}

fn level(used: u64, limit: u64) -> Level {
    let percent = u8::try_from(used.saturating_mul(100) / limit.max(1)).unwrap_or(u8::MAX);
    match percent {
        _ if percent >= MEMORY_CUT_PERCENT => Level::Cut,
        _ if percent >= MEMORY_REFUSE_PERCENT => Level::Refuse,
        _ => Level::Calm,
    }
}

/// Looks once a second until `stopping` turns true.
pub(crate) async fn watch_over(
    memory: Memory,
    pressure: Arc<Pressure>,
    workers: Vec<Arc<Errands>>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut clock = interval(MEMORY_LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = clock.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        if pressure.look(&memory) == Level::Cut {
            workers.iter().for_each(|errands| errands.push(Errand::CutSlowest));
        }
    }
}

/// Resident bytes (Linux: the second field of proc_pid_statm(5), in pages of 4 KB; a machine with larger pages is
/// told too little and sheds later).
fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// What this process may use: the smallest of the machine's memory and the limits of its control groups.
fn available() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups)
        .into_iter()
        .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.chain(machine).min()
}

/// `MemTotal` of proc_meminfo(5) in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Where the limits of the process's control groups stand, its own and those of the groups around it: version 2 has
/// one line `0::/PATH`, version 1 one with `memory` (cgroups(7)). A file that says `max` is no limit.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(kinds), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, name) = match kinds {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if kinds.split(',').any(|kind| kind == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in Path::new(path).ancestors() {
            let group = group.strip_prefix("/").unwrap_or(group);
            files.push(Path::new(root).join(group).join(name));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_connections_are_refused_before_anybody_is_cut() {
        for (used, expected) in [
            (0, Level::Calm),
            (799, Level::Calm),
            (800, Level::Refuse),
            (899, Level::Refuse),
            (900, Level::Cut),
            (5000, Level::Cut),
        ] {
            assert_eq!(level(used, 1000), expected, "{used}");
        }
        assert_eq!(level(0, 0), Level::Calm);
    }

    #[test]
    fn limits_are_looked_for_where_the_kernel_writes_them() {
        let files = |groups: &str| -> Vec<String> {
            limit_files(groups).iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/user.slice/app\n"),
            [
                "/sys/fs/cgroup/user.slice/app/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            files("5:cpu,cpuacct:/a\n4:memory:/docker/x\n"),
            [
                "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(total("MemTotal:       24689764 kB\nMemFree: 1 kB\n"), Some(24_689_764 * 1024));
        // This machine tells.
        assert!(Memory::of_this_process(None).is_some_and(|memory| (memory.used)().is_some()));
    }
}
