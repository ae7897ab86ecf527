//! Every source file opens with a sentence that says what lives in it.

use super::tree::{Text, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    tree.texts.iter().filter_map(check_file).collect()
}

fn check_file(text: &Text) -> Option<String> {
    let openings: &[&str] = match text.extension() {
        "rs" => &["//! "],
        "js" | "mjs" | "cjs" | "ts" => &["// ", "/** ", "/* "],
        "py" => &["# ", "\"\"\""],
        "css" => &["/* "],
        "sh" => &["# "],
        _ => return None,
    };
    // A line for the kernel or the type checker may come first.
    let mut lines =
        text.text.lines().skip_while(|line| line.starts_with("#!/") || line.starts_with("// @ts-"));
    let first = lines.next().unwrap_or("");
    if openings.iter().any(|opening| first.len() > opening.len() && first.starts_with(opening)) {
        return None;
    }
    Some(format!("{}:1: the file must open with a sentence after `{}`", text.path, openings[0].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> bool {
        !check(&Tree::of(&[(path, text)])).is_empty()
    }

    #[test]
    fn every_language_has_its_opening() {
        for (path, good, bad) in [
            ("a.rs", "//! Frames.\n", "use std::fs;\n"),
            ("a.js", "// Frames.\n", "export {};\n"),
            ("a.mjs", "/** Frames. */\n", "\n// Frames.\n"),
            ("a.py", "#!/usr/bin/env python3\n# Frames.\n", "#!/usr/bin/env python3\nimport os\n"),
            ("a.py", "\"\"\"Frames.\"\"\"\n", "x = 1\n"),
            ("a.css", "/* Frames. */\n", "body {}\n"),
        ] {
            assert!(!broken(path, good), "{path} {good:?}");
            assert!(broken(path, bad), "{path} {bad:?}");
        }
    }

    #[test]
    fn an_empty_file_or_an_empty_sentence_is_found() {
        assert!(broken("a.rs", ""));
        assert!(broken("a.rs", "//! \n"));
    }

    #[test]
    fn other_files_need_no_opening() {
        assert!(!broken("a.json", "{}"));
    }
}
