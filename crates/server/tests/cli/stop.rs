//! How the server ends: everybody is told, what was taken is done, and twice means now.

use parlor_testkit::peer::{Heard, Peer};

use crate::server::Server;

#[test]
fn a_terminated_server_says_goodbye_and_keeps_what_it_took() {
    let mut server = Server::start();
    let mut ann = Peer::connect(server.address, "/ws?name=ann&room=ops");
    ann.wait_for("joined");
    for number in 1..=50 {
        ann.send(&format!(r#"{{"type":"publish","id":{number},"room":"ops","data":"{number}"}}"#));
    }
    ann.wait_for("published");
    server.process.terminate();
    let mut acks = 1;
    let bye = loop {
        match ann.hear() {
            Heard::Object(object) if object["type"] == "published" => acks += 1,
            Heard::Object(object) if object["type"] == "bye" => break object,
            Heard::Object(_) | Heard::Text(_) | Heard::Binary(_) => {}
            Heard::Closed(code, reason) => panic!("closed with {code} {reason} before a goodbye"),
        }
    };
    assert_eq!((&bye["code"], &bye["reconnect"]), (&1001.into(), &true.into()), "{bye}");
    assert!(bye["retry_after"].as_f64().is_some(), "{bye}");
    assert_eq!(ann.wait_for_end(), 1001);
    assert_eq!(server.process.wait().code(), Some(0), "{}", server.process.errors());

    server.start_again();
    let history = server.run(&["history", "ops", "--last", "100"]);
    assert!(history.lines().count() >= acks, "{acks} acks, {history}");
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::start();
    // It never reads, so that its connection does not end by itself.
    let mut deaf = Peer::connect(server.address, "/ws?name=ann");
    deaf.wait_for("welcome");
    server.process.terminate();
    server.process.error_containing("stopping");
    server.process.terminate();
    assert_eq!(server.process.wait().code(), Some(130));
}
