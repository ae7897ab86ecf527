//! `stand`: where a place in the whole store is in one room.

use std::sync::Arc;

use parlor_hub::engine::{Lost, Range};
use parlor_hub::policy::{Ack, Log};
use parlor_hub::resume::Stand;
use parlor_hub::{Hub, Publication};
use parlor_proto::codes::Refusal;
use parlor_proto::limits::PAGE_MESSAGES;
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position};

use super::gap::frontier;
use super::store::wait;

/// Messages that somebody who listens all the time may have missed.
const FEW: u32 = 8;

/// The newest message of a room at or before `seq`, in the log of that `epoch` if it is known.
pub(super) async fn stand(
    hub: &Arc<Hub>,
    room: &RoomName,
    seq: u64,
    epoch: Option<Epoch>,
) -> Result<Result<Stand, Lost>, Refusal> {
    let (engine, policy) = (hub.engine(), hub.policy(room));
    let history = |range, limit| wait(move |done| engine.history(room, policy, range, limit, done));
    let in_memory = is_in_memory(hub, room);
    let of = |message: &Arc<Publication>| {
        let found = Stand { position: message.position()?, seq: message.place?.seq, in_memory };
        (found.seq <= seq).then_some(found)
    };
    let head = wait(|done| engine.head(room, policy, done)).await?;
    if head.seq <= seq && head.offset > 0 {
        return Ok(Ok(Stand { position: head.position(), seq: head.seq, in_memory }));
    }
    // Whoever listens all the time has missed what came at once, and most who come back not much more.
    let mut newest = history(Range::Before(None), FEW).await?;
    let mut found = newest.messages.iter().rev().find_map(of);
    if found.is_none() && newest.more {
        newest = history(Range::Before(None), PAGE_MESSAGES as u32).await?;
        found = newest.messages.iter().rev().find_map(of);
    }
    if let Some(found) = found {
        return Ok(Ok(found));
    }
    // Of the offsets from `low` on below `high` it is not known yet on which side they lie.
    let mut low = newest.first;
    let mut high =
        newest.messages.first().and_then(|message| message.place).map_or(low, |place| place.offset);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let page = history(Range::After(middle - 1), 1).await?;
        if page.first > middle {
            // It was trimmed meanwhile, and what was found is not known to be the newest.
            (found, low) = (None, page.first);
            continue;
        }
        match page.messages.first().and_then(of) {
            Some(stand) => (found, low) = (Some(stand), middle + 1),
            None => high = middle,
        }
    }
    if let Some(found) = found {
        return Ok(Ok(found));
    }
    let first = history(Range::Before(None), 1).await?;
    if first.first > 1 {
        return Ok(Err(Lost::Trimmed));
    }
    // A log in memory may have begun anew since, if it is not known to be the same.
    let may_be_gone = epoch != Some(first.head.epoch) && (in_memory || engine.ack() == Ack::Memory);
    if may_be_gone && frontier(hub).await?.rings_since > seq {
        return Ok(Err(Lost::EpochChanged));
    }
    let position = Position { epoch: first.head.epoch, offset: 0, id: MessageId::NIL };
    Ok(Ok(Stand { position, seq: 0, in_memory }))
}

/// Whether a room's log goes with the process, and others do not.
pub(super) fn is_in_memory(hub: &Hub, room: &RoomName) -> bool {
    let engine = hub.engine();
    !engine.is_shared() && engine.ack() != Ack::Memory && matches!(hub.policy(room).log, Log::Memory(_))
}
