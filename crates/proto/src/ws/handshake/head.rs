//! Reading the head of a request or a response: lines that arrive in any pieces, in linear time, within limits.

use std::ops::Range;

/// Bytes of a whole head. hyper and others allow far more; browsers with many cookies stay below half of this.
pub const MAX_HEAD: usize = 16 * 1024;
/// Bytes of one line, the request line included.
pub const MAX_LINE: usize = 8 * 1024;
/// Lines after the first; a browser sends about 15.
pub const MAX_HEADERS: usize = 64;

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The first line is longer than [`MAX_LINE`].
    FirstLineTooLong,
    /// Another line is, or all of it is longer than [`MAX_HEAD`].
    TooLong,
    TooManyHeaders,
    /// A line does not end in CR LF, is folded, or holds a control character or text that is not UTF-8.
    BadLine,
    /// The first line is not one of HTTP.
    BadFirstLine,
}

/// Takes a head line by line.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    head: Head,
    /// Where the line that is arriving began.
    line: usize,
}

/// A head that has been read. Invariant: ranges lie in `bytes` and hold UTF-8 without control characters but the tab.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
    first: Option<Span>,
    fields: Vec<(Span, Span)>,
}

/// A range of a head, which is shorter than 64 KB.
#[derive(Clone, Copy, Debug)]
struct Span(u16, u16);

impl HeadReader {
    /// Takes what arrived. At the end of the head, gives it and how many of `bytes` belong to it, and is ready for
    /// another one.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, HeadError> {
        let mut used = 0;
        loop {
            // Each byte is looked at once: what is kept has no line end.
            let rest = &bytes[used..];
            let line_end = rest.iter().position(|byte| *byte == b'\n');
            let piece = &rest[..line_end.map_or(rest.len(), |at| at + 1)];
            if self.head.bytes.len() - self.line + piece.len() > MAX_LINE {
                return Err(if self.head.first.is_none() {
                    HeadError::FirstLineTooLong
                } else {
                    HeadError::TooLong
                });
            }
            if self.head.bytes.len() + piece.len() > MAX_HEAD {
                return Err(HeadError::TooLong);
            }
            self.head.bytes.extend_from_slice(piece);
            used += piece.len();
            if line_end.is_none() {
                return Ok(None);
            }
            let line = self.line..self.head.bytes.len();
            self.line = line.end;
            if self.head.take_line(line)? {
                self.line = 0;
                return Ok(Some((std::mem::take(&mut self.head), used)));
            }
        }
    }
}

impl Head {
    pub(super) fn first(&self) -> &str {
        self.first.map_or("", |span| self.text(span))
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (self.text(*name), &self.bytes[value.range()]))
    }

    /// The value of the first header of this name, in any case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let (_, value) =
            self.fields.iter().find(|(known, _)| self.text(*known).eq_ignore_ascii_case(name))?;
        Some(self.text(*value))
    }

    fn text(&self, span: Span) -> &str {
        std::str::from_utf8(&self.bytes[span.range()]).unwrap_or_default()
    }

    /// Takes a line with its end; `true` if it is the empty one that ends the head.
    fn take_line(&mut self, range: Range<usize>) -> Result<bool, HeadError> {
        // RFC 9112 section 2.2 lets a bare LF pass; nothing that speaks WebSocket sends it, and it hides attacks.
        let line = self.bytes[range.clone()].strip_suffix(b"\r\n").ok_or(HeadError::BadLine)?;
        let text = std::str::from_utf8(line).map_err(|_| HeadError::BadLine)?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(HeadError::BadLine);
        }
        if self.first.is_none() {
            // Section 2.2 again: an empty line before the first is ignored.
            if !line.is_empty() {
                self.first = Some(Span::new(range.start, line.len()));
            }
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        if self.fields.len() == MAX_HEADERS {
            return Err(HeadError::TooManyHeaders);
        }
        // A folded line begins with a blank, and so has no name; nor may one stand before the colon (section 5.1).
        let (name, value) = text.split_once(':').ok_or(HeadError::BadLine)?;
        if !super::is_token(name) {
            return Err(HeadError::BadLine);
        }
        let blanks = value.len() - value.trim_start_matches([' ', '\t']).len();
        let value = value.trim_matches([' ', '\t']);
        let value_at = range.start + name.len() + 1 + blanks;
        let value = Span::new(value_at, value.len());
        self.fields.push((Span::new(range.start, name.len()), value));
        Ok(false)
    }
}

impl Span {
    /// Offsets are below [`MAX_HEAD`], so they fit.
    fn new(start: usize, len: usize) -> Span {
        Span(start as u16, (start + len) as u16)
    }

    fn range(self) -> Range<usize> {
        self.0.into()..self.1.into()
    }
}

/// `(1, 1)` for `HTTP/1.1`.
pub(super) fn http_version(word: &str) -> Option<(u8, u8)> {
    match word.as_bytes() {
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            Some((major - b'0', minor - b'0'))
        }
        _ => None,
    }
}
