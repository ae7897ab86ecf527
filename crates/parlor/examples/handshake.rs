//! The handshake and the frames by hand: `std::net`, a thread for each client, and the machines of `parlor_proto`.
//! Prints what it decodes and sends messages back. The page at `/` does the client's side in a browser.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use parlor_proto::limits::WRITE_STALL;
use parlor_proto::ws::handshake::{FOREIGN, page};
use parlor_proto::ws::{Config, ServerConnection};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:8002")]
    listen: SocketAddr,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(Options::parse().listen)?;
    println!("listening on http://{}", listener.local_addr()?);
    let clients = Arc::new(());
    loop {
        let client = Arc::clone(&clients);
        match listener.accept() {
            // Each has a thread, and there are 200; whoever comes on top of them is let go at once.
            Ok((stream, address)) if Arc::strong_count(&clients) <= 1 + 200 => {
                // Without memory for a thread, this drops the stream and nobody else's.
                let _ = std::thread::Builder::new().spawn(move || (serve(stream, address), client));
            }
            Ok(_) => {}
            // No more files can be opened, or this client has gone already: try again soon.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn serve(mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_STALL))?;
    let mut conn = ServerConnection::new(Instant::now(), &Config::default());
    let (mut bytes, mut out) = (vec![0; 64 * 1024], Vec::new());
    while let Some(wait) = conn.poll_wait(Instant::now()) {
        stream.set_read_timeout(Some(wait))?;
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => conn.receive(Instant::now(), &mut bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => conn.handle_timeout(Instant::now()),
            Err(error) => return Err(error),
        }
        match conn.poll_request() {
            Some(request) if request.is_plain() && request.target() == "/" => {
                // A number that nobody can guess names the page's own script and style.
                conn.respond(&page(include_str!("handshake.html"), RandomState::new().hash_one("page")));
            }
            Some(request) if request.is_from_elsewhere() => conn.reject(&FOREIGN),
            Some(request) => conn.accept(Instant::now(), &request),
            None => {}
        }
        // Half a frame, or three of them at once, are all the same.
        while let Some(arrived) = conn.poll_event() {
            let _ = writeln!(io::stdout(), "{address}: {arrived:?}");
            if let Some((kind, payload)) = arrived.message() {
                conn.send(kind, payload);
            }
        }
        conn.poll_transmit(&mut out);
        stream.write_all(&out)?;
        if conn.is_closed() {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
    Ok(())
}
