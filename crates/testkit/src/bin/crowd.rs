//! A server, or a crowd of its clients, as a process of its own: a process may hold 20,000 files on the machines that run
//! the tests, and what a server needs for its clients can only be seen where there is nothing else.
//!
//! `crowd serve` prints `listening on http://ADDRESS` and understands lines on stdin: `talk N` and `flood N` publish N
//! messages into `memory:talk` and `live:flood` and print `said`; `memory` prints `memory KB`, `slow` prints `slow N`,
//! `members ROOM` prints `members N`.
//!
//! `crowd KIND ADDRESS COUNT [MESSAGES]` prints `ready` when all clients have begun. The kinds are `readers` and `deaf`, who
//! join, and `silent`, `begun`, `dripping`, `kept`, `sessions` and `pollers`, who never get that far; each says below what it
//! does then. `done N` says that it goes on.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead, ErrorKind, Write, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parlor_hub::Hub;
use parlor_hub::command::Publish;
use parlor_hub::publish::Publisher;
use parlor_proto::name::RoomName;
use parlor_proto::ws::handshake::{ClientHandshake, ClientRequest};
use parlor_proto::ws::{Config, Connection, Event, Role};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Clients of one address: below what may come at once, 60.
const PER_ADDRESS: usize = 40;

/// Whoever comes back does so from another address, because so many at once are refused.
const RESUMED: usize = 100_000;

/// A message of the flood: larger than what a client that does not read takes into its own buffers.
const FLOOD: usize = 48 * 1024;

/// Clients that begin at the same time.
const AT_ONCE: usize = 64;

fn main() {
    // The first failure is the news; ten thousand that follow from it are not.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(101);
    }));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [kind, rest @ ..] = &arguments[..] else { panic!("crowd serve, or crowd KIND ADDRESS COUNT") };
    if *kind == "serve" {
        return serve();
    }
    let [address, count, more @ ..] = rest else { panic!("crowd {kind} ADDRESS COUNT [MESSAGES]") };
    let server = address.parse().expect("an address");
    let count = count.parse().expect("a number of clients");
    let messages = more.first().map_or(0, |messages| messages.parse().expect("a number of messages"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match *kind {
            "readers" => readers(server, count, messages).await,
            "deaf" => deaf(server, count, messages).await,
            "silent" => hold(server, count, "", false).await,
            "begun" => hold(server, count, "GET /ws HTTP/1.1\r\nHost: a\r\n", false).await,
            "dripping" => hold(server, count, "GET /ws HTTP/1.1\r\nX-Drip: ", true).await,
            "kept" => hold(server, count, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET ", false).await,
            "sessions" => sessions(server, count).await,
            "pollers" => pollers(server, count).await,
            other => panic!("there is no crowd of {other}"),
        }
    });
}

fn say(line: &str) {
    let mut out = stdout().lock();
    // Nobody listens if the test has ended.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The next line of the test; the end of it ends the process.
async fn told() -> String {
    let line = tokio::task::spawn_blocking(|| stdin().lock().lines().next());
    match line.await.expect("reading does not fail") {
        Some(line) => line.expect("text on stdin"),
        None => std::process::exit(0),
    }
}

fn serve() {
    let mut server = parlor::Server::new();
    server.chat().workers(2);
    let running = server.listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let hub = running.hub();
    say(&format!("listening on http://{}", running.address()));
    let mut number = 0;
    for line in stdin().lock().lines() {
        let line = line.expect("text on stdin");
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "talk" | "flood" => {
                let flood = "x".repeat(FLOOD);
                for _ in 0..rest.parse::<u32>().expect("a number of messages") {
                    number += 1;
                    let (room, data) = match command {
                        "talk" => ("memory:talk", number.to_string()),
                        _ => ("live:flood", format!("\"{flood}\"")),
                    };
                    publish(hub, room, &data);
                }
                say("said");
            }
            "memory" => say(&format!("memory {}", resident())),
            "slow" => say(&format!("slow {}", hub.stats.slow.load(std::sync::atomic::Ordering::Relaxed))),
            "members" => {
                say(&format!("members {}", hub.members(&RoomName::internal(rest)).count));
            }
            other => panic!("the server does not know {other}"),
        }
    }
}

fn publish(hub: &Arc<Hub>, room: &str, data: &str) {
    let publish = Publish::new(RoomName::internal(room), data);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_millis() as u64;
    let done = Box::new(|result: Result<_, _>| assert!(result.is_ok(), "the room takes it"));
    hub.publish(Publisher::Application(None), publish, now, done);
}

/// What the process has in memory, in KB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A client from an address that no other crowd has.
async fn connect(server: SocketAddr, index: usize, buffer: Option<u32>) -> TcpStream {
    let (crowd, address) = (10 + std::process::id() % 200, index / PER_ADDRESS);
    let own = Ipv4Addr::new(127, crowd as u8, (address / 250) as u8, (1 + address % 250) as u8);
    let socket = TcpSocket::new_v4().expect("a socket");
    if let Some(buffer) = buffer {
        socket.set_recv_buffer_size(buffer).expect("a size");
    }
    socket.bind((own, 0).into()).expect("every address of 127.0.0.0/8 is ours");
    socket.connect(server).await.expect("the server listens")
}

