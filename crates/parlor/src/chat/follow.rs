//! `Follow`: a connection that only listens, over `/sse` or `/stream`, and can go on from a cursor.
//!
//! What was missed comes first, all rooms together in the order of the store; then each room is joined where that ended,
//! and says `joined`. An event's id is a cursor only if everything before it, in every room of the request, stands before
//! it in the stream: so the ids of what is published begin when all of them are live (`hub::shard::Event::Settled`).

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use parlor_hub::encode::WireFormat;
use parlor_hub::engine::{Begin, Frontier, Lost};
use parlor_hub::policy::Log;
use parlor_hub::{Publication, Reply, command};
use parlor_net::{Context, Conversation, Exchange, Incoming, Opened, Opening};
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Cursor, MessageId, Since};
use parlor_proto::sse;

use super::gap::{self, Gap, Torn};
use super::inbox;
use super::native::{Missed, Native, Wire};
use super::place::Place;
use super::ticket::Ticket;
use super::{Chat, LAST_EVENT_ID, Wishes};

struct Follow {
    native: Native,
    /// Server-sent events; otherwise lines, which have no ids.
    events: bool,
    rooms: Vec<(RoomName, Option<Begin>)>,
    place: Option<Place>,
    reading: Option<Reading>,
    /// Rooms of which the gap cannot be given.
    lost: Vec<(RoomName, Lost)>,
    gap_has_ids: bool,
    /// What was read and not written yet stands before the next page.
    gap: Option<Gap>,
    /// The newest place of which everything was sent, once the rooms are live.
    newest: (u64, MessageId),
    /// How far the store had come before the rooms were joined.
    last: u64,
}

type Reading = Pin<Box<dyn Future<Output = Result<Step, Torn>> + Send>>;

/// What reading led to.
enum Step {
    Opened(Frontier, Option<gap::Opened>),
    Page(Gap, Vec<Arc<Publication>>),
}

pub(super) async fn open(chat: &Chat, events: bool, opening: Opening) -> Result<Opened, Refusal> {
    let now = opening.now;
    let wishes = Wishes::read(&opening);
    let begins = wishes.begins()?;
    // A browser that comes back repeats its URL: what it has seen since is in the header.
    let given = opening.headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let cursor = given.filter(|given| !given.is_empty()).or(wishes.cursor.as_deref());
    let place = cursor.map(Ticket::parse).transpose()?.map(|ticket| ticket.place);
    let (login, rooms) = chat.identify(now, wishes).await?;
    let author = Some(login.author().clone());
    let inbox = inbox::unread(&chat.hub, &login, now).await?;
    let native = Native::new(chat.clone(), login, Wire::Native, Vec::new(), inbox, now);
    let follow = Follow {
        native,
        events,
        rooms: each_once(rooms.into_iter().zip(begins)),
        place,
        reading: None,
        lost: Vec::new(),
        gap_has_ids: false,
        gap: None,
        newest: (0, MessageId::NIL),
        last: 0,
    };
    Ok(Opened { conversation: Box::new(follow), author, protocol: None })
}

/// The rooms in their order, each where it was named first.
pub(super) fn each_once<B>(rooms: impl Iterator<Item = (RoomName, B)>) -> Vec<(RoomName, B)> {
    let mut seen = HashSet::new();
    rooms.filter(|(room, _)| seen.insert(room.clone())).collect()
}

impl Follow {
    fn start(&mut self, reading: Reading, cx: &mut Context<'_>) {
        self.reading = Some(reading);
        self.advance(cx);
    }

    /// Goes on where something is read.
    fn advance(&mut self, cx: &mut Context<'_>) {
        let waker = cx.waker();
        while let Some(reading) = &mut self.reading {
            let Poll::Ready(read) = reading.as_mut().poll(&mut task::Context::from_waker(&waker)) else {
                return;
            };
            self.reading = None;
            match read {
                Ok(Step::Opened(frontier, opened)) => {
                    self.last = frontier.last;
                    match opened {
                        Some(opened) => {
                            self.gap_has_ids = opened.is_whole();
                            self.lost = opened.lost;
                            self.read_on(opened.gap);
                        }
                        None => self.join_all(cx),
                    }
                }
                // All rooms are joined at once: ids begin when the last of them is live.
                Ok(Step::Page(gap, page)) if page.is_empty() => {
                    for (room, reason) in std::mem::take(&mut self.lost) {
                        self.join(room, None, Missed::Lost(reason), cx);
                    }
                    for (room, position) in gap.places() {
                        self.join(room, Some(Begin::Since(Since::Position(position))), Missed::Asked, cx);
                    }
                }
                Ok(Step::Page(gap, page)) => {
                    let format = match (self.events, self.gap_has_ids) {
                        (true, true) => WireFormat::Sse,
                        (true, false) => WireFormat::SsePlain,
                        (false, _) => WireFormat::Lines,
                    };
                    cx.send_publications(format, page);
                    self.gap = Some(gap);
                }
                // What was promised can no longer be given: say so and end, never skip.
                Err(Torn::Lost) => {
                    cx.close(CloseCode::POSITION_LOST, CloseCode::POSITION_LOST.reason());
                }
                Err(Torn::Refused(refusal)) => {
                    tracing::debug!(%refusal, "a gap could not be read");
                    cx.close(CloseCode::OVERLOADED, CloseCode::OVERLOADED.reason());
                }
            }
        }
    }

