//! What must hold for any bytes and any order of calls: the bodies of the fuzz targets, of the property tests and of
//! the test that replays the fuzzers' corpus.

use std::collections::VecDeque;
use std::time::Duration;

use parlor_proto::ws::deflate::{self, Agreement, Offer, Settings};
use parlor_proto::ws::handshake::{ClientHandshake, ClientRequest, RequestReader};
use parlor_proto::ws::{CloseCode, ClosedBy, Config, Kind, Role, State};

use super::{Got, Peer, model};

/// Bytes from a stranger. The first three choose role, compression, limits and how the rest is cut.
pub fn ws_bytes(data: &[u8]) {
    let [choice, limit, cut, stream @ ..] = data else { return };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let agreement = Agreement {
        server_no_context_takeover: choice & 4 != 0,
        client_no_context_takeover: choice & 8 != 0,
        server_max_window_bits: 8 + (choice >> 4) % 8,
        client_max_window_bits: 8 + (choice >> 5) % 8,
    };
    let config = Config {
        max_message: usize::from(*limit) * 16,
        max_fragments: 1 + u32::from(limit % 16),
        deflate: (choice & 2 != 0).then_some(agreement),
        ..Config::default()
    };

    let mut whole = Peer::new(role, &config);
    let events = whole.receive(stream);
    let mut chopped = Peer::new(role, &config);
    let size = 1 + usize::from(*cut) % 64;
    let slowly: Vec<Got> = stream.chunks(size).flat_map(|piece| chopped.receive(piece)).collect();
    if config.deflate.is_none() {
        assert_eq!(events, slowly, "in pieces of {size}");
        assert_eq!(events, model::events(role, &config, stream));
        if role == Role::Server {
            assert_eq!(whole.transmit(), chopped.transmit());
        }
    } else {
        // Which of two mistakes in one message is seen first may depend on the pieces.
        assert_eq!(without_reasons(&events), without_reasons(&slowly), "in pieces of {size}");
    }
    assert_eq!(whole.conn.state(), chopped.conn.state());
    let ended = events.iter().position(|event| matches!(event, Got::Closed(..) | Got::Failed(_)));
    assert!(ended.is_none_or(|at| at + 1 == events.len()), "nothing comes after the end");
    assert_eq!(whole.conn.poll_timeout().is_some(), ended.is_some());
    for event in &events {
        let (Got::Text(_) | Got::Binary(_)) = event else { continue };
        let len = match event {
            Got::Text(text) => text.len(),
            Got::Binary(binary) => binary.len(),
            _ => 0,
        };
        assert!(len <= config.max_message);
    }
    let told = whole.conn.receive_eof().is_some();
    assert_eq!(told, ended.is_none(), "the end is told exactly once");
    assert!(whole.conn.is_over());
}

fn without_reasons(events: &[Got]) -> Vec<Option<&Got>> {
    events.iter().map(|event| if let Got::Failed(_) = event { None } else { Some(event) }).collect()
}

