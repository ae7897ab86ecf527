//! What a server asks of a WebSocket request (RFC 6455 section 4.2.1), and what it answers to a bad one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{accept_key, elements, is_token};
use crate::ws::deflate::{self, Offer};

/// A request that may be answered with 101.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub(super) accept: [u8; 28],
    /// Subprotocols that the client offers, in its order of preference.
    pub protocols: Vec<String>,
    /// permessage-deflate as the client offers it, in its order of preference; for [`deflate::accept`].
    pub deflate: Vec<Offer>,
}

impl Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub fn accept(&self) -> &str {
        std::str::from_utf8(&self.accept).unwrap_or_default()
    }

    /// The first of the client's subprotocols that is among `ours`.
    pub fn choose_protocol<'o>(&self, ours: &[&'o str]) -> Option<&'o str> {
        self.protocols.iter().find_map(|offered| ours.iter().copied().find(|our| our == offered))
    }
}

/// Why a request is not answered with 101, and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub status: u16,
    /// Headers that the status asks for.
    pub headers: &'static [(&'static str, &'static str)],
    /// One sentence for the body.
    pub message: &'static str,
}

/// Checks a request whose head has been read. `version` is HTTP's, major and minor; header names may come in any
/// case, values as raw bytes.
///
/// An HTTP/2 request is not accepted: there, WebSocket begins with CONNECT (RFC 8441), which is not this handshake.
pub fn check<'h>(
    method: &str,
    version: (u8, u8),
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Result<Accepted, Rejection> {
    if method != "GET" {
        return Err(Rejection {
            status: 405,
            headers: &[("Allow", "GET")],
            message: "WebSocket begins with GET.",
        });
    }
    if version.0 != 1 || version.1 == 0 {
        return Err(bad("WebSocket needs HTTP/1.1."));
    }

    let mut found = Found::default();
    for (name, value) in headers {
        found.take(name, value)?;
    }
    if !found.upgrade || !found.connection {
        return Err(Rejection {
            status: 426,
            headers: &[("Upgrade", "websocket"), ("Connection", "Upgrade"), VERSION],
            message: "This is a WebSocket endpoint: the headers Upgrade: websocket and Connection: Upgrade are missing.",
        });
    }
    if found.host.is_none() {
        return Err(bad("The header Host is missing."));
    }
    if found.body {
        return Err(bad("A WebSocket request has no body."));
    }
    match found.version {
        Some(b"13") => {}
        Some(_) => {
            return Err(Rejection {
                status: 426,
                headers: &[("Upgrade", "websocket"), ("Connection", "Upgrade"), VERSION],
                message: "Only version 13 of WebSocket is spoken here.",
            });
        }
        None => return Err(bad("The header Sec-WebSocket-Version is missing.")),
    }
    let Some(key) = found.key else { return Err(bad("The header Sec-WebSocket-Key is missing.")) };
    // 16 bytes are 24 characters; looking at the length first keeps a long key from being decoded.
    if key.len() != 24 || BASE64_STANDARD.decode(key).is_err() {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64."));
    }
    Ok(Accepted { accept: accept_key(key), protocols: found.protocols, deflate: found.deflate })
}

/// The headers that matter, as far as they have been seen.
#[derive(Default)]
struct Found<'h> {
    host: Option<&'h [u8]>,
    key: Option<&'h [u8]>,
    version: Option<&'h [u8]>,
    upgrade: bool,
    connection: bool,
    body: bool,
    protocols: Vec<String>,
    deflate: Vec<Offer>,
}

impl<'h> Found<'h> {
    fn take(&mut self, name: &str, value: &'h [u8]) -> Result<(), Rejection> {
        let value = value.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // No other header begins with these letters; most requests carry a dozen that do not matter here.
        match name.as_bytes().first().map(u8::to_ascii_lowercase) {
            Some(b'h') if is("host") => {
                once(&mut self.host, value, "The header Host stands there twice.")?;
            }
            Some(b'u') if is("upgrade") => self.upgrade |= text(value)?.any_element("websocket"),
            Some(b'c') if is("connection") => self.connection |= text(value)?.any_element("upgrade"),
            Some(b'c') if is("content-length") => self.body |= value != b"0",
            Some(b't') if is("transfer-encoding") => self.body = true,
            Some(b's') if is("sec-websocket-key") => {
                once(&mut self.key, value, "The header Sec-WebSocket-Key stands there twice.")?;
            }
            Some(b's') if is("sec-websocket-version") => {
                once(&mut self.version, value, "The header Sec-WebSocket-Version stands there twice.")?;
            }
            Some(b's') if is("sec-websocket-protocol") => {
                for protocol in elements(text(value)?) {
                    if !is_token(protocol) || self.protocols.iter().any(|earlier| earlier == protocol) {
                        return Err(bad("Sec-WebSocket-Protocol is not a list of different names."));
                    }
                    if self.protocols.len() == MAX_PROTOCOLS {
                        return Err(bad("Too many subprotocols are offered."));
                    }
                    self.protocols.push(protocol.to_owned());
                }
            }
            Some(b's') if is("sec-websocket-extensions") => {
                self.deflate.extend(deflate::parse_offers(text(value)?));
                self.deflate.truncate(MAX_OFFERS);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Clients offer one or two; each is compared with all before it.
const MAX_PROTOCOLS: usize = 32;
/// Clients offer one or two.
const MAX_OFFERS: usize = 16;

const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");

trait AnyElement {
    fn any_element(&self, word: &str) -> bool;
}

impl AnyElement for str {
    fn any_element(&self, word: &str) -> bool {
        elements(self).any(|element| element.eq_ignore_ascii_case(word))
    }
}

fn once<'h>(place: &mut Option<&'h [u8]>, value: &'h [u8], twice: &'static str) -> Result<(), Rejection> {
    if place.replace(value).is_some() { Err(bad(twice)) } else { Ok(()) }
}

fn text(value: &[u8]) -> Result<&str, Rejection> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(bad("A handshake header is not ASCII.")),
    }
}

/// A 400 says which version is spoken, in case that is what is wrong (section 4.4).
fn bad(message: &'static str) -> Rejection {
    Rejection { status: 400, headers: &[VERSION], message }
}
