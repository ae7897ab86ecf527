//! What Redis answered, and what follows from it.

use std::sync::Arc;
use std::time::Instant;

use parlor_hub::engine::{Done, Head, Published};
use parlor_hub::policy::Ack;
use parlor_hub::publication::{Place, Publication};
use parlor_hub::window::{expired, reused};
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Epoch, MessageId, Position};

use super::super::connect::{Clock, read_store};
use super::super::entry;
use super::super::follow::{Arrival, Checked};
use super::super::hold::Item;
use super::super::job::unavailable;
use super::super::wire::Value;
use super::super::{What, head_of, page_of};
use super::order::head_at;
use super::{Broken, Link, Pending, Session};

impl Link {
    /// An answer, or something that was spread.
    pub(super) fn receive(&mut self, session: &mut Session, value: Value) -> Result<(), Broken> {
        if let Value::Push(parts) = value {
            self.heard(session, &parts);
            return Ok(());
        }
        if let Value::Error(why) = &value
            && why.starts_with("NOSCRIPT")
        {
            // Somebody emptied Redis's list of scripts; a new connection brings them along.
            return Err(Broken::Lost(why.clone()));
        }
        let Some(sent) = session.pending.pop_front() else {
            return Err(Broken::Lost(format!("an answer to nothing: {value:?}")));
        };
        session.jobs -= usize::from(sent.pending.is_job());
        match sent.pending {
            Pending::Publish { publication, ack, done } => {
                self.published(session, publication, ack, done, &value);
            }
            Pending::Pass { publication, done } => self.passed(publication, done, &value),
            Pending::Ask(ask) => match value {
                value if is_renamed(&value) => {
                    self.ask_store(session);
                    (ask.answer)(Err(unavailable()));
                }
                Value::Error(why) => (ask.answer)(Err(refusal_of(&why))),
                value => match ask.behind.filter(|_| !self.hold.is_open()) {
                    Some(behind) => {
                        let number = behind(&value).unwrap_or(0);
                        self.hold.push_behind(number, Item::Answer(ask, value));
                    }
                    None => (ask.answer)(Ok(value)),
                },
            },
            Pending::Check { room, known } => self.checked(session, &room, known, &value),
            Pending::Fill { room, after } => {
                session.fills -= 1;
                if is_renamed(&value) {
                    self.ask_store(session);
                    self.follows.doubt(&room, &mut self.hold);
                    self.doubted.push(room);
                    return Ok(());
                }
                self.filled(&room, after, &value);
            }
            Pending::Seq => match value {
                Value::Error(why) => return Err(Broken::Lost(why)),
                value => self.seq_is(value.number().unwrap_or(0)),
            },
            Pending::Present { room } => self.present_is(&room, &value),
            Pending::Lease => self.renewed(session, &value),
            Pending::Directs { after } => self.directs_read(after, &value),
            Pending::Time => session.clock = Clock::new(&value, Instant::now()).unwrap_or(session.clock),
            Pending::Store => {
                if let Some(store) = read_store(&value)
                    && self.named(store)
                {
                    tracing::warn!("Redis holds another store than before: it was emptied");
                    self.check_all(session);
                }
            }
            Pending::Nothing | Pending::Given => {}
        }
        Ok(())
    }

    fn published(
        &mut self,
        session: &mut Session,
        mut publication: Publication,
        ack: Ack,
        done: Option<Done<Published>>,
        value: &Value,
    ) {
        let tell = |result| {
            if let Some(done) = done {
                done(result);
            }
        };
        match answer(value) {
            Ok(("stored", [epoch, offset, id, seq, time])) => {
                let place = read_epoch(epoch)
                    .zip(offset.number())
                    .zip(seq.number())
                    .map(|((epoch, offset), seq)| Place { epoch, offset, seq });
                let (Some(place), Some(id), Some(time)) = (place, read_id(id), time.number()) else {
                    return tell(Err(strange(value)));
                };
                debug_assert_eq!(id, publication.id);
                publication.place = Some(place);
                publication.time = time;
                let position = publication.position();
                self.arrive(session, publication);
                tell(Ok(Published { position, ack, duplicate: false }));
            }
            Ok(("again", [epoch, offset, id])) => {
                let position = read_epoch(epoch)
                    .zip(offset.number())
                    .zip(read_id(id))
                    .map(|((epoch, offset), id)| Position { epoch, offset, id });
                tell(match position {
                    Some(_) => Ok(Published { position, ack, duplicate: true }),
                    None => Err(strange(value)),
                });
            }
            Ok(("reused", _)) => tell(Err(reused())),
            Ok(("expired", _)) => tell(Err(expired())),
            Ok(("late", _)) => tell(Err(unavailable())),
            Ok(("renamed", _)) => {
                self.ask_store(session);
                tell(Err(unavailable()));
            }
            Ok(_) => tell(Err(strange(value))),
            Err(refusal) => tell(Err(refusal)),
        }
    }

