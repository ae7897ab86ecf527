//! The chat's recovery where it is decided: a store that answers when the test says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor::testing::{Event, SocketIoClient, TestServer};
use parlor::{Code, Refusal, Server};
use parlor_hub::engine::{
    Begin, Done, Door, Engine, Frontier, Head, Page, Published, Range, Records, Resumed,
};
use parlor_hub::memory::MemoryEngine;
use parlor_hub::policy::{Ack, Policy};
use parlor_hub::publication::Draft;
use parlor_hub::{Author, Form, Hub};
use parlor_proto::name::RoomName;
use parlor_proto::position::MessageId;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Answer = Box<dyn FnOnce() + Send>;

const NOW: u64 = 1_790_000_000_000;

/// A store in memory. What is read of the room `b` is answered when the test says, as it was when it was asked.
struct Slow {
    store: MemoryEngine,
    is_open: AtomicBool,
    /// It refuses instead.
    is_busy: AtomicBool,
    answers: Mutex<UnboundedSender<Answer>>,
    /// Published when somebody enters the room `b`; what is read there from then on waits.
    next: Mutex<Vec<Draft>>,
}

impl Slow {
    fn new() -> (Arc<Slow>, UnboundedReceiver<Answer>) {
        let (answers, waiting) = unbounded_channel();
        let (store, is_open, is_busy) =
            (MemoryEngine::new([7; 16]), AtomicBool::new(false), AtomicBool::new(false));
        let (answers, next) = (Mutex::new(answers), Mutex::default());
        (Arc::new(Slow { store, is_open, is_busy, answers, next }), waiting)
    }

    fn later<T: Send + 'static>(&self, room: &RoomName, done: Done<T>) -> Done<T> {
        if &**room != "b" || self.is_open.load(Ordering::Acquire) {
            return done;
        }
        if self.is_busy.load(Ordering::Acquire) {
            return Box::new(move |_| {
                done(Err(Refusal::new(Code::Busy, "too much waits to be read; try again")));
            });
        }
        let answers = self.answers.lock().unwrap().clone();
        Box::new(move |result| drop(answers.send(Box::new(move || done(result)))))
    }
}

impl Engine for Slow {
    fn start(&self, door: Arc<dyn Door>) {
        self.store.start(door);
    }

    fn ack(&self) -> Ack {
        self.store.ack()
    }

    fn publish(&self, draft: Draft, now: u64, done: Done<Published>) {
        self.store.publish(draft, now, done);
    }

    fn head(&self, room: &RoomName, policy: Policy, done: Done<Head>) {
        self.store.head(room, policy, done);
    }

    fn history(&self, room: &RoomName, policy: Policy, range: Range, limit: u32, done: Done<Page>) {
        self.store.history(room, policy, range, limit, self.later(room, done));
    }

    fn resume(&self, room: &RoomName, policy: Policy, begin: Begin, done: Done<Resumed>) {
        self.store.resume(room, policy, begin, self.later(room, done));
    }

    fn life(&self) -> u64 {
        self.store.life()
    }

    fn frontier(&self, done: Done<Frontier>) {
        self.store.frontier(done);
    }

    fn rooms(&self, prefix: &str, after: Option<&str>, limit: u32, done: Done<Vec<(RoomName, Head)>>) {
        self.store.rooms(prefix, after, limit, done);
    }

    fn interest(&self, room: &RoomName, wanted: bool) {
        self.store.interest(room, wanted);
        let is_entered = wanted && &**room == "b";
        let next = if is_entered { std::mem::take(&mut *self.next.lock().unwrap()) } else { Vec::new() };
        for draft in next {
            self.is_open.store(false, Ordering::Release);
            self.publish(draft, NOW, Box::new(|published| assert!(published.is_ok())));
        }
    }

    fn records(&self) -> &dyn Records {
        self.store.records()
    }

    fn stop(&self) {
        self.store.stop();
    }
}

async fn publish(client: &mut SocketIoClient, room: &str, data: u32) {
    let answer = client.ask("publish", &json!({ "room": room, "data": data })).await;
    assert_eq!(answer[0]["type"], "published", "{answer}");
}

/// The next event that is not about who is there.
async fn next(client: &mut SocketIoClient) -> Event {
    loop {
        let event = client.event().await;
        if event.name != "presence" {
            return event;
        }
    }
}

/// The room and the data of the next messages.
async fn hears(client: &mut SocketIoClient, wanted: &[(&str, u32)]) {
    for (room, data) in wanted {
        let event = next(client).await;
        let message: Value = event.read();
        assert_eq!(
            (&*event.name, &message["room"], &message["data"]),
            ("message", &json!(room), &json!(data))
        );
    }
}

