//! A client that polls over HTTP: which request follows which answer, and the packets in an answer.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail};

/// Stands between the packets of one body (Engine.IO 4).
const SEPARATOR: u8 = 0x1e;

/// One session over one line: at most one request is under way, a POST before the next GET.
#[derive(Debug)]
pub(crate) struct Poller {
    /// Path and query; the session's name is appended once there is one.
    target: String,
    named: bool,
    /// Packets to post before the next poll.
    due: Vec<u8>,
}

impl Poller {
    pub(crate) fn new(target: &str) -> Self {
        Poller { target: target.into(), named: false, due: Vec::new() }
    }

    /// Takes the session's name from the packet that opens it.
    pub(crate) fn hear(&mut self, packet: &[u8]) {
        let Some(open) = packet.strip_prefix(b"0").filter(|_| !self.named) else { return };
        let open: serde_json::Value = serde_json::from_slice(open).unwrap_or_default();
        // Without one the next request opens a session again, and the swarm sees that nobody becomes ready.
        if let Some(sid) = open["sid"].as_str() {
            self.target = format!("{}&sid={sid}", self.target);
            self.named = true;
        }
    }

    /// Posts a packet before the next poll.
    pub(crate) fn say(&mut self, packet: &[u8]) {
        if !self.due.is_empty() {
            self.due.push(SEPARATOR);
        }
        self.due.extend_from_slice(packet);
    }

    pub(crate) fn request(&mut self, host: &str) -> Vec<u8> {
        let target = &self.target;
        if self.due.is_empty() {
            return format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        }
        let length = self.due.len();
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.append(&mut self.due);
        request
    }
}

/// One whole answer at the start of a slice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) body: Cow<'a, [u8]>,
    /// Head and body as they came.
    pub(crate) length: usize,
}

impl Answer<'_> {
    pub(crate) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.body.split(|byte| *byte == SEPARATOR)
    }
}

/// The answer at the start of `bytes`, nothing if it is not whole yet, an error unless it is a 200.
pub(crate) fn answer(bytes: &[u8]) -> Result<Option<Answer<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    if response.code != Some(200) {
        bail!("{}", String::from_utf8_lossy(bytes));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let Some(length) = length else {
        return Ok(chunked(&bytes[head..])?
            .map(|(body, length)| Answer { body: Cow::Owned(body), length: head + length }));
    };
    let length: usize = std::str::from_utf8(length.value)?.parse().context("a length that is no number")?;
    let body = head.checked_add(length).and_then(|end| bytes.get(head..end));
    Ok(body.map(|body| Answer { body: Cow::Borrowed(body), length: head + length }))
}

/// A body in chunks (RFC 9112 section 7.1) and its length as it came; trailers are not expected.
fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let size = httparse::parse_chunk_size(&bytes[at..]).ok().context("neither a length nor chunks")?;
        let httparse::Status::Complete((head, size)) = size else { return Ok(None) };
        let start = at + head;
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let chunk =
            end.and_then(|end| Some((end, bytes.get(start..end)?, bytes.get(end..end.checked_add(2)?)?)));
        let Some((end, chunk, _)) = chunk else { return Ok(None) };
        at = end + 2;
        if chunk.is_empty() {
            return Ok(Some((body, at)));
        }
        body.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_opened_connected_and_polled() {
        let mut poller = Poller::new("/socket.io/?EIO=4&transport=polling");
        let asked = |poller: &mut Poller| String::from_utf8(poller.request("a")).unwrap();
        assert_eq!(asked(&mut poller), "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: a\r\n\r\n");
        poller.hear(br#"0{"sid":"x-1","upgrades":[]}"#);
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
    fn an_answer_is_read_whole_or_not_at_all() {
        let rows: [(&[u8], &[&[u8]]); 3] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n2\x1e4ab", &[b"2", b"4ab"]),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", &[b""]),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n2\x1e\r\n3\r\n4ab\r\n0\r\n\r\n",
                &[b"2", b"4ab"],
            ),
        ];
        for (whole, packets) in rows {
            let mut two = whole.to_vec();
            two.extend_from_slice(b"HTTP/1.1 200");
            let read = answer(&two).unwrap().unwrap();
            assert_eq!(read.length, whole.len());
            assert_eq!(read.packets().collect::<Vec<_>>(), packets);
            for cut in 0..whole.len() {
                assert_eq!(answer(&whole[..cut]).unwrap(), None, "cut to {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_200_and_what_has_no_end_is_an_error() {
        let refusal = answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno").unwrap_err();
        assert!(refusal.to_string().contains("400"), "{refusal}");
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\nbody").is_err());
        assert!(answer(b"SSH-2.0-x\r\n").is_err());
    }
}
