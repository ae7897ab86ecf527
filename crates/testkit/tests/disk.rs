//! A disk that fails or fills up never leads to a false acknowledgement.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use parlor_engines::embedded::EXIT_STORE_FAILED;
use parlor_testkit::disk::Disk;
use parlor_testkit::ledger::Ledger;
use parlor_testkit::process::Process;

fn start(disk: &Disk, store: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store"));
    disk.under(command.arg(store));
    let process = Process::spawn(&mut command);
    process.line_with("ready");
    process
}

#[track_caller]
fn note(ledger: &mut Ledger, data: &str, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let ["published", _, offset, id, "false"] = words[..] else { panic!("not stored: {line}") };
    ledger.acked("room", data, (offset.parse().unwrap(), id.to_owned()));
}

#[test]
fn a_sync_that_fails_ends_the_process_without_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("data");
    let disk = Disk::build(dir.path());
    let mut ledger = Ledger::default();
    let mut process = start(&disk, &store);
    process.say("publish 1 room - 1");
    note(&mut ledger, "1", &process.line_with("published"));
    disk.fail_syncs();
    process.say("publish 2 room - 2");
    while let Some(line) = process.line() {
        assert!(line.starts_with("delivered room 1 "), "nobody was told anything: {line}");
    }
    let status = process.wait();
    assert_eq!(status.code(), Some(EXIT_STORE_FAILED));
    let errors = process.errors();
    let last = errors.lines().last().unwrap_or_default();
    assert!(last.starts_with("parlor: the store failed: disk I/O error"), "{errors}");
    disk.heal();
    // The second message may be there, because it was written; it was only not promised.
    assert!((1..=2).contains(&ledger.check(&store)));
}

#[test]
fn a_full_disk_refuses_messages_goes_on_reading_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("data");
    let disk = Disk::build(dir.path());
    let mut ledger = Ledger::default();
    let mut process = start(&disk, &store);
    process.say("publish 1 room key 1");
    note(&mut ledger, "1", &process.line_with("published"));
    disk.fill();
    for tag in 2..5 {
        process.say(&format!("publish {tag} room - {tag}"));
        assert_eq!(process.line_with("refused"), format!("refused {tag} storage_full"));
    }
    process.say("put 5 name value");
    assert_eq!(process.line_with("refused"), "refused 5 storage_full");
    process.say("page 6 room");
    assert_eq!(process.line_with("done"), "done 6");
    // A repeat needs no space.
    process.say("publish 7 room key 1");
    assert!(process.line_with("published 7 1 ").ends_with(" true"));
    disk.heal();
    process.say("publish 8 room - 8");
    note(&mut ledger, "8", &process.line_with("published"));
    process.say("put 9 name value");
    assert_eq!(process.line_with("done"), "done 9");
    assert!(process.wait().success());
    assert_eq!(ledger.check(&store), 2);
}
