//! What a client of each server says: its upgrade request, when it is ready, how it publishes.

use crate::wire;

/// One kind of client. Every server under test is spoken to through one of these.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Path and query of the upgrade; `{n}` stands for the connection's number.
    pub(crate) target: &'static str,
    /// How every connection but the first listens; the first publishes, over a WebSocket.
    pub(crate) listens: Listens,
    pub(crate) speaks: Speaks,
    /// What each connection shows that was here before. Empty when everybody is new.
    pub(crate) visas: Vec<Visa>,
    /// Does the server send on the number that was published (all but the raw limit)?
    pub(crate) numbered: bool,
}

/// With what a client of Parlor comes back as who it was, to where it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visa {
    token: String,
    pub(crate) pos: String,
}

impl Visa {
    /// The command that shows the token, by which a guest's account is kept after its connection.
    pub(crate) fn proof(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let text = format!(r#"{{"type":"auth","token":"{}"}}"#, self.token);
        wire::write_masked(&mut frame, wire::TEXT, text.as_bytes());
        frame
    }

    /// Takes the token of a `welcome`.
    pub(crate) fn note_token(&mut self, welcome: &[u8]) {
        note(&mut self.token, welcome, br#""token":""#);
    }

    /// Takes the position of the last publication in an object, or of a `joined` without any.
    pub(crate) fn note_pos(&mut self, object: &[u8]) {
        note(&mut self.pos, object, br#""pos":""#);
    }
}

/// The text behind the last `name`, in the memory that is there.
fn note(kept: &mut String, object: &[u8], name: &[u8]) {
    let Some(at) = memchr::memmem::rfind(object, name) else { return };
    let rest = &object[at + name.len()..];
    let end = memchr::memchr(b'"', rest).unwrap_or(0);
    kept.clear();
    kept.push_str(std::str::from_utf8(&rest[..end]).unwrap_or_default());
}

/// What carries the publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    WebSocket,
    /// Long polling at this path and query.
    Polls(&'static str),
    /// Server-sent events from this path and query.
    Events(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Bare text messages; ready once upgraded.
    Raw,
    /// Parlor's own protocol; publishes to this room, or only waits for `welcome` if it is empty.
    Native { room: &'static str },
    /// Engine.IO 4 with Socket.IO 5 on a WebSocket; the application relays this event.
    SocketIo { event: &'static str },
}

/// What a client has to do about a text frame that is no publication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Ready,
    Reply(Vec<u8>),
    /// The server refused something: a benchmark that goes on would measure nothing.
    Refused,
}

impl Client {
    pub(crate) fn raw(target: &'static str) -> Self {
        Client { target, visas: Vec::new(), listens: Listens::WebSocket, speaks: Speaks::Raw, numbered: true }
    }

    pub(crate) fn raw_limit(target: &'static str) -> Self {
        Client { numbered: false, ..Self::raw(target) }
    }

    pub(crate) fn native(target: &'static str, room: &'static str) -> Self {
        Client { speaks: Speaks::Native { room }, ..Self::raw(target) }
    }

    pub(crate) fn socket_io(event: &'static str) -> Self {
        Client { speaks: Speaks::SocketIo { event }, ..Self::raw("/socket.io/?EIO=4&transport=websocket") }
    }

    /// The same client, but all connections except the first poll there.
    pub(crate) fn polling(self, target: &'static str) -> Self {
        Client { listens: Listens::Polls(target), ..self }
    }

    /// The same client, but all connections except the first listen to events from there.
    pub(crate) fn listening(self, target: &'static str) -> Self {
        Client { listens: Listens::Events(target), ..self }
    }

    /// The same client, but its connections were here before.
    pub(crate) fn returning(self, visas: Vec<Visa>) -> Self {
        Client { visas, ..self }
    }

    /// The first request of connection `number`, if it does not poll. The key is the one of RFC 6455 section 1.3.
    pub(crate) fn request(&self, host: &str, number: usize) -> Vec<u8> {
        if let Listens::Events(target) = self.listens
            && number > 0
        {
            return format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n")
                .into_bytes();
        }
        let mut target = self.target.replace("{n}", &number.to_string());
        let mut token = String::new();
        if let Some(visa) = self.visas.get(number) {
            if !visa.pos.is_empty() {
                target += &format!("&since={}", visa.pos);
            }
            if !visa.token.is_empty() {
                token = format!("Authorization: Bearer {}\r\n", visa.token);
            }
        }
        format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{token}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes()
    }

    /// Is a connection ready as soon as it is upgraded?
    pub(crate) fn ready_at_once(&self) -> bool {
        self.speaks == Speaks::Raw
    }

    /// A whole masked frame that publishes (or, on an echo route, says) `size` bytes with this number.
    pub(crate) fn publish(&self, number: u64, size: usize) -> Vec<u8> {
        let data = wire::payload(number, size);
        let text = match self.speaks {
            Speaks::Raw => data,
            Speaks::Native { room } => format!(r#"{{"type":"publish","room":"{room}","data":"{data}"}}"#),
            Speaks::SocketIo { event } => format!(r#"42["{event}","{data}"]"#),
        };
        let mut frame = Vec::new();
        wire::write_masked(&mut frame, wire::TEXT, text.as_bytes());
        frame
    }

    /// What to do about a text frame without a publication in it.
    pub(crate) fn step(&self, payload: &[u8]) -> Step {
        match self.speaks {
            Speaks::Raw => Step::Nothing,
            Speaks::Native { room } => {
                let kind = if room.is_empty() { "welcome" } else { "joined" };
                let is = |kind: &str| payload.starts_with(format!(r#"{{"type":"{kind}""#).as_bytes());
                match () {
                    () if is(kind) => Step::Ready,
                    () if is("error") || is("bye") => Step::Refused,
                    () => Step::Nothing,
                }
            }
            // Engine.IO open, close and ping, then Socket.IO connect, disconnect and connect error.
            Speaks::SocketIo { .. } => match payload {
                [b'0', ..] => Step::Reply(b"40".to_vec()),
                b"1" => Step::Refused,
                b"2" => Step::Reply(b"3".to_vec()),
                [b'4', b'0', ..] => Step::Ready,
                [b'4', b'1' | b'4', ..] => Step::Refused,
                _ => Step::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_client_is_ready_when_it_has_joined() {
        let client = Client::native("/ws?room=live:bench", "live:bench");
        assert_eq!(client.step(br#"{"type":"welcome","session":"x"}"#), Step::Nothing);
        assert_eq!(client.step(br#"{"type":"joined","room":"live:bench"}"#), Step::Ready);
        assert_eq!(client.step(br#"{"type":"error","code":"rate_limited"}"#), Step::Refused);
        assert_eq!(Client::native("/ws", "").step(br#"{"type":"welcome"}"#), Step::Ready);
    }

    #[test]
    fn whoever_was_here_comes_back_with_its_token_and_its_last_position() {
        let mut visa = Visa::default();
        visa.note_token(br#"{"type":"welcome","token":"g1.secret","protocol":1}"#);
        visa.note_pos(br#"{"type":"joined","pos":"e.3.X","messages":[{"pos":"e.1.A"},{"pos":"e.2.B"}]}"#);
        let client = Client::native("/ws?name=c{n}&room=bench", "bench").returning(vec![visa]);
        let request = String::from_utf8(client.request("a", 0)).unwrap();
        assert!(request.starts_with("GET /ws?name=c0&room=bench&since=e.2.B HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer g1.secret\r\n"), "{request}");
    }

    #[test]
    fn a_socket_io_client_connects_and_answers_pings() {
        let client = Client::socket_io("publish");
        assert_eq!(client.step(br#"0{"sid":"a"}"#), Step::Reply(b"40".to_vec()));
        assert_eq!(client.step(br#"40{"sid":"b"}"#), Step::Ready);
        assert_eq!(client.step(b"2"), Step::Reply(b"3".to_vec()));
        assert_eq!(client.step(b"6"), Step::Nothing);
        for refusal in [&b"1"[..], b"41", br#"44{"message":"no"}"#] {
            assert_eq!(client.step(refusal), Step::Refused);
        }
        assert!(client.publish(7, 16).ends_with(br#"42["publish","~0000000007xxxxx"]"#));
    }
}
