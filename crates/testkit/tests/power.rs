//! The power is cut at any moment: what was acknowledged is there, and the store opens.
//!
//! A recorded run is cut at hundreds of places. What the disk had not been asked to sync is lost, kept or torn at
//! random; the store that is left must hold everything that anybody had been told by then.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;
use std::time::Duration;

use parlor_testkit::dice::Dice;
use parlor_testkit::disk::{Disk, Entry, Image};
use parlor_testkit::ledger::Ledger;
use parlor_testkit::process::Process;

const MESSAGES: usize = 600;
const IN_FLIGHT: usize = 20;

fn cuts() -> usize {
    if std::env::var_os("PARLOR_FULL").is_some_and(|full| full == "1") { 1_000 } else { 100 }
}

/// Runs a store on a recording disk.
fn record(dir: &std::path::Path) -> Vec<Entry> {
    let disk = Disk::build(dir);
    let mut command = Command::new(env!("CARGO_BIN_EXE_store"));
    disk.under(command.arg(dir.join("data")));
    let mut process = Process::spawn(&mut command);
    process.line_with("ready");
    for n in 0..MESSAGES {
        if n >= IN_FLIGHT {
            process.line_with("published");
        }
        // Some are large, so that a message is more than a page.
        let filling = "x".repeat(if n % 50 == 7 { 9_000 } else { 40 });
        process.say(&format!("publish {n} room{} key{n} \"{n}{filling}\"", n % 3));
        if n % 200 == 199 {
            // Long enough for the writer to rest, and to write its log back into the file.
            std::thread::sleep(Duration::from_millis(60));
        }
    }
    for _ in 0..IN_FLIGHT {
        process.line_with("published");
    }
    // Not stopped in order: the last entries must not be those of a clean end.
    process.kill();
    process.wait();
    disk.log()
}

/// Writes what a line on stdout told into the ledger.
fn note(ledger: &mut Ledger, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    // The answers need not be noted: each comes after the delivery, which tells more.
    if let ["delivered", room, offset, id, data] = words[..] {
        ledger.delivered(room, data, (offset.parse().unwrap(), id.to_owned()));
    }
}

#[test]
fn a_power_cut_loses_nothing_that_anybody_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = record(dir.path());
    let syncs = log.iter().filter(|entry| matches!(entry, Entry::Synced { .. })).count();
    let file_writes =
        log.iter().filter(|entry| matches!(entry, Entry::Write { file, .. } if file.is_empty())).count();
    assert!(
        syncs > 30 && file_writes > 30,
        "the recording shows commits and checkpoints: {syncs}, {file_writes}"
    );

    let mut dice = Dice::printed("power");
    let mut roll = |end: usize| dice.index(end);
    let mut places: Vec<usize> = (0..cuts()).map(|_| roll(log.len() + 1)).collect();
    places.sort_unstable();

    let mut image = Image::default();
    let mut ledger = Ledger::default();
    let mut told = 0;
    let mut most = 0;
    for place in places {
        for entry in &log[told..place] {
            image.tell(entry);
            if let Entry::Said(text) = entry {
                // One line in one write, see `store`.
                note(&mut ledger, std::str::from_utf8(text).unwrap().trim_end());
            }
        }
        told = place;
        let left = dir.path().join("left");
        fs::create_dir(&left).unwrap();
        image.clone().cut(&left, &mut roll);
        most = most.max(ledger.check(&left));
        fs::remove_dir_all(&left).unwrap();
    }
    println!("{} entries, {syncs} syncs, {most} messages at the last cut", log.len());
}
