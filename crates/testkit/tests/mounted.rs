//! A server mounted into an axum application: on a listener of axum's own, and on one whose streams are not TCP.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use parlor::{Limits, Rooms, Server, Socket, WebSocket};
use parlor_client::{SocketIo, SocketIoEvent, Tls};
use parlor_hub::Hub;
use parlor_testkit::peer::{Heard, Peer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tower_service::Service;

const PATIENCE: Duration = Duration::from_secs(20);

/// A listener whose streams nobody can look behind.
struct Opaque(TcpListener, Option<TlsAcceptor>);

type Stream = Box<dyn Both>;
trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Both for S {}

impl Listener for Opaque {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.0).await;
            match &self.1 {
                None => return (Box::new(stream), peer),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => return (Box::new(stream), peer),
                    Err(_) => continue,
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

enum Below {
    Tcp,
    Opaque(Option<TlsAcceptor>),
}

/// An application with a server in it, on a thread of its own.
struct Application {
    address: SocketAddr,
    hub: Arc<Hub>,
    rooms: Rooms,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Application {
    fn start(below: Below, mut server: Server, wrap: fn(Router) -> Router) -> Application {
        server.workers(2);
        let (realtime, running) = server.mount().unwrap();
        let (hub, rooms) = (Arc::clone(running.hub()), running.rooms());
        let page = get(async || "the application's page");
        let app =
            Router::new().route("/", page).merge(wrap(realtime)).fallback(async || "the application's 404");
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serve = async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let stop = running.stop_after(async { drop(stopped.await) });
            match below {
                Below::Tcp => axum::serve(listener, app).with_graceful_shutdown(stop).await,
                Below::Opaque(tls) => {
                    // Only so does axum give its requests an address.
                    let listener = Opaque(listener, tls).tap_io(|_| ());
                    axum::serve(listener, app).with_graceful_shutdown(stop).await
                }
            }
        };
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve).unwrap();
        });
        Application { address, hub, rooms, stop, thread }
    }

    /// The whole answer to a request after which the connection ends.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(request.replace("\r\n\r\n", "\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[track_caller]
    fn check(&self, request: &str, status: &str, contains: &str) {
        let answer = self.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?} was answered {answer:?}");
        assert!(answer.contains(contains), "{request:?} was answered {answer:?}");
    }

    fn stop(self) {
        let _ = self.stop.send(());
        self.thread.join().unwrap();
    }
}

/// Both kinds of listeners serve the same.
fn on_both(server: impl Fn() -> Server, test: impl Fn(Application)) {
    for below in [Below::Tcp, Below::Opaque(None)] {
        test(Application::start(below, server(), |realtime| realtime));
    }
}

