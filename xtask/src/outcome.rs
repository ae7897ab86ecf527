//! What a test group reports: counts, and the sentences that explain failures and skips.

use std::fmt;

/// The result of one group. Failures and skips always carry a sentence, so none can pass unnoticed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct GroupResult {
    pub(crate) passed: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) skips: Vec<String>,
}

impl GroupResult {
    pub(crate) fn passed(count: usize) -> Self {
        GroupResult { passed: count, ..GroupResult::default() }
    }

    /// The whole group failed for one reason, for example a build error or its time budget.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        GroupResult { failures: vec![reason.into()], ..GroupResult::default() }
    }

    /// The whole group, or a part of it, could not be run here.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        GroupResult { skips: vec![reason.into()], ..GroupResult::default() }
    }

    pub(crate) fn add(&mut self, other: GroupResult) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skips.extend(other.skips);
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.failures.is_empty()
    }
}

/// `N passed, M failed`, and `, K skipped` only where something was skipped.
impl fmt::Display for GroupResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failures.len())?;
        if !self.skips.is_empty() {
            write!(f, ", {} skipped", self.skips.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_skips_only_when_there_are_some() {
        let mut result = GroupResult::passed(3);
        assert_eq!(result.to_string(), "3 passed, 0 failed");
        result.add(GroupResult::failed("no"));
        result.add(GroupResult::skipped("no chromium"));
        assert_eq!(result.to_string(), "3 passed, 1 failed, 1 skipped");
        assert!(!result.is_ok());
    }
}
