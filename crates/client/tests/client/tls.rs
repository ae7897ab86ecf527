//! The client beside a server that speaks TLS, with a certificate made for the test.

use crate::http::answer;
use crate::script::Script;
use parlor_client::api::Api;
use parlor_client::{Address, Error, Options, Received, Socket, SocketOptions, Tls};

#[tokio::test]
async fn a_socket_speaks_tls_to_whom_it_trusts() {
    let (script, address, certificate) = Script::secure().await;
    let tls = Tls::trusting(certificate.as_bytes()).unwrap();
    let address = Address::parse(&address).unwrap();
    let options = SocketOptions { protocols: vec!["parlor.v1".into()], tls, ..SocketOptions::default() };
    let (opened, mut peer) = tokio::join!(Socket::open(&address, &options), script.open());
    let mut socket = opened.unwrap();
    assert_eq!(socket.protocol(), Some("parlor.v1"));
    // More than a TLS record and than what either buffer holds, in both directions.
    let long = "x".repeat(1_000_000);
    let (sent, heard) = tokio::join!(socket.send_text(&long), peer.hear());
    sent.unwrap();
    assert!(heard == long, "{} bytes", heard.len());
    let (received, ()) = tokio::join!(socket.recv(), peer.say(&long));
    assert!(received == Received::Text(long));
    assert_eq!(socket.queued(), 0);
    let ((), heard) = tokio::join!(socket.close(1000, "done"), async {
        let heard = peer.hear().await;
        drop(peer);
        heard
    });
    assert_eq!(heard, "closed 1000");
}

#[tokio::test]
async fn the_client_of_parlor_speaks_tls() {
    let (script, address, certificate) = Script::secure().await;
    let options = Options::new(&address).tls(Tls::trusting(certificate.as_bytes()).unwrap());
    let (connected, mut peer) = tokio::join!(options.connect(), script.welcome("g1"));
    let (client, _events) = connected.unwrap();
    let serve = async {
        peer.expect(r#"{"type":"leave","room":"a","id":1}"#).await;
        peer.say(r#"{"type":"left","id":1,"room":"a"}"#).await;
    };
    let (left, ()) = tokio::join!(client.leave("a"), serve);
    left.unwrap();
}

#[tokio::test]
async fn the_api_speaks_tls() {
    let (script, address, certificate) = Script::secure().await;
    let tls = Tls::trusting(certificate.as_bytes()).unwrap();
    let api = Api::new(&address.replace("wss://", "https://"), "k").unwrap().tls(tls);
    let body = r#"{"type":"rooms","rooms":[],"more":false}"#;
    let body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (rooms, _) = tokio::join!(api.rooms(None, None), answer(&script, "\r\n\r\n", body));
    assert!(rooms.unwrap().rooms.is_empty());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_for_good() {
    let (script, address, _) = Script::secure().await;
    let (_, _, other) = Script::secure().await;
    let options = Options::new(&address).tls(Tls::trusting(other.as_bytes()).unwrap());
    let (refused, ()) = tokio::join!(options.connect(), script.reject());
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Insecure { .. }) && !error.may_retry(), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart_from_one_that_is_down() {
    let (script, address) = Script::new().await;
    let address = address.replace("ws://", "wss://");
    let (_, _, certificate) = Script::secure().await;
    let options = Options::new(&address).tls(Tls::trusting(certificate.as_bytes()).unwrap());
    let serve = async {
        // Whatever it says is no TLS record.
        let mut stream = script.accept().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (refused, _stream) = tokio::join!(options.clone().connect(), serve);
    assert!(matches!(refused, Err(Error::Insecure { .. })), "{refused:?}");
    drop(script);
    let refused = options.connect().await.unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
}