/// A client and a server that are driven in any order, with bytes that travel in any pieces: what is sent arrives,
/// once and in order, and both come to an end.
pub fn ws_ops(data: &[u8]) {
    let [choice, ops @ ..] = data else { return };
    let agreement = Agreement {
        server_no_context_takeover: choice & 2 != 0,
        client_no_context_takeover: choice & 4 != 0,
        server_max_window_bits: if choice & 8 != 0 { 9 } else { 15 },
        client_max_window_bits: if choice & 16 != 0 { 8 } else { 12 },
    };
    let config = Config {
        deflate: (choice & 1 != 0).then_some(agreement),
        compress_from: usize::from(choice >> 5) * 10,
        ..Config::default()
    };
    let mut ends = [End::new(Role::Client, &config), End::new(Role::Server, &config)];
    for op in ops.chunks_exact(2).take(500) {
        let (side, argument) = (usize::from(op[0] & 1), op[1]);
        let [client, server] = &mut ends;
        let (this, other) = if side == 0 { (client, server) } else { (server, client) };
        match (op[0] >> 1) % 8 {
            0 => this.send(Kind::Text, usize::from(argument)),
            1 => this.send(Kind::Binary, usize::from(argument) * 40),
            2 => this.ping(argument),
            3 => this.flush(),
            4 => deliver(this, other, usize::from(argument)),
            5 => deliver(this, other, usize::MAX),
            6 => this.pass(u64::from(argument)),
            _ => this.close(argument),
        }
    }
    // Whatever happened, everything arrives once it is let through, and closing ends it.
    let [client, server] = &mut ends;
    for _ in 0..3 {
        client.flush();
        server.flush();
        deliver(client, server, usize::MAX);
        deliver(server, client, usize::MAX);
    }
    client.check_arrived(server);
    server.check_arrived(client);
    server.peer.conn.close(server.peer.now, CloseCode::NORMAL, "");
    for _ in 0..3 {
        client.flush();
        server.flush();
        deliver(server, client, usize::MAX);
        deliver(client, server, usize::MAX);
    }
    assert_eq!(server.peer.conn.state(), State::Closed);
    client.peer.conn.receive_eof();
    assert_eq!(client.peer.conn.state(), State::Closed);
    client.pass(100);
    assert_eq!(client.peer.conn.poll_timeout(), None);
    server.pass(100);
    assert!(server.peer.conn.is_over());
}

struct End {
    peer: Peer,
    /// On its way to the other end.
    wire: VecDeque<u8>,
    sent: Vec<Got>,
    pings: Vec<Got>,
    got: Vec<Got>,
    sent_close: bool,
}

impl End {
    fn new(role: Role, config: &Config) -> End {
        End {
            peer: Peer::new(role, config),
            wire: VecDeque::new(),
            sent: Vec::new(),
            pings: Vec::new(),
            got: Vec::new(),
            sent_close: false,
        }
    }

    fn send(&mut self, kind: Kind, len: usize) {
        let text: String = "Nachricht für Alle 😀 ".chars().cycle().skip(len % 7).take(len).collect();
        let mut out = Vec::new();
        let written = self.peer.conn.write_message(kind, text.as_bytes(), &mut out);
        assert_eq!(written, !self.sent_close, "messages are written until the Close frame is out");
        assert_eq!(written, !out.is_empty());
        if written {
            let text_sent = kind == Kind::Text;
            self.sent.push(if text_sent { Got::Text(text) } else { Got::Binary(text.into_bytes()) });
        }
        self.wire.extend(out);
    }

    fn ping(&mut self, payload: u8) {
        self.peer.conn.ping(&[payload]);
        if self.peer.conn.state() == State::Open {
            self.pings.push(Got::Ping(vec![payload]));
        }
    }

    fn close(&mut self, argument: u8) {
        let code = CloseCode(if argument < 128 { 1000 + u16::from(argument % 16) } else { 4000 });
        self.peer.conn.close(self.peer.now, code, "tschüß");
        assert_ne!(self.peer.conn.state(), State::Open);
    }

    fn flush(&mut self) {
        let closing = self.peer.conn.state() != State::Open;
        self.wire.extend(self.peer.transmit());
        assert_eq!(self.peer.transmit(), b"");
        self.sent_close |= closing;
    }

    fn pass(&mut self, seconds: u64) {
        self.peer.pass(Duration::from_secs(seconds));
        assert!(self.peer.conn.poll_timeout().is_none_or(|deadline| deadline > self.peer.now));
    }

