//! The head of a request, read before hyper is there for it: hyper has 16 KB for every connection from its first byte on,
//! and whoever owes a head shall not hold them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use parlor_proto::limits::{HEAD_TIMEOUT, HEADERS_BYTES, REQUEST_LINE};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::timeout;

/// As much as hyper would take. What is longer is handed on, and hyper says so.
pub(crate) const MOST: usize = REQUEST_LINE + HEADERS_BYTES;

/// Read at once, from the stack.
const CHUNK: usize = 4 * 1024;

/// Reads behind what has come until that can be answered, and gives it: a whole head, with what came behind it, or what
/// will never be one. `None`: it did not come in time, or everything stops.
pub(crate) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut come: Vec<u8>,
    stopping: &mut watch::Receiver<bool>,
) -> Option<Vec<u8>> {
    if come.len() >= MOST || is_answerable(&come, 0) {
        return Some(come);
    }
    let answerable = poll_fn(|cx| poll_answerable(stream, &mut come, cx));
    let answerable = tokio::select! {
        answerable = timeout(HEAD_TIMEOUT, answerable) => answerable.unwrap_or(false),
        _ = stopping.wait_for(|stopping| *stopping) => false,
    };
    answerable.then_some(come)
}

/// `false`: the peer is gone.
fn poll_answerable<S: AsyncRead + Unpin>(
    stream: &mut S,
    come: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<bool> {
    loop {
        let mut chunk = [0; CHUNK];
        let mut chunk = ReadBuf::new(&mut chunk);
        let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut chunk));
        if read.is_err() || chunk.filled().is_empty() {
            return Poll::Ready(false);
        }
        let seen = come.len();
        come.extend_from_slice(chunk.filled());
        if come.len() >= MOST || is_answerable(come, seen) {
            return Poll::Ready(true);
        }
    }
}

/// Whether a head ends behind the first `seen` bytes, or there is a byte among the rest that no head has: a wrong
/// protocol hears that at once. As in hyper, a line may end without CR, and empty lines may stand before the first one
/// (RFC 9112 section 2.2).
fn is_answerable(come: &[u8], seen: usize) -> bool {
    let begin = come.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(come.len());
    // What nearly every request ends with.
    if begin < come.len() && come.ends_with(b"\r\n\r\n") {
        return true;
    }
    // The last of the three may be the first that is new.
    let unread = &come[begin.max(seen.saturating_sub(2)).min(come.len())..];
    let ends =
        |(at, _): (usize, &u8)| unread[at..].starts_with(b"\n\n") || unread[at..].starts_with(b"\n\r\n");
    let is_foreign = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\n' | b'\t');
    unread.iter().any(is_foreign) || unread.iter().enumerate().filter(|(_, byte)| **byte == b'\n').any(ends)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// What is read of bytes that come in pieces of each size, before the peer ends; `None` if it is no head.
    #[track_caller]
    fn check(bytes: &[u8], expected: Option<usize>) {
        for size in [1, 2, 3, 7, bytes.len()] {
            let (mut come, mut whole) = (Vec::new(), None);
            for piece in bytes.chunks(size) {
                let seen = come.len();
                come.extend_from_slice(piece);
                if whole.is_none() && is_answerable(&come, seen) {
                    whole = Some(come.len());
                }
            }
            let expected = expected.map(|at| at.div_ceil(size) * size).map(|at| at.min(bytes.len()));
            assert_eq!(whole, expected, "{:?} in pieces of {size}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_head_ends_with_an_empty_line_however_it_comes() {
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(27));
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nand its body", Some(27));
        check(b"GET / HTTP/1.1\nHost: a\n\n", Some(24));
        check(b"GET / HTTP/1.1\nHost: a\n\r\n", Some(25));
        check(b"\r\n\r\n\nGET / HTTP/1.1\r\n\r\n", Some(23));
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(18));
        check(b"GET / HTTP/1.1\r\nHost: a\r\n", None);
        check(b"GET / HTTP/1.1\r\nHost: a\r\nX: \t\xc3\xa4\r\n", None);
        check(b"\r\n\r\n\r\n\n\n", None);
    }

    #[test]
    fn what_is_no_request_is_handed_on_at_once() {
        // The beginning of TLS.
        check(b"\x16\x03\x01\x02\x00\x01", Some(1));
        check(b"GET /\0 HTTP/1.1\r\n", Some(6));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_on_too_slowly_or_when_all_stops_is_given_up() {
        let (stop, stopping) = watch::channel(false);
        for (wait, expected) in [(0.9, Some("GET / HTTP/1.1\r\n\r\n")), (1.1, None)] {
            let (mut ours, mut theirs) = duplex(64);
            let mut stopping = stopping.clone();
            let reading = tokio::spawn(async move { read(&mut ours, Vec::new(), &mut stopping).await });
            theirs.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            tokio::time::sleep(HEAD_TIMEOUT.mul_f32(wait)).await;
            let _ = theirs.write_all(b"\r\n").await;
            assert_eq!(reading.await.unwrap().as_deref(), expected.map(str::as_bytes));
        }
        let (mut ours, _theirs) = duplex(64);
        stop.send(true).unwrap();
        assert_eq!(read(&mut ours, Vec::new(), &mut stopping.clone()).await, None);
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_handed_on_to_be_refused() {
        let (mut ours, mut theirs) = duplex(2 * MOST);
        let (_stop, mut stopping) = watch::channel(false);
        theirs.write_all(&vec![b'a'; MOST + 1]).await.unwrap();
        assert!(read(&mut ours, Vec::new(), &mut stopping).await.is_some_and(|come| come.len() >= MOST));
    }
}
