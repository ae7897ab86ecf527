//! No file names a folder of one machine or the address of a package registry.

use super::tree::{Text, Tree};

/// Folders that exist on somebody's machine only. Tests ask for a temporary folder instead.
const FOLDERS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/t", "mp/")];

/// Registries are settings of a machine: a mirror must work without editing a file.
const REGISTRIES: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("registry.yarn", "pkg.com"),
    concat!("py", "pi.org"),
    concat!("files.python", "hosted.org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("deb.deb", "ian.org"),
    concat!("--index", "-url"),
];

/// The only source that Cargo.lock may name; cargo writes this line itself.
const CARGO_SOURCE: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.texts.iter().flat_map(check_file).collect()
}

fn check_file(text: &Text) -> Vec<String> {
    let mut broken = Vec::new();
    for (index, line) in text.text.lines().enumerate() {
        let problem = match text.name() {
            "package-lock.json" if line.trim_start().starts_with("\"resolved\"") && line.contains("://") => {
                Some("a resolved address; set `omit-lockfile-registry-resolved=true` in .npmrc".to_string())
            }
            "Cargo.lock" => line
                .strip_prefix("source = ")
                .filter(|source| source.trim_matches('"') != CARGO_SOURCE)
                .map(|source| format!("the source {source}")),
            _ => None,
        };
        let named = || {
            REGISTRIES.iter().find(|host| line.contains(**host)).map(|host| format!("the registry `{host}`"))
        };
        let folder = || {
            FOLDERS.iter().find(|dir| names_folder(line, dir)).map(|dir| format!("the machine's own `{dir}`"))
        };
        if let Some(problem) = problem.or_else(named).or_else(folder) {
            broken.push(format!("{}:{}: {problem}", text.path, index + 1));
        }
    }
    broken
}

/// An absolute path starts after a space, a quote or the like; `web/home/` and `http://x/work/` are no such path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '(' | '=' | ':' | ','))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, line: &str) -> usize {
        check(&Tree::of(&[(path, line)])).len()
    }

    #[test]
    fn a_folder_of_one_machine_is_found() {
        for dir in FOLDERS {
            assert_eq!(broken("a.md", &format!("see {dir}x")), 1, "{dir}");
            assert_eq!(broken("a.sh", &format!("DIR=\"{dir}x\"")), 1, "{dir}");
            assert_eq!(broken("a.md", &format!("see https://example.org{dir}x")), 0, "{dir}");
        }
    }

    #[test]
    fn a_registry_is_found_and_the_standard_line_of_cargo_is_not() {
        for host in REGISTRIES {
            assert_eq!(broken("a.txt", &format!("from {host} here")), 1, "{host}");
        }
        assert_eq!(broken("Cargo.lock", &format!("source = \"{CARGO_SOURCE}\"")), 0);
        assert_eq!(broken("Cargo.lock", "source = \"git+https://example.org/x\""), 1);
    }

    #[test]
    fn an_npm_lock_file_resolves_nothing() {
        assert_eq!(broken("web/package-lock.json", "  \"resolved\": \"https://mirror.example/a.tgz\","), 1);
        assert_eq!(broken("web/package-lock.json", "  \"version\": \"1.0.0\","), 0);
    }
}
