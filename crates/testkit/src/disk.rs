//! `Disk`: a disk that fails, fills up or writes down what it is told, under a child process.
//!
//! `shim/disk.c` stands between the C library and the child. SQLite, the engine and the exit are real; the error
//! codes of the system calls, and in [`Image`] the loss of what was not synced, are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library to preload, and the files by which tests speak to it.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Builds the library in `dir` with the C compiler that SQLite was built with.
    pub fn build(dir: &Path) -> Disk {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/disk.c");
        let mut compile = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
        compile
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", source, "-ldl", "-o"])
            .arg(dir.join("disk.so"));
        let done = compile.output().expect("a C compiler");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Disk { dir: dir.to_owned() }
    }

    /// Puts this disk under the command.
    pub fn under(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.dir.join("disk.so"))
            .env("PARLOR_DISK_MODE", self.dir.join("mode"))
            .env("PARLOR_DISK_LOG", self.dir.join("log"));
    }

    /// From now on syncs fail, as on a disk that dies.
    pub fn fail_syncs(&self) {
        self.set("f");
    }

    /// From now on there is no space left.
    pub fn fill(&self) {
        self.set("n");
    }

    /// From now on all is well.
    pub fn heal(&self) {
        self.set("-");
    }

    fn set(&self, mode: &str) {
        // Renamed into place, so that no one reads half of it.
        let new = self.dir.join("mode.new");
        fs::write(&new, mode)
            .and_then(|()| fs::rename(&new, self.dir.join("mode")))
            .expect("the mode is set");
    }

    /// What the disk was told and what stdout said, in order.
    pub fn log(&self) -> Vec<Entry> {
        let bytes = fs::read(self.dir.join("log")).expect("a log");
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        while let Some((entry, after)) = Entry::read(rest) {
            entries.push(entry);
            rest = after;
        }
        entries
    }
}

/// One thing that the disk was told. `file` is what follows `parlor.db` in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Write {
        file: String,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    Unlink {
        file: String,
    },
    Synced {
        file: String,
    },
    /// The directory was synced: what was unlinked stays away.
    SyncedDirectory,
    /// Not to the disk: to stdout.
    Said(Vec<u8>),
}

impl Entry {
    /// `None` at the end, or where a killed process left off.
    fn read(bytes: &[u8]) -> Option<(Entry, &[u8])> {
        let (head, rest) = bytes.split_at_checked(18)?;
        let number = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_ne_bytes);
        let (offset, length) = (number(2)? as usize, number(10)? as usize);
        let (name, rest) = rest.split_at_checked(head[1].into())?;
        let file = String::from_utf8_lossy(name).into_owned();
        let with_data = matches!(head[0], b'w' | b'o');
        let (data, rest) = rest.split_at_checked(if with_data { length } else { 0 })?;
        let data = data.to_vec();
        let entry = match head[0] {
            b'w' => Entry::Write { file, offset, data },
            b't' => Entry::Truncate { file, length: offset },
            b'u' => Entry::Unlink { file },
            b's' => Entry::Synced { file },
            b'd' => Entry::SyncedDirectory,
            b'o' => Entry::Said(data),
            other => panic!("the log is broken: {other}"),
        };
        Some((entry, rest))
    }
}

/// What is left of the files when the power is cut: everything that was synced, and of the rest what chance left.
#[derive(Clone, Debug, Default)]
pub struct Image {
    files: BTreeMap<String, File>,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// `None`: there is no such file.
    synced: Option<Vec<u8>>,
    pending: Vec<Entry>,
}

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;

impl Image {
    /// Takes the next entry.
    pub fn tell(&mut self, entry: &Entry) {
        match entry {
            Entry::Said(_) => {}
            Entry::Synced { file } => self.file(file).settle(&mut |_| usize::MAX),
            Entry::SyncedDirectory => self.files.values_mut().for_each(File::settle_names),
            Entry::Write { file, .. } | Entry::Truncate { file, .. } | Entry::Unlink { file } => {
                self.file(file).pending.push(entry.clone());
            }
        }
    }

    /// Cuts the power and puts what is left into `dir`. `roll(n)` gives a number below `n`.
    pub fn cut(mut self, dir: &Path, mut roll: impl FnMut(usize) -> usize) {
        for (name, file) in &mut self.files {
            // A write is whole, torn after some of its sectors, or lost, whatever became of those before it.
            file.settle(&mut |sectors| match roll(3) {
                0 => sectors,
                1 => roll(sectors + 1),
                _ => 0,
            });
            if let Some(content) = &file.synced {
                fs::write(dir.join(format!("parlor.db{name}")), content).expect("the image is written");
            }
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        self.files.entry(name.to_owned()).or_default()
    }
}

impl File {
    /// What was unlinked is gone for good; what was written under the name afterwards is pending as before.
    fn settle_names(&mut self) {
        let unlinked = self.pending.iter().rposition(|entry| matches!(entry, Entry::Unlink { .. }));
        if let Some(last) = unlinked {
            self.pending.drain(..=last);
            self.synced = None;
        }
    }

    /// Applies what is pending; `kept(n)` says how many of the `n` sectors of each entry arrive.
    fn settle(&mut self, kept: &mut impl FnMut(usize) -> usize) {
        for entry in std::mem::take(&mut self.pending) {
            match entry {
                Entry::Write { offset, data, .. } => {
                    let kept = (kept(data.len().div_ceil(SECTOR)).saturating_mul(SECTOR)).min(data.len());
                    let content = self.synced.get_or_insert_default();
                    // The file is as long as the write made it, whether its data arrived or not: that is zeros.
                    content.resize(content.len().max(offset + data.len()), 0);
                    content[offset..offset + kept].copy_from_slice(&data[..kept]);
                }
                Entry::Truncate { length, .. } if kept(1) > 0 => {
                    self.synced.get_or_insert_default().resize(length, 0);
                }
                Entry::Unlink { .. } if kept(1) > 0 => self.synced = None,
                _ => {}
            }
        }
    }
}
