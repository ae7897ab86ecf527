//! What outlives a connection to a Socket.IO server, and the packets of the one that is open. No sockets here.
//!
//! ```text
//!   Away ──opening──> Opening ──"0{…}"──> Entering ──"40{…}"──> Open
//!    ^                   │                    │                   │
//!    └────────────── disconnected ────────────┴───────────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parlor_proto::engineio::{Kind, Packet};
use parlor_proto::native::decode::ServerMessage;
use parlor_proto::socketio::client::{Entry, Opened, ServerDecoder, ServerPacket, enter, split_offset};
use parlor_proto::socketio::{Arguments, encode};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Duration, Instant};

use super::{Ack, Asked, Caller, Disconnect, Incoming, Message, Shared, SocketIoEvent};
use crate::driver::Given;
use crate::error::Error;
use crate::socket::Received;

type Queue = VecDeque<Given<SocketIoEvent, Caller, Arguments>>;

/// One WebSocket message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Text(String),
    Binary(Bytes),
}

/// State of a client from its first connection to its end.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    /// The JSON text of an object.
    auth: Option<String>,
    /// By which the server knows this connection again, and its last event.
    pid: Option<String>,
    offset: Option<String>,
    /// Where the program's acks are to be handed in.
    door: mpsc::WeakSender<Asked>,

    stage: Stage,
    /// How many connections there have been: an ack belongs to one.
    connection: u64,
    decoder: ServerDecoder,
    /// Events that came before the CONNECT: so Node's server sends what a recovered connection has missed.
    early: Vec<Incoming>,
    /// From one ping of the server to when it is dead.
    patience: Duration,
    /// The server is dead then.
    due: Instant,
    /// Of the connection itself; sent before the outbox.
    control: VecDeque<Frame>,
    /// A pong may still lie in the socket: a server that pings and never reads gets one, not thousands.
    ponged: bool,

    /// What was asked for and has not been sent, in order.
    outbox: VecDeque<Waiting>,
    /// Emits that want an ack, sent or not; in the order of their deadlines.
    acks: BTreeMap<u64, Acked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Away,
    Opening,
    Entering,
    Open,
}

#[derive(Debug)]
enum Waiting {
    /// `ack` is the id under which an ack is waited for.
    Emit {
        message: Message,
        ack: Option<u64>,
        _place: Option<OwnedSemaphorePermit>,
    },
    Attachment(Bytes),
    /// Everything before it has been sent.
    Mark {
        caller: Caller,
        _place: OwnedSemaphorePermit,
    },
}

