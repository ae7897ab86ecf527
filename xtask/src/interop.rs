//! `cargo xtask interop`: the test groups that talk to software which is not ours.

use anyhow::{Result, bail};

use crate::groups::{Depth, GROUPS, Group};
use crate::test::run_groups;

/// Runs all of them, or those named; true if nothing failed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let depth = if args.iter().any(|arg| arg == "--full") { Depth::Full } else { Depth::Normal };
    let names: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--full").collect();
    let known: Vec<&Group> = GROUPS.iter().filter(|group| group.interop).collect();
    if let Some(unknown) = names.iter().find(|name| known.iter().all(|group| group.name != **name)) {
        bail!("`{unknown}` is not one of {}", known.iter().map(|g| g.name).collect::<Vec<_>>().join(", "));
    }
    let chosen: Vec<&Group> =
        known.into_iter().filter(|g| names.is_empty() || names.contains(&g.name)).collect();
    run_groups(&chosen, depth)
}
