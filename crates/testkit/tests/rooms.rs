//! Rooms of the library: from handlers, from any thread, and together with the chat's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use bytes::Bytes;
use parlor::{Code, Data, EngineIo, Limits, Message, Rooms, Running, Server, Socket, WebSocket};
use parlor_testkit::peer::{Heard, Peer};
use serde_json::json;

fn listen(mut server: Server) -> Running {
    server.workers(2).limits(Limits::Off);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// `/in/{room}` joins that room and then does what texts say: `+room`, `-room`, `>room text`, `?`.
fn hall() -> Server {
    let mut server = Server::new();
    server.route("/in/{room}", |mut socket: WebSocket| async move {
        let room = socket.param("room").unwrap_or_default().to_owned();
        socket.join(&room).unwrap();
        while let Some(Message::Text(text)) = socket.recv().await {
            match text.split_at(1) {
                ("+", room) => {
                    let joined = socket.join(room).map_err(|refusal| refusal.code.as_str());
                    let told = joined.err().unwrap_or("joined");
                    socket.send(told.into()).await.unwrap();
                }
                ("-", room) => {
                    socket.leave(room);
                    socket.send("left".into()).await.unwrap();
                }
                (">", rest) => {
                    let (room, text) = rest.split_once(' ').unwrap();
                    socket.to(room).send(text).await.unwrap();
                }
                _ => socket.send(socket.rooms().join(" ").into()).await.unwrap(),
            }
        }
    });
    server
}

/// A connection in a room, and its handler runs.
fn member(server: &Running, room: &str) -> Peer {
    let mut peer = Peer::connect(server.address(), &format!("/in/{room}"));
    assert_eq!(ask(&mut peer, "?"), room);
    peer
}

fn ask(peer: &mut Peer, what: &str) -> String {
    peer.send(what);
    peer.text()
}

/// Waits for a message, though it be refused.
fn tell(rooms: &Rooms, room: &str, value: &Message) {
    wait(rooms.to(room).send(value)).unwrap();
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_message_reaches_everybody_in_the_room_but_its_sender() {
    let server = listen(hall());
    let mut lobby: Vec<Peer> = (0..4).map(|_| member(&server, "lobby")).collect();
    let mut garden = member(&server, "garden");
    assert_eq!((server.rooms().count("lobby"), server.rooms().count("garden")), (4, 1));
    lobby[0].send(">lobby hi there");
    for peer in &mut lobby[1..] {
        assert_eq!(peer.hear(), Heard::Text("hi there".into()));
    }
    // Neither the sender nor the other room has anything before the answer to what they ask now.
    assert_eq!(ask(&mut lobby[0], "?"), "lobby");
    assert_eq!(ask(&mut garden, "?"), "garden");
    // One may talk into a room in which one is not.
    garden.send(">lobby from the garden");
    for peer in &mut lobby {
        assert_eq!(peer.text(), "from the garden");
    }
    server.stop();
}

#[test]
fn rooms_are_entered_and_left_and_a_hundred_and_twenty_eight_are_enough() {
    let server = listen(hall());
    let rooms = server.rooms();
    let mut peer = member(&server, "0");
    for n in 1..128 {
        assert_eq!(ask(&mut peer, &format!("+{n}")), "joined");
    }
    assert_eq!(ask(&mut peer, "+128"), "too_many_rooms");
    // Again is not one more.
    assert_eq!(ask(&mut peer, "+5"), "joined");
    assert_eq!(rooms.count("5"), 1);
    assert_eq!(ask(&mut peer, "-5"), "left");
    assert_eq!(ask(&mut peer, "-never"), "left");
    assert_eq!(ask(&mut peer, "+128"), "joined");
    tell(&rooms, "5", &"to nobody".into());
    tell(&rooms, "128", &"to one".into());
    assert_eq!(peer.text(), "to one");
    assert_eq!((rooms.count("5"), rooms.count("128")), (0, 1));
    server.stop();
}

#[test]
fn several_rooms_are_one_message_and_rooms_may_be_left_out() {
    let server = listen(hall());
    let rooms = server.rooms();
    let mut peers: Vec<Peer> = (0..6).map(|n| member(&server, ["a", "b"][n % 2])).collect();
    for peer in &mut peers[..4] {
        assert_eq!(ask(peer, "+c"), "joined");
    }
    wait(rooms.to("a").to("b").to("c").to("a").send("once")).unwrap();
    wait(rooms.to("nobody").to("a").except("c").send("a alone")).unwrap();
    wait(rooms.to("a").except("a").send("nobody")).unwrap();
    wait(rooms.to("a").to("b").send("the end")).unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.text(), "once");
        if n == 4 {
            assert_eq!(peer.text(), "a alone");
        }
        assert_eq!(peer.text(), "the end");
    }
    server.stop();
}

