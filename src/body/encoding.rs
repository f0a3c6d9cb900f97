//! Compressed request bodies, decoded to be read. What is forwarded is what came, unless the model's name must change.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use thiserror::Error;

use super::collect::grow;

/// What is decoded at once.
const PIECE_BYTES: usize = 64 * 1024;
/// A zstd window is memory that a frame's header asks for. 8 MiB is what every decoder should grant (RFC 8878 §3.1.1.1.2)
/// and what the levels up to 19 need; `zstd --long` and `--ultra` ask for up to 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A content coding that is understood (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// With zlib's wrapping, as RFC 9110 §8.4.1.2 wants, or bare, as many send it.
    Deflate,
    Brotli,
    Zstd,
}

/// A compressed body that can't be read. `Display` is meant for the client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodingError {
    #[error(
        "the request body's `content-encoding` is not understood here: send it without one, or in one of {}",
        Encoding::UNDERSTOOD
    )]
    Unknown,
    #[error(
        "the request body has more than one `content-encoding`: send it without, or in one of {}",
        Encoding::UNDERSTOOD
    )]
    Several,
    /// `reason` is one of the decoders' fixed texts.
    #[error("the request body is not the {encoding} that its `content-encoding` says: {reason}")]
    Corrupt { encoding: &'static str, reason: String },
    #[error("the request body is larger than {max_bytes} bytes, the most that is taken here, once it is decoded")]
    TooLarge { max_bytes: usize },
}

impl Encoding {
    /// As `accept-encoding` lists them.
    pub const UNDERSTOOD: &'static str = "gzip, deflate, br, zstd";

    /// The coding that a request's header names; `None` where its body is plain.
    ///
    /// # Errors
    /// [`EncodingError::Unknown`] and [`EncodingError::Several`] (HTTP 415).
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, EncodingError> {
        let mut found = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let coding = Self::named(name).ok_or(EncodingError::Unknown)?;
                if found.replace(coding).is_some() {
                    return Err(EncodingError::Several);
                }
            }
        }
        Ok(found)
    }

    fn named(name: &[u8]) -> Option<Self> {
        match &*name.to_ascii_lowercase() {
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"br" => Some(Self::Brotli),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "brotli",
            Self::Zstd => "zstd",
        }
    }

    /// The whole of `bytes`, decoded. Never holds more than `max_bytes`, a piece and the decoder's window.
    ///
    /// # Errors
    /// [`EncodingError::Corrupt`] (HTTP 400) and [`EncodingError::TooLarge`] (HTTP 413).
    pub fn decode(self, bytes: &[u8], max_bytes: usize) -> Result<Bytes, EncodingError> {
        let corrupt = |error: std::io::Error| EncodingError::Corrupt {
            encoding: self.name(),
            reason: match error.kind() {
                ErrorKind::UnexpectedEof => "it is cut short".to_owned(),
                _ => error.to_string(),
            },
        };
        let mut reader = self.reader(bytes).map_err(corrupt)?;
        let mut decoded = Vec::new();
        let mut filled = 0;
        loop {
            if filled == decoded.len() {
                grow(&mut decoded, PIECE_BYTES, max_bytes.saturating_add(PIECE_BYTES));
                decoded.resize(filled + PIECE_BYTES, 0);
            }
            let read = reader.read(&mut decoded[filled..]).map_err(corrupt)?;
            filled += read;
            if filled > max_bytes {
                return Err(EncodingError::TooLarge { max_bytes });
            }
            if read == 0 {
                decoded.truncate(filled);
                return Ok(Bytes::from(decoded));
            }
        }
    }

    fn reader(self, bytes: &[u8]) -> std::io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            // The low four bits of zlib's first byte name its method, 8; a bare stream can't begin so.
            Self::Deflate if bytes.first().is_some_and(|first| first & 0x0f == 8) => {
                Box::new(flate2::bufread::ZlibDecoder::new(bytes))
            }
            Self::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(bytes)),
            Self::Brotli => Box::new(brotli::Decompressor::new(bytes, PIECE_BYTES)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}

#[cfg(test)]
mod tests;
