//! `proto` and `hub` own no clock and do no I/O: time and bytes are handed in.

use super::tree::{Text, Tree};

/// The crates that must stay pure.
const PURE: [&str; 2] = ["crates/proto/src/", "crates/hub/src/"];

/// What would break it. Tests below `#[cfg(test)]` may need an `Instant` to start from, so they are not read.
const FORBIDDEN: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    ".elapsed()",
    "thread::sleep",
    "thread::spawn",
    "std::fs",
    "std::net",
    "std::io::stdin",
    "std::process",
    "std::env",
    "tokio",
    "println!",
    "eprintln!",
];

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let pure =
        tree.texts.iter().filter(|t| t.extension() == "rs" && PURE.iter().any(|dir| t.path.starts_with(dir)));
    pure.flat_map(check_file).collect()
}

fn check_file(text: &Text) -> Vec<String> {
    let code = text.text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let mut broken = Vec::new();
    for (number, line) in code {
        let line = without_comment(line);
        if let Some(found) = FORBIDDEN.iter().find(|word| line.contains(**word)) {
            broken.push(format!("{}:{}: `{found}` here; hand it in from above", text.path, number + 1));
        }
    }
    broken
}

/// The code of a line: what stands before `//`. A string that holds `//` is cut too, which only hides text.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_or_io_in_a_pure_crate_is_found() {
        for line in
            ["let now = Instant::now();", "use std::fs::File;", "use tokio::sync::mpsc;", "println!(\"x\");"]
        {
            let broken = check(&Tree::of(&[("crates/hub/src/room.rs", line)]));
            assert!(
                broken.len() == 1 && broken[0].starts_with("crates/hub/src/room.rs:1:"),
                "{line}: {broken:?}"
            );
        }
    }

    #[test]
    fn comments_tests_and_other_crates_are_free() {
        let text = "//! Never calls Instant::now.\n#[cfg(test)]\nmod tests { fn t() { Instant::now(); } }\n";
        assert!(check(&Tree::of(&[("crates/proto/src/lib.rs", text)])).is_empty());
        assert!(check(&Tree::of(&[("crates/net/src/lib.rs", "use tokio::net;")])).is_empty());
    }
}
