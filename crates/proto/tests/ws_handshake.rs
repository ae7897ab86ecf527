//! The opening handshake of both roles (RFC 6455 section 4), in literal bytes.

use parlor_proto::ws::deflate::{self, Agreement, Offer, Settings};
use parlor_proto::ws::handshake::*;

const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn read(request: &str) -> Result<Option<(Request, usize)>, Rejection> {
    RequestReader::new().receive(request.as_bytes())
}

fn accept(request: &str) -> Result<Accepted, Rejection> {
    let (request, _) = read(request)?.expect("a whole head");
    request.check()
}

/// The status and sentence that a request is refused with.
fn check_refused(request: &str, status: u16, part: &str) -> Rejection {
    let rejection = accept(request).expect_err(request);
    assert_eq!(rejection.status, status, "{request}");
    assert!(rejection.message.contains(part), "{} lacks {part}", rejection.message);
    rejection
}

// The request, as a server reads it.

#[test]
fn the_request_of_the_rfc_is_accepted() {
    let (request, used) = read(REQUEST).unwrap().unwrap();
    assert_eq!(used, REQUEST.len());
    assert_eq!((request.method(), request.target(), request.version()), ("GET", "/chat?room=1", (1, 1)));
    assert_eq!(request.header("origin"), Some("http://example.com"));
    assert_eq!(request.headers().count(), 7);
    let accepted = request.check().unwrap();
    assert_eq!(accepted.accept(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(accepted.protocols, ["chat", "superchat"]);
    assert_eq!(accepted.choose_protocol(&["superchat", "chat"]), Some("chat"), "the client's order counts");
    assert_eq!(accepted.choose_protocol(&["other"]), None);
}

#[test]
fn a_head_may_arrive_in_any_pieces() {
    let stream = format!("{REQUEST}\u{1}frames");
    for size in 1..=stream.len() {
        let mut reader = RequestReader::new();
        let mut taken = 0;
        let request = stream.as_bytes().chunks(size).find_map(|piece| {
            let found = reader.receive(piece).unwrap();
            taken += found.as_ref().map_or(piece.len(), |(_, used)| *used);
            found
        });
        assert_eq!(request.unwrap().0.target(), "/chat?room=1");
        assert_eq!(taken, REQUEST.len(), "the first frames are not part of the head");
    }
}

#[test]
fn header_names_come_in_any_case_and_lists_in_any_shape() {
    let request = "GET / HTTP/1.1\r\nhOST:a\r\nUPGRADE: h2c ,\tWebSocket\r\nconnection: keep-alive\r\n\
        Connection: ,upgrade\r\nsec-websocket-KEY: \t dGhlIHNhbXBsZSBub25jZQ== \t\r\nSEC-WEBSOCKET-VERSION:13\r\n\
        sec-websocket-extensions: x; a=b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\
        Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n\r\n";
    let accepted = accept(request).unwrap();
    assert_eq!(accepted.protocols, ["a", "b"]);
    assert_eq!(accepted.deflate, [Offer::default()]);
}

#[test]
fn an_empty_line_before_the_request_is_ignored() {
    assert!(accept(&format!("\r\n{REQUEST}")).is_ok());
}

#[test]
fn bad_requests_are_refused_with_what_the_rfc_asks_for() {
    let without = |line: &str| {
        let at = REQUEST.find(line).unwrap();
        let end = at + REQUEST[at..].find("\r\n").unwrap() + 2;
        format!("{}{}", &REQUEST[..at], &REQUEST[end..])
    };
    let with = |from: &str, to: &str| {
        assert!(REQUEST.contains(from));
        REQUEST.replacen(from, to, 1)
    };
    let twice = |line: &str| with("Host:", &format!("{line}\r\nHost:"));

    assert_eq!(check_refused(&with("GET", "POST"), 405, "GET").headers, [("Allow", "GET")]);
    check_refused(&with("HTTP/1.1", "HTTP/1.0"), 400, "HTTP/1.1");
    check_refused(&with("HTTP/1.1", "HTTP/2.0"), 400, "HTTP/1.1");
    let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")];
    for request in
        [without("Upgrade"), without("Connection"), with("websocket", "h2c"), with(" Upgrade", " close")]
    {
        assert_eq!(check_refused(&request, 426, "Upgrade").headers, upgrade);
    }
    assert_eq!(check_refused(&with("Version: 13", "Version: 8"), 426, "13").headers, upgrade);
    check_refused(&with("Version: 13", "Version: 13, 8"), 426, "13");
    let version = [("Sec-WebSocket-Version", "13")];
    assert_eq!(check_refused(&without("Sec-WebSocket-Version"), 400, "Version").headers, version);
    check_refused(&without("Sec-WebSocket-Key"), 400, "Key is missing");
    for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=!", "dGhlIHNhbXBsZSBub25jZWQhISE="] {
        check_refused(&with("dGhlIHNhbXBsZSBub25jZQ==", key), 400, "16 bytes");
    }
    check_refused(&without("Host"), 400, "Host is missing");
    check_refused(&twice("Host: other"), 400, "Host stands there twice");
    check_refused(&twice("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400, "twice");
    check_refused(&twice("Sec-WebSocket-Version: 13"), 400, "twice");
    check_refused(&twice("Content-Length: 5"), 400, "body");
    check_refused(&twice("Transfer-Encoding: chunked"), 400, "body");
    check_refused(&with("chat, superchat", "chat, chat"), 400, "different");
    check_refused(&with("chat, superchat", "chat;a"), 400, "different");
    assert!(accept(&twice("Content-Length: 0")).is_ok());
}

#[test]
fn bytes_that_may_not_stand_in_a_head_are_refused() {
    fn check(head: &[u8], expected: Option<u16>) {
        let found = RequestReader::new().receive(head);
        assert_eq!(
            found.as_ref().err().map(|rejection| rejection.status),
            expected,
            "{}",
            head.escape_ascii()
        );
        if expected.is_none() {
            assert!(found.unwrap().is_some(), "{}", head.escape_ascii());
        }
    }
    let header = |value: &[u8]| [b"GET / HTTP/1.1\r\nX: ".as_slice(), value, b"\r\n\r\n"].concat();
    check(&header(b"a\tb"), None);
    check(&header("Ünï ☃".as_bytes()), None);
    for byte in (0..=0x1f).chain([0x7f, 0x80, 0x85, 0xa0, 0xff]).filter(|byte| *byte != b'\t') {
        check(&header(&[b'a', byte, b'b']), Some(400));
    }
    for text in ["\u{85}", "\u{80}", "\u{9f}"] {
        check(&header(text.as_bytes()), Some(400));
    }
    check(b"GET / HTTP/1.1\n", Some(400));
    check(b"GET / HTTP/1.1\r\nHost: a\n", Some(400));
    check(b"GET / HTTP/1.1\r\nX : a\r\n", Some(400));
    check(b"GET / HTTP/1.1\r\n: a\r\n", Some(400));
    check(b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n", Some(400));
    check(b"GET / HTTP/1.1\r\nno colon\r\n", Some(400));
    check("GET / HTTP/1.1\r\nN\u{e4}me: a\r\n".as_bytes(), Some(400));
    for first in [
        "GET /",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET /\u{e4} HTTP/1.1",
        "G\tT / HTTP/1.1",
        "HELLO",
    ] {
        check(format!("{first}\r\n\r\n").as_bytes(), Some(400));
    }
}

#[test]
fn limits_are_kept_while_bytes_arrive() {
    fn check(stream: impl Iterator<Item = u8>, status: u16, at: usize) {
        let mut reader = RequestReader::new();
        for (i, byte) in stream.enumerate() {
            if let Err(rejection) = reader.receive(&[byte]) {
                assert_eq!((rejection.status, i), (status, at));
                return;
            }
        }
        panic!("no limit");
    }
    let endless = || std::iter::repeat(b'a');
    check(endless(), 414, MAX_LINE);
    check(b"GET / HTTP/1.1\r\n".iter().copied().chain(endless()), 431, 16 + MAX_LINE);
    let line = || b"X: ".iter().copied().chain(endless().take(4000)).chain(*b"\r\n");
    let lines = std::iter::repeat_with(line).flatten();
    check(b"GET / HTTP/1.1\r\n".iter().copied().chain(lines), 431, MAX_HEAD);
    let short = b"X: a\r\n".iter().copied().cycle();
    check(b"GET / HTTP/1.1\r\n".iter().copied().chain(short), 431, 16 + 64 * 6 + 5);
}

// The client.

const NONCE: [u8; 16] = *b"the sample nonce";

fn client(request: &ClientRequest<'_>) -> (ClientHandshake, String) {
    let mut out = Vec::new();
    let handshake = ClientHandshake::new(request, NONCE, &mut out);
    (handshake, String::from_utf8(out).unwrap())
}

#[test]
fn a_client_asks_as_the_rfc_does() {
    let request = ClientRequest {
        host: "server.example.com",
        target: "/chat room?\u{e4}",
        protocols: &["chat", "superchat"],
        deflate: Some(Offer { client_max_window_bits: Some(None), ..Offer::default() }),
        headers: &[("Origin", "http://example.com")],
    };
    let (_, head) = client(&request);
    assert_eq!(
        head,
        "GET /chat%20room?%C3%A4 HTTP/1.1\r\n\
         Host: server.example.com\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
         Origin: http://example.com\r\n\r\n"
    );
}

#[test]
fn client_and_server_agree() {
    let request = ClientRequest {
        host: "a",
        target: "/",
        protocols: &["x", "parlor.v1"],
        deflate: Some(Offer { client_max_window_bits: Some(None), ..Offer::default() }),
        headers: &[],
    };
    let (mut handshake, head) = client(&request);
    let accepted = accept(&head).unwrap();
    let agreement = deflate::accept(&accepted.deflate, &Settings::default());
    let mut answer = Vec::new();
    write_response(&accepted, accepted.choose_protocol(&["parlor.v1"]), agreement.as_ref(), &[], &mut answer);
    answer.extend_from_slice(b"\x81\x02hi");
    let mut found = None;
    let mut used = 0;
    for byte in &answer {
        used += 1;
        found = handshake.receive(&[*byte]).unwrap();
        if found.is_some() {
            break;
        }
    }
    assert_eq!(used, answer.len() - 4, "the first frames are not part of the head");
    assert_eq!(found.unwrap().0, Established { protocol: Some("parlor.v1".to_owned()), deflate: agreement });
    assert_eq!(agreement.map(|agreement| agreement.client_max_window_bits), Some(12));
}

#[test]
fn a_client_refuses_an_answer_that_is_not_one() {
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    fn answer(from: &str, to: &str) -> Result<Option<(Established, usize)>, Refused> {
        assert!(ANSWER.contains(from));
        let request = ClientRequest { host: "a", target: "/", ..ClientRequest::default() };
        client(&request).0.receive(ANSWER.replacen(from, to, 1).as_bytes())
    }
    fn check(from: &str, to: &str, part: &str) {
        let refused = answer(from, to).unwrap_err().to_string();
        assert!(refused.contains(part), "{refused} lacks {part}");
    }
    assert_eq!(answer("", "").unwrap().unwrap().0, Established { protocol: None, deflate: None });
    assert!(answer(" Switching Protocols", "").unwrap().is_some(), "the reason phrase is optional");
    check("Upgrade: websocket", "Upgrade: h2c", "Upgrade: websocket");
    check("Connection: Upgrade", "Connection: close", "Connection: Upgrade");
    check("s3pP", "S3pP", "does not answer the key");
    check("Sec-WebSocket-Accept", "X", "does not answer the key");
    check("Connection", "Sec-WebSocket-Accept: a\r\nConnection", "twice");
    check("Connection", "Sec-WebSocket-Protocol: chat\r\nConnection", "subprotocol");
    check("Connection", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection", "extension");
    check("HTTP/1.1 101", "HTTP/1.1 1011", "not one of HTTP");
    check("HTTP/1.1 101", "HTTP/1.1 +10", "not one of HTTP");
    check("HTTP/1.1", "SSH-2.0", "not one of HTTP");
    check("101", "200", "status 200");
    match answer("101 Switching Protocols", "301 Moved\r\nLocation: /there") {
        Err(Refused::Status(response)) => {
            assert_eq!((response.status, response.header("location")), (301, Some("/there")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_with_an_offer_checks_the_agreement() {
    let offer = Offer::default();
    let request = ClientRequest { host: "a", target: "/", deflate: Some(offer), ..ClientRequest::default() };
    let answer = |extension: &str| {
        let head = format!(
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n"
        );
        client(&request).0.receive(head.as_bytes())
    };
    assert_eq!(answer("permessage-deflate").unwrap().unwrap().0.deflate, Some(Agreement::default()));
    assert!(answer("permessage-deflate; client_max_window_bits=9").is_err());
}
