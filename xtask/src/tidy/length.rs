//! Reports files that have grown past what one reads in a sitting. A report, not a failure: a table may be long.

use super::tree::{Text, Tree};

/// Our files are 200-350 lines; twice that is worth a look.
const LONG: usize = 700;

pub(crate) fn report(tree: &Tree) -> Vec<String> {
    let code = tree.texts.iter().filter(|t| matches!(t.extension(), "rs" | "js" | "mjs" | "py" | "css"));
    let lengths = code.map(|text: &Text| (text.text.lines().count(), &text.path));
    lengths
        .filter(|(lines, _)| *lines > LONG)
        .map(|(lines, path)| format!("{path} has {lines} lines"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_code_is_reported() {
        let long = "x\n".repeat(701);
        let tree = Tree::of(&[("a.rs", &long), ("b.rs", "x\n"), ("c.md", &long)]);
        assert_eq!(report(&tree), ["a.rs has 701 lines"]);
    }
}
