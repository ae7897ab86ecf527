//! `Session`: one session's heartbeat and the transport on which it stands.
//!
//! ```text
//!   Polling ──"2probe" on a WebSocket──> Probing ──"5"──> WebSocket
//!      ^                                    │
//!      └── the probe ends, or 10 s pass ────┘
//! ```

use std::time::{Duration, Instant};

use super::Revision;
use super::packet::{Kind, Packet};

/// How often the server looks whether the client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub interval: Duration,
    pub timeout: Duration,
}

/// Where a session's packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Polling,
    /// Still polling; a WebSocket of the same session has been answered `3probe`.
    Probing,
    WebSocket,
}

/// Why a session ended, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    TransportClose,
    TransportError,
    PingTimeout,
    ParseError,
    /// By this side.
    ForcedClose,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::TransportClose => "transport close",
            Reason::TransportError => "transport error",
            Reason::PingTimeout => "ping timeout",
            Reason::ParseError => "parse error",
            Reason::ForcedClose => "forced close",
        }
    }
}

/// What a packet of the client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    Message(&'a str),
    /// Nothing to hand on.
    Nothing,
    /// Answer with this packet's data in a pong (revision 3).
    Pong(&'a str),
    Over(Reason),
}

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Not yet.
    Nothing,
    Ping,
    /// The client is gone.
    Over,
}

/// The machine of one session. It holds no bytes; packets are handed in one by one.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    revision: Revision,
    transport: Transport,
    heartbeat: Heartbeat,
    /// When the clock is looked at next: a ping is due, or (`waits`) its answer is.
    due: Instant,
    waits: bool,
}

impl Session {
    /// The first ping is one interval away: the handshake has just shown that the client is there.
    pub fn new(revision: Revision, transport: Transport, heartbeat: Heartbeat, now: Instant) -> Session {
        let mut session = Session { revision, transport, heartbeat, due: now, waits: false };
        session.alive(now);
        session
    }

