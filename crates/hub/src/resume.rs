//! The rules by which a gap is given whole or not at all; shared by all engines.

use parlor_proto::limits::RESUME_MAX;
use parlor_proto::position::{Cursor, MessageId, Position, Since};

use crate::engine::{Begin, Head, Lost};

/// Where reading begins (after this offset), or why the gap cannot be given.
///
/// `first` is the oldest offset still held (`head.offset + 1` if none). `id_at` gives the id of the message at an
/// offset, or `None` if it is no longer held; it is asked at most once.
pub fn decide(
    begin: Begin,
    head: Head,
    first: u64,
    id_at: impl FnOnce(u64) -> Option<MessageId>,
) -> Result<u64, Lost> {
    let after = match begin {
        Begin::Last(n) => {
            let wanted = u64::from(n).min(RESUME_MAX as u64);
            return Ok(head.offset.saturating_sub(wanted).max(first.saturating_sub(1)));
        }
        Begin::Since(Since::Offset(offset)) if offset > head.offset => return Err(Lost::Diverged),
        Begin::Since(Since::Offset(offset)) => offset,
        Begin::Since(Since::Position(position)) => {
            if position.epoch != head.epoch {
                return Err(Lost::EpochChanged);
            }
            if position.offset > head.offset {
                return Err(Lost::Diverged);
            }
            // Offset 0 is the place before the first message: there is no message to compare.
            if position.offset > 0 {
                match id_at(position.offset) {
                    Some(id) if id != position.id => return Err(Lost::Diverged),
                    // The message itself may be trimmed while everything behind it is still held. Then nothing
                    // proves that it was the same message: answer `trimmed`, never guess.
                    None => return Err(Lost::Trimmed),
                    Some(_) => {}
                }
            }
            position.offset
        }
    };
    if after + 1 < first {
        return Err(Lost::Trimmed);
    }
    if head.offset - after > RESUME_MAX as u64 {
        return Err(Lost::TooMany);
    }
    Ok(after)
}

/// Where a cursor stands in one room: behind the newest message at or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    pub position: Position,
    /// Of the message at `position`; 0 at offset 0.
    pub seq: u64,
    /// The log goes with its process, and others do not.
    pub in_memory: bool,
}

/// Whether what was found for a cursor in each of a client's rooms is what it meant. A cursor's id is that of a message at
/// or before it in the rooms that it was given out for, the newest of one that lasts if there is any: one of them must
/// show it, or nothing proves that the store is the same. Then no room is resumed.
pub fn prove(cursor: Cursor, stands: &mut [Result<Stand, Lost>]) {
    let shows = |stand: &Stand| stand.position.id == cursor.id;
    let found = || stands.iter().flatten();
    // The place may be that of a message in memory, behind the one that proves it.
    let is_other =
        |stand: &Stand| !stand.in_memory && stand.seq == cursor.seq && cursor.seq > 0 && !shows(stand);
    if found().any(shows) && !found().any(is_other) {
        return;
    }
    // The proof itself may be among what a room no longer holds, or in a log that began anew.
    let is_new = |stand: &Stand| stand.in_memory && stand.position.offset == 0;
    let reason = match () {
        () if found().any(is_other) => Lost::Diverged,
        () if stands.contains(&Err(Lost::Trimmed)) => Lost::Trimmed,
        () if stands.contains(&Err(Lost::EpochChanged)) || found().any(is_new) => Lost::EpochChanged,
        () => Lost::Diverged,
    };
    stands.iter_mut().filter(|stand| stand.is_ok()).for_each(|stand| *stand = Err(reason));
}

#[cfg(test)]
mod tests {
    use parlor_proto::position::Epoch;

    use super::*;

    /// Of a log in memory, and there is nothing behind the cursor's place.
    const IN_MEMORY: (u64, u128) = (9, 92);