    fn read_on(&mut self, mut gap: Gap) {
        self.reading = Some(Box::pin(async move {
            let page = gap.page().await?;
            Ok(Step::Page(gap, page))
        }));
    }

    /// Joins the rooms where the request says.
    fn join_all(&mut self, cx: &mut Context<'_>) {
        for (room, begin) in std::mem::take(&mut self.rooms) {
            self.join(room, begin, Missed::of(begin), cx);
        }
    }

    fn join(&mut self, room: RoomName, begin: Option<Begin>, missed: Missed, cx: &mut Context<'_>) {
        let logged = self.native.hub().policy(&room).log != Log::None;
        let format = (self.events && logged).then_some(WireFormat::Sse);
        // What was never logged cannot have been missed from a log.
        let (begin, missed) = match begin {
            Some(Begin::Since(_)) if !logged => (None, Missed::Lost(Lost::NoLog)),
            _ => (begin, missed),
        };
        self.native.join(room, begin, format, missed, cx);
    }
}

impl Conversation for Follow {
    fn opened(&mut self, cx: &mut Context<'_>) {
        self.native.opened(cx);
        let hub = Arc::clone(self.native.hub());
        let place = self.place.take();
        let rooms: Vec<_> = self.rooms.iter().map(|(room, _)| room.clone()).collect();
        let reading = async move {
            let frontier = gap::frontier(&hub).await?;
            let opened = match place {
                None => None,
                Some(place) => Some(gap::open(&hub, rooms, &place, frontier).await?),
            };
            Ok(Step::Opened(frontier, opened))
        };
        self.start(Box::pin(reading), cx);
    }

    fn receive(&mut self, _message: Incoming<'_>, _cx: &mut Context<'_>) {}

    fn reply(&mut self, ticket: command::Ticket, result: Result<Reply, Refusal>, cx: &mut Context<'_>) {
        if let Ok(Reply::Joined(joined)) = &result
            && let Some(head) = joined.head
        {
            self.newest = self.newest.max((head.seq, head.id));
        }
        let refused = result.as_ref().err().map(|refusal| refusal.code);
        let is_join = self.native.asks_for_itself(ticket);
        self.native.reply(ticket, result, cx);
        // The ids of the others would pass by a room that it is not in: who comes back with one would miss it unawares.
        if let Some(code) = refused.filter(|_| is_join && self.events) {
            let close = if code.is_temporary() { CloseCode::OVERLOADED } else { CloseCode::FORBIDDEN };
            cx.close(close, close.reason());
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        self.native.poll(cx);
        self.advance(cx);
    }

    fn drained(&mut self, cx: &mut Context<'_>) {
        if let Some(gap) = self.gap.take() {
            self.read_on(gap);
            self.advance(cx);
        }
    }

    fn settled(&mut self, newest: Option<(u64, MessageId)>, cx: &mut Context<'_>) {
        let (seq, id) = newest.map_or(self.newest, |newest| self.newest.max(newest));
        let cursor = Cursor { life: self.native.hub().engine().life(), seq: seq.max(self.last), id };
        let mut line = Vec::with_capacity(64);
        sse::id(&mut line, cursor);
        cx.send_frames(line.into());
    }

    fn exchange(&mut self, exchange: Exchange, cx: &mut Context<'_>) {
        self.native.exchange(exchange, cx);
    }

    fn closing(&mut self, code: CloseCode, retry_after: Option<Duration>, cx: &mut Context<'_>) {
        self.native.closing(code, retry_after, cx);
    }

    fn closed(&mut self, code: u16, reason: &str, cx: &mut Context<'_>) {
        self.native.closed(code, reason, cx);
    }
}
