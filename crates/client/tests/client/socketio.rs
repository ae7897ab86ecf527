//! The Socket.IO client beside a server that follows a script of literal frames.

use crate::script::{PATIENCE, Peer, Script};
use parlor_client::{Binary, Disconnect, Error, SocketIo, SocketIoEvent, SocketIoEvents};
use tokio::time::timeout;

const OPEN: &str =
    r#"0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

async fn next(events: &mut SocketIoEvents) -> SocketIoEvent {
    timeout(PATIENCE, events.next()).await.unwrap().unwrap()
}

/// The next event that is not about waiting, as text.
async fn told(events: &mut SocketIoEvents) -> String {
    loop {
        match next(events).await {
            SocketIoEvent::Waiting { .. } => {}
            SocketIoEvent::Connected { sid, recovered } => return format!("connected {sid} {recovered}"),
            SocketIoEvent::Event(event) => return format!("{} {}", event.name, event.arguments.text()),
            SocketIoEvent::Disconnected(reason) => return reason.to_string(),
            SocketIoEvent::Closed(error) => return format!("closed: {error}"),
            other => return format!("{other:?}"),
        }
    }
}

/// The next connection, which enters the namespace with `connect` and is let in with `entered`.
async fn serve(script: &Script, connect: &str, entered: &str) -> Peer {
    let mut peer = script.open_as(None).await;
    peer.say(OPEN).await;
    peer.expect(connect).await;
    peer.say(entered).await;
    peer
}

