//! A run in which all is well, and for each rule a change of one note that it must see.

use std::collections::BTreeSet;

use super::*;

const EPOCH: Epoch = Epoch(7);

fn place(offset: u64) -> Position {
    let id = if offset == 0 { MessageId::NIL } else { MessageId(u128::from(offset)) };
    Position { epoch: EPOCH, offset, id }
}

fn stored(offset: u64) -> Stored {
    Stored { at: place(offset), seq: offset * 10, data: format!("m{offset}") }
}

fn message(offset: u64) -> Note {
    Note::Message { room: "a".into(), at: Some(place(offset)), data: format!("m{offset}") }
}

fn joined(since: Option<u64>, head: u64, outcome: Outcome) -> Note {
    Note::Joined { room: "a".into(), since: since.map(place), head: Some(place(head)), outcome }
}

fn acked(offset: u64) -> Note {
    Note::Acked { room: "a".into(), at: place(offset), data: format!("m{offset}") }
}

fn passing(data: &str) -> Note {
    Note::Message { room: "live:a".into(), at: None, data: data.into() }
}

fn live() -> Note {
    Note::Joined { room: "live:a".into(), since: None, head: None, outcome: Outcome::Fresh }
}

/// Five messages; two readers, one of whom is cut and comes back, and a publisher.
fn good() -> (Vec<Log>, Vec<Truth>) {
    let mut truth = Truth::default();
    truth.logs.entry("a".into()).or_default().insert(EPOCH, (1..=5).map(stored).collect());
    truth.passed.insert("live:a".into(), ["x", "y", "z"].map(String::from).to_vec());
    let log = |who: &str, notes: Vec<Note>| Log {
        who: who.into(),
        notes: notes.into_iter().map(|note| (0, note)).collect(),
    };
    let recovered = Outcome::Recovered;
    let logs = vec![
        log(
            "ann",
            vec![
                joined(None, 1, Outcome::Fresh),
                message(2),
                message(3),
                message(4),
                message(5),
                Note::Quiet,
            ],
        ),
        log(
            "bob",
            vec![
                joined(None, 0, Outcome::Fresh),
                message(1),
                message(2),
                Note::Cut { code: 1006 },
                joined(Some(2), 4, recovered),
                message(3),
                message(4),
                Note::Passed { seq: 45 },
                message(5),
                Note::Quiet,
            ],
        ),
        log("carl", vec![acked(1), acked(3), acked(3)]),
        log("dora", vec![live(), passing("x"), passing("y"), passing("z")]),
    ];
    (logs, vec![truth])
}

/// The rules that a change of the good run breaks.
#[track_caller]
fn check_changed(expected: &[Rule], change: impl FnOnce(&mut [Log], &mut Truth)) {
    let (mut logs, mut lives) = good();
    change(&mut logs, &mut lives[0]);
    let faults = check(&logs, &lives);
    let rules: BTreeSet<Rule> = faults.iter().map(|fault| fault.rule).collect();
    assert_eq!(rules, expected.iter().copied().collect(), "{faults:?}");
}

const ANN: usize = 0;
const BOB: usize = 1;
const CARL: usize = 2;
const DORA: usize = 3;

#[test]
fn a_good_run_has_no_faults() {
    check_changed(&[], |_, _| {});
}

#[test]
fn a_message_that_did_not_come_is_seen() {
    check_changed(&[Rule::Gap], |logs, _| drop(logs[ANN].notes.remove(2)));
    // Behind a position too, and at the very beginning.
    check_changed(&[Rule::Gap, Rule::PassedTooFar], |logs, _| drop(logs[BOB].notes.drain(5..7)));
    check_changed(&[Rule::Gap], |logs, _| drop(logs[ANN].notes.remove(1)));
    check_changed(&[Rule::Gap], |logs, _| drop(logs[DORA].notes.remove(2)));
}

#[test]
fn a_message_that_came_twice_or_too_late_is_seen() {
    check_changed(&[Rule::Twice], |logs, _| logs[ANN].notes.insert(2, (0, message(2))));
    check_changed(&[Rule::Twice], |logs, _| logs[BOB].notes.insert(5, (0, message(2))));
    check_changed(&[Rule::Gap, Rule::Twice], |logs, _| logs[ANN].notes.swap(2, 3));
    check_changed(&[Rule::Twice], |logs, _| logs[DORA].notes.insert(2, (0, passing("x"))));
    check_changed(&[Rule::Gap, Rule::Twice], |logs, _| logs[DORA].notes.swap(2, 3));
}

