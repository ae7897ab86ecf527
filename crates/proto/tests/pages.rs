//! The pages on codes and limits say what the code does.

use parlor_proto::codes::{CloseCode, Code};

const CODES: &str = include_str!("../../../docs/codes.md");
const LIMITS: &str = include_str!("../../../docs/limits.md");

#[test]
fn every_code_has_a_row_that_says_what_it_means_and_what_to_do() {
    for code in Code::all() {
        let row = format!("| `{code}` | {} | {} | ", code.status(), code.meaning());
        assert!(CODES.contains(&row), "docs/codes.md lacks the row: {row}");
    }
}

#[test]
fn every_close_code_has_a_row_that_says_who_comes_back() {
    let known = (1000..5000).map(CloseCode).filter(|code| code.reason() != "other");
    let rows = CODES.lines().filter(|line| line.starts_with("| 1") || line.starts_with("| 4"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    for (row, code) in rows.iter().zip(known.clone()) {
        let comes_back = if code.reconnect() { "yes" } else { "no" };
        assert_eq!(
            (row[1], row[2], row[4]),
            (&*code.0.to_string(), &*format!("`{}`", code.reason()), comes_back)
        );
    }
    assert_eq!(rows.len(), known.count());
}

#[test]
fn every_limit_is_on_the_page_with_its_name() {
    let source = include_str!("../src/limits.rs");
    let names = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    for name in names {
        assert!(LIMITS.contains(&format!("| `{name}` |")), "docs/limits.md lacks {name}");
    }
}
