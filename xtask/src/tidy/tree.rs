//! The checkout as the rules see it: every text file of ours, read once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Folders that hold nothing of ours: built, installed or measured things, all ignored by git.
const FOREIGN: [&str; 7] =
    [".git", ".tools", "node_modules", "target", "__pycache__", "parlor-data", "corpus"];

/// Above this a file is data, not text that a person wrote.
const LARGEST: u64 = 2 * 1024 * 1024;

/// One text file: its path from the root, with `/`, and what it says.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Text {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) texts: Vec<Text>,
    /// Files that are not text (pictures, corpora): only their paths, for links.
    pub(crate) others: Vec<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Tree::default();
        tree.walk(root, "")?;
        tree.texts.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// A tree out of literals, for the tests of the rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let text = |(path, text): &(&str, &str)| Text { path: path.to_string(), text: text.to_string() };
        Tree { texts: files.iter().map(text).collect(), others: Vec::new() }
    }

    pub(crate) fn text(&self, path: &str) -> Option<&Text> {
        self.texts.iter().find(|text| text.path == path)
    }

    /// Is there a file or a folder at this path?
    pub(crate) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let mut paths = self.texts.iter().map(|t| &t.path).chain(&self.others);
        path.is_empty() || paths.any(|p| p == path || p.starts_with(&folder))
    }

    fn walk(&mut self, root: &Path, under: &str) -> Result<()> {
        let folder = root.join(under);
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if under.is_empty() { name.clone() } else { format!("{under}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && !FOREIGN.contains(&name.as_str()) {
                self.walk(root, &path)?;
            } else if kind.is_file() {
                // A file can vanish between listing and reading while somebody edits; that is not a finding.
                let Ok(meta) = entry.metadata() else { continue };
                let text = if meta.len() > LARGEST { None } else { fs::read_to_string(entry.path()).ok() };
                match text {
                    Some(text) => self.texts.push(Text { path, text }),
                    None => self.others.push(path),
                }
            }
        }
        Ok(())
    }
}
