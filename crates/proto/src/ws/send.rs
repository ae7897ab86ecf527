//! Writing messages: one frame each, compressed if that was agreed, masked if we are the client.

use super::{Connection, Kind, frame, mask};

impl Connection {
    /// Appends `payload` as one frame, after the pings and pongs that were queued before it. `false` if nothing may
    /// be sent any more, because [`Connection::poll_transmit`] has given a Close frame (RFC 6455 section 5.5.1).
    /// Until then messages still go before it: answers to what came just ahead of the peer's Close or mistake.
    ///
    /// Text must be UTF-8; that is the caller's promise and not checked again.
    pub fn write_message(&mut self, kind: Kind, payload: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.begin_message(out) {
            return false;
        }
        let start = out.len();
        let compressed = self.compress(payload, out);
        if !compressed {
            out.reserve(frame::MAX_HEADER + payload.len());
        }
        let len = if compressed { out.len() - start } else { payload.len() };
        let key = self.keys.as_mut().map(|keys| keys.draw());
        let (header, used) = frame::header(true, compressed, kind.into(), len, key);
        if compressed {
            // The length is known only now; moving the payload up costs less than a second buffer.
            out.splice(start..start, header[..used].iter().copied());
        } else {
            out.extend_from_slice(&header[..used]);
            out.extend_from_slice(payload);
        }
        if let Some(key) = key {
            mask::apply(key, &mut out[start + used..]);
        }
        true
    }

    /// Appends `payload` compressed, if it is to be.
    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(agreement) = self.agreement else { return false };
        if payload.len() < self.compress_from as usize || !agreement.can_compress(self.role) {
            return false;
        }
        let streams = self.streams.get_or_insert_default();
        streams.compress(agreement, self.role, self.compress_level, payload, out);
        if streams.is_empty() {
            self.streams = None;
        }
        true
    }
}
