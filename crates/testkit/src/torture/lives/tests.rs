//! A store that lost its end in the middle of a run, clients that were told, and each way of not telling them.

use std::collections::BTreeSet;

use parlor_proto::position::{Epoch, MessageId, Position};

use super::*;
use crate::torture::Stored;

/// Of the first life, and what the second calls its log once the cut was noticed.
const BEFORE: Epoch = Epoch(7);
const AFTER: Epoch = Epoch(8);

/// Offsets 1 to 3 are in both lives; 4 and 5 are lost, and there are others in their place.
fn place(life: usize, epoch: Epoch, offset: u64) -> Position {
    let own = if offset > 3 { 100 * life as u128 } else { 0 };
    let id = if offset == 0 { MessageId::NIL } else { MessageId(u128::from(offset) + own) };
    Position { epoch, offset, id }
}

fn data(life: usize, offset: u64) -> String {
    place(life, BEFORE, offset).id.to_string()
}

fn lives() -> Vec<Truth> {
    let log = |life, epoch| {
        let stored = |offset| {
            let at = place(life, epoch, offset);
            Stored { at, seq: offset * 10, data: data(life, offset) }
        };
        (epoch, (1..=5).map(stored).collect())
    };
    let truth = |logs: Vec<(Epoch, Vec<Stored>)>| Truth {
        logs: [("a".to_owned(), logs.into_iter().collect())].into(),
        ..Truth::default()
    };
    let mut after = truth(vec![log(1, AFTER)]);
    let before = truth(vec![log(0, BEFORE)]);
    after.also_called(&before);
    vec![before, after]
}

fn message(life: usize, epoch: Epoch, offset: u64) -> Note {
    Note::Message { room: "a".into(), at: Some(place(life, epoch, offset)), data: data(life, offset) }
}

fn acked(life: usize, epoch: Epoch, offset: u64) -> Note {
    Note::Acked { room: "a".into(), at: place(life, epoch, offset), data: data(life, offset) }
}

fn joined(since: Option<Position>, head: Position, outcome: Outcome) -> Note {
    Note::Joined { room: "a".into(), since, head: Some(head), outcome }
}

fn lost(reason: &str) -> Outcome {
    Outcome::Lost(reason.into())
}

#[track_caller]
fn check_notes(expected: &[Rule], notes: Vec<(usize, Note)>) {
    let faults = check_from(&[Log { who: "ann".into(), notes }], &lives());
    let rules: BTreeSet<Rule> = faults.iter().map(|fault| fault.rule).collect();
    assert_eq!(rules, expected.iter().copied().collect(), "{faults:?}");
}

/// Followed from the beginning, and got everything that there was before the cut.
fn begun() -> Vec<(usize, Note)> {
    let mut notes = vec![(0, joined(None, place(0, BEFORE, 0), Outcome::Fresh))];
    notes.extend((1..=5).map(|offset| (0, message(0, BEFORE, offset))));
    notes
}

/// What was begun, and these behind it.
fn then(more: Vec<(usize, Note)>) -> Vec<(usize, Note)> {
    begun().into_iter().chain(more).collect()
}

#[test]
fn whoever_is_told_of_the_cut_may_lose_what_it_has_lost() {
    for reason in ["epoch_changed", "diverged"] {
        let told = |epoch| joined(Some(place(0, BEFORE, 5)), place(1, epoch, 4), lost(reason));
        let epoch = if reason == "diverged" { BEFORE } else { AFTER };
        let rest = vec![
            (0, Note::Cut { code: 4010 }),
            (1, told(epoch)),
            (1, message(1, epoch, 5)),
            (1, Note::Quiet),
        ];
        check_notes(&[], then(rest));
    }
}

#[test]
fn whoever_had_nothing_of_what_was_lost_may_go_on() {
    let notes = vec![
        (0, joined(None, place(0, BEFORE, 2), Outcome::Fresh)),
        (0, message(0, BEFORE, 3)),
        // Nobody has noticed yet that the log is another.
        (0, message(1, BEFORE, 4)),
        (0, Note::Cut { code: 4010 }),
        (1, joined(Some(place(1, BEFORE, 4)), place(1, AFTER, 5), lost("epoch_changed"))),
        (1, Note::Quiet),
    ];
    check_notes(&[], notes);
}

#[test]
fn whoever_goes_on_across_the_cut_without_a_word_is_seen() {
    let mut notes = begun();
    notes.truncate(5);
    notes.push((0, message(1, BEFORE, 5)));
    check_notes(&[Rule::Unsaid], notes);
}

#[test]
fn whoever_still_follows_the_life_that_is_over_is_seen() {
    check_notes(&[Rule::Unsaid], then(vec![(0, Note::Quiet)]));
}

#[test]
fn a_recovery_across_the_cut_is_seen() {
    let back = joined(Some(place(0, BEFORE, 4)), place(1, BEFORE, 5), Outcome::Recovered);
    check_notes(&[Rule::FalseRecovery], then(vec![(0, Note::Cut { code: 1006 }), (1, back)]));
}

#[test]
fn a_loss_that_is_none_is_seen() {
    let back = joined(Some(place(0, BEFORE, 3)), place(1, BEFORE, 5), lost("diverged"));
    check_notes(&[Rule::FalseLoss], then(vec![(0, Note::Cut { code: 1006 }), (1, back)]));
}

#[test]
fn an_ack_of_before_may_be_lost_and_one_of_after_may_not() {
    check_notes(&[], vec![(0, acked(0, BEFORE, 5)), (0, acked(1, BEFORE, 5)), (1, acked(1, AFTER, 4))]);
    check_notes(&[Rule::NotStored], vec![(1, acked(0, BEFORE, 5))]);
}

#[test]
fn what_is_given_after_the_cut_of_what_is_lost_is_seen() {
    let back = joined(Some(place(0, BEFORE, 3)), place(1, BEFORE, 5), Outcome::Recovered);
    let rest = vec![(0, Note::Cut { code: 1006 }), (1, back), (1, message(0, BEFORE, 4))];
    check_notes(&[Rule::Vanished], then(rest));
}
