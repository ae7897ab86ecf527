//! The rules of the house that need no compiler. Each rule is one file, counts as one test and says what to do.

mod floors;
mod headers;
mod hosts;
mod length;
mod links;
mod purity;
mod tree;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::context::Context;
use crate::outcome::GroupResult;
use tree::Tree;

/// A rule: its name, and the function that lists what breaks it as `path:line: sentence`.
type Rule = (&'static str, fn(&Tree) -> Vec<String>);

const RULES: &[Rule] = &[
    ("floors", floors::check),
    ("headers", headers::check),
    ("purity", purity::check),
    ("links", links::check),
    ("hosts", hosts::check),
];

/// `cargo xtask tidy`: prints what is wrong; true if nothing is.
pub(crate) fn run() -> Result<bool> {
    let cx = Context::new("tidy", Instant::now() + Duration::from_secs(60))?;
    let result = check(&cx.root)?;
    result.failures.iter().for_each(|failure| println!("{failure}"));
    println!("{result}");
    Ok(result.is_ok())
}

/// Every rule over the checkout at `root`.
pub(crate) fn check(root: &Path) -> Result<GroupResult> {
    let tree = Tree::read(root)?;
    for report in length::report(&tree) {
        println!("[tidy] long file: {report}");
    }
    let mut result = GroupResult::default();
    for (name, rule) in RULES {
        let broken = rule(&tree);
        if broken.is_empty() {
            result.passed += 1;
        }
        result.failures.extend(broken.into_iter().map(|what| format!("{name}: {what}")));
    }
    Ok(result)
}
