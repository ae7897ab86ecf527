//! The results: a table for people, JSON for later.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::contestant::Turn;
use crate::machine::Machine;

/// One line of the table: a server in a scenario, beside a bound.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) server: String,
    /// What the ratio is relative to.
    pub(crate) bound: String,
    pub(crate) ratio: Spread,
    /// The largest ratio that the project accepts, where it has said one.
    pub(crate) target: Option<Target>,
    pub(crate) columns: Vec<(&'static str, String)>,
    /// The turns, or whatever else the row was made from.
    pub(crate) raw: Value,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// A median with its range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&low), Some(&high)) = (values.first(), values.last()) else {
            return Spread { low: f64::NAN, median: f64::NAN, high: f64::NAN };
        };
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Spread { low, median, high }
    }
}

impl Target {
    fn verdict(self, value: f64) -> String {
        let (sign, limit, met) = match self {
            Target::AtMost(limit) => ("<=", limit, value <= limit),
            Target::AtLeast(limit) => (">=", limit, value >= limit),
        };
        format!("{} {sign} {limit}", if met { "meets" } else { "MISSES" })
    }
}

impl Row {
    /// The row as one line; units are named beside each figure.
    pub(crate) fn line(&self) -> String {
        let Spread { low, median, high } = self.ratio;
        let columns: Vec<String> =
            self.columns.iter().map(|(name, value)| format!("{value} {name}")).collect();
        let target = self.target.map_or_else(String::new, |target| target.verdict(median));
        format!(
            "{:18} {:24} {:>6.2} x {:20} ({low:.2}-{high:.2})  {:16} {}",
            self.scenario,
            self.server,
            median,
            self.bound,
            target,
            columns.join(", ")
        )
    }

    fn json(&self) -> Value {
        let figures: Value =
            self.columns.iter().map(|(name, value)| ((*name).to_string(), json!(value))).collect();
        json!({
            "scenario": self.scenario, "server": self.server, "bound": self.bound,
            "ratio": self.ratio.median, "low": self.ratio.low, "high": self.ratio.high,
            "figures": figures, "raw": self.raw,
        })
    }
}

/// The figures of a server's turns, as medians: a slow minute of the host must not colour them.
pub(crate) fn columns(turns: &[Turn], unit: &'static str) -> Vec<(&'static str, String)> {
    let median = |of: fn(&Turn) -> f64| Spread::of(turns.iter().map(of)).median;
    let sum = |of: fn(&Turn) -> u64| turns.iter().map(of).sum::<u64>();
    vec![
        ("us", format!("{:.2}", median(Turn::micros_each))),
        ("us user", format!("{:.2}", median(|t| t.cpu.user as f64 / 1e3 / t.units.max(1) as f64))),
        (unit, format!("{:.0}", median(Turn::rate))),
        ("lost", sum(|t| t.lost).to_string()),
        ("out of order", sum(|t| t.reordered).to_string()),
    ]
}

pub(crate) fn raw_turns(turns: &[Turn]) -> Value {
    let turn = |t: &Turn| {
        json!({"units": t.units, "seconds": t.seconds, "cpu_ns": t.cpu.total, "user_ns": t.cpu.user,
               "lost": t.lost, "out_of_order": t.reordered})
    };
    turns.iter().map(turn).collect()
}

/// Writes all rows to `results/<machine>-<commit>.json` and returns the path.
pub(crate) fn save(folder: &Path, machine: &Machine, settings: Value, rows: &[Row]) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}-{}.json", machine.slug(), machine.commit));
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    let all = json!({
        "cpu": machine.cpu, "cores": machine.cores, "kernel": machine.kernel, "commit": machine.commit,
        "settings": settings, "rows": rows,
    });
    fs::write(&path, serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_median_with_its_range() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((odd.low, odd.median, odd.high), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert!(Spread::of([]).median.is_nan());
    }

    #[test]
    fn a_missed_target_is_said() {
        assert_eq!(Target::AtMost(1.15).verdict(1.15), "meets <= 1.15");
        assert_eq!(Target::AtMost(1.15).verdict(1.16), "MISSES <= 1.15");
        assert_eq!(Target::AtLeast(0.5).verdict(0.4), "MISSES >= 0.5");
    }
}
