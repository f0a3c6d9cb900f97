//! A compressed body on its way to being read, a step at a time: between two steps its room is made, and it can move to
//! another thread.

use std::io::{ErrorKind, Read};

use bytes::{Buf, Bytes};

use super::brotli::Brotli;
use super::{Encoding, EncodingError};
use crate::body::buffer::Buffer;
use crate::memory::Share;

/// What is decoded at once.
const PIECE_BYTES: usize = 64 * 1024;
/// A zstd window is memory that a frame's header asks for. 8 MiB is what every decoder should grant (RFC 8878 §3.1.1.1.2)
/// and what the levels up to 19 need; `zstd --long` and `--ultra` ask for up to 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// No text that anybody would send shrinks to a hundredth, but for short ones.
const RATIO_MAX: usize = 100;
/// So much is decoded whatever its ratio.
const RATIO_FREE_BYTES: usize = 1024 * 1024;

pub struct Decoding {
    encoding: Encoding,
    reader: Box<dyn Read + Send>,
    piece: Vec<u8>,
    decoded: Buffer,
    max_bytes: usize,
    /// How much the ratio allows.
    allowed_bytes: usize,
}

impl Decoding {
    /// Begins with all of `encoded`, which may become `max_bytes` long.
    ///
    /// # Errors
    /// [`EncodingError::Corrupt`] (HTTP 400).
    pub fn new(encoding: Encoding, encoded: Bytes, max_bytes: usize) -> Result<Self, EncodingError> {
        let allowed_bytes = encoded.len().saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
        let reader = reader(encoding, encoded, allowed_bytes).map_err(|error| corrupt(encoding, &error))?;
        Ok(Self {
            encoding,
            reader,
            piece: vec![0; PIECE_BYTES.min(max_bytes.saturating_add(1))],
            decoded: Buffer::default(),
            max_bytes,
            allowed_bytes,
        })
    }

    /// Decodes until there are `until_bytes` in all, or until the end. Returns whether the end has come. Never holds more
    /// than `until_bytes`, a piece and the decoder's window.
    ///
    /// # Errors
    /// [`EncodingError::Corrupt`] (HTTP 400); [`EncodingError::TooLarge`] and [`EncodingError::Ratio`] (HTTP 413).
    pub fn advance(&mut self, until_bytes: usize) -> Result<bool, EncodingError> {
        while self.decoded.len() < until_bytes {
            let at_once = self.piece.len().min(until_bytes - self.decoded.len());
            let piece = &mut self.piece[..at_once];
            let read = match self.reader.read(piece) {
                Ok(0) => return Ok(true),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::FileTooLarge => return Err(EncodingError::Ratio),
                Err(error) => return Err(corrupt(self.encoding, &error)),
            };
            let decoded = self.decoded.len() + read;
            if decoded > self.max_bytes {
                return Err(EncodingError::TooLarge {
                    max_bytes: self.max_bytes,
                });
            }
            if decoded > self.allowed_bytes {
                return Err(EncodingError::Ratio);
            }
            self.decoded
                .extend(&piece[..read], self.max_bytes.min(self.allowed_bytes));
        }
        Ok(false)
    }

    /// Whether a step takes about as long as it says. Brotli's may fill a window of 16 MiB.
    pub fn has_small_steps(&self) -> bool {
        self.encoding != Encoding::Brotli
    }

    /// Bytes decoded so far.
    pub fn len(&self) -> usize {
        self.decoded.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than may come, so that a step can tell whether the body is too large.
    pub fn most_bytes(&self) -> usize {
        self.max_bytes.min(self.allowed_bytes).saturating_add(1)
    }

    /// What was decoded, with the room that was made for it.
    pub fn finish(self, mut share: Share) -> Bytes {
        share.shrink_to(self.decoded.len());
        self.decoded.into_bytes(share)
    }
}

fn corrupt(encoding: Encoding, error: &std::io::Error) -> EncodingError {
    EncodingError::Corrupt {
        encoding: encoding.name(),
        reason: match error.kind() {
            ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
            _ => error.to_string(),
        },
    }
}

fn reader(encoding: Encoding, encoded: Bytes, allowed_bytes: usize) -> std::io::Result<Box<dyn Read + Send>> {
    let first = encoded.first().copied();
    Ok(match encoding {
        Encoding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(encoded.reader())),
        // The low four bits of zlib's first byte name its method, 8; a bare stream can't begin so.
        Encoding::Deflate if first.is_some_and(|first| first & 0x0f == 8) => {
            Box::new(flate2::bufread::ZlibDecoder::new(encoded.reader()))
        }
        Encoding::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(encoded.reader())),
        Encoding::Brotli => Box::new(Brotli::new(encoded, allowed_bytes)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(encoded.reader())?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}
