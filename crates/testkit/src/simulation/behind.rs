//! `Behind`: what a stream does before it joins its rooms: it reads what is behind its cursor, a page whenever everything is
//! written.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parlor::simulated::{Gap, Opened, Torn, frontier, open};
use parlor_hub::encode::WireFormat;
use parlor_hub::engine::{Begin, Frontier, Lost};
use parlor_hub::{Hub, Publication};
use parlor_proto::codes::{CloseCode, Refusal};
use parlor_proto::name::RoomName;
use parlor_proto::position::{Cursor, Since};

pub(super) struct Behind {
    /// And what the answer to each join is called.
    rooms: BTreeMap<RoomName, String>,
    stage: Stage,
    format: WireFormat,
    lost: Vec<(RoomName, Lost)>,
    last: u64,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = Opening> + Send>>),
    Reading(Pin<Box<dyn Future<Output = (Gap, Page)> + Send>>),
    /// Until what was read is written.
    Writing(Gap),
    Over,
}

type Opening = Result<(Frontier, Opened), Refusal>;
type Page = Result<Vec<Arc<Publication>>, Torn>;

/// What the answer is called, and what is said about what came before it.
type Joins = (String, RoomName, Option<Begin>, Result<(), Lost>);

/// What its connection has to do.
pub(super) enum Next {
    Nothing,
    Page(WireFormat, Vec<Arc<Publication>>),
    Close(CloseCode),
    Join { last: u64, rooms: Vec<Joins> },
}

impl Behind {
    pub(super) fn new(hub: &Arc<Hub>, rooms: BTreeMap<RoomName, String>, cursor: Cursor) -> Behind {
        let (hub, names) = (Arc::clone(hub), rooms.keys().cloned().collect());
        let opening = Box::pin(async move {
            let frontier = frontier(&hub).await?;
            Ok((frontier, open(&hub, names, &cursor.into(), frontier).await?))
        });
        let stage = Stage::Opening(opening);
        Behind { rooms, stage, format: WireFormat::Sse, lost: Vec::new(), last: 0 }
    }

    /// `drained`: everything that was sent before is written.
    pub(super) fn go_on(&mut self, drained: bool) -> Next {
        let mut task = Context::from_waker(Waker::noop());
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Opening(mut opening) => match opening.as_mut().poll(&mut task) {
                    Poll::Pending => {
                        self.stage = Stage::Opening(opening);
                        return Next::Nothing;
                    }
                    Poll::Ready(Ok((frontier, opened))) => {
                        if !opened.is_whole() {
                            self.format = WireFormat::SsePlain;
                        }
                        (self.lost, self.last) = (opened.lost, frontier.last);
                        self.read(opened.gap);
                    }
                    Poll::Ready(Err(_)) => return Next::Close(CloseCode::OVERLOADED),
                },
                Stage::Reading(mut reading) => match reading.as_mut().poll(&mut task) {
                    Poll::Pending => {
                        self.stage = Stage::Reading(reading);
                        return Next::Nothing;
                    }
                    Poll::Ready((gap, Ok(page))) if page.is_empty() => return self.join(&gap),
                    Poll::Ready((gap, Ok(page))) => {
                        self.stage = Stage::Writing(gap);
                        return Next::Page(self.format, page);
                    }
                    Poll::Ready((_, Err(Torn::Lost))) => return Next::Close(CloseCode::POSITION_LOST),
                    Poll::Ready((_, Err(Torn::Refused(_)))) => return Next::Close(CloseCode::OVERLOADED),
                },
                Stage::Writing(gap) if drained => self.read(gap),
                stage => {
                    self.stage = stage;
                    return Next::Nothing;
                }
            }
        }
    }

    fn read(&mut self, mut gap: Gap) {
        self.stage = Stage::Reading(Box::pin(async move {
            let page = gap.page().await;
            (gap, page)
        }));
    }

    fn join(&mut self, gap: &Gap) -> Next {
        let mut called = |room: &RoomName| self.rooms.remove(room).unwrap_or_default();
        let lost = self.lost.drain(..).map(|(room, reason)| (called(&room), room, None, Err(reason)));
        let mut rooms: Vec<_> = lost.collect();
        rooms.extend(gap.places().map(|(room, position)| {
            let begin = Begin::Since(Since::Position(position));
            (called(&room), room, Some(begin), Ok(()))
        }));
        Next::Join { last: self.last, rooms }
    }
}