    fn passed(&mut self, mut publication: Publication, done: Option<Done<Published>>, value: &Value) {
        let result = match answer(value) {
            Ok(("passed", [time])) => {
                publication.time = time.number().unwrap_or(publication.time);
                self.hand_passing(publication);
                Ok(Published { position: None, ack: Ack::None, duplicate: false })
            }
            Ok(("late", _)) => Err(unavailable()),
            Ok(_) => Err(strange(value)),
            Err(refusal) => Err(refusal),
        };
        if let Some(done) = done {
            done(result);
        }
    }

    /// A stored publication, an own one or one of another node's.
    pub(super) fn arrive(&mut self, session: &mut Session, publication: Publication) {
        let Some(place) = publication.place else { return };
        self.newest = self.newest.max(Some(place.seq));
        if publication.to.is_some() {
            if self.directs.arrive(place.seq) {
                self.hand(Arc::new(publication));
            }
            return;
        }
        let room = &publication.room;
        match self.follows.arrive(room, place, publication.id, &mut self.hold) {
            Arrival::Deliver => self.hand(Arc::new(publication)),
            Arrival::Skip => {}
            Arrival::NewLife(epoch) => {
                // It may be that of all rooms.
                self.ask_store(session);
                self.door.epoch_changed(room, epoch);
                self.hand(Arc::new(publication));
            }
            Arrival::Check => self.check(session, room),
        }
    }

    fn checked(&mut self, session: &mut Session, room: &RoomName, known: Option<Head>, value: &Value) {
        let (checked, head) = match answer(value) {
            Ok(("none", _)) => {
                let none = Head { epoch: Epoch(0), offset: 0, id: MessageId::NIL, seq: 0 };
                (Checked::None, none)
            }
            Ok((status, rest)) => {
                let checked = match status {
                    "same" => Checked::Same,
                    "trimmed" => Checked::Trimmed,
                    _ => Checked::Changed,
                };
                let Some(head) = head_of(rest) else { return self.drop_hostile("a room's head") };
                (checked, head)
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "a room could not be compared with the store");
                return self.doubted.push(room.clone());
            }
        };
        // What arrived between question and answer was compared by nobody: ask again.
        if checked != Checked::Same && checked != Checked::None && known != self.follows.known(room) {
            return self.check(session, room);
        }
        self.moved = Instant::now();
        if let Err(lost) = self.follows.checked(room, checked, head, &mut self.hold) {
            self.lost(room, lost);
        }
    }

    fn filled(&mut self, room: &RoomName, after: u64, value: &Value) {
        let page = match value {
            Value::Error(why) => {
                tracing::warn!(%why, "a gap could not be read");
                None
            }
            value => {
                let page = page_of(room, value, What::After(after));
                if page.is_none() {
                    self.drop_hostile("a room's page");
                }
                page
            }
        };
        let Some(page) = page else {
            self.follows.doubt(room, &mut self.hold);
            return self.doubted.push(room.clone());
        };
        match self.follows.fills(room, after, page.first, page.head, &mut self.hold) {
            Ok(true) => {}
            Ok(false) => return,
            Err(lost) => return self.lost(room, lost),
        }
        self.moved = Instant::now();
        let heads = page.messages.iter().filter_map(|message| head_at(message));
        self.follows.filled(room, heads, page.more, &mut self.hold);
        for message in page.messages {
            if let Some(place) = message.place {
                self.hold.push(place.seq, message);
            }
        }
    }
}

/// The store has another name than the node believes: it was emptied.
fn is_renamed(value: &Value) -> bool {
    value.list().and_then(<[Value]>::first).and_then(Value::text) == Some("renamed")
}

/// The word of a script's answer, and what stands behind it.
fn answer(value: &Value) -> Result<(&str, &[Value]), Refusal> {
    match value {
        Value::Error(why) => Err(refusal_of(why)),
        value => value
            .list()
            .and_then(<[Value]>::split_first)
            .and_then(|(word, rest)| Some((word.text()?, rest)))
            .ok_or_else(|| strange(value)),
    }
}

fn read_epoch(value: &Value) -> Option<Epoch> {
    entry::hex(value.text()?).map(Epoch)
}

fn read_id(value: &Value) -> Option<MessageId> {
    entry::message_id(value.text()?)
}

fn strange(value: &Value) -> Refusal {
    tracing::error!(?value, "Redis answered what no script of ours does");
    Refusal::new(Code::Internal, "the store could not take this; the server's log says more")
}

/// What an error of Redis means to who asked.
pub(super) fn refusal_of(why: &str) -> Refusal {
    match why.split(' ').next().unwrap_or_default() {
        "OOM" | "MISCONF" => Refusal::new(
            Code::StorageFull,
            "the store is full or cannot write: nothing new is stored until that is mended, reading goes on",
        ),
        "LOADING" | "BUSY" | "MASTERDOWN" | "READONLY" | "NOREPLICAS" | "TRYAGAIN" | "CLUSTERDOWN" => {
            unavailable()
        }
        _ => {
            tracing::error!(why, "Redis refused a command of ours; please report this");
            Refusal::new(Code::Internal, "the store could not take this; the server's log says more")
        }
    }
}
