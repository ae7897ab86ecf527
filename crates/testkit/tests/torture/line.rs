//! `Line`: bytes from a server on a network that cannot be trusted: what does not come in time is the end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No request takes longer on a network that works.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) struct Line {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Why nothing more comes.
pub(crate) enum Quiet {
    /// Not now.
    Yet,
    /// Never again.
    Over,
}

impl Line {
    /// Asks for something and reads the answer's head; `None`: that was not to be.
    pub(crate) fn ask(
        address: SocketAddr,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Option<(Line, String)> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        let mut line = Line { stream, buffer: Vec::new() };
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        line.stream.write_all(head.as_bytes()).ok()?;
        let deadline = Instant::now() + PATIENCE;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match line.next(Duration::from_millis(500)) {
                Ok(text) => head = head + &text + "\n",
                Err(Quiet::Yet) if Instant::now() < deadline => {}
                Err(_) => return None,
            }
        }
        Some((line, head))
    }

    /// The next line without its end.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<String, Quiet> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return String::from_utf8(line[..end].to_vec()).map_err(|_| Quiet::Over);
            }
            self.fill(patience)?;
        }
    }

    fn fill(&mut self, patience: Duration) -> Result<(), Quiet> {
        let mut buffer = [0; 16 * 1024];
        self.stream.set_read_timeout(Some(patience)).map_err(|_| Quiet::Over)?;
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(Quiet::Over),
            Ok(count) => {
                self.buffer.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Quiet::Yet)
            }
            Err(_) => Err(Quiet::Over),
        }
    }

    fn body(mut self, length: usize, patience: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        while self.buffer.len() < length {
            match self.fill(Duration::from_millis(500)) {
                Ok(()) => {}
                Err(Quiet::Yet) if Instant::now() < deadline => {}
                Err(_) => return None,
            }
        }
        Some(self.buffer)
    }
}

/// One request, answered whole or not at all.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Option<(u16, String)> {
    let headers = format!("{headers}Connection: close\r\n");
    let (line, head) = Line::ask(address, method, target, &headers, body)?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?;
    let body = line.body(length, PATIENCE)?;
    Some((status, String::from_utf8(body).ok()?))
}

/// The same with an answer in JSON.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Option<(u16, Value)> {
    let (status, body) = request(address, method, target, headers, body)?;
    Some((status, serde_json::from_str(&body).ok()?))
}
