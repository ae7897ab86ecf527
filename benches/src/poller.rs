//! A client that polls over HTTP: which request follows which answer, and what an answer holds.

use anyhow::{Context as _, Result, bail};
use memchr::memmem;

use crate::clients::Speaks;
use crate::http::Answer;
use crate::wire;

/// Stands between the packets of one body (Engine.IO 4).
const SEPARATOR: u8 = 0x1e;

/// One line that is kept: at most one request is under way on it.
#[derive(Debug)]
pub(crate) struct Poller {
    /// Path and query of the first request.
    target: String,
    place: Place,
}

/// How the next request says what has arrived.
#[derive(Debug)]
enum Place {
    /// Engine.IO: the session's name is in the target, and packets are posted before the next poll.
    Session { named: bool, due: Vec<u8> },
    /// Parlor: the cursor of the last answer.
    Cursor(String),
    /// nchan: what the last answer said of its message. The raw limit says nothing and gets nothing.
    Validators { modified: String, etag: String },
}

impl Poller {
    pub(crate) fn new(target: &str, speaks: Speaks) -> Self {
        let place = match speaks {
            Speaks::SocketIo { .. } => Place::Session { named: false, due: Vec::new() },
            Speaks::Native { .. } => Place::Cursor(String::new()),
            Speaks::Raw => Place::Validators { modified: String::new(), etag: String::new() },
        };
        Poller { target: target.into(), place }
    }

    /// Takes its place from an answer and returns the packets or publications in it.
    pub(crate) fn hear<'a>(&mut self, answer: &'a Answer<'_>) -> Result<Vec<&'a [u8]>> {
        let body = &*answer.body;
        match &mut self.place {
            Place::Session { named, .. } => {
                let packets: Vec<_> = body.split(|byte| *byte == SEPARATOR).collect();
                // Without a name the next request opens a session again, and nobody becomes ready.
                if let Some(name) = packets.iter().find_map(|packet| session(packet)).filter(|_| !*named) {
                    self.target = format!("{}&sid={name}", self.target);
                    *named = true;
                }
                Ok(packets)
            }
            Place::Cursor(cursor) => {
                if !body.ends_with(br#""recovered":true}"#) {
                    bail!("not recovered: {}", String::from_utf8_lossy(body));
                }
                // Behind the list, whatever the publications say.
                let at = memmem::rfind(body, br#"],"cursor":""#).context("an answer without a cursor")?;
                let rest = &body[at + 12..];
                let end = memchr::memchr(b'"', rest).context("a cursor without an end")?;
                *cursor = std::str::from_utf8(&rest[..end])?.into();
                Ok(wire::publications(&body[..at]).collect())
            }
            Place::Validators { modified, etag } => {
                *modified = answer.modified.into();
                *etag = answer.etag.into();
                Ok(wire::publications(body).collect())
            }
        }
    }

    /// Would nothing be missed from now on? With Engine.IO the session's packets tell.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(&self.place, Place::Cursor(cursor) if !cursor.is_empty())
    }

    /// Posts a packet before the next poll.
    pub(crate) fn say(&mut self, packet: &[u8]) {
        if let Place::Session { due, .. } = &mut self.place {
            if !due.is_empty() {
                due.push(SEPARATOR);
            }
            due.extend_from_slice(packet);
        }
    }

    pub(crate) fn request(&mut self, host: &str) -> Vec<u8> {
        let target = &self.target;
        let get = |target: &str, more: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").into_bytes()
        };
        match &mut self.place {
            Place::Session { due, .. } if !due.is_empty() => {
                let length = due.len();
                let mut request = format!(
                    "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain;charset=UTF-8\r\n\
                     Content-Length: {length}\r\n\r\n"
                )
                .into_bytes();
                request.append(due);
                request
            }
            Place::Cursor(cursor) if !cursor.is_empty() => get(&format!("{target}&cursor={cursor}"), ""),
            Place::Validators { modified, etag } if !modified.is_empty() => {
                get(target, &format!("If-Modified-Since: {modified}\r\nIf-None-Match: {etag}\r\n"))
            }
            _ => get(target, ""),
        }
    }
}

/// The session's name in the packet that opens it.
fn session(packet: &[u8]) -> Option<String> {
    let open: serde_json::Value = serde_json::from_slice(packet.strip_prefix(b"0")?).ok()?;
    Some(open["sid"].as_str()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    fn asked(poller: &mut Poller) -> String {
        String::from_utf8(poller.request("a")).unwrap()
    }

    fn hear(poller: &mut Poller, head: &str, body: &str) -> Vec<String> {
        let whole = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
        let answer = http::answer(whole.as_bytes()).unwrap().unwrap();
        let heard = poller.hear(&answer).unwrap();
        heard.into_iter().map(|packet| String::from_utf8(packet.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_session_is_opened_connected_and_polled() {
        let mut poller =
            Poller::new("/socket.io/?EIO=4&transport=polling", Speaks::SocketIo { event: "publish" });
        assert_eq!(asked(&mut poller), "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n");
        let packets = hear(&mut poller, "", "0{\"sid\":\"x-1\",\"upgrades\":[]}\u{1e}2");
        assert_eq!(packets, ["0{\"sid\":\"x-1\",\"upgrades\":[]}", "2"]);
        poller.say(b"40");
        assert_eq!(
            asked(&mut poller),
            "POST /socket.io/?EIO=4&transport=polling&sid=x-1 HTTP/1.1\r\nHost: a\r\n\
             Content-Type: text/plain;charset=UTF-8\r\nContent-Length: 2\r\n\r\n40"
        );
        let poll = "GET /socket.io/?EIO=4&transport=polling&sid=x-1 HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(asked(&mut poller), poll);
        poller.say(b"3");
        poller.say(b"3");
        assert!(asked(&mut poller).ends_with("Content-Length: 3\r\n\r\n3\x1e3"));
    }

    #[test]
    fn a_poller_of_parlor_goes_on_from_its_cursor() {
        let mut poller = Poller::new("/poll?room=live:b", Speaks::Native { room: "live:b" });
        assert_eq!(asked(&mut poller), "GET /poll?room=live:b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(!poller.has_begun());
        let first = r#"{"messages":[],"cursor":"k.1.0~s~0","session":"s","recovered":true}"#;
        assert!(hear(&mut poller, "", first).is_empty());
        assert!(poller.has_begun());
        let next = "GET /poll?room=live:b&cursor=k.1.0~s~0 HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(asked(&mut poller), next);
        let two = r#"{"messages":[{"data":"~0000000001x"},{"data":"~0000000002x"}],"cursor":"k.3.0~s~1","recovered":true}"#;
        assert_eq!(hear(&mut poller, "", two), ["~0000000001", "~0000000002"]);
        assert!(asked(&mut poller).contains("&cursor=k.3.0~s~1 "));
        let lost = b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n{\"messages\":[],\"cursor\":\"k\",\"recovered\":false}";
        let answer = http::answer(lost).unwrap().unwrap();
        assert!(poller.hear(&answer).is_err());
    }

    #[test]
    fn a_poller_of_nchan_shows_the_validators_of_its_last_message() {
        let mut poller = Poller::new("/poll", Speaks::Raw);
        assert_eq!(asked(&mut poller), "GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        let told = hear(&mut poller, "Last-Modified: Sat\r\nEtag: 3\r\n", "~0000000007xx");
        assert_eq!(told, ["~0000000007"]);
        assert_eq!(
            asked(&mut poller),
            "GET /poll HTTP/1.1\r\nHost: a\r\nIf-Modified-Since: Sat\r\nIf-None-Match: 3\r\n\r\n"
        );
    }
}
