//! One order for everybody: publishers and subscribers on four workers, stored and ephemeral messages mixed.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use parlor::{Limits, Running, Server};
use parlor_engines::{EmbeddedEngine, Settings};
use parlor_testkit::peer::Peer;
use serde_json::json;

const WORKERS: usize = 4;
const PUBLISHERS: usize = 8;
const EACH: usize = 200;

fn server() -> Running {
    server_on(None)
}

/// On a store in `data`, or on memory.
fn server_on(data: Option<&Path>) -> Running {
    let mut server = Server::new();
    server.chat().workers(WORKERS).limits(Limits::Off);
    if let Some(data) = data {
        server.engine(Arc::new(EmbeddedEngine::open(Settings::new(data)).unwrap()));
    }
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// What a subscriber saw: who wrote it, the writer's own number, and the offset if it was stored.
type Seen = (String, u64, Option<u64>);

fn check(room: &'static str, mixed: bool) {
    check_on(server(), room, mixed);
}

fn check_on(server: Running, room: &'static str, mixed: bool) {
    let address = server.address();
    let connect = |name: String| {
        let mut peer = Peer::connect(address, &format!("/ws?name={name}&room={room}"));
        peer.wait_for("joined");
        peer
    };
    let subscribers: Vec<Peer> = (0..PUBLISHERS).map(|n| connect(format!("reader{n}"))).collect();
    let publishers: Vec<Peer> = (0..PUBLISHERS).map(|n| connect(format!("writer{n}"))).collect();
    let writing: Vec<_> = publishers
        .into_iter()
        .map(|mut peer| {
            thread::spawn(move || {
                for n in 0..EACH {
                    let store = !mixed || n % 3 > 0;
                    peer.send(
                        &json!({"type":"publish","room":room,"data":n,"store":store,"echo":false})
                            .to_string(),
                    );
                    // Some wait for the ack, so that the publishers do not just fill the sockets in turn.
                    if n % 10 == 9 {
                        peer.wait_for("published");
                    }
                }
                // It goes on reading until the test ends: a slow reader would be cut.
                peer
            })
        })
        .collect();
    let reading: Vec<_> = subscribers
        .into_iter()
        .map(|mut peer| {
            thread::spawn(move || {
                let next = |_| -> Seen {
                    let message = peer.wait_for("message");
                    let from = message["from"].as_str().unwrap().to_owned();
                    (from, message["data"].as_u64().unwrap(), message["offset"].as_u64())
                };
                (0..PUBLISHERS * EACH).map(next).collect::<Vec<Seen>>()
            })
        })
        .collect();
    let peers: Vec<Peer> = writing.into_iter().map(|writer| writer.join().unwrap()).collect();
    let seen: Vec<Vec<Seen>> = reading.into_iter().map(|reader| reader.join().unwrap()).collect();
    for other in &seen[1..] {
        assert_eq!(other, &seen[0], "two subscribers of {room} saw different orders");
    }
    let offsets: Vec<u64> = seen[0].iter().filter_map(|seen| seen.2).collect();
    assert!(offsets.iter().zip(1..).all(|(&offset, expected)| offset == expected), "offsets have no holes");
    for writer in 0..PUBLISHERS {
        let own = seen[0].iter().filter(|seen| seen.0 == format!("writer{writer}")).map(|seen| seen.1);
        assert!(own.eq(0..EACH as u64), "the messages of one writer stay in order");
    }
    drop(peers);
    server.stop();
}

#[test]
fn live_rooms_have_one_order() {
    check("live:order", false);
}

#[test]
fn rooms_in_memory_have_one_order_stored_and_ephemeral_mixed() {
    check("memory:order", true);
}

#[test]
fn rooms_with_a_log_have_one_order_stored_and_ephemeral_mixed() {
    check("order", true);
}

#[test]
fn rooms_on_disk_have_one_order_stored_and_ephemeral_mixed() {
    let dir = tempfile::tempdir().unwrap();
    check_on(server_on(Some(dir.path())), "order", true);
}

#[test]
fn rings_beside_a_store_have_one_order() {
    let dir = tempfile::tempdir().unwrap();
    check_on(server_on(Some(dir.path())), "memory:order", true);
}

#[test]
fn nobody_who_joins_in_the_middle_misses_anything_or_gets_it_twice() {
    nobody_misses_anything(server());
}

#[test]
fn nobody_who_joins_a_room_on_disk_misses_anything_or_gets_it_twice() {
    let dir = tempfile::tempdir().unwrap();
    nobody_misses_anything(server_on(Some(dir.path())));
}

fn nobody_misses_anything(server: Running) {
    let address = server.address();
    let writer = thread::spawn(move || {
        let mut peer = Peer::connect(address, "/ws?name=writer");
        for n in 0..1_500_u64 {
            peer.send(&json!({"type":"publish","id":n,"room":"busy","data":n}).to_string());
            if n % 20 == 19 {
                while peer.wait_for("published")["id"] != n {}
            }
        }
    });
    let readers: Vec<_> = (0..6)
        .map(|n| {
            thread::spawn(move || {
                let mut peer = Peer::connect(address, &format!("/ws?name=r{n}"));
                // Wherever the writer is by now, from the beginning on.
                let joined = peer.ask(r#"{"type":"join","id":1,"room":"busy","since":0}"#);
                assert_eq!(joined["recovered"], true);
                let messages = joined["messages"].as_array().unwrap();
                let mut seen: Vec<u64> =
                    messages.iter().map(|message| message["data"].as_u64().unwrap()).collect();
                while seen.last() != Some(&1_499) {
                    seen.push(peer.wait_for("message")["data"].as_u64().unwrap());
                }
                seen
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (0..1_500).collect::<Vec<u64>>());
    }
    writer.join().unwrap();
    server.stop();
}
