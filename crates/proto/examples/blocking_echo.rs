//! How to drive the WebSocket machine: an echo server of one thread per connection over `std::net`.
//!
//! `cargo run --release -p parlor-proto --example blocking_echo -- --listen 127.0.0.1:9001`
//!
//! `--client ADDR [CASES]` is the other role: it runs the cases of Autobahn's fuzzing server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use parlor_proto::ws::deflate::{self, Offer, Settings};
use parlor_proto::ws::handshake::{ClientHandshake, ClientRequest, Request, RequestReader, write_response};
use parlor_proto::ws::{Config, Connection, Event, Kind, Role, State};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--listen", address] => serve(address),
        ["--client", address] => run_cases(address),
        _ => {
            eprintln!("usage: blocking_echo --listen ADDR | --client ADDR");
            std::process::exit(2);
        }
    }
}

/// Limits and choices of a connection here; the fuzzing client sends messages of 16 MB in up to 262,144 fragments.
fn config() -> Config {
    Config {
        max_message: 16 * 1024 * 1024,
        max_fragments: 1024 * 1024,
        compress_from: 0,
        ..Config::default()
    }
}

// The server.

fn serve(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on http://{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            if let Err(error) = accept(stream) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn accept(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = Vec::new();
    let mut reader = RequestReader::new();
    let (request, early): (Request, Vec<u8>) = loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        match reader.receive(&buffer[..read]) {
            Ok(None) => {}
            // What follows the head are the first frames.
            Ok(Some((request, used))) => break (request, buffer[used..read].to_vec()),
            Err(rejection) => {
                rejection.write_response(&mut out);
                return stream.write_all(&out);
            }
        }
    };
    let accepted = match request.check() {
        Ok(accepted) => accepted,
        Err(rejection) => {
            rejection.write_response(&mut out);
            return stream.write_all(&out);
        }
    };
    let settings = Settings {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    let agreement = deflate::accept(&accepted.deflate, &settings);
    write_response(&accepted, None, agreement.as_ref(), &[], &mut out);
    stream.write_all(&out)?;

    let conn = Connection::new(Role::Server, &Config { deflate: agreement, ..config() });
    drive(conn, stream, early, echo)
}

/// What is done with a message, and whether to go on.
type OnMessage = fn(&mut Connection, Kind, &[u8], &mut Vec<u8>);

fn echo(conn: &mut Connection, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    conn.write_message(kind, payload, out);
}

/// The loop that every driver has in some form: bytes in, events handled, bytes out, and the deadline.
fn drive(
    mut conn: Connection,
    mut stream: TcpStream,
    early: Vec<u8>,
    on_message: OnMessage,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut read = early.len();
    buffer[..read].copy_from_slice(&early);
    loop {
        // 1. Hand in what arrived and handle every event. Messages are lent, so they are copied to outlive this.
        let mut messages: Vec<(Kind, Vec<u8>)> = Vec::new();
        let mut received = conn.receive(Instant::now(), &mut buffer[..read]);
        while let Some(event) = received.poll_event() {
            match event {
                Event::Text(text) => messages.push((Kind::Text, text.as_bytes().to_vec())),
                Event::Binary(binary) => messages.push((Kind::Binary, binary.to_vec())),
                Event::Ping(_) | Event::Pong(_) => {}
                Event::Closed { .. } | Event::Failed(_) => {}
            }
        }
        drop(received);

        // 2. Write messages, then control frames: nothing may follow a Close frame.
        let mut out = Vec::new();
        for (kind, payload) in messages {
            on_message(&mut conn, kind, &payload, &mut out);
        }
        conn.poll_transmit(&mut out);
        stream.write_all(&out)?;

        // 3. When nothing more will be written, say so, and let the peer read it all before the socket goes.
        if conn.state() == State::Closed {
            let _ = stream.shutdown(Shutdown::Write);
        }
        if conn.is_over() {
            return Ok(());
        }

        // 4. Wait for bytes or for the deadline.
        let wait = conn.poll_timeout().map(|deadline| deadline.saturating_duration_since(Instant::now()));
        stream.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        read = match stream.read(&mut buffer) {
            Ok(0) => {
                conn.receive_eof();
                return Ok(());
            }
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                conn.handle_timeout(Instant::now());
                0
            }
            // Who has said goodbye may go without waiting for the other's answer.
            Err(_) if conn.state() != State::Open => return Ok(()),
            Err(error) => return Err(error),
        };
    }
}

// The client.

/// Runs every case of a fuzzing server and asks it to write its report.
fn run_cases(address: &str) -> io::Result<()> {
    let mut count = 0;
    for_messages(address, "/getCaseCount", |text| count = text.parse().unwrap_or(0))?;
    println!("{count} cases");
    for case in 1..=count {
        let (conn, stream, early) = connect(address, &format!("/runCase?case={case}&agent=parlor"))?;
        if let Err(error) = drive(conn, stream, early, echo) {
            eprintln!("case {case}: {error}");
        }
    }
    for_messages(address, "/updateReports?agent=parlor", |_| {})
}

/// Hands every text message of a connection to `f`, and closes politely.
fn for_messages(address: &str, target: &str, mut f: impl FnMut(&str)) -> io::Result<()> {
    let (mut conn, mut stream, mut bytes) = connect(address, target)?;
    loop {
        let mut received = conn.receive(Instant::now(), &mut bytes);
        while let Some(event) = received.poll_event() {
            if let Event::Text(text) = event {
                f(text);
            }
        }
        drop(received);
        let mut out = Vec::new();
        conn.poll_transmit(&mut out);
        stream.write_all(&out)?;
        bytes.resize(4096, 0);
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => bytes.truncate(read),
            Err(_) if conn.state() != State::Open => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn connect(address: &str, target: &str) -> io::Result<(Connection, TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut out = Vec::new();
    let offer = Offer { client_max_window_bits: Some(None), ..Offer::default() };
    let request = ClientRequest { host: address, target, deflate: Some(offer), ..ClientRequest::default() };
    let mut handshake = ClientHandshake::new(&request, random(), &mut out);
    stream.write_all(&out)?;
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((established, used)) = handshake.receive(&buffer[..read]).map_err(io::Error::other)? {
            let config = Config { deflate: established.deflate, mask_seed: random(), ..config() };
            return Ok((Connection::new(Role::Client, &config), stream, buffer[used..read].to_vec()));
        }
    }
}

/// 16 bytes from the system.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}