#[derive(Debug)]
struct Acked {
    caller: Caller,
    deadline: Instant,
    sent: bool,
    _place: OwnedSemaphorePermit,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, auth: Option<String>, door: mpsc::WeakSender<Asked>) -> Session {
        Session {
            shared,
            auth,
            pid: None,
            offset: None,
            door,
            stage: Stage::Away,
            connection: 0,
            decoder: ServerDecoder::default(),
            early: Vec::new(),
            patience: Duration::ZERO,
            due: Instant::now(),
            control: VecDeque::new(),
            ponged: false,
            outbox: VecDeque::new(),
            acks: BTreeMap::new(),
        }
    }

    /// A WebSocket is open.
    pub(super) fn opening(&mut self) {
        self.reset();
        self.stage = Stage::Opening;
        self.connection += 1;
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// All that was to be sent has been written.
    pub(super) fn drained(&mut self) {
        self.ponged = false;
    }

    /// Takes what the program asks for.
    pub(super) fn ask(&mut self, asked: Asked) {
        match asked {
            Asked::Emit { message, place } => {
                self.outbox.push_back(Waiting::Emit { message, ack: None, _place: Some(place) });
            }
            Asked::EmitWithAck { message, place, id, caller, deadline } => {
                self.acks.insert(id, Acked { caller, deadline, sent: false, _place: place });
                self.outbox.push_back(Waiting::Emit { message, ack: Some(id), _place: None });
            }
            // Another connection does not know what is answered here.
            Asked::Ack { connection, .. } if connection != self.connection || !self.is_open() => {}
            Asked::Ack { message, place, .. } => {
                self.outbox.push_back(Waiting::Emit { message, ack: None, _place: Some(place) });
            }
            Asked::Flush { caller, place } => self.outbox.push_back(Waiting::Mark { caller, _place: place }),
        }
    }

    /// The next message to send, if there is one and the connection is at that point.
    pub(super) fn poll_transmit(&mut self, given: &mut Queue) -> Option<Frame> {
        if let Some(frame) = self.control.pop_front() {
            return Some(frame);
        }
        while self.is_open() {
            match self.outbox.pop_front()? {
                Waiting::Attachment(bytes) => return Some(Frame::Binary(bytes)),
                Waiting::Mark { caller, .. } => {
                    given.push_back(Given::Answer(caller, Ok(Arguments::default())));
                }
                Waiting::Emit { message, ack, .. } => {
                    if let Some(id) = ack {
                        // Nobody waits for it any more: it was to be done in time or not at all.
                        let Some(acked) = self.acks.get_mut(&id).filter(|acked| !acked.caller.is_closed())
                        else {
                            self.acks.remove(&id);
                            continue;
                        };
                        acked.sent = true;
                    }
                    for bytes in message.attachments.into_iter().rev() {
                        self.outbox.push_front(Waiting::Attachment(bytes));
                    }
                    return Some(Frame::Text(message.text));
                }
            }
        }
        None
    }

    /// Takes what arrived.
    ///
    /// # Errors
    /// The connection is over; this is why.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        received: Received,
        given: &mut Queue,
    ) -> Result<(), Error> {
        let packet = match received {
            Received::Text(text) => return self.text(now, &text, given),
            Received::Binary(bytes) if self.stage >= Stage::Entering => {
                self.decoder.receive_binary(bytes.into()).map_err(garbled)?
            }
            Received::Binary(_) => return Err(not_socketio()),
            Received::Alive => None,
            Received::Closed { code: 1005 | 1006, .. } => return Err(Error::Disconnected),
            Received::Closed { code, reason } => {
                return Err(Error::Ended { code, reason, retry_after: None });
            }
        };
        packet.map_or(Ok(()), |packet| self.packet(packet, given))
    }

    fn text(&mut self, now: Instant, text: &str, given: &mut Queue) -> Result<(), Error> {
        let packet = Packet::parse(text).map_err(|_| not_socketio())?;
        match (self.stage, packet.kind) {
            (Stage::Opening, Kind::Open) => {
                let opened = Opened::parse(packet.data).map_err(|_| not_socketio())?;
                self.patience = opened.ping_interval + opened.ping_timeout;
                self.shared.max_payload.store(opened.max_payload.unwrap_or(usize::MAX), Ordering::Relaxed);
                self.due = now + self.patience;
                self.stage = Stage::Entering;
                let (auth, pid) = (self.auth.as_deref(), self.pid.as_deref());
                let entry = Entry { auth, pid, offset: self.offset.as_deref() };
                let connect = message(|out| enter(out, &self.shared.namespace, entry));
                self.control.push_back(Frame::Text(connect));
                Ok(())
            }
            (Stage::Entering | Stage::Open, Kind::Ping) => {
                self.due = now + self.patience;
                if !std::mem::replace(&mut self.ponged, true) {
                    let pong = Packet { kind: Kind::Pong, data: packet.data };
                    self.control.push_back(Frame::Text(written(|out| pong.write(out))));
                }
                Ok(())
            }
            (Stage::Entering | Stage::Open, Kind::Message) => {
                match self.decoder.receive_text(packet.data).map_err(garbled)? {
                    Some(packet) => self.packet(packet, given),
                    None => Ok(()),
                }
            }
            (Stage::Entering | Stage::Open, Kind::Noop) => Ok(()),
            (Stage::Entering | Stage::Open, Kind::Close) => Err(Error::Disconnected),
            _ => Err(not_socketio()),
        }
    }

    fn packet(&mut self, packet: ServerPacket, given: &mut Queue) -> Result<(), Error> {
        match (self.stage, packet) {
            (Stage::Entering, ServerPacket::Connect { namespace, sid, pid })
                if namespace == self.shared.namespace =>
            {
                let recovered = pid.is_some() && pid == self.pid;
                if !recovered {
                    self.offset = None;
                }
                self.pid = pid;
                self.stage = Stage::Open;
                given.push_back(Given::Event(SocketIoEvent::Connected { sid, recovered }));
                given.extend(self.early.drain(..).map(|event| Given::Event(SocketIoEvent::Event(event))));
                Ok(())
            }
            (Stage::Entering, ServerPacket::ConnectError { namespace, message, data })
                if namespace == self.shared.namespace =>
            {
                // Parlor's refusals are the same on every protocol, and say whether to try again.
                match data.as_deref().map(ServerMessage::parse) {
                    Some(Ok(ServerMessage::Error(error))) => Err(Error::Refused(error.into())),
                    _ => Err(Error::NamespaceRefused { message, data }),
                }
            }
            (_, ServerPacket::Disconnect { namespace }) if namespace == self.shared.namespace => {
                Err(Error::Dismissed)
            }
            (Stage::Open, ServerPacket::Event { namespace, id, event, arguments })
                if namespace == self.shared.namespace =>
            {
                let incoming = self.event(id, event, arguments);
                given.push_back(Given::Event(SocketIoEvent::Event(incoming)));
                Ok(())
            }
            (Stage::Entering, ServerPacket::Event { namespace, id, event, arguments })
                if namespace == self.shared.namespace =>
            {
                if self.early.len() >= MAX_EARLY {
                    return Err(not_socketio());
                }
                let incoming = self.event(id, event, arguments);
                self.early.push(incoming);
                Ok(())
            }
            (Stage::Open, ServerPacket::Ack { namespace, id, arguments })
                if namespace == self.shared.namespace =>
            {
                if let Some(acked) = self.acks.remove(&id) {
                    given.push_back(Given::Answer(acked.caller, Ok(arguments)));
                }
                Ok(())
            }
            // Of another namespace, or answered already.
            _ => Ok(()),
        }
    }

    fn event(&mut self, id: Option<u64>, name: String, arguments: Arguments) -> Incoming {
        // What wants an ack is not stored by the server, and carries no offset.
        let recovers = self.pid.is_some() && id.is_none();
        let (arguments, offset) = if recovers { split_offset(arguments) } else { (arguments, None) };
        if offset.is_some() {
            self.offset.clone_from(&offset);
        }
        let (door, connection) = (self.door.clone(), self.connection);
        let shared = self.shared.clone();
        let ack = id.map(|id| Ack { door, shared, connection, id });
        Incoming { name, arguments, offset, ack }
    }

    /// When [`Session::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Instant {
        let first = self.acks.first_key_value().map(|(_, acked)| acked.deadline);
        first.map_or(self.due, |deadline| deadline.min(self.due))
    }

    /// The time has come.
    ///
    /// # Errors
    /// The connection is over; this is why.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.expire(now);
        if now >= self.due { Err(Error::Timeout(self.patience)) } else { Ok(()) }
    }

    /// Forgets the emits whose time for an ack is over; their callers have noticed by themselves.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(first) = self.acks.first_entry()
            && first.get().deadline <= now
        {
            first.remove();
        }
    }

    /// The last words of a client that leaves by itself.
    pub(super) fn leave(&mut self) {
        if self.is_open() {
            let text = message(|out| encode::disconnect(out, &self.shared.namespace));
            let message = Message { text, attachments: Vec::new() };
            self.outbox.push_back(Waiting::Emit { message, ack: None, _place: None });
        }
    }

    /// The connection ended: whoever waits for an ack of it will get none.
    pub(super) fn disconnected(&mut self, error: &Error, given: &mut Queue) {
        self.reset();
        given.push_back(Given::Event(SocketIoEvent::Disconnected(Disconnect::of(error))));
        for acked in self.acks.extract_if(.., |_, acked| acked.sent).map(|(_, acked)| acked) {
            given.push_back(Given::Answer(acked.caller, Err(Error::Disconnected)));
        }
    }

    /// All is over: everybody who waits is told.
    pub(super) fn closed(&mut self, given: &mut Queue) {
        for acked in std::mem::take(&mut self.acks).into_values() {
            given.push_back(Given::Answer(acked.caller, Err(Error::Closed)));
        }
        for waiting in self.outbox.drain(..) {
            if let Waiting::Mark { caller, .. } = waiting {
                given.push_back(Given::Answer(caller, Err(Error::Closed)));
            }
        }
    }

    /// Nothing of the last connection concerns the next.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Away;
        self.decoder = ServerDecoder::default();
        self.control.clear();
        self.early.clear();
        // Attachments without their packet.
        while let Some(Waiting::Attachment(_)) = self.outbox.front() {
            self.outbox.pop_front();
        }
    }
}

