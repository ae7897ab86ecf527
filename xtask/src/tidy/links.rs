//! Links between our documents lead somewhere: the file exists and has the heading.

use std::collections::BTreeMap;

use super::tree::{Text, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let pages = tree.texts.iter().filter(|text| text.extension() == "md");
    pages.flat_map(|page| check_page(tree, page)).collect()
}

fn check_page(tree: &Tree, page: &Text) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, line) in prose(&page.text) {
        for target in targets(line) {
            if let Some(what) = problem(tree, page, target) {
                broken.push(format!("{}:{number}: link `{target}`: {what}", page.path));
            }
        }
    }
    broken
}

fn problem(tree: &Tree, page: &Text, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { page.path.clone() } else { join(&page.path, file)? };
    if !tree.exists(&path) {
        return Some(format!("there is no {path}"));
    }
    let anchor = anchor?;
    let linked = tree.text(&path).filter(|text| text.extension() == "md")?;
    (!anchors(&linked.text).contains(&anchor.to_string())).then(|| format!("{path} has no heading for it"))
}

/// Lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands in `](…)` and in `[name]: …`; a title after the address is not part of it.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let addresses = inline.chain(reference).filter_map(|target| target.split_whitespace().next());
    addresses.map(|target| target.trim_matches(['<', '>'])).collect()
}

/// The anchors that a page's headings get: lower case, spaces to hyphens, punctuation gone, repeats numbered.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let count = seen.entry(slug.clone()).or_insert(0);
        all.push(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    all
}

/// A relative path from a page, without `.` and `..`; nothing if it leaves the checkout.
fn join(page: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(page: &str) -> Vec<String> {
        let docs = "# Defaults\n## Why `ping` is 25 s\n## Limits\n## Limits\n";
        check(&Tree::of(&[("README.md", page), ("docs/defaults.md", docs), ("docs/img/a.svg", "")]))
    }

    #[test]
    fn a_dead_file_is_found_with_its_line() {
        assert_eq!(
            broken("x\n[a](docs/gone.md)\n"),
            ["README.md:2: link `docs/gone.md`: there is no docs/gone.md"]
        );
        assert_eq!(broken("[a]: docs/gone.md\n").len(), 1);
    }

    #[test]
    fn a_dead_heading_is_found() {
        assert_eq!(broken("[a](docs/defaults.md#limit)").len(), 1);
        assert_eq!(broken("[a](#nowhere)").len(), 1);
    }

    #[test]
    fn what_exists_is_fine() {
        for link in [
            "docs/defaults.md",
            "./docs/",
            "docs/img/a.svg",
            "https://example.org/x.md",
            "docs/defaults.md#limits-1",
        ] {
            assert_eq!(broken(&format!("[a]({link})")), [""; 0], "{link}");
        }
        assert_eq!(broken("[a](docs/defaults.md#why-ping-is-25-s)"), [""; 0]);
    }

    #[test]
    fn code_is_not_a_link() {
        assert_eq!(broken("```rust\nlet x = a[0](b);\n```\n"), [""; 0]);
    }
}