    /// What becomes of rooms in which a cursor at seq 9 with id 90 was found to stand at (seq, id).
    #[track_caller]
    fn check_proof(stands: &[Result<(u64, u128), Lost>], expected: &[Result<(), Lost>]) {
        let at = |(seq, id): (u64, u128)| {
            let position = Position { epoch: Epoch(1), offset: seq, id: MessageId(id) };
            Stand { position, seq, in_memory: (seq, id) == IN_MEMORY }
        };
        let mut found: Vec<_> = stands.iter().map(|stand| stand.map(at)).collect();
        prove(Cursor { life: 1, seq: 9, id: MessageId(90) }, &mut found);
        let told: Vec<_> = found.into_iter().map(|stand| stand.map(drop)).collect();
        assert_eq!(told, expected, "{stands:?}");
    }

    #[test]
    fn a_cursor_is_proven_by_its_message_in_one_of_the_rooms() {
        check_proof(&[Ok((9, 90))], &[Ok(())]);
        // The newest at or before a cursor that lies behind it.
        check_proof(&[Ok((7, 90)), Ok((0, 0))], &[Ok(()), Ok(())]);
        check_proof(&[Ok((9, 91))], &[Err(Lost::Diverged)]);
        check_proof(&[Ok((8, 80)), Ok((0, 0))], &[Err(Lost::Diverged), Err(Lost::Diverged)]);
        check_proof(&[Err(Lost::Trimmed), Ok((8, 80))], &[Err(Lost::Trimmed), Err(Lost::Trimmed)]);
        check_proof(&[Err(Lost::Trimmed), Ok((9, 90))], &[Err(Lost::Trimmed), Ok(())]);
    }

    #[test]
    fn what_is_in_memory_neither_proves_nor_disproves_what_lasts() {
        let changed = Err(Lost::EpochChanged);
        check_proof(&[Ok(IN_MEMORY), Ok((8, 90))], &[Ok(()), Ok(())]);
        check_proof(&[Ok(IN_MEMORY), Ok((8, 80))], &[Err(Lost::Diverged), Err(Lost::Diverged)]);
        check_proof(&[changed, Ok((8, 90))], &[Err(Lost::EpochChanged), Ok(())]);
        // The proof was there and went with the process: nobody says that the rest was rewound.
        check_proof(&[changed, Ok((8, 80))], &[Err(Lost::EpochChanged), Err(Lost::EpochChanged)]);
        check_proof(&[changed, Ok((9, 91))], &[Err(Lost::EpochChanged), Err(Lost::Diverged)]);
    }

    fn position(epoch: u64, offset: u64, id: u128) -> Begin {
        Begin::Since(Since::Position(Position { epoch: Epoch(epoch), offset, id: MessageId(id) }))
    }

    /// A log of epoch 7 that holds offsets 11 to 2000; the id of each message is its offset.
    #[track_caller]
    fn check(begin: Begin, expected: Result<u64, Lost>) {
        let head = Head { epoch: Epoch(7), offset: 2000, id: MessageId(2000), seq: 0 };
        let id_at = |offset: u64| (offset >= 11).then_some(MessageId(u128::from(offset)));
        assert_eq!(decide(begin, head, 11, id_at), expected, "{begin:?}");
    }

    #[test]
    fn a_gap_is_given_whole_or_not_at_all() {
        check(position(7, 2000, 2000), Ok(2000));
        check(position(7, 1000, 1000), Ok(1000));
        check(position(7, 999, 999), Err(Lost::TooMany));
        check(position(8, 1500, 1500), Err(Lost::EpochChanged));
        check(position(7, 1500, 99), Err(Lost::Diverged));
        check(position(7, 2001, 2001), Err(Lost::Diverged));
        check(position(7, 10, 10), Err(Lost::Trimmed));
        check(position(7, 0, 0), Err(Lost::Trimmed));
        check(Begin::Since(Since::Offset(9)), Err(Lost::Trimmed));
        check(Begin::Since(Since::Offset(10)), Err(Lost::TooMany));
        check(Begin::Since(Since::Offset(1990)), Ok(1990));
        check(Begin::Since(Since::Offset(2001)), Err(Lost::Diverged));
        check(Begin::Last(0), Ok(2000));
        check(Begin::Last(50), Ok(1950));
        check(Begin::Last(5000), Ok(1000));
    }
}
