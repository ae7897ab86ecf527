//! What the disk under the data directory is and has left.

use std::path::{Path, PathBuf};

/// Watches the free space below the data directory.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    min_free: u64,
}

impl Disk {
    pub(super) fn new(dir: &Path, min_free: u64) -> Disk {
        Disk { dir: dir.to_owned(), min_free }
    }

    /// Whether nothing new may be stored. One system call of a microsecond, asked before every commit, because a
    /// fast disk fills the reserve within a fraction of a second.
    pub(super) fn is_low(&self) -> bool {
        match rustix::fs::statvfs(&self.dir) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) < self.min_free,
            // Not knowing is no reason to refuse: the write itself will tell.
            Err(_) => false,
        }
    }
}

/// The kind of network filesystem that the directory lies on, if it is one that is known. There a lock may be no
/// lock and a sync no sync. Only Linux tells.
#[cfg(target_os = "linux")]
pub(super) fn network_filesystem(dir: &Path) -> Option<&'static str> {
    kind_of(rustix::fs::statfs(dir).ok()?.f_type as u32)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn network_filesystem(_dir: &Path) -> Option<&'static str> {
    None
}

/// The magic numbers of statfs(2) and linux/magic.h. FUSE is not among them: it may be anything, and is what
/// containers on desktops have.
#[cfg(target_os = "linux")]
fn kind_of(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => "SMB",
        0x0102_1997 => "9P",
        0x00C3_6400 => "Ceph",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x7375_7245 => "Coda",
        0x564C => "NCP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn network_filesystems_are_known_by_their_numbers() {
        assert_eq!(kind_of(0x6969), Some("NFS"));
        assert_eq!(kind_of(0xFE53_4D42), Some("SMB"));
        assert_eq!(kind_of(0xEF53), None, "ext4");
        assert_eq!(kind_of(0x0102_1994), None, "tmpfs");
    }

    #[test]
    fn a_reserve_that_no_disk_has_is_missed() {
        let dir = std::env::temp_dir();
        assert!(Disk::new(&dir, u64::MAX).is_low());
        assert!(!Disk::new(&dir, 0).is_low());
    }
}