    /// What this end got is what `other` sent, in order; and all of it, unless this end stopped waiting.
    fn check_arrived(&self, other: &End) {
        let got: Vec<&Got> =
            self.got.iter().filter(|event| matches!(event, Got::Text(_) | Got::Binary(_))).collect();
        let sent: Vec<&Got> = other.sent.iter().take(got.len()).collect();
        assert_eq!(got, sent);
        let pings: Vec<&Got> = self.got.iter().filter(|event| matches!(event, Got::Ping(_))).collect();
        assert_eq!(pings, other.pings.iter().take(pings.len()).collect::<Vec<_>>());
        if !self.peer.conn.is_over() {
            assert_eq!((got.len(), pings.len()), (other.sent.len(), other.pings.len()), "nothing is lost");
        }
        assert!(!self.got.iter().any(|event| matches!(event, Got::Failed(_))), "{:?}", self.got);
        let closed = self.got.iter().filter(|event| matches!(event, Got::Closed(..))).count();
        assert!(closed <= 1);
        assert!(!self.got.iter().any(|event| matches!(event, Got::Closed(_, _, ClosedBy::Lost))));
    }
}

fn deliver(from: &mut End, to: &mut End, count: usize) {
    let count = count.min(from.wire.len());
    let bytes: Vec<u8> = from.wire.drain(..count).collect();
    to.got.extend(to.peer.receive(&bytes));
}

/// Heads of requests and answers, and extension lists, from a stranger.
pub fn ws_handshake(data: &[u8]) {
    let [cut, stream @ ..] = data else { return };
    let size = 1 + usize::from(*cut);

    let whole = RequestReader::new().receive(stream);
    let mut reader = RequestReader::new();
    let slowly =
        stream.chunks(size).map(|piece| reader.receive(piece)).find(|found| !matches!(found, Ok(None)));
    match (&whole, slowly.unwrap_or(Ok(None))) {
        (Ok(None), Ok(None)) => {}
        (Ok(Some((request, used))), Ok(Some((other, _)))) => {
            assert!(stream[..*used].ends_with(b"\r\n\r\n"));
            assert_eq!((request.method(), request.target()), (other.method(), other.target()));
            assert!(request.headers().eq(other.headers()));
            assert_eq!(request.check().is_ok(), other.check().is_ok());
            if let Ok(accepted) = request.check() {
                accepted.deflate.iter().for_each(check_offer);
            }
        }
        (Err(rejection), Err(other)) => assert_eq!(*rejection, other),
        (whole, slowly) => panic!("{whole:?} in one piece, {slowly:?} in pieces of {size}"),
    }

    let request = ClientRequest {
        host: "a",
        target: "/",
        protocols: &["chat"],
        deflate: Some(Offer { client_max_window_bits: Some(None), ..Offer::default() }),
        headers: &[],
    };
    let client = || ClientHandshake::new(&request, *b"the sample nonce", &mut Vec::new());
    let whole = client().receive(stream);
    let mut handshake = client();
    let slowly =
        stream.chunks(size).map(|piece| handshake.receive(piece)).find(|found| !matches!(found, Ok(None)));
    assert_eq!(whole.is_ok(), slowly.is_none_or(|found| found.is_ok()));

    if let Ok(value) = std::str::from_utf8(stream) {
        deflate::parse_offers(value).for_each(|offer| check_offer(&offer));
        let _ = deflate::check_response(&Offer::default(), value);
    }
}

/// An offer reads itself, and the answer to it is one that the client takes and both understand alike.
fn check_offer(offer: &Offer) {
    assert_eq!(deflate::parse_offers(&offer.to_string()).collect::<Vec<_>>(), [*offer]);
    let wide = Settings {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    for settings in [wide, Settings::default()] {
        let agreement =
            deflate::accept(&[*offer], &settings).expect("an offer that was read can be accepted");
        let client = deflate::check_response(offer, &agreement.to_string()).expect("what was offered");
        assert_eq!(client.server_no_context_takeover, agreement.server_no_context_takeover);
        assert_eq!(client.server_max_window_bits, agreement.server_max_window_bits);
        assert!(client.client_max_window_bits <= agreement.client_max_window_bits);
        assert!(client.client_no_context_takeover || !agreement.client_no_context_takeover);
    }
}
