//! Reading a room's log: the question for `read.lua`, and pages from its answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlor_hub::engine::{Head, Page};
use parlor_hub::policy::{Log, Policy};
use parlor_hub::publication::{Place, Publication};
use parlor_proto::limits::{PAGE_BYTES, RESUME_MAX};
use parlor_proto::name::RoomName;
use parlor_proto::position::Epoch;

use super::entry::{self, NUMBER_MAX};
use super::job::Verb;
use super::scripts::Script;
use super::settings::IDLE_ROOM;
use super::wire::Value;
use super::{Shared, retention};

/// Which part of a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// None of it.
    Head,
    After(u64),
    Before(Option<u64>),
    /// Behind an offset, if that is not too much, and with the id of the message there.
    Since(u64),
    Last(u32),
}

/// Verb, keys and arguments of the question. Without a policy nothing is trimmed.
pub(super) fn read_log(
    shared: &Shared,
    room: &RoomName,
    policy: Option<Policy>,
    what: What,
    limit: u32,
) -> (Verb, Vec<String>, Vec<Vec<u8>>) {
    let (word, number) = match what {
        What::Head => ("head", 0),
        What::After(offset) => ("after", offset),
        What::Before(offset) => ("before", offset.unwrap_or(NUMBER_MAX)),
        What::Since(offset) => ("since", offset),
        What::Last(n) => ("last", u64::from(n).min(RESUME_MAX as u64)),
    };
    let keep = policy.and_then(retention);
    let some = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let in_memory = policy.is_some_and(|policy| matches!(policy.log, Log::Memory(_)));
    let texts = [
        entry::hex_of(getrandom::u64().unwrap_or_default()),
        if in_memory { IDLE_ROOM.as_millis().to_string() } else { String::new() },
        some(keep.and_then(|keep| keep.messages)),
        some(keep.and_then(|keep| keep.bytes)),
        some(keep.and_then(|keep| keep.age_ms)),
        shared.latest.load(Ordering::Relaxed).to_string(),
        word.to_owned(),
        number.min(NUMBER_MAX).to_string(),
        limit.to_string(),
        PAGE_BYTES.to_string(),
        RESUME_MAX.to_string(),
        entry::hex_of(shared.life.load(Ordering::Relaxed)),
    ];
    let keys = vec![shared.names.meta(room), shared.names.stream(room), shared.names.store()];
    (Verb::Script(Script::Read), keys, texts.map(String::into_bytes).to_vec())
}

/// Epoch, offset, id and number from the front of a list.
pub(super) fn head_of(values: &[Value]) -> Option<Head> {
    let [epoch, offset, id, seq, ..] = values else { return None };
    Some(Head {
        epoch: Epoch(entry::hex(epoch.text()?)?),
        offset: offset.number()?,
        id: entry::message_id(id.text()?)?,
        seq: seq.number()?,
    })
}

/// The page in an answer: the head, the first offset, the id at the place that was asked for, and the messages.
pub(super) fn page_of(room: &RoomName, value: &Value, what: What) -> Option<Page> {
    let values = value.list()?;
    let head = head_of(values)?;
    let [_, _, _, _, first, _, messages] = values else { return None };
    let first = first.number()?;
    let mut messages: Vec<Arc<Publication>> = messages
        .list()?
        .iter()
        .map(|row| message(room, head.epoch, row.list()?).map(Arc::new))
        .collect::<Option<_>>()?;
    let offset = |message: Option<&Arc<Publication>>| Some(message?.place?.offset);
    let more = match what {
        What::Before(_) => {
            messages.reverse();
            offset(messages.first()).is_some_and(|oldest| oldest > first)
        }
        _ => offset(messages.last()).is_some_and(|newest| newest < head.offset),
    };
    Some(Page { head, messages, more, first })
}

/// `OFFSET-0`, id, number, time, and the bytes.
fn message(room: &RoomName, epoch: Epoch, row: &[Value]) -> Option<Publication> {
    let [place, id, seq, time, bytes] = row else { return None };
    let offset = entry::number(place.text()?.strip_suffix("-0")?)?;
    let place = Place { epoch, offset, seq: seq.number()? };
    let id = entry::message_id(id.text()?)?;
    let publication = entry::decode(id, Some(place), time.number()?, bytes.bytes()?)?;
    (publication.room == *room).then_some(publication)
}
