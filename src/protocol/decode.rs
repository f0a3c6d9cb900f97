//! Compressed answers, decoded as far as judging needs: error bodies behind a CDN are often compressed, because every
//! SDK sends `accept-encoding`. The client never gets what was decoded here.

use std::borrow::Cow;
use std::io::{self, Write};

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::HELD_MAX_BYTES;

/// Zstandard's `--long` is refused: its window alone could take 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Decodes the start of a body, at most [`HELD_MAX_BYTES`]. Bytes that cannot be decoded, or whose encoding is unknown,
/// are returned as they are: some servers announce an encoding and do not apply it.
pub fn prefix<'a>(headers: &HeaderMap, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    let raw = &bytes[..bytes.len().min(HELD_MAX_BYTES)];
    let Some(mut decoder) = Decoder::of(headers) else {
        return Cow::Borrowed(raw);
    };
    decoder.push(raw);
    let decoded = decoder.take();
    if decoded.is_empty() {
        Cow::Borrowed(raw)
    } else {
        Cow::Owned(decoded)
    }
}

/// Returns whether the body carries an encoding, of whatever kind.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Decodes pieces as they come, and stops for good at an error, at the stream's end or at [`HELD_MAX_BYTES`].
pub(super) struct Decoder {
    inner: Inner,
    stopped: bool,
}

enum Inner {
    /// Its first byte tells whether it is zlib, as RFC 9110 §8.4.1.2 wants, or bare, as many servers send it.
    Deflate,
    Gzip(flate2::write::GzDecoder<Bounded>),
    Zlib(flate2::write::ZlibDecoder<Bounded>),
    BareDeflate(flate2::write::DeflateDecoder<Bounded>),
    Brotli(Box<brotli::DecompressorWriter<Bounded>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Bounded>>),
}

impl Decoder {
    /// Finds how the answer is compressed. `None`: it is not, or in a way that cannot be undone here.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let encoding = headers
            .get(CONTENT_ENCODING)?
            .to_str()
            .ok()?
            .trim()
            .to_ascii_lowercase();
        let inner = match encoding.as_str() {
            "gzip" | "x-gzip" => Inner::Gzip(flate2::write::GzDecoder::new(Bounded::default())),
            "deflate" => Inner::Deflate,
            "br" => Inner::Brotli(Box::new(brotli::DecompressorWriter::new(Bounded::default(), 4096))),
            "zstd" => {
                let mut decoder = zstd::stream::write::Decoder::new(Bounded::default()).ok()?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).ok()?;
                Inner::Zstd(Box::new(decoder))
            }
            _ => return None,
        };
        Some(Self { inner, stopped: false })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.stopped || bytes.is_empty() {
            return;
        }
        if matches!(self.inner, Inner::Deflate) {
            // The low four bits of zlib's first byte name its method, 8; a bare stream can't begin so.
            self.inner = if bytes[0] & 0x0f == 8 {
                Inner::Zlib(flate2::write::ZlibDecoder::new(Bounded::default()))
            } else {
                Inner::BareDeflate(flate2::write::DeflateDecoder::new(Bounded::default()))
            };
        }
        let written = match &mut self.inner {
            Inner::Deflate => Ok(()),
            Inner::Gzip(writer) => write(writer, bytes),
            Inner::Zlib(writer) => write(writer, bytes),
            Inner::BareDeflate(writer) => write(writer, bytes),
            Inner::Brotli(writer) => write(writer, bytes),
            Inner::Zstd(writer) => write(writer, bytes),
        };
        self.stopped = written.is_err();
    }

    /// Takes what was decoded since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let sink = match &mut self.inner {
            Inner::Deflate => return Vec::new(),
            Inner::Gzip(writer) => writer.get_mut(),
            Inner::Zlib(writer) => writer.get_mut(),
            Inner::BareDeflate(writer) => writer.get_mut(),
            Inner::Brotli(writer) => writer.get_mut(),
            Inner::Zstd(writer) => writer.get_mut(),
        };
        std::mem::take(&mut sink.bytes)
    }

    /// Returns whether nothing more will be decoded.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped
    }
}

fn write(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes)?;
    writer.flush()
}

/// A sink that refuses what goes beyond the bound, so that a small body can't grow to gigabytes.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    taken_bytes: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let accepted = bytes.len().min(HELD_MAX_BYTES - self.taken_bytes);
        if accepted == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.taken_bytes += accepted;
        self.bytes.extend_from_slice(&bytes[..accepted]);
        Ok(accepted)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn encoded(encoding: &str, text: &[u8]) -> (HeaderMap, Vec<u8>) {
        let level = flate2::Compression::default();
        let bytes = match encoding {
            "gzip" => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            "deflate" => {
                let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            "deflate, bare" => {
                let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), level);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            "br" => {
                let mut bytes = Vec::new();
                let mut writer = brotli::CompressorWriter::new(&mut bytes, 4096, 5, 20);
                writer.write_all(text).unwrap();
                drop(writer);
                bytes
            }
            _ => zstd::encode_all(text, 3).unwrap(),
        };
        let name = encoding.split(',').next().unwrap();
        (
            HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(name).unwrap())]),
            bytes,
        )
    }

    #[test]
    fn every_encoding_is_undone_whole_and_in_pieces() {
        let text = br#"{"error":{"message":"slow down, slow down, slow down","type":"rate_limit_error"}}"#;
        for encoding in ["gzip", "deflate", "deflate, bare", "br", "zstd"] {
            let (headers, bytes) = encoded(encoding, text);
            assert_eq!(prefix(&headers, &bytes).as_ref(), text, "{encoding}");
            let mut decoder = Decoder::of(&headers).unwrap();
            let mut decoded = Vec::new();
            for byte in bytes.chunks(1) {
                decoder.push(byte);
                decoded.extend(decoder.take());
            }
            assert_eq!(decoded, text, "{encoding}, byte by byte");
        }
    }

    #[test]
    fn a_cut_body_gives_what_it_has() {
        let text: Vec<u8> = (0..4000u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes())
            .collect();
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let (headers, bytes) = encoded(encoding, &text);
            let decoded = prefix(&headers, &bytes[..bytes.len() - 20]).into_owned();
            assert!(encoding == "zstd" || !decoded.is_empty(), "{encoding}");
            assert!(encoding == "zstd" || text.starts_with(&decoded), "{encoding}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_bound() {
        let text = vec![b'a'; 20 * 1024 * 1024];
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let (headers, bytes) = encoded(encoding, &text);
            assert_eq!(prefix(&headers, &bytes).len(), HELD_MAX_BYTES, "{encoding}");
        }
    }

    #[test]
    fn what_is_not_compressed_stays_as_it_is() {
        for encoding in ["gzip", "deflate", "br", "zstd", "identity", "rot13", "gzip, br"] {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap())]);
            let plain = br#"{"error":"plain"}"#;
            assert_eq!(prefix(&headers, plain).as_ref(), plain, "{encoding}");
        }
    }
}