/// Events before the CONNECT: far more than a replay holds, and still a bound on what a broken server costs.
const MAX_EARLY: usize = 100_000;

/// A Socket.IO packet as the text of an Engine.IO message.
pub(super) fn message(write: impl FnOnce(&mut Vec<u8>)) -> String {
    written(|out| {
        out.push(Kind::Message as u8);
        write(out);
    })
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    // Everything that writes here writes text.
    String::from_utf8(out).unwrap_or_default()
}

fn garbled(error: parlor_proto::socketio::ParseError) -> Error {
    Error::BadAnswer(format!("the server sent what is not Socket.IO: {error}"))
}

fn not_socketio() -> Error {
    Error::BadAnswer("whatever answers there does not speak Socket.IO 3 or newer".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::SocketIo;
    use std::sync::atomic::{AtomicU64, AtomicUsize};
    use tokio::sync::Semaphore;

    const OPEN: &str =
        r#"0{"sid":"e","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;

    /// A session, the program's end of it, and what was handed out.
    struct Test {
        session: Session,
        client: SocketIo,
        asked: mpsc::Receiver<Asked>,
        given: Queue,
        start: Instant,
    }

    impl Test {
        fn new() -> Test {
            let shared = Arc::new(Shared {
                namespace: "/".into(),
                places: Arc::new(Semaphore::new(4)),
                next_id: AtomicU64::new(0),
                max_payload: AtomicUsize::new(usize::MAX),
                answer_within: Duration::from_secs(9),
            });
            let (sender, asked) = mpsc::channel(4);
            let session = Session::new(shared.clone(), Some(r#"{"t":1}"#.into()), sender.downgrade());
            let client = SocketIo { asked: sender, shared };
            Test { session, client, asked, given: Queue::new(), start: Instant::now() }
        }

        /// The same, in its namespace.
        fn open(entered: &str) -> Test {
            let mut test = Test::new();
            test.connect(entered);
            test.given.clear();
            test
        }

        fn connect(&mut self, entered: &str) {
            self.session.opening();
            self.receive(OPEN).unwrap();
            self.receive(entered).unwrap();
        }

        fn receive(&mut self, text: &str) -> Result<(), Error> {
            self.session.receive(self.start, Received::Text(text.into()), &mut self.given)
        }

        /// Hands in what the program asked for; gives what is sent.
        fn sent(&mut self) -> Vec<String> {
            while let Ok(asked) = self.asked.try_recv() {
                self.session.ask(asked);
            }
            let sent = std::iter::from_fn(|| self.session.poll_transmit(&mut self.given));
            sent.map(|frame| match frame {
                Frame::Text(text) => text,
                Frame::Binary(bytes) => format!("{bytes:?}"),
            })
            .collect()
        }

        /// What was handed out, one line each.
        fn given(&mut self) -> Vec<String> {
            self.given.drain(..).map(shown).collect()
        }
    }

    fn shown(given: Given<SocketIoEvent, Caller, Arguments>) -> String {
        match given {
            Given::Answer(caller, answer) => {
                let shown = match &answer {
                    Ok(arguments) => format!("answer {}", arguments.text()),
                    Err(error) => format!("answer: {error}"),
                };
                let _ = caller.send(answer);
                shown
            }
            Given::Event(SocketIoEvent::Connected { sid, recovered }) => format!("{sid} {recovered}"),
            Given::Event(SocketIoEvent::Event(event)) => {
                format!("{} {} {:?}", event.name, event.arguments.text(), event.offset)
            }
            Given::Event(other) => format!("{other:?}"),
        }
    }

    #[test]
    fn a_connection_opens_in_three_steps() {
        let mut test = Test::new();
        test.session.opening();
        assert_eq!(test.sent(), [""; 0]);
        test.receive(OPEN).unwrap();
        assert_eq!(test.sent(), [r#"40{"t":1}"#]);
        assert!(!test.session.is_open());
        test.receive(r#"40{"sid":"s"}"#).unwrap();
        assert!(test.session.is_open());
        assert_eq!(test.given(), ["s false"]);
    }

    #[test]
    fn a_refusal_has_message_and_data() {
        let mut test = Test::new();
        test.session.opening();
        test.receive(OPEN).unwrap();
        let refused = test.receive(r#"44{"message":"no","data":{"code":7}}"#).unwrap_err();
        let Error::NamespaceRefused { message, data } = refused else { panic!("{refused}") };
        assert_eq!((&*message, data.as_deref()), ("no", Some(r#"{"code":7}"#)));
    }

    #[test]
    fn a_refusal_of_parlor_is_one_with_a_code() {
        let mut test = Test::new();
        test.session.opening();
        test.receive(OPEN).unwrap();
        let text =
            r#"44{"message":"wait","data":{"type":"error","code":"busy","message":"wait","retry_after":2}}"#;
        let refused = test.receive(text).unwrap_err();
        assert_eq!(refused.to_string(), "busy: wait");
        assert_eq!((refused.may_retry(), refused.retry_after()), (true, Some(Duration::from_secs(2))));
    }

    #[test]
    fn what_was_sent_in_part_is_not_sent_again() {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        test.sent();
        let binary = parlor_proto::socketio::Binary(Bytes::from_static(b"x"));
        test.client.emit("file", &(&binary, &binary)).unwrap();
        test.client.emit("a", &()).unwrap();
        while let Ok(asked) = test.asked.try_recv() {
            test.session.ask(asked);
        }
        test.session.poll_transmit(&mut test.given).unwrap();
        test.session.poll_transmit(&mut test.given).unwrap();
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.connect(r#"40{"sid":"s"}"#);
        assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"42["a"]"#]);
    }

    #[test]
    fn what_comes_out_of_turn_is_no_socketio() {
        for text in ["", "hello", "2", "40{\"sid\":\"s\"}", "0{}"] {
            let mut test = Test::new();
            test.session.opening();
            assert!(matches!(test.receive(text), Err(Error::BadAnswer(_))), "{text}");
        }
        let mut test = Test::new();
        test.session.opening();
        let binary = Received::Binary(vec![1]);
        assert!(test.session.receive(test.start, binary, &mut test.given).is_err());
        for text in ["", OPEN, "5", "9", "47", "42[]", "42[\"connect\"]", "43[]"] {
            let mut test = Test::open(r#"40{"sid":"s"}"#);
            assert!(matches!(test.receive(text), Err(Error::BadAnswer(_))), "{text}");
        }
    }

    #[test]
    fn pings_are_answered_and_their_absence_is_noticed() {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        let at = |ms| test.start + Duration::from_millis(ms);
        let (late, ping, later, too_late) = (at(499), at(450), at(949), at(950));
        assert_eq!(test.session.poll_timeout(), at(500));
        test.session.handle_timeout(late).unwrap();
        test.sent();
        for sent in [vec!["3"], vec![]] {
            test.session.receive(ping, Received::Text("2".into()), &mut test.given).unwrap();
            assert_eq!(test.sent(), sent, "one pong until the socket has drained");
        }
        test.session.drained();
        test.receive("2").unwrap();
        assert_eq!(test.sent(), ["3"]);
        test.session.receive(ping, Received::Text("2".into()), &mut test.given).unwrap();
        // Other words of the server are no ping.
        test.session.receive(later, Received::Text("42[\"a\"]".into()), &mut test.given).unwrap();
        test.session.handle_timeout(later).unwrap();
        let error = test.session.handle_timeout(too_late).unwrap_err();
        assert_eq!(Disconnect::of(&error).as_str(), "ping timeout");
    }

    #[test]
    fn emits_wait_for_the_connection_in_order_up_to_their_limit() {
        let mut test = Test::new();
        for number in 1..=3 {
            test.client.emit("n", &[number]).unwrap();
        }
        let binary = parlor_proto::socketio::Binary(Bytes::from_static(b"x"));
        test.client.emit("file", &[binary]).unwrap();
        assert!(matches!(test.client.emit("n", &[5]), Err(Error::QueueFull)));
        assert_eq!(test.sent(), [""; 0]);
        test.connect(r#"40{"sid":"s"}"#);
        assert_eq!(
            test.sent(),
            [
                r#"40{"t":1}"#,
                r#"42["n",1]"#,
                r#"42["n",2]"#,
                r#"42["n",3]"#,
                r#"451-["file",{"_placeholder":true,"num":0}]"#,
                "b\"x\""
            ]
        );
        test.client.emit("n", &[5]).unwrap();
        assert_eq!(test.sent(), [r#"42["n",5]"#]);
    }

    #[test]
    fn an_ack_finds_its_emit_and_a_break_ends_only_what_was_sent() {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        test.sent();
        let _first = test.client.emit_with_ack("a", &[1]);
        let _second = test.client.emit_with_ack("a", &[2]);
        assert_eq!(test.sent(), [r#"420["a",1]"#, r#"421["a",2]"#]);
        test.receive(r#"431["ok",2]"#).unwrap();
        test.receive(r#"431["again"]"#).unwrap();
        assert_eq!(test.given(), [r#"answer "ok",2"#]);

        test.session.disconnected(&Error::Disconnected, &mut test.given);
        let _third = test.client.emit_with_ack("a", &[3]);
        assert_eq!(test.sent(), [""; 0]);
        assert_eq!(
            test.given(),
            ["Disconnected(TransportClose)", "answer: the connection ended before the answer came"]
        );
        test.connect(r#"40{"sid":"s2"}"#);
        assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"422["a",3]"#]);
        test.session.closed(&mut test.given);
        assert_eq!(test.given(), ["s2 false", "answer: the client is closed"]);
    }

    #[test]
    fn an_emit_that_nobody_waits_for_any_more_is_not_sent() {
        let mut test = Test::new();
        drop(test.client.emit_with_ack("a", &[1]));
        let _late = test.client.emit_with_ack("a", &[2]);
        let _kept = test.client.emit("a", &[3]);
        assert_eq!(test.sent(), [""; 0]);
        test.session.expire(test.start + Duration::from_secs(8));
        assert_eq!(test.session.acks.len(), 2);
        test.session.acks.get_mut(&1).unwrap().deadline = test.start;
        test.session.acks.get_mut(&0).unwrap().deadline = test.start - Duration::from_secs(1);
        test.session.expire(test.start);
        test.connect(r#"40{"sid":"s"}"#);
        assert_eq!(test.sent(), [r#"40{"t":1}"#, r#"42["a",3]"#]);
        // Every place is free again.
        assert_eq!(test.client.shared.places.available_permits(), 4);
    }

    #[test]
    fn the_program_answers_the_connection_that_asked() {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        test.sent();
        for id in [5, 6] {
            test.receive(&format!("42{id}[\"q\"]")).unwrap();
        }
        let acks: Vec<Ack> = test
            .given
            .drain(..)
            .filter_map(|given| match given {
                Given::Event(SocketIoEvent::Event(Incoming { ack, .. })) => ack,
                _ => None,
            })
            .collect();
        let [first, second] = <[Ack; 2]>::try_from(acks).unwrap();
        first.send(&("yes", 1)).unwrap();
        assert_eq!(test.sent(), [r#"435["yes",1]"#]);
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.connect(r#"40{"sid":"s2"}"#);
        second.send(&()).unwrap();
        assert_eq!(test.sent(), [r#"40{"t":1}"#]);
    }

    #[test]
    fn a_connection_is_recovered_from_its_last_offset() {
        let mut test = Test::open(r#"40{"sid":"s","pid":"p"}"#);
        test.receive(r#"42["a",1,"o1"]"#).unwrap();
        // What wants an ack has no offset.
        test.receive(r#"427["a","text"]"#).unwrap();
        test.receive(r#"42["a",2]"#).unwrap();
        assert_eq!(test.given(), [r#"a 1 Some("o1")"#, r#"a "text" None"#, "a 2 None"]);
        test.sent();
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.connect(r#"40{"sid":"s","pid":"p"}"#);
        assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o1","t":1}"#]);
        assert_eq!(test.given(), ["Disconnected(TransportClose)", "s true"]);
        // Node's server sends what was missed before it lets the client in.
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.given.clear();
        test.session.opening();
        test.receive(OPEN).unwrap();
        assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o1","t":1}"#]);
        test.receive(r#"42["a",3,"o3"]"#).unwrap();
        assert_eq!(test.given(), [""; 0]);
        test.receive(r#"40{"sid":"s","pid":"p"}"#).unwrap();
        assert_eq!(test.given(), ["s true", r#"a 3 Some("o3")"#]);
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.connect(r#"40{"sid":"s","pid":"p"}"#);
        assert_eq!(test.sent(), [r#"40{"pid":"p","offset":"o3","t":1}"#]);
        test.given.clear();
        // Another life of the server.
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.connect(r#"40{"sid":"s2","pid":"p2"}"#);
        test.session.disconnected(&Error::Disconnected, &mut test.given);
        test.connect(r#"40{"sid":"s3"}"#);
        assert_eq!(test.sent(), [r#"40{"pid":"p2","t":1}"#]);
        assert_eq!(test.given()[1], "s2 false");
        // Without recovery, text at the end is an argument.
        test.receive(r#"42["a","o1"]"#).unwrap();
        assert_eq!(test.given().last().unwrap(), r#"a "o1" None"#);
    }

    #[test]
    fn the_server_may_end_it_for_good() {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        test.receive("41/other,").unwrap();
        let error = test.receive("41").unwrap_err();
        assert_eq!(Disconnect::of(&error).as_str(), "io server disconnect");
    }

    #[test]
    fn the_last_words_are_a_disconnect() {
        let mut test = Test::open(r#"40{"sid":"s"}"#);
        test.sent();
        test.client.emit("a", &()).unwrap();
        let emitted = test.asked.try_recv().unwrap();
        test.session.ask(emitted);
        test.session.leave();
        assert_eq!(test.sent(), [r#"42["a"]"#, "41"]);
    }
}
