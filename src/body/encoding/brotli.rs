//! Brotli, so that what a body announces is seen before it is unfolded.
//!
//! The decoder fills its window, up to 16 MiB, before it gives out a byte, and four bytes can announce as much. So a small
//! body is given to it in pieces that can hold such a word but not what follows from it, and the word is looked at between.

use std::io;

use brotli::reader::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::Bytes;

/// The header of a metablock has at least 50 bits behind its length (RFC 7932 §9.2): no command is read with the length.
const PIECE_BYTES: usize = 4;
/// The longest metablock. Where so much is allowed, there is nothing to look out for.
const METABLOCK_BYTES_MAX: usize = 1 << 24;

pub(super) struct Brotli {
    encoded: Bytes,
    at: usize,
    /// The body may not become longer than this.
    allowed_bytes: usize,
    decoded_bytes: usize,
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
}

impl Brotli {
    pub(super) fn new(encoded: Bytes, allowed_bytes: usize) -> Self {
        let [bytes, words, codes] = [(); 3].map(|()| StandardAlloc::default());
        Self {
            encoded,
            at: 0,
            allowed_bytes,
            decoded_bytes: 0,
            state: BrotliState::new(bytes, words, codes),
        }
    }

    /// Whether the metablock that is read now makes the body longer than is allowed.
    fn announces_too_much(&self) -> bool {
        let announced = usize::try_from(self.state.meta_block_remaining_len).unwrap_or(0);
        self.decoded_bytes + announced > self.allowed_bytes
    }
}

impl io::Read for Brotli {
    /// [`io::ErrorKind::FileTooLarge`] where more is announced than is allowed.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let step = if self.allowed_bytes > METABLOCK_BYTES_MAX {
            usize::MAX
        } else {
            PIECE_BYTES
        };
        let mut written = 0;
        loop {
            let end = self.encoded.len().min(self.at.saturating_add(step));
            let (mut input, mut room) = (end - self.at, out.len() - written);
            let result = BrotliDecompressStream(
                &mut input,
                &mut self.at,
                &self.encoded[..end],
                &mut room,
                &mut written,
                out,
                &mut self.decoded_bytes,
                &mut self.state,
            );
            if step == PIECE_BYTES && self.announces_too_much() {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            match result {
                BrotliResult::ResultFailure => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "Invalid Data"));
                }
                BrotliResult::ResultSuccess | BrotliResult::NeedsMoreOutput => return Ok(written),
                BrotliResult::NeedsMoreInput if self.at < self.encoded.len() => {}
                BrotliResult::NeedsMoreInput if written > 0 => return Ok(written),
                BrotliResult::NeedsMoreInput => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}
