//! The least WebSocket that a benchmark needs: walk whole frames in a slice, write masked ones.

/// Opcodes of RFC 6455 section 5.2 that a benchmark meets.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One whole frame in a slice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    /// The mask of a client's frame.
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: &'a [u8],
    /// Header and payload.
    pub(crate) length: usize,
}

/// The frame at the start of `bytes`, or nothing if it is not whole yet. Fragments and extensions are not
/// looked at: neither Parlor nor a peer sends any here.
pub(crate) fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (size, mut at) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        mask = Some(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4;
    }
    let payload = bytes.get(at..at.checked_add(size)?)?;
    Some(Frame { opcode: first & 0x0f, mask, payload, length: at + size })
}

/// Appends a client's frame. The mask is zero: allowed by the wire, and the server still has to unmask.
pub(crate) fn write_masked(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_head(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Appends a server's frame.
pub(crate) fn write_plain(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn write_head(out: &mut Vec<u8>, opcode: u8, length: usize, mask_bit: u8) {
    out.push(0x80 | opcode);
    match length {
        0..126 => out.push(mask_bit | length as u8),
        126..0x1_0000 => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// How a payload carries its number: this mark, then ten digits. Nothing else that is sent has the mark.
pub(crate) const MARK: u8 = b'~';

/// A payload of `size` bytes with its number in front; the rest is filler that JSON need not escape.
pub(crate) fn payload(number: u64, size: usize) -> String {
    format!("{}{number:010}{}", char::from(MARK), "x".repeat(size.saturating_sub(11)))
}

/// The number in a received payload, wherever the server's own envelope put it.
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    let at = memchr::memchr(MARK, payload)?;
    let digits = payload.get(at + 1..at + 11)?;
    digits
        .iter()
        .try_fold(0u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// The marks and numbers of all publications in a body, however it lists them.
pub(crate) fn publications(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let places = memchr::memchr_iter(MARK, body);
    places.filter_map(|at| body.get(at..at + 11)).filter(|found| number(found).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_cut_short_it_is_not_whole() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; size];
            let (mut masked, mut plain) = (Vec::new(), Vec::new());
            write_masked(&mut masked, TEXT, &payload);
            write_plain(&mut plain, TEXT, &payload);
            let read = frame(&masked).unwrap();
            assert_eq!((read.payload, read.length, read.mask), (&payload[..], masked.len(), Some([0; 4])));
            assert_eq!(frame(&plain).unwrap().mask, None);
            for cut in [1, masked.len() - 1] {
                assert_eq!(frame(&masked[..cut]), None, "{size} cut to {cut}");
            }
        }
    }

    #[test]
    fn a_header_is_the_bytes_of_the_standard() {
        let mut out = Vec::new();
        write_masked(&mut out, TEXT, b"Hi");
        assert_eq!(out, b"\x81\x82\0\0\0\0Hi");
        assert_eq!(frame(b"\x81\x02Hi\x89\0").unwrap().length, 4);
    }

    #[test]
    fn a_number_is_found_in_any_envelope() {
        let payload = payload(42, 128);
        assert_eq!(payload.len(), 128);
        assert_eq!(number(payload.as_bytes()), Some(42));
        assert_eq!(number(format!("{{\"data\":\"{payload}\",\"time\":1}}").as_bytes()), Some(42));
        assert_eq!(number(b"{\"type\":\"published\"}"), None);
        assert_eq!(number(b"~12"), None);
    }

    #[test]
    fn all_publications_of_a_body_are_found() {
        let body = format!("[{},{}] ~s~0 ~12", payload(1, 20), payload(2, 11));
        let numbers: Vec<_> = publications(body.as_bytes()).map(number).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
    }
}
