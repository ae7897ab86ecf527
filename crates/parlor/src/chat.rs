//! The stock chat: the native protocol at `/ws`, `/sse`, `/stream`, `/poll` and `/send`, the same over Socket.IO at `/socket.io/`, guests and their names, direct messages, read markers. An
//! application of this library that uses no back door.

mod accounts;
mod follow;
pub(crate) mod gap;
mod inbox;
mod native;
mod page;
pub(crate) mod place;
mod poll;
pub(crate) mod random;
pub(crate) mod read;
mod readings;
mod recovery;
mod requests;
mod send;
mod socketio;
mod stand;
pub(crate) mod store;
mod ticket;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use parlor_hub::encode::WireFormat;
use parlor_hub::engine::Begin;
use parlor_hub::{ConnectionId, Hub};
use parlor_net::{Http, Opened, Opening, Route, Stream};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{CONNECTIONS_PER_USER, FRAGMENTS, NATIVE_MESSAGE, ROOMS_PER_CONNECTION};
use parlor_proto::name::{RoomName, UserName};
use parlor_proto::ws::deflate;

use accounts::Accounts;
use native::{Native, Refused, Wire};
use readings::Readings;

/// What all connections of the chat share.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub(crate) hub: Arc<Hub>,
    pub(crate) accounts: Arc<Accounts>,
    readings: Arc<Readings>,
    /// How long a client of Socket.IO may be away and still be recovered; `None`: not at all.
    recovery: Option<Duration>,
    /// Whether compression is agreed to at `/ws`.
    compression: bool,
}

impl Chat {
    pub(crate) fn new(hub: Arc<Hub>, recovery: Option<Duration>, compression: bool) -> Chat {
        let accounts = Arc::new(Accounts::new(Arc::clone(hub.engine())));
        Chat { hub, accounts, readings: Arc::default(), recovery, compression }
    }

    /// Where it is spoken with, Socket.IO apart.
    pub(crate) const PATHS: [&str; 5] = ["/ws", "/sse", "/stream", POLL, SEND];

    /// What is spoken at a path of the chat, Socket.IO apart.
    pub(crate) fn route(&self, path: &str) -> Option<Route> {
        let (format, http) = match path {
            "/ws" => (WireFormat::Native, None),
            "/sse" => (WireFormat::SsePlain, Some(Http::Stream(Stream::Events))),
            "/stream" => (WireFormat::Lines, Some(Http::Stream(Stream::Lines))),
            POLL => (WireFormat::Fetched, Some(Http::Requests("GET"))),
            SEND => (WireFormat::Fetched, Some(Http::Requests("POST"))),
            _ => return None,
        };
        Some(Route {
            max_message: NATIVE_MESSAGE,
            max_fragments: FRAGMENTS as u32,
            deflate: (self.compression && http.is_none()).then(deflate::Settings::default),
            format,
            engine_io: None,
            http,
        })
    }

    /// How its Socket.IO is spoken.
    pub(crate) fn socket_io_route(&self) -> Route {
        socketio::route(self.recovery.is_some())
    }

    /// A client that speaks Socket.IO; who it is comes with its first packet.
    pub(crate) fn open_socket_io(&self, opening: Opening) -> Opened {
        socketio::open(self.clone(), opening)
    }

    /// Opens what the path is for.
    pub(crate) async fn open(&self, opening: Opening) -> Result<Opened, Refusal> {
        match opening.uri.path() {
            "/ws" => self.open_web_socket(opening).await,
            POLL => poll::open(self, opening).await,
            SEND => send::open(self, opening).await,
            path => follow::open(self, path == "/sse", opening).await,
        }
    }

    /// Finds out who this is. A refusal that a page must be able to read is told over the WebSocket: browsers do not
    /// show the answers to failed handshakes.
    async fn open_web_socket(&self, opening: Opening) -> Result<Opened, Refusal> {
        let wishes = Wishes::read(&opening);
        let protocol =
            opening.protocols.iter().any(|offered| offered == PROTOCOL).then(|| PROTOCOL.to_owned());
        let begins = wishes.begins();
        match self.identify(opening.now, wishes).await.and_then(|(login, rooms)| Ok((login, rooms, begins?)))
        {
            Ok((login, rooms, begins)) => {
                let author = Some(login.author().clone());
                let inbox = inbox::unread(&self.hub, &login, opening.now).await?;
                let native = Native::new(self.clone(), login, Wire::Native, rooms, inbox, opening.now);
                Ok(Opened { conversation: Box::new(native.begin_at(begins)), author, protocol })
            }
            Err(refusal) => {
                let code = match refusal.code {
                    Code::NameTaken => CloseCode::NAME_TAKEN,
                    Code::Unauthenticated | Code::TokenExpired => CloseCode::BAD_TOKEN,
                    Code::TooManyConnections => CloseCode::CONNECTION_LIMIT,
                    Code::BadName | Code::BadMessage | Code::TooManyRooms => CloseCode::BAD_REQUESTS,
                    _ => CloseCode::OVERLOADED,
                };
                Ok(Opened { conversation: Box::new(Refused { refusal, code }), author: None, protocol })
            }
        }
    }

