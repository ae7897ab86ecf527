//! Frame headers (RFC 6455 section 5.2): the bytes in front of every payload, read and written.

use super::{Failure, Kind, Role};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    /// Close, Ping and Pong: frames that may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }

    fn from_bits(bits: u8) -> Option<Opcode> {
        Some(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Opcode {
        match kind {
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        }
    }
}

/// The most that a control frame carries (section 5.5).
pub const MAX_CONTROL: usize = 125;
/// The longest header: two bytes, eight of length, four of mask.
pub const MAX_HEADER: usize = 14;

/// Bytes of an unmasked header in front of a payload of `len` bytes: 2, 4 or 10. A mask adds four.
pub const fn header_len(len: usize) -> usize {
    match len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// Appends an unmasked header, as servers send them. `rsv1` marks a compressed message (RFC 7692).
pub fn write_header(out: &mut Vec<u8>, fin: bool, rsv1: bool, opcode: Opcode, len: usize) {
    let (header, used) = header(fin, rsv1, opcode, len, None);
    out.extend_from_slice(&header[..used]);
}

/// Appends a whole unmasked, uncompressed message: what a fan-out encodes once and sends to every subscriber.
pub fn write_message(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    out.reserve(header_len(payload.len()) + payload.len());
    write_header(out, true, false, kind.into(), payload.len());
    out.extend_from_slice(payload);
}

/// A header and how many of its bytes count.
pub(crate) fn header(
    fin: bool,
    rsv1: bool,
    opcode: Opcode,
    len: usize,
    key: Option<[u8; 4]>,
) -> ([u8; MAX_HEADER], usize) {
    let mut bytes = [0; MAX_HEADER];
    bytes[0] = (u8::from(fin) << 7) | (u8::from(rsv1) << 6) | opcode as u8;
    let mut used = header_len(len);
    match used {
        2 => bytes[1] = len as u8,
        4 => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if let Some(key) = key {
        bytes[1] |= 0x80;
        bytes[used..used + 4].copy_from_slice(&key);
        used += 4;
    }
    (bytes, used)
}

/// A header that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: Opcode,
    /// The masking key; zero, which changes nothing, in frames from a server.
    pub key: [u8; 4],
    /// Bytes of payload that the peer announces. Nothing is allocated because of it.
    pub len: u64,
}

impl Header {
    /// Reads a header from the front of `bytes` and says how long it is; `None` if it is not all there.
    ///
    /// What is wrong is said at the first byte that shows it. `role` is ours: a server takes masked frames only,
    /// a client unmasked ones only (section 5.1).
    pub fn parse(bytes: &[u8], role: Role) -> Result<Option<(Header, usize)>, Failure> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(Failure::ReservedBits);
        }
        let fin = first & 0x80 != 0;
        let opcode = Opcode::from_bits(first & 0x0f).ok_or(Failure::ReservedOpcode)?;
        if opcode.is_control() && !fin {
            return Err(Failure::FragmentedControl);
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let masked = second & 0x80 != 0;
        match (role, masked) {
            (Role::Server, false) => return Err(Failure::Unmasked),
            (Role::Client, true) => return Err(Failure::Masked),
            _ => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && short as usize > MAX_CONTROL {
            return Err(Failure::LongControl);
        }

        let (len, mut used) = match short {
            126 => {
                let Some(&bytes) = bytes[2..].first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(bytes)), 4)
            }
            127 => {
                let Some(&bytes) = bytes[2..].first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(bytes), 10)
            }
            _ => (u64::from(short), 2),
        };
        // Section 5.2: the shortest form must be used, and the highest bit of a long one must be 0.
        if (short == 126 && len < 126) || (short == 127 && (len <= 0xffff || len >> 63 != 0)) {
            return Err(Failure::BadLength);
        }

        let mut key = [0; 4];
        if masked {
            let Some(&bytes) = bytes[used..].first_chunk() else { return Ok(None) };
            key = bytes;
            used += 4;
        }
        Ok(Some((Header { fin, rsv1: first & 0x40 != 0, opcode, key, len }, used)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_written_in_their_shortest_form() {
        fn check(fin: bool, rsv1: bool, opcode: Opcode, len: usize, expected: &[u8]) {
            let mut out = Vec::new();
            write_header(&mut out, fin, rsv1, opcode, len);
            assert_eq!(out, expected);
            assert_eq!(out.len(), header_len(len));
        }
        check(true, false, Opcode::Text, 0, b"\x81\x00");
        check(true, false, Opcode::Binary, 125, b"\x82\x7d");
        check(true, true, Opcode::Text, 126, b"\xc1\x7e\x00\x7e");
        check(false, false, Opcode::Continuation, 0xffff, b"\x00\x7e\xff\xff");
        check(false, false, Opcode::Binary, 0x1_0000, b"\x02\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
        check(true, false, Opcode::Close, 2, b"\x88\x02");
    }

    #[test]
    fn a_header_is_read_once_all_of_it_is_there() {
        fn check(bytes: &[u8], role: Role, opcode: Opcode, len: u64, key: [u8; 4]) {
            for cut in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..cut], role), Ok(None), "cut at {cut}");
            }
            let header = Header { fin: true, rsv1: false, opcode, key, len };
            let longer = [bytes, b"payload"].concat();
            assert_eq!(Header::parse(&longer, role), Ok(Some((header, bytes.len()))));
        }
        let key = *b"abcd";
        check(b"\x81\x85abcd", Role::Server, Opcode::Text, 5, key);
        check(b"\x82\xfe\x00\x7eabcd", Role::Server, Opcode::Binary, 126, key);
        check(
            b"\x82\xff\x3f\xff\xff\xff\xff\xff\xff\xffabcd",
            Role::Server,
            Opcode::Binary,
            (1 << 62) - 1,
            key,
        );
        check(b"\x8a\x7d", Role::Client, Opcode::Pong, 125, [0; 4]);
        check(b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", Role::Client, Opcode::Text, 65_536, [0; 4]);
    }

    #[test]
    fn bad_headers_fail_at_the_first_byte_that_shows_it() {
        fn check(bytes: &[u8], role: Role, expected: Failure) {
            let before = &bytes[..bytes.len() - 1];
            assert_eq!(Header::parse(before, role), Ok(None), "{bytes:?} is not wrong yet");
            assert_eq!(Header::parse(bytes, role), Err(expected), "{bytes:?}");
        }
        check(b"\xa1", Role::Server, Failure::ReservedBits);
        check(b"\x91", Role::Server, Failure::ReservedBits);
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode], Role::Server, Failure::ReservedOpcode);
        }
        check(b"\x09", Role::Server, Failure::FragmentedControl);
        check(b"\x81\x05", Role::Server, Failure::Unmasked);
        check(b"\x81\x85", Role::Client, Failure::Masked);
        check(b"\x89\xfe", Role::Server, Failure::LongControl);
        check(b"\x88\x7f", Role::Client, Failure::LongControl);
        check(b"\x81\xfe\x00\x7d", Role::Server, Failure::BadLength);
        check(b"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", Role::Client, Failure::BadLength);
        check(b"\x81\xff\x80\x00\x00\x00\x00\x01\x00\x00", Role::Server, Failure::BadLength);
    }
}