/// Begins clients, some at a time, and gives what they came to.
async fn begin<T: Send + 'static, F>(count: usize, client: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut clients = JoinSet::new();
    for index in 0..count {
        let (turn, client) = (Arc::clone(&turn), client(index));
        clients.spawn(async move {
            let _turn = turn.acquire().await;
            client.await
        });
    }
    all(clients).await
}

/// Waits for all of them, and now and then says how many there are, so that whoever listens knows that it goes on.
async fn all<T: 'static>(mut clients: JoinSet<T>) -> Vec<T> {
    let mut done = Vec::with_capacity(clients.len());
    while let Some(client) = clients.join_next().await {
        done.push(client.expect("no client panics"));
        if done.len() % 250 == 0 {
            say(&format!("done {}", done.len()));
        }
    }
    done
}

/// Readers join `memory:talk` and read everything; says `heard` when each has all messages, in order.
async fn readers(server: SocketAddr, count: usize, messages: u64) {
    #[expect(clippy::async_yields_async, reason = "only the opening has to wait for its turn")]
    let clients = begin(count, move |index| async move {
        let mut client = Client::open(server, index, None, "/ws?room=memory:talk".to_owned()).await;
        // Not when all are there: until then it would answer no ping.
        tokio::spawn(async move {
            for expected in 1..=messages {
                let heard = client.message().await.expect("a reader is not cut");
                assert_eq!(heard.offset, expected, "a reader misses nothing");
            }
            client
        })
    });
    let mut reading = JoinSet::new();
    for client in clients.await {
        reading.spawn(client);
    }
    say("ready");
    let _here = all(reading).await;
    say("heard");
    told().await;
}

/// They join `memory:talk` and `live:flood` and read nothing until they are told to. Then they read to the end, which
/// has a code: says `cut N` for those that were cut with 4008. Told again, they come back: says `resumed N` for those
/// that have all messages in order.
async fn deaf(server: SocketAddr, count: usize, messages: u64) {
    let target = "/ws?room=memory:talk&room=live:flood";
    let small = Some(4096);
    let clients = begin(count, move |index| Client::open(server, index, small, target.to_owned())).await;
    say("ready");
    told().await;
    let mut reading = JoinSet::new();
    for mut client in clients {
        reading.spawn(async move {
            let (mut offset, mut pos) = (0, client.pos.clone());
            let code = loop {
                match client.message().await {
                    Ok(message) if message.offset == offset + 1 => {
                        (offset, pos) = (message.offset, message.pos);
                    }
                    Ok(message) => assert_eq!(message.offset, 0, "the flood has no offsets"),
                    Err(code) => break code,
                }
            };
            assert_eq!(code, 4008, "after {offset} messages");
            (offset, pos)
        });
    }
    let places = Arc::new(reading.join_all().await);
    say(&format!("cut {}", places.len()));
    told().await;
    let resumed = begin(count, move |index| {
        let (mut offset, pos) = places[index].clone();
        async move {
            let target = format!("/ws?room=memory:talk&since={pos}");
            let mut client = Client::open(server, RESUMED + index, None, target).await;
            assert!(client.recovered, "nothing of the gap is lost");
            while offset < messages {
                let message = client.message().await.expect("it reads now");
                assert_eq!(message.offset, offset + 1);
                offset = message.offset;
            }
        }
    });
    say(&format!("resumed {}", resumed.await.len()));
}

/// They connect, say the beginning of a request, or with `drip` go on with a byte each second, and wait to be thrown out.
/// Says `gone N SECONDS` with the longest that one of them was held.
async fn hold(server: SocketAddr, count: usize, head: &'static str, drip: bool) {
    let clients = begin(count, move |index| async move {
        let mut stream = connect(server, index, None).await;
        stream.write_all(head.as_bytes()).await.expect("the server is there");
        (stream, Instant::now())
    });
    let clients = clients.await;
    say("ready");
    let mut holding = JoinSet::new();
    for (mut stream, begun) in clients {
        holding.spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await;
                match read {
                    Ok(Ok(0)) | Ok(Err(_)) => return begun.elapsed(),
                    // The answer that says why.
                    Ok(Ok(_)) => {}
                    // It may be gone already, which the next read tells.
                    Err(_) if drip => drop(stream.write_all(b"x").await),
                    Err(_) => {}
                }
            }
        });
    }
    let held = holding.join_all().await;
    let longest = held.iter().max().map_or(0, Duration::as_secs);
    say(&format!("gone {} {longest}", held.len()));
    told().await;
}

