//! The chat's recovery where it is decided: a store that answers when the test says.

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
use parlor_proto::name::RoomName;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

type Answer = Box<dyn FnOnce() + Send>;

/// A store in memory. What is read of the room `b` is answered when the test says, as it was when it was asked.
struct Slow {
    store: MemoryEngine,
    is_open: AtomicBool,
    /// It refuses instead.
    is_busy: AtomicBool,
    answers: Mutex<UnboundedSender<Answer>>,
}

impl Slow {
    fn new() -> (Arc<Slow>, UnboundedReceiver<Answer>) {
        let (answers, waiting) = unbounded_channel();
        let (store, is_open, is_busy) =
            (MemoryEngine::new([7; 16]), AtomicBool::new(false), AtomicBool::new(false));
        (Arc::new(Slow { store, is_open, is_busy, answers: Mutex::new(answers) }), waiting)
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
