//! The answers to requests on a kept connection: heads, lengths, chunks.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail};

/// One whole answer at the start of a slice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) body: Cow<'a, [u8]>,
    /// `Last-Modified` and `ETag`, empty where there are none.
    pub(crate) modified: &'a str,
    pub(crate) etag: &'a str,
    /// Head and body as they came.
    pub(crate) length: usize,
}

/// The answer at the start of `bytes`, nothing if it is not whole yet, an error unless it is a 200.
pub(crate) fn answer(bytes: &[u8]) -> Result<Option<Answer<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    if response.code != Some(200) {
        bail!("{}", String::from_utf8_lossy(bytes));
    }
    let value = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| std::str::from_utf8(header.value)).transpose()
    };
    let (modified, etag) = (value("last-modified")?.unwrap_or_default(), value("etag")?.unwrap_or_default());
    let found = match value("content-length")? {
        None => chunked(&bytes[head..])?.map(|(body, length)| (Cow::Owned(body), length)),
        Some(length) => {
            let length: usize = length.parse().context("a length that is no number")?;
            let body = head.checked_add(length).and_then(|end| bytes.get(head..end));
            body.map(|body| (Cow::Borrowed(body), length))
        }
    };
    Ok(found.map(|(body, length)| Answer { body, modified, etag, length: head + length }))
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
    fn the_validators_of_an_answer_are_told() {
        let read = answer(b"HTTP/1.1 200 OK\r\nLast-Modified: Sat\r\nEtag: 3\r\nContent-Length: 0\r\n\r\n");
        let read = read.unwrap().unwrap();
        assert_eq!((read.modified, read.etag), ("Sat", "3"));
    }

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let rows: [(&[u8], &[u8]); 3] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n2\x1e4ab", b"2\x1e4ab"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n2\x1e\r\n3\r\n4ab\r\n0\r\n\r\n",
                b"2\x1e4ab",
            ),
        ];
        for (whole, body) in rows {
            let mut two = whole.to_vec();
            two.extend_from_slice(b"HTTP/1.1 200");
            let read = answer(&two).unwrap().unwrap();
            assert_eq!(read.length, whole.len());
            assert_eq!(&*read.body, body);
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
