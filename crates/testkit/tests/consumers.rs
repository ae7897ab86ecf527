//! Consumers: one method at a time, groups in one order, and what goes wrong stays with its connection.

use std::sync::mpsc::{self, Sender};

use parlor::{Channel, Consumer, GroupEvent, Limits, Message, Running, Server};
use parlor_testkit::peer::{Heard, Peer};
use serde_json::{Value, json};

/// Does what texts say, and writes down what happens.
struct Scribe {
    log: Sender<String>,
    received: usize,
}

impl Consumer for Scribe {
    async fn connect(&mut self, cx: &mut Channel) {
        self.log.send(format!("connect {}", cx.socket().uri())).unwrap();
        cx.group_add("all").unwrap();
        cx.send("welcome").await.unwrap();
    }

    async fn receive(&mut self, cx: &mut Channel, message: Message) {
        self.received += 1;
        let Message::Text(text) = message else {
            return cx.send(message).await.unwrap();
        };
        match text.split_once(' ').unwrap_or((&text, "")) {
            ("tell", data) => cx.group_send("all", "xxx.ooo", &json!({"message": data})).unwrap(),
            ("odd", data) => cx.group_send("all", "nobody.knows", data).unwrap(),
            ("join", group) => {
                let added = cx.group_add(group).map_err(|refusal| refusal.code.as_str());
                cx.send(added.err().unwrap_or("added")).await.unwrap();
            }
            ("leave", group) => {
                cx.group_discard(group);
                cx.send("discarded").await.unwrap();
            }
            ("close", _) => cx.close(4001, "enough"),
            ("panic", _) => panic!("on purpose"),
            _ => cx.send(format!("{} {text}", self.received)).await.unwrap(),
        }
    }

    async fn group_event(&mut self, cx: &mut Channel, event: GroupEvent) {
        let sent = match event.kind() {
            "xxx.ooo" => {
                let data: Value = event.data().unwrap();
                cx.send(data["message"].as_str().unwrap()).await
            }
            kind => cx.send(format!("what is {kind}?")).await,
        };
        // Whoever has gone meanwhile has no need of it.
        drop(sent);
    }

    async fn disconnect(&mut self, cx: &mut Channel, code: u16) {
        // It has left: this reaches the others alone.
        cx.group_send("all", "xxx.ooo", &json!({"message": "somebody left"})).unwrap();
        self.log.send(format!("disconnect {code}")).unwrap();
    }
}