#[test]
fn a_raw_socket_gets_the_data_alone() {
    let server = listen(hall());
    let rooms = server.rooms();
    let mut peer = member(&server, "r");
    tell(&rooms, "r", &"你好\n\"quoted\"".into());
    assert_eq!(peer.hear(), Heard::Text("你好\n\"quoted\"".into()));
    tell(&rooms, "r", &vec![0, 255, 4].into());
    assert_eq!(peer.hear(), Heard::Binary(vec![0, 255, 4]));
    wait(rooms.to("r").send(&json!({"n": 1, "list": [null, "x"]}))).unwrap();
    assert_eq!(peer.hear(), Heard::Object(json!({"n": 1, "list": [null, "x"]})));
    wait(rooms.to("r").send(&(1, 2.5))).unwrap();
    assert_eq!(peer.hear(), Heard::Object(json!([1, 2.5])));
    // Bytes inside of something are base64 text there, as in all JSON.
    wait(rooms.to("r").send(&json!({"bytes": null}))).unwrap();
    assert_eq!(peer.hear(), Heard::Object(json!({"bytes": null})));
    wait(rooms.to("r").send(&[Message::Binary(Bytes::from_static(b"hi"))])).unwrap();
    assert_eq!(peer.hear(), Heard::Object(json!(["aGk="])));
    server.stop();
}

#[test]
fn what_cannot_be_sent_is_refused_with_a_reason() {
    let mut server = hall();
    let rooms = server.rooms();
    assert_eq!(wait(rooms.to("r").send("too early")).unwrap_err().code, Code::Unavailable);
    assert_eq!(rooms.count("r"), 0);
    server.workers(1);
    let server = listen(server);
    let mut peer = member(&server, "r");
    // The handle of before serves now, and so does one in another thread; keys that are no text are no JSON.
    let map = std::collections::HashMap::from([(vec![1], 2)]);
    assert_eq!(wait(rooms.to("r").send(&map)).unwrap_err().code, Code::BadMessage);
    let sent = std::thread::spawn({
        let rooms = rooms.clone();
        move || wait(rooms.to("r").send("from a thread"))
    });
    sent.join().unwrap().unwrap();
    assert_eq!(peer.text(), "from a thread");
    server.stop();
    assert_eq!(wait(rooms.to("r").send("too late")).unwrap_err().code, Code::Unavailable);
}

#[test]
fn rooms_that_are_joined_before_the_first_word_are_joined() {
    let (told, tells) = mpsc::channel();
    let mut server = hall();
    let rooms = server.rooms();
    server.route("/early", move |socket: WebSocket| {
        // Before its future is polled for the first time.
        socket.join("early").unwrap();
        socket.join("gone").unwrap();
        socket.leave("gone");
        let told = told.clone();
        async move {
            let mut socket = socket;
            socket.recv().await;
            // It is over: there is nothing to join, but others may be told of it.
            socket.join("late").unwrap();
            socket.to("others").send("it is over").await.unwrap();
            told.send(socket.rooms()).unwrap();
        }
    });
    let server = listen(server);
    let mut peer = Peer::connect(server.address(), "/early");
    assert_eq!((rooms.count("early"), rooms.count("gone")), (1, 0));
    tell(&rooms, "early", &"hello".into());
    assert_eq!(peer.text(), "hello");
    let mut other = member(&server, "others");
    drop(peer);
    assert_eq!(other.text(), "it is over");
    assert_eq!(tells.recv().unwrap(), Vec::<String>::new());
    assert_eq!((rooms.count("early"), rooms.count("late")), (0, 0));
    server.stop();
}

#[test]
fn senders_on_many_threads_are_heard_in_one_order() {
    let server = listen(hall());
    let rooms = server.rooms();
    let mut peers: Vec<Peer> = (0..4).map(|_| member(&server, "order")).collect();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let rooms = rooms.clone();
            std::thread::spawn(move || (0..250).for_each(|n| drop(rooms.to("order").send(&(sender, n)))))
        })
        .collect();
    let mut heard: Vec<Vec<String>> = Vec::new();
    for peer in &mut peers {
        heard.push((0..1000).map(|_| peer.text()).collect());
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    for other in &heard[1..] {
        assert!(*other == heard[0], "two connections heard two orders");
    }
    // And each sender's in its own.
    for sender in 0..4 {
        let mine = heard[0].iter().filter(|text| text.starts_with(&format!("[{sender},")));
        let expected: Vec<String> = (0..250).map(|n| format!("[{sender},{n}]")).collect();
        assert!(mine.eq(&expected), "sender {sender}");
    }
    server.stop();
}

#[test]
fn a_member_that_does_not_read_holds_up_nobody() {
    let server = listen(hall());
    let rooms = server.rooms();
    let slow = member(&server, "flood");
    let mut quick = member(&server, "flood");
    let chunk = "x".repeat(64 * 1024);
    for n in 0..4000 {
        wait(rooms.to("flood").send(&format!("{n} {chunk}"))).unwrap();
        assert!(quick.text().starts_with(&format!("{n} ")));
        if rooms.count("flood") == 1 {
            break;
        }
    }
    assert_eq!(rooms.count("flood"), 1, "who does not read is cut");
    assert_eq!(ask(&mut quick, "?"), "flood");
    drop(slow);
    server.stop();
}

