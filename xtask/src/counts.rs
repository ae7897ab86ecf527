//! Reads test counts out of other programs' output: cargo test, TAP and Python's unittest.

use crate::outcome::GroupResult;

/// Adds up every `test result:` line of `cargo test` and names the tests that failed.
pub(crate) fn cargo_test(output: &str) -> GroupResult {
    let mut result = GroupResult::default();
    let mut ignored = 0;
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("test result: ") {
            result.passed += number_before(rest, " passed");
            ignored += number_before(rest, " ignored");
        } else if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            result.failures.push(name.to_string());
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... ignored, "))
            .map(|(n, why)| format!("{n}: {why}"))
        {
            result.skips.push(name);
        }
    }
    // An ignored test without a sentence still counts; it must not be silent.
    for _ in result.skips.len()..ignored {
        result.skips.push("ignored without a reason".into());
    }
    result
}

/// Reads the totals that `node --test --test-reporter=tap` prints last, and the names of failed tests.
pub(crate) fn tap(output: &str) -> GroupResult {
    let total = |key: &str| -> usize {
        let found = output.lines().rev().find_map(|line| line.strip_prefix(key));
        found.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    };
    let mut result = GroupResult::passed(total("# pass "));
    let names = output.lines().filter_map(|line| line.trim_start().strip_prefix("not ok "));
    let mut failed: Vec<String> =
        names.map(|n| n.split_once(" - ").map_or(n, |(_, name)| name).to_string()).collect();
    // A suite is `not ok` too when one of its tests is; node counts tests only.
    let count = total("# fail ") + total("# cancelled ");
    failed.truncate(count);
    failed.resize(count, "failed".into());
    result.failures = failed;
    result.skips = vec!["skipped by the test itself".into(); total("# skipped ") + total("# todo ")];
    result
}

/// Reads what `python -m unittest -v` prints: one line per test, then `Ran N tests`.
pub(crate) fn unittest(output: &str) -> GroupResult {
    let mut result = GroupResult::default();
    let mut ran = 0;
    for line in output.lines() {
        if let Some(rest) = line.strip_prefix("Ran ") {
            ran = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        } else if let Some(name) = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) {
            result.failures.push(name.to_string());
        } else if let Some((name, why)) = line.split_once(" ... skipped ") {
            result.skips.push(format!("{name}: {}", why.trim_matches('\'')));
        }
    }
    result.passed = usize::saturating_sub(ran, result.failures.len() + result.skips.len());
    result
}

fn number_before(line: &str, word: &str) -> usize {
    let Some(end) = line.find(word) else { return 0 };
    let digits = line[..end].rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|d| d.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_totals_add_up_and_failures_keep_their_names() {
        let out = "test a::b ... ok\ntest a::c ... FAILED\ntest d ... ignored, needs redis\n\
                   test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n\
                   test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let result = cargo_test(out);
        assert_eq!(result.passed, 13);
        assert_eq!(result.failures, ["a::c"]);
        assert_eq!(result.skips, ["d: needs redis"]);
    }

    #[test]
    fn an_ignored_test_without_reason_is_still_counted() {
        let out = "test d ... ignored\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured\n";
        assert_eq!(cargo_test(out).skips.len(), 1);
    }

    #[test]
    fn tap_totals_come_from_the_last_lines() {
        let out = "TAP version 13\n# Subtest: two people\nnot ok 1 - two people\n# tests 4\n# pass 2\n# fail 1\n\
                   # cancelled 0\n# skipped 1\n# todo 0\n";
        let result = tap(out);
        assert_eq!(result.passed, 2);
        assert_eq!(result.failures, ["two people"]);
        assert_eq!(result.skips.len(), 1);
    }

    #[test]
    fn unittest_failures_and_skips_are_not_passed() {
        let out = "test_a (m.T.test_a) ... ok\ntest_b (m.T.test_b) ... FAIL\n\
                   test_c (m.T.test_c) ... skipped 'no server'\nFAIL: test_b (m.T.test_b)\nRan 3 tests in 0.1s\n";
        let result = unittest(out);
        assert_eq!(result.passed, 1);
        assert_eq!(result.failures, ["test_b (m.T.test_b)"]);
        assert_eq!(result.skips, ["test_c (m.T.test_c): no server"]);
    }
}
