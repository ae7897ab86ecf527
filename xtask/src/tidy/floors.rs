//! The floors of ARCHITECTURE.md, read from the manifests: nothing depends upwards or sideways.

use toml::{Table, Value};

use super::tree::{Text, Tree};

/// Where each crate lives. Crates that are never published stand above everything.
const FLOORS: &[(&str, u8)] = &[
    ("parlor-proto", 0),
    ("parlor-hub", 1),
    ("parlor-client", 1),
    ("parlor-net", 2),
    ("parlor-engines", 2),
    ("parlor", 3),
    ("parlor-server", 4),
    ("parlor-testkit", 5),
    ("parlor-benches", 6),
    ("xtask", 6),
];

/// What a crate must not know, in the form of other people's crates that would teach it.
const STRANGERS: &[(&str, &[&str])] = &[
    ("parlor-proto", &["tokio", "mio", "socket2", "hyper", "axum", "rusqlite", "redis", "rand", "getrandom"]),
    (
        "parlor-hub",
        &["tokio", "mio", "socket2", "hyper", "axum", "http", "rusqlite", "redis", "toml", "clap"],
    ),
    ("parlor-engines", &["hyper", "axum", "http", "mio", "socket2", "toml", "clap"]),
    ("parlor-net", &["rusqlite", "redis", "toml", "clap", "jsonwebtoken"]),
    ("parlor", &["toml", "clap", "jsonwebtoken"]),
];

/// A crate's own tests may use the shared test helpers, although those stand above it.
const FOR_TESTS: &str = "parlor-testkit";

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let manifests = tree.texts.iter().filter(|text| text.name() == "Cargo.toml");
    manifests.filter(|text| is_member(&text.path)).flat_map(check_manifest).collect()
}

/// The workspace root lists members; `fuzz` and the peers in `benches/peers` are worlds of their own.
fn is_member(path: &str) -> bool {
    path != "Cargo.toml" && !path.starts_with("fuzz/") && !path.starts_with("benches/peers/")
}

fn check_manifest(text: &Text) -> Vec<String> {
    let path = &text.path;
    let manifest: Table = match text.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("{path}: {error}")],
    };
    let name =
        manifest.get("package").and_then(|p| p.get("name")).and_then(Value::as_str).unwrap_or_default();
    let Some(floor) = floor(name) else {
        return vec![format!(
            "{path}: `{name}` has no floor; add it to the table in xtask/src/tidy/floors.rs"
        )];
    };
    let mut broken = Vec::new();
    if manifest.get("lints").and_then(|l| l.get("workspace")).and_then(Value::as_bool) != Some(true) {
        broken.push(format!("{path}: `[lints] workspace = true` is missing"));
    }
    for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
        for used in dependencies(&manifest, section) {
            let for_tests = section == "dev-dependencies";
            let up = self::floor(&used).is_some_and(|theirs| theirs >= floor);
            if up && !(for_tests && used == FOR_TESTS) {
                broken.push(format!(
                    "{path}: {name} may not use {used}: it is not on a lower floor ({section})"
                ));
            }
            if !for_tests && strangers(name).contains(&used.as_str()) {
                broken.push(format!("{path}: {name} may not know {used}"));
            }
        }
    }
    broken
}

/// The packages of a section, target tables included, under their real names.
fn dependencies(manifest: &Table, section: &str) -> Vec<String> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.get(section)).chain(manifest.get(section));
    let entries = tables.filter_map(Value::as_table).flatten();
    entries
        .map(|(name, spec)| spec.get("package").and_then(Value::as_str).unwrap_or(name).to_string())
        .collect()
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

fn strangers(name: &str) -> &'static [&'static str] {
    STRANGERS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, strangers)| strangers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_by(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{rest}");
        check(&Tree::of(&[("crates/x/Cargo.toml", &text)]))
    }

    fn one(name: &str, rest: &str, expected: &str) {
        let broken = broken_by(name, rest);
        assert!(broken.len() == 1 && broken[0].contains(expected), "{broken:?}");
    }

    #[test]
    fn downward_edges_are_fine() {
        assert_eq!(broken_by("parlor-hub", "[dependencies]\nparlor-proto.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn an_upward_edge_is_found_in_every_kind_of_section() {
        one("parlor-proto", "[dependencies]\nparlor-hub.workspace = true\n", "may not use parlor-hub");
        one("parlor-hub", "[dev-dependencies]\nparlor = { path = \"../parlor\" }\n", "may not use parlor");
        one(
            "parlor-hub",
            "[target.'cfg(unix)'.dependencies]\nx = { package = \"parlor-net\" }\n",
            "parlor-net",
        );
    }

    #[test]
    fn neighbours_do_not_know_each_other() {
        one("parlor-net", "[dependencies]\nparlor-engines.workspace = true\n", "not on a lower floor");
        one("parlor-client", "[dependencies]\nparlor-hub.workspace = true\n", "not on a lower floor");
    }

    #[test]
    fn tests_may_use_the_testkit_and_builds_may_not() {
        assert_eq!(broken_by("parlor-hub", "[dev-dependencies]\nparlor-testkit.workspace = true\n"), [""; 0]);
        one("parlor-hub", "[dependencies]\nparlor-testkit.workspace = true\n", "may not use parlor-testkit");
    }

    #[test]
    fn a_crate_is_what_it_does_not_know() {
        one("parlor-hub", "[dependencies]\ntokio.workspace = true\n", "parlor-hub may not know tokio");
        assert_eq!(broken_by("parlor-net", "[dependencies]\ntokio.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn a_new_crate_must_be_given_a_floor_and_the_shared_lints() {
        one("parlor-new", "", "has no floor");
        let bare = Tree::of(&[("crates/x/Cargo.toml", "[package]\nname = \"parlor\"\n")]);
        assert!(check(&bare)[0].contains("[lints]"));
    }
}
