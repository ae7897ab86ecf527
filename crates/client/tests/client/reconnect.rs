//! The client beside a server that follows a script: breaks, resuming, refusals, the end.

use crate::script::{PATIENCE, Peer, Script};
use parlor_client::{Client, Error, Event, Events, Message, Opened, Options};
use tokio::time::timeout;

async fn next(events: &mut Events) -> Event {
    timeout(PATIENCE, events.next()).await.unwrap().unwrap()
}

/// The next event that is not about the connection, as text.
async fn told(events: &mut Events) -> String {
    loop {
        match next(events).await {
            Event::Welcome(_) | Event::Waiting { .. } => {}
            Event::Message(message) => return message.data.to_string(),
            Event::Joined(joined) => return format!("joined {:?}", joined.recovered),
            Event::Closed(error) => return format!("closed: {error}"),
            other => return format!("{other:?}"),
        }
    }
}

async fn connect(script: &Script, address: &str) -> (Client, Events, Peer) {
    let options = Options::new(address).name("ann");
    let (connected, peer) = tokio::join!(options.connect(), script.welcome("g1"));
    let (client, events) = connected.unwrap();
    (client, events, peer)
}

#[tokio::test]
async fn a_break_is_mended_and_nothing_is_lost() {
    let (script, address) = Script::new().await;
    let (client, mut events, mut peer) = connect(&script, &address).await;
    assert_eq!((&*peer.target, peer.authorization.as_deref()), ("/ws?name=ann", None));

    let serve = async {
        peer.expect(r#"{"type":"join","room":"a","last":5,"id":1}"#).await;
        peer.say(r#"{"type":"joined","id":1,"room":"a","offset":1,"pos":"k3.1.0","messages":[]}"#).await;
        peer.say(
            r#"{"type":"message","room":"a","offset":2,"pos":"k3.2.0","event":"message","data":2,"time":1}"#,
        )
        .await;
    };
    let (joined, ()) = tokio::join!(client.join("a", 5), serve);
    assert_eq!(joined.unwrap().offset, Some(1));
    assert_eq!(told(&mut events).await, "joined None");
    assert_eq!(told(&mut events).await, "2");

    // The publish is on its way when the connection breaks.
    let message = Message::to_room("a", &3).unwrap().key("k");
    let serve = async {
        peer.expect(r#"{"type":"publish","room":"a","key":"k","data":3,"id":2}"#).await;
        drop(peer);
        let mut peer = script.welcome("g1").await;
        assert_eq!((&*peer.target, peer.authorization.as_deref()), ("/ws", Some("Bearer secret")));
        peer.expect(r#"{"type":"join","room":"a","since":"k3.2.0","id":3}"#).await;
        peer.expect(r#"{"type":"publish","room":"a","key":"k","data":3,"id":2}"#).await;
        peer.say(
            r#"{"type":"joined","id":3,"room":"a","offset":3,"pos":"k3.3.0","recovered":true,"messages":[
            {"type":"message","room":"a","offset":3,"pos":"k3.3.0","event":"message","data":3,"time":1}]}"#,
        )
        .await;
        peer.say(r#"{"type":"published","id":2,"room":"a","offset":3,"pos":"k3.3.0","ack":"local"}"#).await;
        peer
    };
    let (published, mut peer) = tokio::join!(client.send(&message), serve);
    assert_eq!(published.unwrap().offset, Some(3));
    assert_eq!(told(&mut events).await, "joined Some(true)");
    assert_eq!(told(&mut events).await, "3");

    drop(client);
    assert_eq!(peer.hear().await, "closed 1000");
    assert_eq!(told(&mut events).await, "closed: the client is closed");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn what_must_not_be_sent_twice_is_answered_at_the_break() {
    let (script, address) = Script::new().await;
    let (client, _events, mut peer) = connect(&script, &address).await;
    let message = Message::to_room("live:a", &1).unwrap().without_key();
    let serve = async {
        peer.expect(r#"{"type":"publish","room":"live:a","data":1,"id":1}"#).await;
        peer.close(1012).await;
    };
    let (published, ()) = tokio::join!(client.send(&message), serve);
    assert!(matches!(published, Err(Error::Disconnected)), "{published:?}");
}

#[tokio::test]
async fn a_refusal_is_an_error_with_its_code() {
    let (script, address) = Script::new().await;
    let (client, _events, mut peer) = connect(&script, &address).await;
    let serve = async {
        peer.hear().await;
        peer.say(r#"{"type":"error","id":1,"code":"rate_limited","message":"wait","retry_after":1.5}"#).await;
    };
    let (refused, ()) = tokio::join!(client.publish("a", &"x"), serve);
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "rate_limited: wait");
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_millis(1500)));
    assert!(error.may_retry());
}

#[tokio::test]
async fn a_code_of_the_second_band_ends_the_client() {
    let (script, address) = Script::new().await;
    let (client, mut events, mut peer) = connect(&script, &address).await;
    peer.say(r#"{"type":"bye","code":4503,"reason":"kicked","reconnect":false}"#).await;
    peer.close(4503).await;
    assert!(matches!(next(&mut events).await, Event::Welcome(_)));
    assert!(matches!(next(&mut events).await, Event::Bye(_)));
    assert_eq!(told(&mut events).await, "closed: the server ended the connection: kicked (4503)");
    assert!(matches!(client.publish("a", &1).await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_forgotten_token_gives_way_to_the_name_once() {
    let (script, address) = Script::new().await;
    let (_client, mut events, peer) = connect(&script, &address).await;
    drop(peer);
    let peer = script.open().await;
    assert_eq!(peer.authorization.as_deref(), Some("Bearer secret"));
    peer.close(4500).await;
    let peer = script.welcome("g2").await;
    assert_eq!((&*peer.target, peer.authorization.as_deref()), ("/ws?name=ann", None));
    let welcomed = async {
        loop {
            if let Event::Welcome(welcome) = next(&mut events).await
                && welcome.user == "g2"
            {
                break;
            }
        }
    };
    welcomed.await;
}

#[tokio::test]
async fn the_first_attempt_says_why_it_failed() {
    let (script, address) = Script::new().await;
    let serve = async {
        let mut peer = script.open().await;
        peer.say(r#"{"type":"error","code":"name_taken","message":"ann is taken; ann2 is free","suggestions":["ann2"]}"#)
            .await;
        peer.close(4506).await;
    };
    let (connected, ()) = tokio::join!(Options::new(&address).name("ann").connect(), serve);
    let Err(Error::Refused(refused)) = connected else { panic!("{connected:?}") };
    assert_eq!((&*refused.code, &*refused.suggestions), ("name_taken", &["ann2".to_owned()][..]));

    // It may be silent for ever: the missing subprotocol tells.
    let (connected, peer) = tokio::join!(Client::connect(&address), script.open_as(None));
    assert_eq!(connected.unwrap_err().to_string(), "whatever answers there is not Parlor");
    drop((peer, script));

    let error = Client::connect(&address).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.may_retry(), "{error}");
}

#[tokio::test]
async fn a_program_that_takes_no_events_holds_nothing_up() {
    let (script, address) = Script::new().await;
    let (client, events, mut peer) = connect(&script, &address).await;
    drop(events);
    let serve = async {
        for offset in 1..=3000 {
            let text = format!(
                r#"{{"type":"message","room":"a","offset":{offset},"pos":"k3.{offset}.0","event":"message","data":1,"time":1}}"#
            );
            peer.say(&text).await;
        }
        peer.expect(r#"{"type":"ping","id":1}"#).await;
        peer.say(r#"{"type":"pong","id":1}"#).await;
    };
    let ping = parlor_proto::native::command::Command::Ping;
    let (pong, ()) = tokio::join!(client.request(&ping), serve);
    assert!(pong.is_ok(), "{pong:?}");
}

#[tokio::test]
async fn any_server_is_taken_for_what_it_is() {
    let (script, address) = Script::new().await;
    let (opened, mut peer) = tokio::join!(Options::new(&address).connect_any(), script.open_as(None));
    let Opened::Plain(mut socket) = opened.unwrap() else { panic!("not Parlor") };
    socket.send_text("name").await.unwrap();
    peer.expect("name").await;
    assert_eq!(peer.target, "/");

    let serve = async {
        // A page lives at the root of Parlor.
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        crate::http::answer(&script, "\r\n\r\n", page).await;
        script.welcome("g1").await
    };
    let (opened, peer) = tokio::join!(Options::new(&address).name("ann").connect_any(), serve);
    assert!(matches!(opened.unwrap(), Opened::Parlor(..)));
    assert_eq!(peer.target, "/ws?name=ann");
}
