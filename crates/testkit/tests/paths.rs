//! Which route a path names, its parameters, and what a request gets that does not ask for a WebSocket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use parlor::{Limits, Plain, RouteOptions, Running, Server, WebSocket};
use parlor_testkit::peer::{Heard, Peer};
use serde_json::json;

fn listen(mut server: Server) -> Running {
    server.workers(1).limits(Limits::Off);
    server.listen("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A handler that tells which route it stands at and a parameter, and ends.
fn tells(path: &'static str, param: &'static str, options: RouteOptions, server: &mut Server) {
    server.route_with(path, options, move |mut socket: WebSocket| async move {
        let said = json!([path, socket.param(param)]).to_string();
        let _ = socket.send(said.into()).await;
    });
}

/// Status line and headers in lower case, and the body, of one request with these headers.
fn request(server: &Running, line: &str, headers: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[test]
fn a_parameter_is_one_part_of_the_path_and_exact_paths_go_first() {
    let mut server = Server::new();
    for (path, param) in [
        ("/ws/{nickname}", "nickname"),
        ("/ws/admin", "nickname"),
        ("/{room}/{user}/x", "user"),
        ("/files/{*rest}", "rest"),
    ] {
        tells(path, param, RouteOptions::default(), &mut server);
    }
    let server = listen(server);
    let check = |target: &str, route: &str, param: Option<&str>| {
        let mut peer = Peer::connect(server.address(), target);
        assert_eq!(peer.hear(), Heard::Object(json!([route, param])), "{target}");
    };
    check("/ws/ann", "/ws/{nickname}", Some("ann"));
    check("/ws/ann?nickname=eve", "/ws/{nickname}", Some("ann"));
    check("/ws/%E5%BC%A0%E4%B8%89", "/ws/{nickname}", Some("张三"));
    check("/ws/a%2Fb%20c%25", "/ws/{nickname}", Some("a/b c%"));
    check("/ws/a+b", "/ws/{nickname}", Some("a+b"));
    check("/ws/admin", "/ws/admin", None);
    check("/ws/bob/x", "/{room}/{user}/x", Some("bob"));
    check("/files/a/b", "/files/{*rest}", Some("a/b"));

    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // A parameter is never empty and always UTF-8.
    for (target, status) in [
        ("/ws/", 404),
        ("/ws", 404),
        ("/ws/a/b", 404),
        ("/files/", 404),
        ("/ws/%FF", 400),
        ("/ws/%C3%28", 400),
    ] {
        let (head, _) = request(&server, &format!("GET {target}"), upgrade);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{target}: {head}");
    }
    server.stop();
}

#[test]
fn the_chats_path_goes_before_a_parameter() {
    let mut server = Server::new();
    tells("/{name}", "name", RouteOptions::default(), &mut server);
    server.chat();
    let server = listen(server);
    assert_eq!(Peer::connect(server.address(), "/ws?name=ann").wait_for("welcome")["name"], "ann");
    assert_eq!(Peer::connect(server.address(), "/bob").hear(), Heard::Object(json!(["/{name}", "bob"])));
    server.stop();
}

#[test]
fn routes_that_contradict_each_other_do_not_listen() {
    for (one, other) in [("/{a}", "/{b}"), ("/x{", "/y"), ("/{*all}/x", "/y")] {
        let mut server = Server::new();
        for path in [one, other] {
            tells(path, "a", RouteOptions::default(), &mut server);
        }
        let error = server.listen("127.0.0.1:0".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{one} {other}");
        assert!(error.to_string().starts_with("the route /"), "{error}");
    }
}

const PAGE: &str = "<!doctype html><style>p{color:red}</style><p>请使用Websocket链接<script>go()</script>";
const HEADERS: [&str; 4] = [
    "content-type: text/html; charset=utf-8",
    "script-src 'sha256-5kyv+puboo5h+0+yatgrpbwv5d/qxzhslp4ygnuaxrw='",
    "x-content-type-options: nosniff",
    "connect-src 'self'",
];

#[test]
fn a_page_and_a_route_share_a_path() {
    let mut server = Server::new();
    tells("/", "none", RouteOptions::default(), &mut server);
    server.page("/", PAGE).page("/help", PAGE);
    let server = listen(server);
    for line in ["GET /", "GET /?a=b", "GET /help"] {
        let (head, body) = request(&server, line, "");
        assert!(head.starts_with("http/1.1 200"), "{line}: {head}");
        assert_eq!(body, PAGE, "{line}");
        assert!(HEADERS.iter().all(|header| head.contains(header)), "{head}");
    }
    let (head, body) = request(&server, "HEAD /", "");
    assert_eq!((head.starts_with("http/1.1 200"), body.as_str()), (true, ""), "{head}");
    // A browser that would rather speak HTTP/2 gets the page too.
    assert_eq!(request(&server, "GET /", "Upgrade: h2c\r\n").1, PAGE);
    // Whoever asks for a WebSocket and does it wrong is told so; a page takes no POST.
    assert!(request(&server, "GET /", "Upgrade: h2c, WebSocket\r\n").0.starts_with("http/1.1 426"));
    assert!(request(&server, "POST /", "Content-Length: 0\r\n").0.starts_with("http/1.1 405"));
    assert_eq!(Peer::connect(server.address(), "/").hear(), Heard::Object(json!(["/", null])));
    server.stop();
}

#[test]
fn a_plain_request_of_a_route_gets_what_the_route_chose() {
    let mut server = Server::new();
    let routes = [
        ("/explained", Plain::Explained),
        ("/shown/{nickname}", Plain::Page(PAGE)),
        ("/hidden", Plain::NotFound),
    ];
    for (path, plain) in routes {
        tells(path, "nickname", RouteOptions { plain, ..RouteOptions::default() }, &mut server);
    }
    server.page("/shown/page", "<p>a page goes first");
    let server = listen(server);
    let check = |line: &str, status: u16, in_head: &str, in_body: &str| {
        let (head, body) = request(&server, line, "");
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{line}: {head}");
        assert!(head.contains(in_head), "{line}: {head}");
        assert!(body.contains(in_body), "{line}: {body}");
    };
    check(
        "GET /explained",
        426,
        "upgrade: websocket",
        "Upgrade: websocket and Connection: Upgrade are missing",
    );
    check("GET /shown/ann", 426, "upgrade: websocket", "请使用Websocket链接");
    for header in HEADERS {
        check("GET /shown/ann", 426, header, PAGE);
    }
    check("GET /shown/page", 200, "text/html", "a page goes first");
    check("GET /hidden", 404, "text/plain", "nothing here");
    check("POST /shown/ann", 405, "allow: get", "");
    // A plain request opens nothing and spoils nothing.
    for (target, heard) in [
        ("/explained", json!(["/explained", null])),
        ("/shown/ann", json!(["/shown/{nickname}", "ann"])),
        ("/hidden", json!(["/hidden", null])),
    ] {
        assert_eq!(Peer::connect(server.address(), target).hear(), Heard::Object(heard));
    }
    server.stop();
}
