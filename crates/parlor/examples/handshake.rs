//! The handshake and the frames by hand: `std::net`, a thread for each client, and the machines of `parlor_proto`.
//! Prints what it decodes and sends messages back. The page at `/` does the client's side in a browser.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use parlor_proto::limits::{HEAD_TIMEOUT, PONG_TIMEOUT, WRITE_STALL};
use parlor_proto::ws::handshake::{Rejection, Request, RequestReader, write_response};
use parlor_proto::ws::{Config, Connection, Event, Kind, Role, State};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8002")]
    listen: SocketAddr,
}

/// Each client has a thread; whoever comes on top of these is let go at once.
const CLIENTS: usize = 200;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(Options::parse().listen)?;
    println!("listening on http://{}", listener.local_addr()?);
    let clients = Arc::new(());
    loop {
        let (client, accepted) = (Arc::clone(&clients), listener.accept());
        match accepted {
            Ok((stream, address)) if Arc::strong_count(&clients) <= 1 + CLIENTS => {
                // Without memory for a thread, this drops the stream and nobody else's.
                let _ = std::thread::Builder::new().spawn(move || {
                    let _client = client;
                    serve(stream, address).unwrap_or_else(|error| eprintln!("{address}: {error}"));
                });
            }
            Ok(_) => {}
            // No more files can be opened, or this client has gone already: try again soon.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn serve(mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_STALL))?;
    let Some(mut bytes) = shake_hands(&mut stream)? else { return Ok(()) };
    stream.set_read_timeout(Some(PONG_TIMEOUT))?;
    let (mut conn, mut pinged) = (Connection::new(Role::Server, &Config::default()), false);
    loop {
        // What arrived becomes events: half a frame, or three of them at once, are all the same.
        let (mut replies, mut out) = (Vec::new(), Vec::new());
        let mut received = conn.receive(Instant::now(), &mut bytes);
        while let Some(event) = received.poll_event() {
            let _ = writeln!(io::stdout(), "{address}: {event:?}");
            match event {
                Event::Text(text) => replies.push((Kind::Text, text.as_bytes().to_vec())),
                Event::Binary(binary) => replies.push((Kind::Binary, binary.to_vec())),
                Event::Ping(_) | Event::Pong(_) | Event::Closed { .. } | Event::Failed(_) => {}
            }
        }
        drop(received);
        for (kind, payload) in replies {
            conn.write_message(kind, &payload, &mut out);
        }
        conn.handle_timeout(Instant::now());
        conn.poll_transmit(&mut out);
        stream.write_all(&out)?;
        if conn.state() == State::Closed {
            let _ = stream.shutdown(Shutdown::Write);
        }
        if conn.is_over() {
            return Ok(());
        }
        bytes.resize(64 * 1024, 0);
        let read = match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            // Silence: once, it is asked whether anybody is there; twice, there is nobody.
            Err(error) if error.kind() == ErrorKind::WouldBlock && !pinged => 0,
            Err(error) => return Err(error),
        };
        pinged = read == 0;
        if pinged {
            conn.ping(b"");
        }
        bytes.truncate(read);
    }
}

/// Answers the request; gives what came behind its head if the client speaks WebSocket from now on.
fn shake_hands(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let (deadline, mut reader) = (Instant::now() + HEAD_TIMEOUT, RequestReader::new());
    let (mut buffer, mut out) = ([0; 4096], Vec::new());
    let early = loop {
        // No time left is an error, which ends it.
        stream.set_read_timeout(Some(deadline.saturating_duration_since(Instant::now())))?;
        let read = stream.read(&mut buffer)?;
        match reader.receive(&buffer[..read]) {
            Ok(None) if read == 0 => return Ok(None),
            Ok(None) => {}
            Ok(Some((request, used))) => {
                break answer(&request, &mut out).map(|upgrade| upgrade.then(|| buffer[used..read].to_vec()));
            }
            Err(rejection) => break Err(rejection),
        }
    };
    let early = early.unwrap_or_else(|rejection| {
        rejection.write_response(&mut out);
        None
    });
    stream.write_all(&out)?;
    if early.is_none() {
        // What came and is not read would turn the answer into a reset.
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut stream.take(64 * 1024), &mut io::sink())?;
    }
    Ok(early)
}

/// Writes 101 or the page, and says whether it was 101.
fn answer(request: &Request, out: &mut Vec<u8>) -> Result<bool, Rejection> {
    if request.method() == "GET" && request.target() == "/" && request.header("Upgrade").is_none() {
        // A number that nobody can guess names the page's own script and style.
        let nonce = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
        let page = include_str!("handshake.html");
        let page = ["script", "style"].iter().fold(page.to_owned(), |page, name| {
            page.replace(&format!("<{name}>"), &format!("<{name} nonce=\"{nonce}\">"))
        });
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Security-Policy: default-src 'none'; script-src 'nonce-{nonce}'; \
             style-src 'nonce-{nonce}'; connect-src 'self' ws: wss:; img-src data:; base-uri 'none'\r\n\r\n",
            page.len()
        );
        out.extend_from_slice((head + &page).as_bytes());
        return Ok(false);
    }
    let accepted = request.check()?;
    // A browser says whose page it is. Those of this machine are as good as our own.
    let foreign = request.header("Origin").is_some_and(|origin| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let name = host.split(':').next().unwrap_or_default();
        Some(host) != request.header("Host") && !["127.0.0.1", "localhost"].contains(&name)
    });
    if foreign {
        let message = "Pages of other servers may not connect here.";
        return Err(Rejection { status: 403, headers: &[], message });
    }
    write_response(&accepted, None, None, &[], out);
    Ok(true)
}