#[tokio::test]
async fn a_message_of_a_room_that_is_being_joined_is_not_missed_because_of_a_later_one() {
    let (store, mut answers) = Slow::new();
    let mut app = Server::new();
    app.chat().recover_chat(Duration::from_secs(60)).engine(Arc::clone(&store) as Arc<dyn Engine>);
    let server = TestServer::start(app).await;
    let auth = json!({ "name": "ann", "rooms": ["a"] });
    let mut ann = server.socket_io("/").auth(auth).connect().await;
    for name in ["welcome", "joined"] {
        assert_eq!(next(&mut ann).await.name, name);
    }
    let mut bob = server.socket_io("/").connect().await;
    ann.emit("join", &json!({ "room": "b" })).await;
    let joined = answers.recv().await.unwrap();
    publish(&mut bob, "b", 1).await;
    joined();
    assert_eq!(next(&mut ann).await.name, "joined");
    // The first message is read for her; she has not got it, and the line breaks.
    let page = answers.recv().await.unwrap();
    publish(&mut bob, "a", 2).await;
    assert_eq!(ann.ask("ping", &json!({})).await[0]["type"], "pong");
    let lost = ann.lose().await;
    store.is_open.store(true, Ordering::Release);
    let mut ann = server.socket_io("/").recover(lost).connect().await;
    assert!(ann.recovered());
    hears(&mut ann, &[("b", 1), ("a", 2)]).await;
    page();
    publish(&mut bob, "b", 3).await;
    hears(&mut ann, &[("b", 3)]).await;
    // What she has heard is not given again.
    let lost = ann.lose().await;
    let mut ann = server.socket_io("/").recover(lost).connect().await;
    assert!(ann.recovered());
    publish(&mut bob, "a", 4).await;
    hears(&mut ann, &[("a", 4)]).await;
    server.stop().await;
}

/// A message of bob's, to a room or to somebody.
fn draft(room: RoomName, data: &str, bob: &Author, to: Option<&Author>) -> Draft {
    Draft {
        policy: Policy::stock(&room),
        room,
        id: MessageId::NIL,
        event: "message".into(),
        data: data.into(),
        form: Form::Value,
        author: Some(bob.clone()),
        to: to.cloned(),
        key: None,
        except: None,
        store: true,
        delivery: None,
    }
}

/// Whom a greeting is for.
fn greeted(welcome: &Event) -> Author {
    let welcome: Value = welcome.read();
    let field = |name: &str| welcome[name].as_str().unwrap().into();
    Author { user: field("user"), name: field("name") }
}

#[tokio::test]
async fn what_comes_while_somebody_comes_back_is_given_once_and_in_its_place() {
    let (store, mut answers) = Slow::new();
    store.is_open.store(true, Ordering::Release);
    let mut app = Server::new();
    app.chat().recover_chat(Duration::from_secs(60)).engine(Arc::clone(&store) as Arc<dyn Engine>);
    let server = TestServer::start(app).await;
    let mut bob = server.socket_io("/").auth(json!({ "name": "bob" })).connect().await;
    let mut ann = server.socket_io("/").auth(json!({ "name": "ann", "rooms": ["b"] })).connect().await;
    let (bob_is, ann_is) = (greeted(&next(&mut bob).await), greeted(&next(&mut ann).await));
    assert_eq!(next(&mut ann).await.name, "joined");
    let direct = async |bob: &mut SocketIoClient, data: u32| {
        let answer = bob.ask("direct", &json!({ "to": "ann", "data": data })).await;
        assert_eq!(answer[0]["type"], "published", "{answer}");
    };
    direct(&mut bob, 0).await;
    assert_eq!(next(&mut ann).await.name, "direct");
    let lost = ann.lose().await;
    publish(&mut bob, "b", 1).await;
    let talk = Hub::direct_room(&bob_is, &ann_is);
    *store.next.lock().unwrap() =
        vec![draft(RoomName::internal("b"), "2", &bob_is, None), draft(talk, "3", &bob_is, Some(&ann_is))];
    let connect = tokio::spawn(server.socket_io("/").recover(lost).connect());
    // She is in her rooms, and what she missed there is being read.
    let read = answers.recv().await.unwrap();
    store.is_open.store(true, Ordering::Release);
    publish(&mut bob, "b", 4).await;
    direct(&mut bob, 5).await;
    read();
    let mut ann = connect.await.unwrap();
    assert!(ann.recovered());
    for data in 1..=5 {
        let message: Value = next(&mut ann).await.read();
        assert_eq!(message["data"], data, "{message}");
    }
    // Nothing of it comes again, and she stays.
    publish(&mut bob, "b", 6).await;
    hears(&mut ann, &[("b", 6)]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_if_one_of_its_rooms_cannot_be_joined() {
    let (store, _) = Slow::new();
    store.is_busy.store(true, Ordering::Release);
    let mut app = Server::new();
    app.chat().engine(Arc::clone(&store) as Arc<dyn Engine>);
    let server = TestServer::start(app).await;
    // This is answered when the stream is at its end.
    let text = server.get("/sse?room=a&room=b").await.text();
    let error = text.find(r#""code":"busy""#).unwrap_or_else(|| panic!("{text}"));
    assert!(text[error..].contains(r#""type":"bye","code":1013"#), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_first_poll_that_ends_before_its_rooms_are_read_is_refused_for_it_has_no_place_to_go_on_from() {
    let (engine, mut waiting) = Slow::new();
    let mut app = Server::new();
    app.chat().engine(engine);
    let server = TestServer::start(app).await;
    let address = server.address();
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET /poll?room=b&since=0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer).unwrap()
    });
    let answer = waiting.recv().await.unwrap();
    server.stop().await;
    let refused = asked.await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\"code\":\"unavailable\""), "{refused}");
    drop(answer);
}