fn listen(mut server: Server) -> Running {
    server.workers(2).limits(Limits::Off);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

fn scribes() -> (Running, mpsc::Receiver<String>) {
    let (log, told) = mpsc::channel();
    let mut server = Server::new();
    server.consumer("/x1/", move || Scribe { log: log.clone(), received: 0 });
    (listen(server), told)
}

fn connect(server: &Running) -> Peer {
    let mut peer = Peer::connect(server.address(), "/x1/?a=b");
    assert_eq!(peer.text(), "welcome");
    peer
}

#[test]
fn a_connection_lives_from_connect_to_disconnect() {
    let (server, log) = scribes();
    let mut peer = connect(&server);
    for n in 1..100 {
        peer.send(&format!("text-{n}"));
    }
    for n in 1..100 {
        assert_eq!(peer.text(), format!("{n} text-{n}"));
    }
    peer.send_binary(&[0, 255]);
    assert_eq!(peer.hear(), Heard::Binary(vec![0, 255]));
    drop(peer);
    assert_eq!(log.recv().unwrap(), "connect /x1/?a=b");
    assert_eq!(log.recv().unwrap(), "disconnect 1006");
    server.stop();
}

#[test]
fn what_a_group_is_told_every_member_handles_the_sender_too_in_one_order() {
    let (server, _log) = scribes();
    let mut peers: Vec<Peer> = (0..4).map(|_| connect(&server)).collect();
    for n in 0..100 {
        for (sender, peer) in peers.iter_mut().enumerate() {
            peer.send(&format!("tell {sender}-{n}"));
        }
    }
    let heard: Vec<Vec<String>> =
        peers.iter_mut().map(|peer| (0..400).map(|_| peer.text()).collect()).collect();
    for other in &heard[1..] {
        assert!(*other == heard[0], "two members heard two orders");
    }
    for sender in 0..4 {
        let mine = heard[0].iter().filter(|text| text.starts_with(&format!("{sender}-")));
        assert!(mine.eq(&(0..100).map(|n| format!("{sender}-{n}")).collect::<Vec<_>>()), "sender {sender}");
    }
    server.stop();
}

#[test]
fn an_event_of_another_type_comes_to_the_same_door() {
    let (server, _log) = scribes();
    let mut peer = connect(&server);
    peer.send("odd data");
    assert_eq!(peer.text(), "what is nobody.knows?");
    // From outside of all consumers.
    server.rooms().group_send("all", "xxx.ooo", &json!({"message": "from the thread of the test"})).unwrap();
    assert_eq!(peer.text(), "from the thread of the test");
    server.rooms().group_send("nobody", "xxx.ooo", "x").unwrap();
    server.stop();
}

#[test]
fn groups_are_entered_and_left_and_a_hundred_and_twenty_eight_are_enough() {
    let (server, _log) = scribes();
    let mut peer = connect(&server);
    let mut ask = |what: &str| {
        peer.send(what);
        peer.text()
    };
    for n in 1..128 {
        assert_eq!(ask(&format!("join {n}")), "added");
    }
    assert_eq!(ask("join 128"), "too_many_rooms");
    assert_eq!(ask("join 5"), "added");
    assert_eq!(ask("leave 5"), "discarded");
    assert_eq!(ask("join 128"), "added");
    server.rooms().group_send("5", "xxx.ooo", &json!({"message": "to nobody"})).unwrap();
    server.rooms().group_send("128", "xxx.ooo", &json!({"message": "to one"})).unwrap();
    assert_eq!(ask("last"), "to one");
    server.stop();
}

#[test]
fn a_consumer_that_panics_ends_its_connection_and_nothing_else() {
    let (server, log) = scribes();
    let (mut bad, mut good) = (connect(&server), connect(&server));
    bad.send("panic");
    assert_eq!(bad.wait_for_end(), 1011);
    good.send("tell it goes on");
    assert_eq!(good.text(), "it goes on");
    drop(good);
    // Nothing of it is called after the panic: the only end that is told is the other's.
    assert_eq!(log.iter().take(3).filter(|line| line.starts_with("disconnect")).count(), 1);
    server.stop();
}

#[test]
fn a_consumer_that_closes_gets_nothing_more() {
    let (server, log) = scribes();
    let (mut first, mut second) = (connect(&server), connect(&server));
    first.send("close");
    first.send("tell this is never received");
    assert_eq!(first.hear(), Heard::Closed(4001, "enough".into()));
    assert_eq!(second.text(), "somebody left");
    assert_eq!(log.iter().take(3).last().unwrap(), "disconnect 4001");
    server.stop();
}

#[test]
fn a_member_that_does_not_read_is_cut_and_the_others_get_everything() {
    let (server, log) = scribes();
    let (mut slow, mut quick) = (connect(&server), connect(&server));
    let chunk = "x".repeat(64 * 1024);
    let mut told = false;
    // 25 MB: the system's buffers, what the handler may have sent and the events that may wait are less than half.
    for n in 0..400 {
        let message = format!("{n} {chunk}");
        server.rooms().group_send("all", "xxx.ooo", &json!({"message": message})).unwrap();
        let mut text = quick.text();
        // Whoever is cut says so to the others, in between.
        if text == "somebody left" {
            told = true;
            text = quick.text();
        }
        assert!(text.starts_with(&format!("{n} ")), "{text:.20}");
    }
    // 1006 if this machine took so long that it was given up for dead.
    let end = slow.wait_for_end();
    assert!([4008, 1006].contains(&end), "{end}");
    assert!(told || quick.text() == "somebody left");
    assert!(log.iter().take(3).last().unwrap().starts_with("disconnect"));
    server.stop();
}

/// Says when it is stuck.
struct Stuck;

impl Consumer for Stuck {
    async fn connect(&mut self, cx: &mut Channel) {
        cx.group_add("all").unwrap();
        cx.send("stuck").await.unwrap();
        std::future::pending::<()>().await;
    }
}

#[test]
fn a_consumer_that_is_stuck_is_closed_when_too_much_waits_for_it() {
    let mut server = Server::new();
    server.consumer("/", || Stuck);
    let server = listen(server);
    let mut peer = Peer::connect(server.address(), "/");
    assert_eq!(peer.text(), "stuck");
    (0..4_097).for_each(|_| server.rooms().group_send("all", "x", &0).unwrap());
    assert_eq!(peer.hear(), Heard::Closed(4008, "slow".into()));
    server.stop();
}

#[test]
fn a_server_that_stops_is_the_end_of_every_connection() {
    let (server, log) = scribes();
    let mut peer = connect(&server);
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(peer.wait_for_end(), 1001);
    assert_eq!(log.iter().take(2).last().unwrap(), "disconnect 1001");
    stopping.join().unwrap();
}

/// What is not written does nothing.
struct Silent;

impl Consumer for Silent {}

#[test]
fn a_consumer_without_methods_is_one() {
    let mut server = Server::new();
    server.consumer("/", || Silent);
    let server = listen(server);
    let mut peer = Peer::connect(server.address(), "/");
    peer.send("hello?");
    server.stop();
    assert_eq!(peer.wait_for_end(), 1001);
}
