//! `Ticket`: what a poll gives as `cursor`; `Wish`: what a request for one asks.

use std::time::Duration;

use parlor_hub::ConnectionId;
use parlor_hub::engine::Begin;
use parlor_proto::codes::{Code, Refusal};
use parlor_proto::limits::{POLL_WAIT, POLL_WAIT_MAX};
use parlor_proto::name::RoomName;
use percent_encoding::percent_decode_str;

use super::place::Place;
use super::{Wishes, follow};

/// What a poll gives as `cursor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) place: Place,
    /// The connection whose outbox is the poller's.
    pub(super) session: Option<ConnectionId>,
    /// Batches of its outbox that have arrived.
    pub(super) seen: u64,
}

impl Ticket {
    /// Any transport's cursor.
    pub(super) fn parse(text: &str) -> Result<Ticket, Refusal> {
        let bad = || {
            let sentence = "this is no cursor of this server; send one exactly as it came, or none";
            Refusal::new(Code::BadMessage, sentence)
        };
        let mut parts = text.split('~');
        let place = parts.next().unwrap_or_default().parse().map_err(|_| bad())?;
        let Some(session) = parts.next() else { return Ok(Ticket { place, session: None, seen: 0 }) };
        let session = Some(ConnectionId::parse(session).ok_or_else(bad)?);
        let seen = parts.next().and_then(|seen| seen.parse().ok()).ok_or_else(bad)?;
        if parts.next().is_some() { Err(bad()) } else { Ok(Ticket { place, session, seen }) }
    }

    pub(super) fn text(&self) -> String {
        match self.session {
            Some(session) => format!("{}~{session}~{}", self.place, self.seen),
            None => self.place.to_string(),
        }
    }
}

/// The connection that the cursor in a query names; whether the rest of it is one is for [`Wish::read`] to say.
pub(super) fn session(query: &str) -> Option<ConnectionId> {
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor="))?;
    // A client may escape what it need not.
    let cursor = percent_decode_str(cursor).decode_utf8().ok()?;
    ConnectionId::parse(cursor.split('~').nth(1)?)
}

/// What a request asks.
pub(super) struct Wish {
    pub(super) rooms: Vec<(RoomName, Option<Begin>)>,
    pub(super) ticket: Option<Ticket>,
    pub(super) wait: Duration,
}

impl Wish {
    pub(super) fn read(wishes: &Wishes) -> Result<Wish, Refusal> {
        let begins = wishes.begins()?;
        let rooms = follow::each_once(wishes.room_names()?.into_iter().zip(begins));
        let ticket = wishes.cursor.as_deref().map(Ticket::parse).transpose()?;
        let wait = match &wishes.wait {
            None => POLL_WAIT,
            Some(wait) => Duration::from_secs(wait.parse().map_err(|_| {
                Refusal::new(Code::BadMessage, "wait is a number of seconds: &wait=25, or &wait=0")
            })?),
        };
        Ok(Wish { rooms, ticket, wait: wait.min(POLL_WAIT_MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_the_connection_of_its_cursor() {
        let connection = ConnectionId::new(7, 1, 2);
        let ticket = format!("k3-0-0~{connection}~1");
        let (named, escaped) = (format!("room=a&cursor={ticket}"), ticket.replace('~', "%7e"));
        for (query, expected) in [
            (named.as_str(), Some(connection)),
            (&format!("cursor={escaped}&room=a"), Some(connection)),
            ("room=a&cursor=k3-0-0", None),
            ("room=a&cursor=k3-0-0~x~1", None),
            (&format!("room=cursor={ticket}"), None),
            ("", None),
        ] {
            assert_eq!(session(query), expected, "{query}");
        }
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written_and_is_a_cursor_too() {
        let place: Place = "k3-42-01K0X1PB1X008J4CT4ANK7F24S_00000001.7".parse().unwrap();
        let session = Some(ConnectionId::new(7, 1, 2));
        for ticket in [
            Ticket { place: place.clone(), session: None, seen: 0 },
            Ticket { place: place.clone(), session, seen: 9 },
        ] {
            assert_eq!(Ticket::parse(&ticket.text()), Ok(ticket));
        }
        for text in ["", "x", "k3.42.01K0X1PB1X008J4CT4ANK7F24S", "k3-0-0~", "k3-0-0~x~1", "k3-0-0~~1"] {
            assert_eq!(Ticket::parse(text).map_err(|refusal| refusal.code), Err(Code::BadMessage), "{text}");
        }
    }
}