#[test]
fn a_gap_that_is_given_in_part_after_it_was_refused_is_seen() {
    let lost = joined(Some(0), 4, Outcome::Lost("diverged".into()));
    check_changed(&[Rule::FalseLoss, Rule::Twice], |logs, _| logs[BOB].notes[4].1 = lost);
}

#[test]
fn what_belongs_elsewhere_is_seen() {
    let of_other_epoch = Position { epoch: Epoch(8), ..place(3) };
    check_changed(&[Rule::Stray, Rule::Vanished], |logs, _| {
        logs[ANN].notes[2].1 =
            Note::Message { room: "a".into(), at: Some(of_other_epoch), data: "m3".into() };
    });
    check_changed(&[Rule::Stray], |logs, _| logs[ANN].notes.insert(4, (0, Note::Left { room: "a".into() })));
    check_changed(&[Rule::Stray], |logs, _| drop(logs[BOB].notes.remove(4)));
}

#[test]
fn two_who_saw_different_things_are_seen() {
    // Nothing is known of the room but what they say.
    let other = Note::Message { room: "a".into(), at: Some(place(3)), data: "other".into() };
    check_changed(&[Rule::Disagreement], |logs, truth| {
        truth.logs.clear();
        logs[ANN].notes[2].1 = other;
    });
    let elsewhere = Note::Acked { room: "a".into(), at: place(4), data: "m3".into() };
    check_changed(&[Rule::Disagreement, Rule::NotStored], |logs, _| logs[CARL].notes[2].1 = elsewhere);
}

#[test]
fn what_vanished_is_seen() {
    check_changed(&[Rule::Vanished], |_, truth| {
        truth.logs.get_mut("a").unwrap().get_mut(&EPOCH).unwrap().pop();
    });
    check_changed(&[Rule::Vanished, Rule::NotStored], |_, truth| {
        let log = truth.logs.get_mut("a").unwrap().get_mut(&EPOCH).unwrap();
        log[2] = Stored { data: "other".into(), ..stored(3) };
    });
    check_changed(&[Rule::Vanished], |logs, _| logs[BOB].notes[4].1 = joined(Some(2), 6, Outcome::Recovered));
}

#[test]
fn an_ack_that_is_not_true_is_seen() {
    check_changed(&[Rule::NotStored], |logs, _| logs[CARL].notes.push((0, acked(6))));
}

#[test]
fn a_message_that_is_stored_twice_is_seen() {
    let again = Stored { data: "m5".into(), ..stored(6) };
    check_changed(&[Rule::StoredTwice, Rule::Behind], |_, truth| {
        truth.logs.get_mut("a").unwrap().get_mut(&EPOCH).unwrap().push(again);
    });
    check_changed(&[Rule::Gap, Rule::Behind], |_, truth| {
        truth.logs.get_mut("a").unwrap().get_mut(&EPOCH).unwrap().push(stored(7));
    });
}

#[test]
fn a_recovery_that_is_not_true_is_seen() {
    let foreign = Position { id: MessageId(99), ..place(2) };
    let since =
        |since| Note::Joined { room: "a".into(), since, head: Some(place(4)), outcome: Outcome::Recovered };
    check_changed(&[Rule::FalseRecovery], |logs, _| logs[BOB].notes[4].1 = since(Some(foreign)));
    let of_other_epoch = Position { epoch: Epoch(8), ..place(2) };
    check_changed(&[Rule::FalseRecovery, Rule::Stray], |logs, _| {
        logs[BOB].notes[4].1 = since(Some(of_other_epoch));
    });
    check_changed(&[Rule::FalseRecovery], |logs, _| logs[BOB].notes[4].1 = since(None));
}

#[test]
fn a_loss_for_a_reason_that_does_not_hold_is_seen() {
    for reason in ["epoch_changed", "diverged", "trimmed", "too_many", "no_log", "other"] {
        check_changed(&[Rule::FalseLoss], |logs, _| {
            logs[BOB].notes[4].1 = joined(Some(2), 2, Outcome::Lost(reason.into()));
        });
    }
}

#[test]
fn an_id_that_promises_too_much_is_seen() {
    check_changed(&[Rule::PassedTooFar], |logs, _| logs[BOB].notes[7].1 = Note::Passed { seq: 50 });
}

#[test]
fn who_is_behind_at_the_end_is_seen() {
    check_changed(&[Rule::Behind], |logs, _| drop(logs[ANN].notes.remove(4)));
    check_changed(&[Rule::Behind], |logs, _| drop(logs[BOB].notes.remove(8)));
}
