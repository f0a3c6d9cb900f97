//! Compressed request bodies, decoded to be read. What is forwarded is what came, unless the model's name must change.

mod brotli;
mod decoding;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use thiserror::Error;

pub use decoding::Decoding;

/// A content coding that is understood (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    /// Deflate has zlib's wrapping, as RFC 9110 §8.4.1.2 wants, or is bare, as many send it.
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
    /// It may only have said that it would.
    #[error("the request body grows more than a hundredfold when it is decoded: send it without `content-encoding`")]
    Ratio,
}

impl Encoding {
    /// The encodings as `accept-encoding` lists them.
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
}

#[cfg(test)]
mod tests;
