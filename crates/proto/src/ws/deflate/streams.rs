//! The deflate streams of one connection (RFC 7692 section 7.2), and a compressor that many connections share.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Agreement, LEVEL, MAX_BITS, MIN_COMPRESS_BITS, SHARED_BITS};
use crate::ws::{Failure, Role};

/// What a connection keeps for compression. With "no context takeover" both ways it is empty between messages.
#[derive(Debug, Default)]
pub(in crate::ws) struct Streams {
    compressor: Option<Compressor>,
    inflate: Option<Decompress>,
}

impl Streams {
    pub(in crate::ws) fn is_empty(&self) -> bool {
        self.compressor.is_none() && self.inflate.is_none()
    }

    /// Appends `payload` as the compressed content of one message.
    pub(in crate::ws) fn compress(
        &mut self,
        agreement: Agreement,
        role: Role,
        level: u8,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        let bits = agreement.window_bits(role);
        self.compressor.get_or_insert_with(|| Compressor::new(bits, level)).compress_on(payload, out);
        if !agreement.context_takeover(role) {
            self.compressor = None;
        }
    }

    /// Inflates a piece of a message and hands the content on, chunk by chunk, so that a limit in `push` ends a
    /// message that inflates to more than it may while no more than a chunk of it exists.
    pub(in crate::ws) fn inflate(
        &mut self,
        agreement: Agreement,
        role: Role,
        piece: &[u8],
        ends: bool,
        push: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let sender = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        // A wider window reads what was written with a narrower one; zlib has none of 8 bits here.
        let bits = agreement.window_bits(sender).max(MIN_COMPRESS_BITS);
        let stream = self.inflate.get_or_insert_with(|| Decompress::new_with_window_bits(false, bits));
        inflate(stream, piece, push)?;
        if ends {
            inflate(stream, TAIL, push)?;
            if !agreement.context_takeover(sender) {
                self.inflate = None;
            }
        }
        Ok(())
    }
}

/// Compresses messages. One of them can serve any number of connections that agreed on "no context takeover" and at
/// least its window: what it makes for one is right for all.
#[derive(Debug)]
pub struct Compressor {
    stream: Compress,
}

impl Compressor {
    /// `window_bits` from 9 to 15, `level` from 1 (fast) to 9 (small); values outside are moved inside. Takes
    /// 260 KB with 12 bits: most of it is not the window.
    pub fn new(window_bits: u8, level: u8) -> Compressor {
        let level = Compression::new(level.clamp(1, 9).into());
        let bits = window_bits.clamp(MIN_COMPRESS_BITS, MAX_BITS);
        Compressor { stream: Compress::new_with_window_bits(level, false, bits) }
    }

    /// One whose messages are for everybody who [takes](Agreement::takes_shared) what others share.
    pub fn shared() -> Compressor {
        Compressor::new(SHARED_BITS, LEVEL)
    }

    /// Appends `payload` compressed on its own, as the payload of a frame whose RSV1 is set.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.stream.reset();
        self.compress_on(payload, out);
    }

    /// Appends `payload` compressed, with references to what was compressed before.
    fn compress_on(&mut self, mut payload: &[u8], out: &mut Vec<u8>) {
        if payload.is_empty() {
            // Section 7.2.3.6; zlib writes nothing when asked twice to flush nothing.
            out.push(0);
            return;
        }
        // Enough for most text in one go; what does not fit takes another turn.
        out.reserve(payload.len() / 2 + 64);
        loop {
            let before = self.stream.total_in();
            let status = self.stream.compress_vec(payload, out, FlushCompress::Sync);
            payload = &payload[(self.stream.total_in() - before) as usize..];
            // A flush is complete when it leaves room in the output.
            let complete = payload.is_empty() && out.len() < out.capacity();
            if complete || !matches!(status, Ok(Status::Ok | Status::BufError)) {
                break;
            }
            out.reserve(payload.len() / 2 + 4096);
        }
        // Section 7.2.1: the empty stored block at the end of a flush is left out.
        if out.ends_with(TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
    }
}

/// What every message would end in, and so is never sent.
const TAIL: &[u8] = &[0x00, 0x00, 0xff, 0xff];

/// Content is handed on in pieces of this size: small enough for the stack.
const CHUNK: usize = 8 * 1024;

fn inflate(
    stream: &mut Decompress,
    mut piece: &[u8],
    push: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut chunk = [0; CHUNK];
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(piece, &mut chunk, FlushDecompress::Sync);
        let read = (stream.total_in() - read) as usize;
        let written = (stream.total_out() - written) as usize;
        piece = &piece[read..];
        // What came before the mistake is judged first, so that the verdict does not depend on how the bytes came.
        push(&chunk[..written])?;
        match status.map_err(|_| Failure::BadDeflate)? {
            // Section 7.2.3.4: a sender may end a block with BFINAL; what follows is a new stream.
            Status::StreamEnd => stream.reset(false),
            _ if written == chunk.len() => {}
            _ if piece.is_empty() => return Ok(()),
            _ if read == 0 && written == 0 => return Err(Failure::BadDeflate),
            _ => {}
        }
    }
}
