//! The HTTP interface and refused handshakes, byte by byte.

use crate::script::{PATIENCE, Script};
use parlor_client::api::{Api, Publish};
use parlor_client::{Address, Error, Received, Socket, SocketOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Takes one request until it ends with `end`, answers with literal bytes, and gives what was asked.
pub(crate) async fn answer(script: &Script, end: &str, answer: impl AsRef<[u8]>) -> String {
    let mut stream = script.accept().await;
    let mut asked = Vec::new();
    while !asked.ends_with(end.as_bytes()) {
        let mut buffer = [0; 1024];
        let length = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(length > 0, "the request ended early: {}", String::from_utf8_lossy(&asked));
        asked.extend_from_slice(&buffer[..length]);
    }
    stream.write_all(answer.as_ref()).await.unwrap();
    String::from_utf8(asked).unwrap()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn publish_is_one_post_with_the_key() {
    let (script, address) = Script::new().await;
    let api = Api::new(&address, " secret\n").unwrap();
    let data = serde_json::value::RawValue::from_string("{\"a\": 1}".into()).unwrap();
    let publish = Publish { room: "lobby", data: &data, event: None, key: Some("k") };
    let body = r#"{"type":"published","room":"lobby","offset":7,"pos":"k3.7.0","ack":"local"}"#;
    let (published, asked) = tokio::join!(api.publish(&publish), answer(&script, "}", ok(body)));
    assert_eq!(published.unwrap().offset, Some(7));
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/publish HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer secret\r\n"), "{head}");
    assert_eq!(body, r#"{"room":"lobby","data":{"a": 1},"key":"k"}"#);
}

#[tokio::test]
async fn names_and_places_travel_encoded() {
    let (script, address) = Script::new().await;
    let api = Api::new(&address, "k").unwrap();
    let body = r#"{"type":"history","room":"a/b","messages":[],"more":false}"#;
    let (history, asked) = tokio::join!(
        api.history("a/b", Some("k3.7.0"), None, Some(5)),
        answer(&script, "\r\n\r\n", ok(body))
    );
    assert!(!history.unwrap().more);
    assert!(asked.starts_with("GET /api/rooms/a%2Fb/history?before=k3.7.0&limit=5 HTTP/1.1\r\n"), "{asked}");
    let body = r#"{"type":"rooms","rooms":[{"room":"大厅","count":1,"offset":2}],"more":false}"#;
    let (rooms, asked) = tokio::join!(api.rooms(Some("大"), None), answer(&script, "\r\n\r\n", ok(body)));
    assert_eq!(rooms.unwrap().rooms[0].room, "大厅");
    assert!(asked.starts_with("GET /api/rooms?prefix=%E5%A4%A7 HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn a_refusal_of_the_api_says_its_code() {
    let (script, address) = Script::new().await;
    let api = Api::new(&address, "wrong").unwrap();
    let refusal = concat!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 74\r\n\r\n",
        r#"{"type":"error","code":"unauthenticated","message":"this is not the key" }"#
    );
    let (members, _) = tokio::join!(api.members("lobby"), answer(&script, "\r\n\r\n", refusal));
    assert_eq!(members.unwrap_err().to_string(), "unauthenticated: this is not the key");
    let (members, _) = tokio::join!(api.members("lobby"), answer(&script, "\r\n\r\n", ok("<html>")));
    assert!(matches!(members, Err(Error::BadAnswer(_))));
}

#[tokio::test]
async fn a_refused_handshake_says_why() {
    let (script, address) = Script::new().await;
    let address = Address::parse(&address).unwrap();
    let options = SocketOptions::default();
    for (reply, expected) in [
        (
            "HTTP/1.1 409 Conflict\r\nContent-Length: 61\r\n\r\n{\"type\":\"error\",\"code\":\"name_taken\",\"message\":\"ann is taken\"}",
            "name_taken: ann is taken",
        ),
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 42\r\n\r\n{\"code\":0,\"message\":\"Transport unknown\"}  ",
            "the server answered with status 400: Transport unknown",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "the server answered with status 404; nothing is at this path",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            "the server answered with status 502: it cannot serve now",
        ),
        ("220 smtp.example ESMTP\r\n\r\n", "the server's answer is not one of HTTP/1.1"),
    ] {
        let (opened, _) = tokio::join!(Socket::open(&address, &options), answer(&script, "\r\n\r\n", reply));
        let error = opened.unwrap_err();
        assert_eq!((error.to_string().as_str(), error.may_retry()), (expected, reply.contains("502")));
    }
}

#[tokio::test]
async fn a_socket_sends_receives_and_closes() {
    let (script, address) = Script::new().await;
    let address = Address::parse(&address).unwrap();
    let options = SocketOptions { protocols: vec!["parlor.v1".into()], ..SocketOptions::default() };
    let (opened, mut peer) = tokio::join!(Socket::open(&address, &options), script.open());
    let mut socket = opened.unwrap();
    assert_eq!(socket.protocol(), Some("parlor.v1"));
    socket.send_text("hi").await.unwrap();
    peer.expect("hi").await;
    peer.say(&"x".repeat(100_000)).await;
    assert_eq!(socket.recv().await, Received::Text("x".repeat(100_000)));
    let ((), heard) = tokio::join!(socket.close(1000, "done"), async {
        let heard = peer.hear().await;
        drop(peer);
        heard
    });
    assert_eq!(heard, "closed 1000");
}

#[tokio::test]
async fn a_broken_connection_is_told_again_and_again() {
    let (script, address) = Script::new().await;
    let address = Address::parse(&address).unwrap();
    let options = SocketOptions { protocols: vec!["parlor.v1".into()], ..SocketOptions::default() };
    let (opened, peer) = tokio::join!(Socket::open(&address, &options), script.open());
    let mut socket = opened.unwrap();
    drop(peer);
    for _ in 0..2 {
        assert!(matches!(socket.recv().await, Received::Closed { code: 1006, .. }));
    }
}
