//! The stock chat: the native protocol at `/ws`, the same over Socket.IO at `/socket.io/`, guests and their names, direct messages, read markers. An
//! application of this library that uses no back door.

mod accounts;
mod inbox;
mod native;
pub(crate) mod random;
mod recovery;
mod requests;
mod socketio;
pub(crate) mod store;

use std::sync::Arc;
use std::time::Duration;

use parlor_hub::Hub;
use parlor_hub::encode::WireFormat;
use parlor_net::{Opened, Opening, Route};
use parlor_proto::codes::{CloseCode, Code, Refusal};
use parlor_proto::limits::{CONNECTIONS_PER_USER, FRAGMENTS, NATIVE_MESSAGE, ROOMS_PER_CONNECTION};
use parlor_proto::name::{RoomName, UserName};

use accounts::Accounts;
use native::{Native, Refused, Wire};

/// What all connections of the chat share.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub(crate) hub: Arc<Hub>,
    pub(crate) accounts: Arc<Accounts>,
    /// How long a client of Socket.IO may be away and still be recovered; `None`: not at all.
    recovery: Option<Duration>,
}

impl Chat {
    pub(crate) fn new(hub: Arc<Hub>, recovery: Option<Duration>) -> Chat {
        let accounts = Arc::new(Accounts::new(Arc::clone(hub.engine())));
        Chat { hub, accounts, recovery }
    }

    pub(crate) fn route(&self) -> Route {
        Route {
            max_message: NATIVE_MESSAGE,
            max_fragments: FRAGMENTS as u32,
            deflate: None,
            format: WireFormat::Native,
            engine_io: None,
        }
    }

    /// How its Socket.IO is spoken.
    pub(crate) fn socket_io_route(&self) -> Route {
        socketio::route(self.recovery.is_some())
    }

    /// A client that speaks Socket.IO; who it is comes with its first packet.
    pub(crate) fn open_socket_io(&self, opening: Opening) -> Opened {
        socketio::open(self.clone(), opening)
    }

    /// Finds out who this is. A refusal that a page must be able to read is told over the WebSocket: browsers do not
    /// show the answers to failed handshakes.
    pub(crate) async fn open(&self, opening: Opening) -> Result<Opened, Refusal> {
        let wishes = Wishes::read(&opening);
        let protocol =
            opening.protocols.iter().any(|offered| offered == PROTOCOL).then(|| PROTOCOL.to_owned());
        match self.identify(opening.now, wishes).await {
            Ok((login, rooms)) => {
                let author = Some(login.author().clone());
                let inbox = inbox::unread(&self.hub, &login, opening.now).await?;
                let native = Native::new(self.clone(), login, Wire::Native, rooms, inbox, opening.now);
                Ok(Opened { conversation: Box::new(native), author, protocol })
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
        if wishes.rooms.len() > ROOMS_PER_CONNECTION {
            let message = format!("a connection may be in {ROOMS_PER_CONNECTION} rooms; name fewer");
            return Err(Refusal::new(Code::TooManyRooms, message));
        }
        let rooms = wishes.rooms.iter().map(|room| RoomName::parse(room)).collect::<Result<_, _>>()?;
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
    /// Whether these subprotocols hold a token, right or not: whoever has one was here before.
    pub(crate) fn has_token(protocols: &[String]) -> bool {
        protocols.iter().any(|offered| offered.starts_with(TOKEN_PROTOCOL))
    }
}

const PROTOCOL: &str = "parlor.v1";
/// A token may come as a subprotocol, because browsers can set no other header.
const TOKEN_PROTOCOL: &str = "parlor.token.";

/// What the request asks for.
struct Wishes {
    name: Option<String>,
    rooms: Vec<String>,
    version: Option<String>,
    token: Option<String>,
}

impl Wishes {
    fn read(opening: &Opening) -> Wishes {
        let mut wishes = Wishes { name: None, rooms: Vec::new(), version: None, token: None };
        for (key, value) in form_urlencoded::parse(opening.uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "name" if !value.is_empty() => wishes.name = Some(value.into_owned()),
                "room" => wishes.rooms.push(value.into_owned()),
                "v" => wishes.version = Some(value.into_owned()),
                _ => {}
            }
        }
        let bearer = opening.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let offered = opening.protocols.iter().find_map(|offered| offered.strip_prefix(TOKEN_PROTOCOL));
        wishes.token = offered.map(str::to_owned).or(bearer);
        wishes
    }
}
