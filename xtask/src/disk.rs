//! The room on the disk, because programs that run out of it say anything but that.

use std::path::Path;
use std::process::Command;

/// What a whole run from a fresh clone writes: builds in two profiles, and what it installs.
const WHOLE_RUN_MB: u64 = 5_000;

/// Below this something has probably failed for want of room.
const FULL_MB: u64 = 200;

/// The sentence to print below a run that went wrong, if the disk is why.
pub(crate) fn complaint(folder: &Path) -> Option<String> {
    // POSIX has no call for it that needs no foreign code, but this program.
    let table = Command::new("df").arg("-Pk").arg(folder).output().ok()?.stdout;
    sentence(&String::from_utf8_lossy(&table))
}

fn sentence(table: &str) -> Option<String> {
    let free: u64 = table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    let free = free / 1024;
    (free < FULL_MB).then(|| {
        format!("The disk is full ({free} MB are left): a whole run writes {WHOLE_RUN_MB} MB. Make room and run it again.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_complained_about() {
        let table = |free: &str| {
            format!("Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a 1 2 {free} 98% /\n")
        };
        assert_eq!(sentence(&table("5000000")), None);
        let full = sentence(&table("20480")).unwrap();
        assert!(full.starts_with("The disk is full (20 MB are left)"), "{full}");
        assert_eq!(sentence("df: nothing"), None);
    }
}