    pub fn revision(&self) -> Revision {
        self.revision
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The client was heard of.
    fn alive(&mut self, now: Instant) {
        match self.revision {
            Revision::V4 => (self.due, self.waits) = (now + self.heartbeat.interval, false),
            // The client pings; whatever it sends shows that it is there.
            Revision::V3 => {
                (self.due, self.waits) = (now + self.heartbeat.interval + self.heartbeat.timeout, true);
            }
        }
    }

    /// The client is not listened to at the moment, so its silence means nothing; the next ping is due instead, for it
    /// listens to us.
    pub fn excuse(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        match self.revision {
            Revision::V4 => self.waits = false,
            Revision::V3 => self.alive(now),
        }
    }

    /// Takes a packet that came on the session's transport.
    pub fn receive<'a>(&mut self, now: Instant, packet: Packet<'a>) -> Received<'a> {
        if self.revision == Revision::V3 {
            self.alive(now);
        }
        match (packet.kind, self.revision) {
            (Kind::Message, _) => Received::Message(packet.data),
            (Kind::Pong, Revision::V4) => {
                self.alive(now);
                Received::Nothing
            }
            (Kind::Ping, Revision::V3) => Received::Pong(packet.data),
            (Kind::Close, _) => Received::Over(Reason::TransportClose),
            // A poll that is let go may be answered so by some clients.
            (Kind::Noop, _) => Received::Nothing,
            (Kind::Upgrade, _) if self.transport == Transport::WebSocket => Received::Nothing,
            // The server opens and, in revision 4, pings; whoever does it back speaks something else.
            _ => Received::Over(Reason::ParseError),
        }
    }

    /// Takes note of a binary message.
    pub fn receive_binary(&mut self, now: Instant) {
        if self.revision == Revision::V3 {
            self.alive(now);
        }
    }

    /// A WebSocket of this session has sent `2probe`. `false`: there is one already, or it is on WebSocket.
    pub fn probe(&mut self) -> bool {
        let free = self.transport == Transport::Polling;
        if free {
            self.transport = Transport::Probing;
        }
        free
    }

    /// The probing WebSocket ended before it took over.
    pub fn probe_failed(&mut self) {
        if self.transport == Transport::Probing {
            self.transport = Transport::Polling;
        }
    }

    /// The probing WebSocket has sent `5`: from here on everything travels there.
    pub fn upgrade(&mut self) {
        self.transport = Transport::WebSocket;
    }

    /// When [`Session::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Instant {
        self.due
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Alarm {
        if now < self.due {
            return Alarm::Nothing;
        }
        if self.waits {
            return Alarm::Over;
        }
        (self.due, self.waits) = (now + self.heartbeat.timeout, true);
        Alarm::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Heartbeat =
        Heartbeat { interval: Duration::from_millis(300), timeout: Duration::from_millis(200) };

    fn session(revision: Revision) -> (Session, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        let at = move |ms| start + Duration::from_millis(ms);
        (Session::new(revision, Transport::Polling, HEARTBEAT, start), at)
    }

    fn receive(session: &mut Session, now: Instant, text: &'static str) -> Received<'static> {
        session.receive(now, Packet::parse(text).unwrap())
    }

    #[test]
    fn the_server_pings_one_interval_after_the_handshake_and_after_every_pong() {
        let (mut session, at) = session(Revision::V4);
        assert_eq!(session.handle_timeout(at(299)), Alarm::Nothing);
        assert_eq!(session.handle_timeout(at(300)), Alarm::Ping);
        assert_eq!(session.poll_timeout(), at(500));
        assert_eq!(receive(&mut session, at(400), "3"), Received::Nothing);
        assert_eq!(session.poll_timeout(), at(700));
        assert_eq!(session.handle_timeout(at(700)), Alarm::Ping);
        // Messages are no answer to a ping: upstream's clients always send the pong.
        assert_eq!(receive(&mut session, at(800), "4hi"), Received::Message("hi"));
        assert_eq!(session.handle_timeout(at(899)), Alarm::Nothing);
        assert_eq!(session.handle_timeout(at(900)), Alarm::Over);
    }

    #[test]
    fn old_clients_ping_and_anything_they_send_keeps_them() {
        let (mut session, at) = session(Revision::V3);
        assert_eq!(receive(&mut session, at(400), "2"), Received::Pong(""));
        assert_eq!(receive(&mut session, at(800), "4hi"), Received::Message("hi"));
        session.receive_binary(at(1_000));
        assert_eq!(session.handle_timeout(at(1_499)), Alarm::Nothing);
        assert_eq!(session.handle_timeout(at(1_500)), Alarm::Over);
    }

    #[test]
    fn packets_that_only_a_server_sends_end_the_session() {
        for (text, reason) in [
            ("0{}", Reason::ParseError),
            ("2", Reason::ParseError),
            ("5", Reason::ParseError),
            ("1", Reason::TransportClose),
        ] {
            let (mut session, at) = session(Revision::V4);
            assert_eq!(receive(&mut session, at(0), text), Received::Over(reason), "{text}");
        }
    }

    #[test]
    fn whoever_is_not_listened_to_is_pinged_and_not_given_up() {
        let (mut session, at) = session(Revision::V4);
        assert_eq!(session.handle_timeout(at(300)), Alarm::Ping);
        session.excuse(at(499));
        session.excuse(at(500));
        assert_eq!(session.handle_timeout(at(500)), Alarm::Ping);
        assert_eq!(session.handle_timeout(at(700)), Alarm::Over);
    }

    #[test]
    fn one_websocket_at_a_time_may_take_a_session_over() {
        let (mut session, _) = session(Revision::V4);
        assert!(session.probe());
        assert!(!session.probe());
        session.probe_failed();
        assert!(session.probe());
        session.upgrade();
        assert!(!session.probe());
        session.probe_failed();
        assert_eq!(session.transport(), Transport::WebSocket);
    }
}