    async fn identify(&self, now: u64, wishes: Wishes) -> Result<(accounts::Login, Vec<RoomName>), Refusal> {
        if wishes.version.as_deref().is_some_and(|version| version != "1") {
            return Err(Refusal::new(Code::BadMessage, "this server speaks version 1: connect with ?v=1"));
        }
        let rooms = wishes.room_names()?;
        let name = wishes.name.as_deref().map(UserName::parse).transpose()?;
        let login = self.accounts.login(name, wishes.token.as_deref(), now).await?;
        let user = &login.author().user;
        if self.hub.is_limited() && self.hub.connections_of(user) as usize >= CONNECTIONS_PER_USER {
            let message = format!("this user has {CONNECTIONS_PER_USER} connections; close one first");
            return Err(Refusal::new(Code::TooManyConnections, message));
        }
        Ok((login, rooms))
    }
}

impl Chat {
    /// Whether whoever asks shows a token or a place, right or not: then it was here before.
    pub(crate) fn was_here(opening: &Opening) -> bool {
        let shows_place = |(key, _): (Cow<'_, str>, _)| matches!(&*key, "cursor" | "since");
        opening.protocols.iter().any(|offered| offered.starts_with(TOKEN_PROTOCOL))
            || opening.headers.contains_key(http::header::AUTHORIZATION)
            || opening.headers.contains_key(LAST_EVENT_ID)
            || form_urlencoded::parse(opening.uri.query().unwrap_or_default().as_bytes()).any(shows_place)
    }

    /// The connection that a request is the second half of.
    pub(crate) fn speaks_for(uri: &Uri, headers: &HeaderMap) -> Option<ConnectionId> {
        match uri.path() {
            SEND => ConnectionId::parse(headers.get(SESSION)?.to_str().unwrap_or_default())
                // One that is not even an id is nobody's.
                .or(Some(ConnectionId::new(0, u16::MAX, 0))),
            POLL => ticket::session(uri.query()?),
            _ => None,
        }
    }
}

const POLL: &str = "/poll";
const SEND: &str = "/send";

/// The header by which a request says whose second half it is.
const SESSION: &str = "parlor-session";
/// What a browser sends when it comes back to an event stream.
const LAST_EVENT_ID: &str = "last-event-id";

const PROTOCOL: &str = "parlor.v1";
/// A token may come as a subprotocol, because browsers can set no other header.
const TOKEN_PROTOCOL: &str = "parlor.token.";

/// What the request asks for.
struct Wishes {
    name: Option<String>,
    rooms: Vec<String>,
    version: Option<String>,
    token: Option<String>,
    /// Where to begin: in the rooms with these numbers.
    since: Vec<(usize, String)>,
    /// With so many messages of each room.
    last: Option<String>,
    /// Where to go on in all of them.
    cursor: Option<String>,
    /// How long a poll is held.
    wait: Option<String>,
    /// A poller wants to be greeted as on a WebSocket, and has a session whoever it is.
    welcome: bool,
}

impl Wishes {
    fn read(opening: &Opening) -> Wishes {
        let mut wishes = Wishes::of_query(opening.uri.query().unwrap_or_default());
        let bearer = opening.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let offered = opening.protocols.iter().find_map(|offered| offered.strip_prefix(TOKEN_PROTOCOL));
        wishes.token = offered.map(str::to_owned).or(bearer);
        wishes
    }

    fn of_query(query: &str) -> Wishes {
        let mut wishes = Wishes {
            name: None,
            rooms: Vec::new(),
            version: None,
            token: None,
            since: Vec::new(),
            last: None,
            cursor: None,
            wait: None,
            welcome: false,
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "name" if !value.is_empty() => wishes.name = Some(value.into_owned()),
                "room" => wishes.rooms.push(value.into_owned()),
                // Of the room that was named before it.
                "since" => wishes.since.push((wishes.rooms.len().wrapping_sub(1), value.into_owned())),
                "last" => wishes.last = Some(value.into_owned()),
                "cursor" if !value.is_empty() => wishes.cursor = Some(value.into_owned()),
                "wait" => wishes.wait = Some(value.into_owned()),
                "welcome" => wishes.welcome = value == "1",
                "v" => wishes.version = Some(value.into_owned()),
                _ => {}
            }
        }
        wishes
    }

    fn room_names(&self) -> Result<Vec<RoomName>, Refusal> {
        if self.rooms.len() > ROOMS_PER_CONNECTION {
            let message = format!("a connection may be in {ROOMS_PER_CONNECTION} rooms; name fewer");
            return Err(Refusal::new(Code::TooManyRooms, message));
        }
        self.rooms.iter().map(|room| RoomName::parse(room)).collect()
    }

    /// Where each room is begun.
    fn begins(&self) -> Result<Vec<Option<Begin>>, Refusal> {
        let last = match &self.last {
            None => 0,
            Some(last) => last.parse().map_err(|_| {
                Refusal::new(Code::BadMessage, "last is a number of messages: ?room=lobby&last=10")
            })?,
        };
        let mut begins = vec![(last > 0).then_some(Begin::Last(last)); self.rooms.len()];
        for (room, since) in &self.since {
            let bad = "since stands behind its room and is a pos, or an offset: ?room=lobby&since=42";
            let bad = || Refusal::new(Code::BadMessage, bad);
            let since = since.parse().map_err(|_| bad())?;
            *begins.get_mut(*room).ok_or_else(bad)? = Some(Begin::Since(since));
        }
        Ok(begins)
    }
}