async fn connect(script: &Script, address: &str) -> (SocketIo, SocketIoEvents, Peer) {
    let (connected, peer) =
        tokio::join!(SocketIo::options(address).connect(), serve(script, "40", r#"40{"sid":"s1"}"#));
    let (client, mut events) = connected.unwrap();
    assert_eq!(peer.target, "/socket.io/?EIO=4&transport=websocket");
    assert_eq!(told(&mut events).await, "connected s1 false");
    (client, events, peer)
}

#[tokio::test]
async fn events_and_acks_go_both_ways() {
    let (script, address) = Script::new().await;
    let (client, mut events, mut peer) = connect(&script, &address).await;
    client.emit("message", &("hi", 1)).unwrap();
    peer.expect(r#"42["message","hi",1]"#).await;
    peer.say("2").await;
    peer.expect("3").await;

    let answer = client.emit_with_ack("sum", &[1, 2]);
    peer.expect(r#"420["sum",1,2]"#).await;
    peer.say("430[3]").await;
    assert_eq!(answer.await.unwrap().first::<u32>().unwrap(), 3);

    peer.say(r#"425["question",{"a":true}]"#).await;
    let SocketIoEvent::Event(question) = next(&mut events).await else { panic!("no event") };
    assert_eq!((&*question.name, question.arguments.text()), ("question", r#"{"a":true}"#));
    question.ack.unwrap().send(&["answer"]).unwrap();
    peer.expect(r#"435["answer"]"#).await;

    drop(client);
    peer.expect("41").await;
    peer.expect("closed 1000").await;
    drop(peer);
    assert_eq!(told(&mut events).await, "io client disconnect");
    assert_eq!(told(&mut events).await, "closed: the client is closed");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn bytes_travel_as_attachments() {
    let (script, address) = Script::new().await;
    let (client, mut events, mut peer) = connect(&script, &address).await;
    client.emit("file", &("a", Binary(vec![0, 255].into()))).unwrap();
    peer.expect(r#"451-["file","a",{"_placeholder":true,"num":0}]"#).await;
    peer.expect("binary [0, 255]").await;
    peer.say(r#"452-["files",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#).await;
    peer.say_binary(b"a").await;
    peer.say_binary(b"b").await;
    let SocketIoEvent::Event(files) = next(&mut events).await else { panic!("no event") };
    let (first, second): (Binary, Binary) = files.arguments.read().unwrap();
    assert_eq!((&*first.0, &*second.0), (&b"b"[..], &b"a"[..]));
}

#[tokio::test]
async fn a_server_that_takes_its_time_gets_every_pong() {
    let (script, address) = Script::new().await;
    let serve = async {
        let mut peer = script.open_as(None).await;
        peer.say(OPEN).await;
        peer.expect("40").await;
        for _ in 0..3 {
            peer.say("2").await;
            peer.expect("3").await;
        }
        peer.say(r#"40{"sid":"s1"}"#).await;
        peer
    };
    let (connected, _peer) = tokio::join!(SocketIo::options(&address).connect(), serve);
    connected.unwrap();
}

#[tokio::test]
async fn a_namespace_that_refuses_says_why() {
    let (script, address) = Script::new().await;
    let auth = std::collections::BTreeMap::from([("token", "t")]);
    let options = SocketIo::options(&address).namespace("/chat").auth(&auth);
    let refuse = serve(
        &script,
        r#"40/chat,{"token":"t"}"#,
        r#"44/chat,{"message":"authentication failed","data":{"code":7}}"#,
    );
    let (refused, _peer) = tokio::join!(options.connect(), refuse);
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "the namespace refuses: authentication failed");
    assert!(matches!(error, Error::NamespaceRefused { data: Some(data), .. } if data == r#"{"code":7}"#));
}

#[tokio::test]
async fn a_break_keeps_the_order_and_asks_to_be_recovered() {
    let (script, address) = Script::new().await;
    let (connected, mut peer) = tokio::join!(
        SocketIo::options(&address).connect(),
        serve(&script, "40", r#"40{"sid":"s1","pid":"p1"}"#)
    );
    let (client, mut events) = connected.unwrap();
    assert_eq!(told(&mut events).await, "connected s1 false");
    peer.say(r#"42["news",1,"o1"]"#).await;
    assert_eq!(told(&mut events).await, "news 1");
    let unanswered = client.emit_with_ack("a", &[0]);
    peer.expect(r#"420["a",0]"#).await;
    drop(peer);
    assert_eq!(told(&mut events).await, "transport close");
    assert!(matches!(unanswered.await, Err(Error::Disconnected)));
    for number in 1..=3 {
        client.emit("a", &[number]).unwrap();
    }
    let answer = client.emit_with_ack("a", &[4]);
    let mut peer = serve(&script, r#"40{"pid":"p1","offset":"o1"}"#, r#"40{"sid":"s1","pid":"p1"}"#).await;
    peer.say(r#"42["news",2,"o2"]"#).await;
    for sent in [r#"42["a",1]"#, r#"42["a",2]"#, r#"42["a",3]"#, r#"421["a",4]"#] {
        peer.expect(sent).await;
    }
    peer.say("431[]").await;
    assert!(answer.await.unwrap().is_empty());
    assert_eq!(told(&mut events).await, "connected s1 true");
    assert_eq!(told(&mut events).await, "news 2");
}

#[tokio::test]
async fn a_refusal_after_a_break_is_the_end() {
    let (script, address) = Script::new().await;
    let (client, mut events, peer) = connect(&script, &address).await;
    drop(peer);
    let _peer = serve(&script, "40", r#"44{"message":"closed today"}"#).await;
    assert_eq!(told(&mut events).await, "transport close");
    assert_eq!(told(&mut events).await, "closed: the namespace refuses: closed today");
    assert!(matches!(client.emit("a", &()), Err(Error::Closed)));
    assert!(matches!(client.emit_with_ack("a", &()).await, Err(Error::Closed)));
    assert!(matches!(client.flush().await, Err(Error::Closed)));
}

#[tokio::test]
async fn what_the_server_ends_on_purpose_stays_ended() {
    let (script, address) = Script::new().await;
    let (_client, mut events, mut peer) = connect(&script, &address).await;
    peer.say("41").await;
    let SocketIoEvent::Disconnected(reason) = next(&mut events).await else { panic!("still there") };
    assert_eq!((reason, reason.as_str()), (Disconnect::ServerDisconnect, "io server disconnect"));
    assert_eq!(told(&mut events).await, "closed: the server ended the connection");
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let (script, address) = Script::new().await;
    let serve = async {
        let mut peer = script.open_as(None).await;
        peer.say(r#"0{"sid":"e","upgrades":[],"pingInterval":20,"pingTimeout":10}"#).await;
        peer.expect("40").await;
        peer.say(r#"40{"sid":"s1"}"#).await;
        peer
    };
    let (connected, _silent) = tokio::join!(SocketIo::options(&address).connect(), serve);
    let (_client, mut events) = connected.unwrap();
    assert_eq!(told(&mut events).await, "connected s1 false");
    assert_eq!(told(&mut events).await, "ping timeout");
}

#[tokio::test]
async fn a_flood_of_emits_waits_for_the_network_and_keeps_its_order() {
    let (script, address) = Script::new().await;
    let (client, _events, mut peer) = connect(&script, &address).await;
    let long = "x".repeat(10_000);
    let emit = async {
        for number in 0..2_000 {
            loop {
                match client.emit("n", &(number, &long)) {
                    Ok(()) => break,
                    // The server says nothing meanwhile: the drained socket alone must let it go on.
                    Err(Error::QueueFull) => client.flush().await.unwrap(),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        client.flush().await.unwrap();
    };
    let hear = async {
        for number in 0..2_000 {
            let text = peer.hear().await;
            assert!(text.starts_with(&format!("42[\"n\",{number},\"xxx")), "{}", &text[..20]);
        }
    };
    timeout(PATIENCE, async { tokio::join!(emit, hear) }).await.unwrap();
}

#[tokio::test]
async fn an_emit_that_is_larger_than_the_sockets_share_arrives_whole() {
    let (script, address) = Script::new().await;
    let (client, _events, mut peer) = connect(&script, &address).await;
    let parts: Vec<Binary> = (0..5).map(|part| Binary(vec![part; 200_000].into())).collect();
    client.emit("file", &parts).unwrap();
    assert!(peer.hear().await.starts_with(r#"455-["file",{"_placeholder":true,"num":0},"#));
    for part in 0..5 {
        let heard = peer.hear().await;
        assert!(heard.starts_with(&format!("binary [{part}, {part}, ")), "{}", &heard[..20]);
    }
}