#[test]
fn a_raw_socket_and_a_client_of_the_chat_meet_in_a_room() {
    let mut server = hall();
    server.chat();
    let server = listen(server);
    let rooms = server.rooms();
    let mut ann = Peer::connect(server.address(), "/ws?name=ann&room=lobby&room=other");
    ann.wait_for("joined");
    ann.wait_for("joined");
    let mut raw = member(&server, "lobby");
    ann.send(r#"{"type":"publish","room":"lobby","data":"from ann"}"#);
    assert_eq!(raw.text(), "from ann");
    raw.send(">lobby from raw");
    // It is a message like any other: it has a place in the room's log.
    assert_eq!(ann.wait_for("message")["data"], "from ann");
    let message = ann.wait_for("message");
    assert_eq!((&message["data"], &message["offset"]), (&json!("from raw"), &json!(2)));
    // One for several rooms has none.
    wait(rooms.to("lobby").to("other").send("to both")).unwrap();
    let message = ann.wait_for("message");
    assert_eq!((&message["data"], message.get("offset")), (&json!("to both"), None));
    assert_eq!(raw.text(), "to both");
    server.stop();
}

#[test]
fn raw_sockets_the_chat_and_socket_io_are_in_one_room() {
    let mut server = hall();
    server.chat();
    server.namespace("/").on_connect(async |socket: Socket| drop(socket.join("lobby"))).on(
        "say",
        async |socket: Socket, Data(text): Data<String>| {
            drop(socket.to("lobby").to("garden").emit("message", &text));
        },
    );
    let server = listen(server);
    let rooms = server.rooms();
    let mut ann = Peer::connect(server.address(), "/ws?name=ann&room=lobby");
    ann.wait_for("joined");
    let mut raw = member(&server, "lobby");
    let mut gardener = member(&server, "garden");
    let mut io = Peer::connect(server.address(), "/socket.io/?EIO=4&transport=websocket");
    assert!(io.text().starts_with("0{"));
    io.send("40");
    assert!(io.text().starts_with("40{"));
    // It is let in before its handler runs, which joins.
    assert_eq!(wait_until(|| rooms.count("lobby"), 3), 3);
    wait(rooms.to("lobby").send("from a thread")).unwrap();
    assert_eq!((raw.text(), io.text()), ("from a thread".into(), "42[\"message\",\"from a thread\"]".into()));
    assert_eq!(ann.wait_for("message")["data"], "from a thread");
    wait(rooms.to("garden").to("lobby").send(&json!({"n": 1}))).unwrap();
    assert_eq!((raw.text(), gardener.text()), ("{\"n\":1}".into(), "{\"n\":1}".into()));
    assert_eq!(io.text(), "42[\"message\",{\"n\":1}]");
    assert_eq!(ann.wait_for("message")["data"], json!({"n": 1}));
    // A client of Socket.IO that names two rooms reaches all who are in them, however they came in.
    io.send("42[\"say\",\"from Socket.IO\"]");
    assert_eq!((raw.text(), gardener.text()), ("from Socket.IO".into(), "from Socket.IO".into()));
    assert_eq!(ann.wait_for("message")["data"], "from Socket.IO");
    server.stop();
}

/// Looks until it is so, or for twenty seconds.
fn wait_until<T: PartialEq>(look: impl Fn() -> T, wanted: T) -> T {
    let start = std::time::Instant::now();
    loop {
        let seen = look();
        if seen == wanted || start.elapsed().as_secs() >= 20 {
            return seen;
        }
        std::thread::yield_now();
    }
}

#[test]
fn over_engine_io_the_data_is_a_message() {
    let mut server = Server::new();
    server.engine_io(
        "/engine.io/",
        EngineIo { allow_v3: true, ..EngineIo::default() },
        |mut socket: WebSocket| async move {
            socket.join("r").unwrap();
            while socket.recv().await.is_some() {}
        },
    );
    let server = listen(server);
    let rooms = server.rooms();
    let mut new = Peer::connect(server.address(), "/engine.io/?EIO=4&transport=websocket");
    let mut old = Peer::connect(server.address(), "/engine.io/?EIO=3&transport=websocket");
    assert!(new.text().starts_with("0{") && old.text().starts_with("0{"));
    let opening = get(&server, "/engine.io/?EIO=4&transport=polling");
    let sid = opening.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    tell(&rooms, "r", &"hi".into());
    tell(&rooms, "r", &vec![1, 2].into());
    assert_eq!((new.hear(), new.hear()), (Heard::Text("4hi".into()), Heard::Binary(vec![1, 2])));
    assert_eq!((old.hear(), old.hear()), (Heard::Text("4hi".into()), Heard::Binary(vec![4, 1, 2])));
    let polled = get(&server, &format!("/engine.io/?EIO=4&transport=polling&sid={sid}"));
    assert_eq!(polled, "4hi\u{1e}bAQI=");
    server.stop();
}

/// The body of one answer.
fn get(server: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}
