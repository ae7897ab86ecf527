//! The server's answer to an opening handshake.

use super::check::{Accepted, Rejection};
use super::write_header;
use crate::ws::deflate::Agreement;

/// Appends the head of the 101 answer (RFC 6455 section 4.2.2). `protocol` must be one that the client offered;
/// `extra` are further headers, such as cookies.
pub fn write_response(
    accepted: &Accepted,
    protocol: Option<&str>,
    deflate: Option<&Agreement>,
    extra: &[(&str, &str)],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accepted.accept);
    out.extend_from_slice(b"\r\n");
    if let Some(protocol) = protocol {
        write_header(out, "Sec-WebSocket-Protocol", protocol);
    }
    if let Some(agreement) = deflate {
        write_header(out, "Sec-WebSocket-Extensions", &agreement.to_string());
    }
    for (name, value) in extra {
        write_header(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

impl Rejection {
    /// Appends the whole answer, sentence included; the connection must be closed after it.
    pub fn write_response(&self, out: &mut Vec<u8>) {
        let reason = match self.status {
            400 => "Bad Request",
            403 => "Forbidden",
            405 => "Method Not Allowed",
            414 => "URI Too Long",
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            _ => "Refused",
        };
        out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status).as_bytes());
        for (name, value) in self.headers {
            write_header(out, name, value);
        }
        if !self.headers.iter().any(|(name, _)| *name == "Connection") {
            write_header(out, "Connection", "close");
        }
        write_header(out, "Content-Type", "text/plain; charset=utf-8");
        write_header(out, "Content-Length", &(self.message.len() + 1).to_string());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.message.as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    fn accepted() -> Accepted {
        let headers: [(&str, &[u8]); 5] = [
            ("Host", b"a"),
            ("Upgrade", b"websocket"),
            ("Connection", b"Upgrade"),
            ("Sec-WebSocket-Version", b"13"),
            ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        check("GET", (1, 1), headers).unwrap()
    }

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let mut out = Vec::new();
        write_response(&accepted(), None, None, &[], &mut out);
        let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_was_chosen_stands_in_the_answer() {
        let mut out = Vec::new();
        write_response(
            &accepted(),
            Some("parlor.v1"),
            Some(&Agreement::default()),
            &[("Set-Cookie", "a=b")],
            &mut out,
        );
        let expected = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: parlor.v1\r\n\
                        Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\
                        Set-Cookie: a=b\r\n\r\n";
        assert!(String::from_utf8(out).unwrap().ends_with(expected));
    }

    #[test]
    fn a_refusal_is_a_whole_answer() {
        let mut out = Vec::new();
        check("POST", (1, 1), []).unwrap_err().write_response(&mut out);
        let expected = "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\n\
                        Content-Type: text/plain; charset=utf-8\r\nContent-Length: 27\r\n\r\n\
                        WebSocket begins with GET.\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