fn with_routes() -> Server {
    let mut server = Server::new();
    server.limits(Limits::Off);
    server.route("/echo", |mut socket: WebSocket| async move {
        while let Some(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    });
    server.route("/who/{name}", |mut socket: WebSocket| async move {
        let told =
            format!("{} {} {}", socket.param("name").unwrap_or_default(), socket.uri(), socket.address());
        let _ = socket.send(told.into()).await;
        let _ = socket.join("hall");
        while let Some(message) = socket.recv().await {
            let _ = socket.to("hall").send(&message).await;
        }
    });
    server.page("/page", "<p>a page of the server's</p>");
    server.namespace("/").on("double", async |socket: Socket, parlor::Data(n): parlor::Data<u32>| {
        drop(socket.emit("doubled", &(2 * n)));
    });
    server
}

#[test]
fn its_routes_and_the_applications_stand_side_by_side() {
    on_both(with_routes, |app| {
        app.check("GET / HTTP/1.1\r\n\r\n", "200", "the application's page");
        app.check("GET /nowhere HTTP/1.1\r\n\r\n", "200", "the application's 404");
        app.check("GET /page HTTP/1.1\r\n\r\n", "200", "content-security-policy");
        app.check("POST /page HTTP/1.1\r\n\r\n", "405", "allow: GET, HEAD");
        app.check("GET /echo HTTP/1.1\r\n\r\n", "426", "upgrade: websocket");
        app.check("POST /echo HTTP/1.1\r\n\r\n", "405", "allow: GET");
        app.check(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n",
            "200",
            "\"upgrades\":[\"websocket\"]",
        );
        app.check("GET /socket.io?EIO=4&transport=websocket HTTP/1.1\r\n\r\n", "400", "Bad request");
        let mut peer = Peer::connect(app.address, "/who/ann?x=1");
        assert_eq!(peer.text(), "ann /who/ann?x=1 127.0.0.1");
        let mut echo = Peer::connect(app.address, "/echo");
        let long = "x".repeat(900_000);
        for words in ["one", &long, "two"] {
            echo.send(words);
            assert!(echo.text() == words, "{} bytes", words.len());
        }
        echo.send_binary(b"\0\xff");
        assert_eq!(echo.hear(), Heard::Binary(b"\0\xff".to_vec()));
        app.stop();
    });
}

#[test]
fn what_came_behind_the_request_is_not_lost() {
    on_both(with_routes, |app| {
        let mut stream = TcpStream::connect(app.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        // A text frame with a mask of zeros.
        let early = b"\x81\x85\0\0\0\0early";
        stream.write_all(&[head.as_bytes(), early].concat()).unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"\x81\x05early") {
            let mut bytes = [0; 1024];
            let n = stream.read(&mut bytes).unwrap();
            assert_ne!(n, 0, "it ended after {:?}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&bytes[..n]);
        }
        assert!(heard.starts_with(b"HTTP/1.1 101 "));
        let head = String::from_utf8_lossy(&heard).to_ascii_lowercase();
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        app.stop();
    });
}

#[test]
fn under_a_prefix_everything_is_behind_it() {
    let app = Application::start(Below::Tcp, with_routes(), |realtime| Router::new().nest("/rt", realtime));
    let mut peer = Peer::connect(app.address, "/rt/who/ann");
    assert_eq!(peer.text(), "ann /who/ann 127.0.0.1");
    app.check("GET /rt/page HTTP/1.1\r\n\r\n", "200", "a page of the server's");
    app.check("GET /rt/socket.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n", "200", "\"sid\"");
    app.check("GET /page HTTP/1.1\r\n\r\n", "200", "the application's 404");
    app.stop();
}

fn with_chat() -> Server {
    let mut server = Server::new();
    server.limits(Limits::Off).chat();
    server
}

#[test]
fn the_chat_is_a_chat_there_and_says_goodbye() {
    on_both(with_chat, |app| {
        let mut ann = Peer::connect_with(app.address, "/ws?name=ann&room=lobby", &["parlor.v1"]);
        ann.wait_for("joined");
        let mut bob = Peer::connect(app.address, "/ws?name=bob&room=lobby");
        bob.wait_for("joined");
        bob.send(r#"{"type":"publish","id":1,"room":"lobby","data":"hello"}"#);
        assert_eq!(ann.wait_for("message")["data"], "hello");
        // It speaks Socket.IO too, and one who polls hears the goodbye.
        let opening = app.ask("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n");
        let sid =
            opening.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let (address, (told, polling)) = (app.address, std::sync::mpsc::channel());
        let poll = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
            told.send(()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        polling.recv().unwrap();
        app.stop();
        assert_eq!(ann.wait_for("bye")["code"], 1001);
        assert_eq!((ann.wait_for_end(), bob.wait_for_end()), (1001, 1001));
        let answer = poll.join().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n1"), "{answer}");
    });
}

#[test]
fn limits_by_address_hold_where_addresses_are_known() {
    let refused = |below: Below| {
        let mut server = with_routes();
        server.limits(Limits::On);
        let app = Application::start(below, server, |realtime| realtime);
        let refused = (0..200).any(|_| {
            let answer = app.ask("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n\r\n");
            answer.starts_with("HTTP/1.1 429") && answer.contains("rate_limited")
        });
        app.check("GET / HTTP/1.1\r\n\r\n", "200", "the application's page");
        app.stop();
        refused
    };
    assert!(refused(Below::Tcp) && refused(Below::Opaque(None)));
}

#[test]
fn pages_of_other_servers_are_refused() {
    on_both(with_routes, |app| {
        let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://evil.example";
        app.check(&format!("GET /echo HTTP/1.1\r\n{headers}\r\n\r\n"), "403", "origin_denied");
        app.stop();
    });
}

#[test]
fn who_leaves_is_gone_on_either_side() {
    on_both(with_routes, |app| {
        let enter = |name| {
            let mut peer = Peer::connect(app.address, &format!("/who/{name}"));
            peer.text();
            peer
        };
        let (mut ann, bob, mut carl) = (enter("ann"), enter("bob"), enter("carl"));
        ann.send("hello");
        assert_eq!(carl.text(), "hello");
        // One without a word, one as the protocol asks.
        drop(bob);
        carl.send_raw(b"\x88\x82\0\0\0\0\x03\xe8");
        assert_eq!(carl.wait_for_end(), 1000);
        until(|| app.rooms.count("hall") == 1);
        app.stop();
        assert_eq!(ann.wait_for_end(), 1001);
    });
}

/// Waits for what another thread does.
fn until(done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !done() {
        assert!(std::time::Instant::now() < deadline, "it never happened");
        std::thread::yield_now();
    }
}

#[test]
fn a_slow_reader_is_cut_and_the_others_get_everything() {
    on_both(with_chat, |app| {
        let mut slow = Peer::connect(app.address, "/ws?name=slow&room=live:flood");
        slow.wait_for("joined");
        let mut quick = Peer::connect(app.address, "/ws?name=quick&room=live:flood");
        quick.wait_for("joined");
        let data = "x".repeat(32 * 1024);
        let cut = (0..2_000).any(|n| {
            quick.send(&json!({"type": "publish", "id": n, "room": "live:flood", "data": data}).to_string());
            quick.wait_for("message");
            app.hub.stats.slow.load(Relaxed) > 0
        });
        assert!(cut, "the slow reader was never cut");
        assert_eq!(slow.wait_for("bye")["code"], 4008);
        assert_eq!(slow.wait_for_end(), 4008);
        app.stop();
    });
}

#[tokio::test]
async fn clients_come_over_tls() {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    let below = Below::Opaque(Some(TlsAcceptor::from(Arc::new(config))));
    let app = Application::start(below, with_routes(), |realtime| realtime);
    let options = SocketIo::options(format!("https://{}", app.address)).reconnect(false);
    let options = options.tls(Tls::trusting(own.cert.pem().as_bytes()).unwrap());
    let (client, mut events) = options.connect().await.unwrap();
    client.emit("double", &(21,)).unwrap();
    let doubled = async {
        loop {
            match events.next().await {
                Some(SocketIoEvent::Event(event)) => return event.arguments.text().to_owned(),
                Some(_) => {}
                None => panic!("it ended"),
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, doubled).await.unwrap(), "42");
    tokio::task::spawn_blocking(|| app.stop()).await.unwrap();
}

#[tokio::test]
async fn requests_are_answered_whatever_is_below_and_after_the_end() {
    let (mut realtime, running) = with_routes().mount().unwrap();
    let mut ask = async |target: &str| {
        let request = axum::http::Request::get(target)
            .header("host", "a")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let response = realtime.call(request.body(Body::empty()).unwrap()).await.unwrap();
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), retry)
    };
    // There is no connection below that could become a WebSocket.
    assert_eq!(ask("/echo").await, (500, None));
    tokio::task::spawn_blocking(|| running.stop()).await.unwrap();
    assert_eq!(ask("/echo").await, (503, Some("1".into())));
    assert_eq!(ask("/socket.io/?EIO=4&transport=polling").await, (503, Some("1".into())));
    assert_eq!(ask("/socket.io/?EIO=4&transport=polling&sid=0000000000000000000000").await.0, 400);
}