/// They open a session of Engine.IO and never poll it. When they are told to they ask for it: says `gone N` for those
/// whose session is not known any more.
async fn sessions(server: SocketAddr, count: usize) {
    let sessions = begin(count, move |index| async move {
        let (_, body) = get(server, index, "/socket.io/?EIO=4&transport=polling").await;
        let opening: Value = serde_json::from_str(body.trim_start_matches('0')).expect("an opening packet");
        opening["sid"].as_str().expect("a session").to_owned()
    });
    let sessions = Arc::new(sessions.await);
    say("ready");
    told().await;
    let gone = begin(count, move |index| {
        let sessions = Arc::clone(&sessions);
        async move {
            let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", sessions[index]);
            get(server, index, &target).await.0 == 400
        }
    });
    let gone = gone.await.into_iter().filter(|gone| *gone).count();
    say(&format!("gone {gone}"));
    told().await;
}

/// They poll `live:polled` once, as members, and never again.
async fn pollers(server: SocketAddr, count: usize) {
    let target = |index: usize| format!("/poll?room=live:polled&name=p{index}");
    let first = begin(count, move |index| async move { get(server, index, &target(index)).await.0 });
    assert!(first.await.iter().all(|status| *status == 200), "every poll is answered");
    say("ready");
    told().await;
}

/// Status and body of a request on a connection of its own.
async fn get(server: SocketAddr, index: usize, target: &str) -> (u16, String) {
    let mut stream = connect(server, index, None).await;
    let head = format!("GET {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("the server is there");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").expect("a head").1.to_owned())
}

/// A WebSocket of the native protocol.
struct Client {
    stream: TcpStream,
    ws: Connection,
    heard: VecDeque<Result<Message, u16>>,
    /// Where `memory:talk` stood when it was joined.
    pos: String,
    recovered: bool,
    joined: usize,
}

/// A message; in a room without a log its offset is 0.
struct Message {
    offset: u64,
    pos: String,
}

impl Client {
    /// Opens a connection and waits until it is in all of its rooms.
    async fn open(server: SocketAddr, index: usize, buffer: Option<u32>, target: String) -> Client {
        let mut stream = connect(server, index, buffer).await;
        let host = server.to_string();
        let mut out = Vec::new();
        let request = ClientRequest { host: &host, target: &target, ..ClientRequest::default() };
        let mut handshake = ClientHandshake::new(&request, [7; 16], &mut out);
        stream.write_all(&out).await.expect("the server is there");
        let ws = Connection::new(Role::Client, &Config { mask_seed: [3; 16], ..Config::default() });
        let (heard, pos) = (VecDeque::new(), String::new());
        let mut client = Client { stream, ws, heard, pos, recovered: false, joined: 0 };
        let mut buffer = [0; 4096];
        loop {
            let n = client.stream.read(&mut buffer).await.expect("an answer");
            assert!(n > 0, "the server does not hang up");
            if let Some((_, used)) = handshake.receive(&buffer[..n]).expect("101") {
                client.take(&mut buffer[used..n]).await;
                break;
            }
        }
        while client.joined < target.matches("room=").count() {
            client.read().await;
        }
        client
    }

    /// The next message, or the code of the end; 1006 if there is none.
    async fn message(&mut self) -> Result<Message, u16> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return heard;
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        self.stream.readable().await.expect("a socket tells");
        let mut buffer = vec![0; 64 * 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => self.heard.push_back(Err(1006)),
            Ok(n) => self.take(&mut buffer[..n]).await,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.heard.push_back(Err(1006)),
        }
    }

    async fn take(&mut self, bytes: &mut [u8]) {
        let mut received = self.ws.receive(Instant::now(), bytes);
        while let Some(event) = received.poll_event() {
            match event {
                Event::Text(text) if text.starts_with("{\"type\":\"message\"") => {
                    self.heard.push_back(Ok(message(text)));
                }
                Event::Text(text) if text.starts_with("{\"type\":\"joined\"") => {
                    let joined: Value = serde_json::from_str(text).expect("an object");
                    self.joined += 1;
                    if joined["room"] == "memory:talk" {
                        self.pos = joined["pos"].as_str().expect("a ring has positions").to_owned();
                        self.recovered = joined["recovered"] == true;
                        let missed = joined["messages"].as_array().expect("a list");
                        self.heard.extend(missed.iter().map(|missed| Ok(message(&missed.to_string()))));
                    }
                }
                Event::Closed { code, .. } => self.heard.push_back(Err(code)),
                Event::Failed(failure) => panic!("the server broke a rule: {failure:?}"),
                _ => {}
            }
        }
        drop(received);
        let mut out = Vec::new();
        if self.ws.poll_transmit(&mut out) {
            // The server may be gone already; what it said last is in `heard`.
            let _ = self.stream.write_all(&out).await;
        }
    }
}

/// What is needed of a message. There are so many that reading them as JSON would be most of the test.
fn message(text: &str) -> Message {
    let after = |name: &str| text.split_once(name).map_or("", |(_, rest)| rest);
    let offset = after("\"offset\":").split([',', '}']).next().unwrap_or_default();
    let pos = after("\"pos\":\"").split('"').next().unwrap_or_default();
    Message { offset: offset.parse().unwrap_or(0), pos: pos.to_owned() }
}
