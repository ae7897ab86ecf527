//! How Socket.IO is spoken at a path.

use std::time::Duration;

use parlor_hub::encode::WireFormat;
use parlor_net::EngineIo;
use parlor_proto::engineio::Revision;
use parlor_proto::limits::SOCKETIO_CONNECT_TIMEOUT;

/// The form of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parser {
    /// Text, with attachments behind it: what every client speaks.
    #[default]
    Json,
    /// Of `socket.io-msgpack-parser`: every packet is one binary message.
    Msgpack,
}

/// How Socket.IO is spoken at a path.
#[derive(Clone, Copy, Debug)]
pub struct SocketIoOptions {
    /// Of the transport: heartbeat, size of payloads, old clients.
    pub engine_io: EngineIo,
    /// The form of packets; clients must have the same one.
    pub parser: Parser,
    /// A client must have entered a namespace by then.
    pub connect_timeout: Duration,
}

impl Default for SocketIoOptions {
    /// Upstream's: JSON, 45 s to enter a namespace.
    fn default() -> SocketIoOptions {
        SocketIoOptions {
            engine_io: EngineIo::default(),
            parser: Parser::default(),
            connect_timeout: SOCKETIO_CONNECT_TIMEOUT,
        }
    }
}

/// How a client of this revision and parser wants its packets; `offset`: with a position behind each event.
pub(super) fn format(parser: Parser, revision: Revision, offset: bool) -> WireFormat {
    match (parser, revision, offset) {
        (Parser::Msgpack, _, false) => WireFormat::Msgpack,
        (Parser::Msgpack, _, true) => WireFormat::MsgpackOffset,
        (Parser::Json, Revision::V3, _) => WireFormat::SocketIoV3,
        (Parser::Json, Revision::V4, false) => WireFormat::SocketIo,
        (Parser::Json, Revision::V4, true) => WireFormat::SocketIoOffset,
    }
}
