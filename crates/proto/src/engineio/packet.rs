//! Packets: one digit that says what it is, then data.

/// What a packet is; the digit on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The session's parameters, from the server.
    Open = b'0',
    /// The session ends.
    Close = b'1',
    Ping = b'2',
    Pong = b'3',
    Message = b'4',
    /// The client goes on with this transport.
    Upgrade = b'5',
    /// Nothing: the answer that lets a waiting poll go.
    Noop = b'6',
}

/// A packet of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub kind: Kind,
    pub data: &'a str,
}

/// It begins with no known digit, or is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPacket;

impl<'a> Packet<'a> {
    pub fn parse(text: &'a str) -> Result<Packet<'a>, BadPacket> {
        let kind = match text.as_bytes().first() {
            Some(b'0') => Kind::Open,
            Some(b'1') => Kind::Close,
            Some(b'2') => Kind::Ping,
            Some(b'3') => Kind::Pong,
            Some(b'4') => Kind::Message,
            Some(b'5') => Kind::Upgrade,
            Some(b'6') => Kind::Noop,
            _ => return Err(BadPacket),
        };
        Ok(Packet { kind, data: &text[1..] })
    }

    /// Appends it as the text of a WebSocket frame or a record of a payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(self.data.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Kind, &str)>) {
        let packet = Packet::parse(text);
        assert_eq!(packet.ok(), expected.map(|(kind, data)| Packet { kind, data }), "{text}");
        if let Ok(packet) = packet {
            let mut out = Vec::new();
            packet.write(&mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn the_first_character_says_what_a_packet_is() {
        check("0{}", Some((Kind::Open, "{}")));
        check("1", Some((Kind::Close, "")));
        check("2probe", Some((Kind::Ping, "probe")));
        check("3probe", Some((Kind::Pong, "probe")));
        check("4hello€", Some((Kind::Message, "hello€")));
        check("5", Some((Kind::Upgrade, "")));
        check("6", Some((Kind::Noop, "")));
        check("", None);
        check("7", None);
        check("abc", None);
        check("€", None);
    }
}
