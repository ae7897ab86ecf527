//! `Listener`: a plain HTTP client for streams of objects, and for single requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take before a test gives up; generous, because it is never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A response that does not end, of `/sse` or `/stream`.
#[derive(Debug)]
pub struct Listener {
    stream: BufReader<TcpStream>,
    /// The head as it came, up to the empty line.
    pub head: String,
    /// The id of the last event that had one.
    pub id: Option<String>,
    events: bool,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Answer {
    /// Reads one, with the body that it says it has unless it was asked without.
    #[track_caller]
    pub fn read(stream: &mut BufReader<TcpStream>, has_body: bool) -> Answer {
        let head = head(stream);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        if has_body {
            stream.read_exact(&mut body).expect("the whole body");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null), head }
    }
}

impl Listener {
    /// Opens `target`, with further header lines.
    pub fn open(address: SocketAddr, target: &str, headers: &[&str]) -> Listener {
        let mut stream = BufReader::new(ask(address, "GET", target, headers, ""));
        let head = head(&mut stream);
        Listener { stream, head, id: None, events: target.starts_with("/sse") }
    }

    /// The next object; `None` at the end.
    pub fn hear(&mut self) -> Option<Value> {
        let mut data = Vec::new();
        loop {
            let mut line = String::new();
            // What is cut off was not heard.
            if self.stream.read_line(&mut line).ok()? == 0 || !line.ends_with('\n') {
                return None;
            }
            let line = line.trim_end_matches('\n');
            if !self.events {
                match line {
                    "" => continue,
                    line => return Some(serde_json::from_str(line).expect("a line is an object")),
                }
            }
            match line.split_once(": ") {
                Some(("data", part)) => data.push(part.to_owned()),
                Some(("id", id)) => self.id = Some(id.to_owned()),
                _ if line.is_empty() && !data.is_empty() => {
                    return Some(serde_json::from_str(&data.join("\n")).expect("an event is an object"));
                }
                _ => {}
            }
        }
    }

    /// The next object of this type, others are skipped.
    #[track_caller]
    pub fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let heard = self.hear().unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if heard["type"] == kind {
                return heard;
            }
        }
    }

    /// Reads on until the id is this one, which events without data may set.
    #[track_caller]
    pub fn wait_for_id(&mut self) -> String {
        while self.id.is_none() {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).expect("the server writes") > 0, "the stream ended");
            self.id = line.trim_end().strip_prefix("id: ").map(str::to_owned);
        }
        self.id.clone().expect("it was waited for")
    }

    /// Everything that comes until the server ends it.
    pub fn rest(mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).expect("the server ends it");
        rest
    }
}

/// One request with a JSON answer.
#[track_caller]
pub fn request(address: SocketAddr, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
    Answer::read(&mut BufReader::new(ask(address, method, target, headers, body)), method != "HEAD")
}

fn ask(address: SocketAddr, method: &str, target: &str, headers: &[&str], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|line| head.extend([line, "\r\n"]));
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("the server reads");
    stream
}

fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).expect("the server answers") > 0, "{head}");
    }
    head
}
