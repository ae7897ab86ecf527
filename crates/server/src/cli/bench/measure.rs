//! Counting, timing, and the report for people and programs.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::super::show::thousands;

/// Latencies from a microsecond to a minute, to three digits; longer ones count as a minute.
#[derive(Clone, Debug)]
pub(super) struct Latency(Histogram<u64>);

impl Latency {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 60_000_000, 3)?))
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// What one scenario found.
#[derive(Debug)]
pub(super) struct Report {
    name: &'static str,
    /// What was done, in words.
    setting: String,
    /// Name, number, unit.
    figures: Vec<(&'static str, f64, &'static str)>,
    latency: Option<Latency>,
    notes: Vec<String>,
}

/// The quantiles that are shown.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Report {
    pub(super) fn new(name: &'static str, setting: String) -> Self {
        Self { name, setting, figures: Vec::new(), latency: None, notes: Vec::new() }
    }

    pub(super) fn figure(&mut self, name: &'static str, number: f64, unit: &'static str) {
        self.figures.push((name, number, unit));
    }

    pub(super) fn latency(&mut self, latency: Latency) {
        self.latency = Some(latency);
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn json(&self) -> Value {
        let figures: Map<String, Value> =
            self.figures.iter().map(|(name, number, _)| (name.replace(' ', "_"), json!(number))).collect();
        let mut object = json!({"scenario": self.name, "setting": self.setting, "figures": figures});
        if let Some(latency) = &self.latency {
            let quantiles: Map<String, Value> = QUANTILES
                .iter()
                .map(|(name, at)| ((*name).to_owned(), json!(latency.quantile(*at))))
                .collect();
            object["latency_ms"] = Value::Object(quantiles);
        }
        if !self.notes.is_empty() {
            object["notes"] = json!(self.notes);
        }
        object
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}: {}", self.name, self.setting)?;
        for (name, number, unit) in &self.figures {
            writeln!(out, "  {:>12}  {unit:<10} {name}", shown(*number))?;
        }
        if let Some(latency) = &self.latency {
            let quantiles = QUANTILES.map(|(name, at)| format!("{name} {}", millis(latency.quantile(at))));
            writeln!(out, "  latency  {}", quantiles.join("   "))?;
            bars(&latency.0, out)?;
        }
        for note in &self.notes {
            writeln!(out, "  {note}")?;
        }
        writeln!(out)
    }
}

/// The histogram: one bar for each doubling of the latency.
fn bars(histogram: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    const WIDTH: f64 = 40.0;
    let all = histogram.len() as f64;
    for bar in histogram.iter_log(62, 2.0).filter(|bar| bar.count_since_last_iteration() > 0) {
        let share = bar.count_since_last_iteration() as f64 / all;
        let length = (share * WIDTH).round() as usize;
        let up_to = millis((bar.value_iterated_to() + 1) as f64 / 1000.0);
        writeln!(out, "  {:>12}  {:<40} {:>5.1} %", format!("< {up_to}"), "█".repeat(length), share * 100.0)?;
    }
    Ok(())
}

fn shown(number: f64) -> String {
    if number >= 100.0 { thousands(number.round() as u64) } else { format!("{number:.2}") }
}

fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1000.0),
        ms if ms < 100.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// A line that changes while one waits; only for people.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    shown: bool,
    last: Cell<Instant>,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, shown: io::stderr().is_terminal(), last: Cell::new(Instant::now()) }
    }

    pub(super) fn at(&self, done: u64, all: u64) {
        if self.shown && (self.last.get().elapsed() > Duration::from_millis(100) || done == all) {
            self.last.set(Instant::now());
            eprint!("\r  {} {} of {}   ", self.what, thousands(done), thousands(all));
        }
    }

    pub(super) fn clear(&self) {
        if self.shown {
            eprint!("\r{}\r", " ".repeat(60));
        }
    }
}

/// How busy this process was, to tell whether it or the server was the limit.
#[derive(Debug)]
pub(super) struct Busy {
    started: Instant,
    worked: Option<Duration>,
}

impl Busy {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), worked: worked() }
    }

    /// A note if there was no idle time left.
    pub(super) fn note(&self) -> Option<String> {
        let share = (worked()? - self.worked?).as_secs_f64() / self.started.elapsed().as_secs_f64();
        (share > 0.95).then(|| {
            format!(
                "This program was busy {:.0} % of the time: the server may be faster than this.",
                share * 100.0
            )
        })
    }
}

/// The time that the main thread, which does all the work, has had a core (Linux's scheduler statistics).
fn worked() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_well_and_parses() {
        let mut latency = Latency::new().unwrap();
        for ms in [1, 1, 1, 3] {
            latency.record(Duration::from_millis(ms));
        }
        let mut report = Report::new("echo", "2 connections".to_owned());
        report.figure("round trips", 12_345.6, "/s");
        report.latency(latency);
        report.note("A note.");
        let mut out = Vec::new();
        report.write(&mut out).unwrap();
        let expected = "\
echo: 2 connections
        12,346  /s         round trips
  latency  p50 1.0 ms   p90 3.0 ms   p99 3.0 ms   p99.9 3.0 ms   max 3.0 ms
      < 2.0 ms  ██████████████████████████████            75.0 %
      < 4.0 ms  ██████████                                25.0 %
  A note.

";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let json = report.json();
        assert_eq!(json["figures"]["round_trips"], 12_345.6);
        assert_eq!(json["latency_ms"]["p50"], 1.0);
    }
}
