//! `cargo xtask test`: chooses groups, runs them one after the other and prints one summary line.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::context::Context;
use crate::disk;
use crate::groups::{Depth, GROUPS, Group};
use crate::outcome::GroupResult;

/// Runs what the arguments ask for; true if nothing failed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let mut depth = Depth::Normal;
    let mut names = Vec::new();
    for arg in args {
        match arg.as_str() {
            "--quick" => depth = Depth::Quick,
            "--full" => depth = Depth::Full,
            "--list" => {
                list();
                return Ok(true);
            }
            name if !name.starts_with('-') => names.push(name),
            other => bail!("unknown option `{other}`; there are --quick, --full and --list"),
        }
    }
    run_groups(&choose(&names, depth)?, depth)
}

/// Runs these groups and prints what they did; true if nothing failed.
pub(crate) fn run_groups(groups: &[&Group], depth: Depth) -> Result<bool> {
    let started = Instant::now();
    let mut total = GroupResult::default();
    for group in groups {
        let result = run_group(group, depth)?;
        // The group's name makes a sentence in the last list findable.
        let named = |list: Vec<String>| list.into_iter().map(|s| format!("{}: {s}", group.name)).collect();
        total.add(GroupResult { failures: named(result.failures), skips: named(result.skips), ..result });
    }
    println!();
    total.skips.iter().for_each(|reason| println!("skipped  {reason}"));
    total.failures.iter().for_each(|reason| println!("FAILED   {reason}"));
    println!(
        "{} in {}",
        groups.iter().map(|g| g.name).collect::<Vec<_>>().join(", "),
        seconds(started.elapsed())
    );
    println!("{total}");
    if (!total.is_ok() || !total.skips.is_empty())
        && let Some(complaint) = disk::complaint(Path::new(env!("CARGO_MANIFEST_DIR")))
    {
        println!("{complaint}");
    }
    Ok(total.is_ok())
}

fn run_group(group: &Group, depth: Depth) -> Result<GroupResult> {
    let started = Instant::now();
    let budget = group.budget(depth);
    println!("[{}] {} (at most {} min)", group.name, group.reason, budget.as_secs() / 60);
    let cx = Context::new(group.name, started + budget)?;
    let result = (group.run)(&cx, depth).unwrap_or_else(|error| GroupResult::failed(format!("{error:#}")));
    println!("[{}] {result} in {}", group.name, seconds(started.elapsed()));
    Ok(result)
}

fn choose(names: &[&str], depth: Depth) -> Result<Vec<&'static Group>> {
    if names.is_empty() {
        return Ok(GROUPS.iter().filter(|g| depth != Depth::Quick || g.quick).collect());
    }
    let find = |name: &&str| {
        let known = || GROUPS.iter().map(|g| g.name).collect::<Vec<_>>().join(", ");
        GROUPS
            .iter()
            .find(|g| g.name == *name)
            .ok_or_else(|| anyhow::anyhow!("no group `{name}`; there are {}", known()))
    };
    names.iter().map(find).collect()
}

fn list() {
    for group in GROUPS {
        let minutes = |depth| group.budget(depth).as_secs() / 60;
        let (normal, full) = (minutes(Depth::Normal), minutes(Depth::Full));
        println!("{:12} {normal:3} min, {full:3} with --full   {}", group.name, group.reason);
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_of_a_normal_run_may_take_longer_than_half_an_hour() {
        // A budget is what one group may take on a slow day; the whole run takes less than half of their sum.
        for group in GROUPS {
            assert!(group.budget(Depth::Normal) <= Duration::from_secs(30 * 60), "{}", group.name);
        }
    }

    #[test]
    fn quick_runs_only_quick_groups() {
        let names: Vec<&str> = choose(&[], Depth::Quick).unwrap().iter().map(|g| g.name).collect();
        assert_eq!(names, ["tidy", "unit"]);
    }

    #[test]
    fn a_group_can_be_asked_for_by_name() {
        assert_eq!(choose(&["doc"], Depth::Quick).unwrap()[0].name, "doc");
        let error = choose(&["dog"], Depth::Normal).unwrap_err().to_string();
        assert!(error.starts_with("no group `dog`; there are tidy, unit"), "{error}");
    }
}
