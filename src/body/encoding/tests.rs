use std::io::Write;

use bytes::Bytes;
use http::HeaderValue;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::memory::Budget;

const PIECE_BYTES: usize = 64 * 1024;
const ALL: [Encoding; 4] = [Encoding::Gzip, Encoding::Deflate, Encoding::Brotli, Encoding::Zstd];

fn encode(encoding: Encoding, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match encoding {
        Encoding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Encoding::Deflate => {
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        Encoding::Brotli => {
            let mut bytes = Vec::new();
            let mut writer = ::brotli::CompressorWriter::new(&mut bytes, 4096, 5, 20);
            writer.write_all(text).unwrap();
            drop(writer);
            bytes
        }
        Encoding::Zstd => zstd::encode_all(text, 3).unwrap(),
    }
}

/// All of it, by steps of `step_bytes`.
fn by_steps(encoding: Encoding, bytes: &[u8], max_bytes: usize, step_bytes: usize) -> Result<Bytes, EncodingError> {
    let mut decoding = Decoding::new(encoding, Bytes::copy_from_slice(bytes), max_bytes)?;
    loop {
        let until = decoding.len() + step_bytes;
        let is_last = decoding.advance(until)?;
        assert!(decoding.len() <= until);
        if is_last {
            return Ok(decoding.finish(Budget::new(1 << 20).share()));
        }
    }
}

fn decode(encoding: Encoding, bytes: &[u8], max_bytes: usize) -> Result<Bytes, EncodingError> {
    by_steps(encoding, bytes, max_bytes, 256 * 1024)
}

fn headers(values: &[&'static str]) -> HeaderMap {
    values
        .iter()
        .map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)))
        .collect()
}

#[test]
fn the_header_names_at_most_one() {
    for (values, expected) in [
        (&[][..], Ok(None)),
        (&[""], Ok(None)),
        (&["identity"], Ok(None)),
        (&["gzip"], Ok(Some(Encoding::Gzip))),
        (&["X-GZip"], Ok(Some(Encoding::Gzip))),
        (&[" deflate ,"], Ok(Some(Encoding::Deflate))),
        (&["identity", "br"], Ok(Some(Encoding::Brotli))),
        (&["zstd"], Ok(Some(Encoding::Zstd))),
        (&["compress"], Err(EncodingError::Unknown)),
        (&["gzip, rot13"], Err(EncodingError::Unknown)),
        (&["gzip, zstd"], Err(EncodingError::Several)),
        (&["gzip", "gzip"], Err(EncodingError::Several)),
    ] {
        assert_eq!(Encoding::of(&headers(values)), expected, "{values:?}");
    }
    for error in [EncodingError::Unknown, EncodingError::Several] {
        assert!(
            error.to_string().contains("zstd"),
            "it says what is understood: {error}"
        );
    }
}

#[test]
fn the_limit_is_the_last_byte_taken() {
    for encoding in ALL {
        for bytes in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let text = vec![b'a'; bytes];
            let encoded = encode(encoding, &text);
            assert_eq!(
                decode(encoding, &encoded, bytes).unwrap(),
                text,
                "{encoding:?}, {bytes}"
            );
            if bytes > 0 {
                let max_bytes = bytes - 1;
                let refused = decode(encoding, &encoded, max_bytes);
                assert_eq!(
                    refused,
                    Err(EncodingError::TooLarge { max_bytes }),
                    "{encoding:?}, {bytes}"
                );
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_early() {
    // 64 MiB in some kilobytes; unbounded, it would be built whole.
    let text = vec![b' '; 64 << 20];
    for encoding in ALL {
        let bomb = encode(encoding, &text);
        assert!(bomb.len() < 100_000, "{encoding:?}: {} bytes", bomb.len());
        let mut decoding = Decoding::new(encoding, Bytes::from(bomb), 32 << 20).unwrap();
        let refused = decoding.advance(usize::MAX);
        assert_eq!(refused, Err(EncodingError::Ratio), "{encoding:?}");
        assert!(decoding.len() <= 7 << 20, "{encoding:?}: a hundredfold and no more");
    }
}

/// Brotli's decoder would fill its whole window before it is asked again.
#[test]
fn what_a_few_bytes_of_brotli_announce_is_not_unfolded() {
    for (before, window) in [(0, 22), (0, 24), (2000, 24), (700_000, 24)] {
        let mut bomb = Vec::new();
        let mut writer = ::brotli::CompressorWriter::new(&mut bomb, 4096, 5, window);
        writer.write_all(&vec![b'a'; before]).unwrap();
        // Ends a metablock: the next one announces the rest.
        writer.flush().unwrap();
        writer.write_all(&vec![b'b'; 12 << 20]).unwrap();
        drop(writer);
        let mut decoding = Decoding::new(Encoding::Brotli, Bytes::from(bomb), 32 << 20).unwrap();
        assert_eq!(
            decoding.advance(usize::MAX),
            Err(EncodingError::Ratio),
            "{before}, {window}"
        );
        assert!(decoding.len() <= 1 << 20);
    }
}

#[test]
fn what_is_dense_may_be_long() {
    let text: String = (0..400_000).map(|n: u32| format!("{n:x} ")).collect();
    for encoding in ALL {
        let encoded = encode(encoding, text.as_bytes());
        let decoded = decode(encoding, &encoded, text.len()).unwrap();
        assert!(decoded == text, "{encoding:?}");
    }
    // A short one may be as thin as it likes.
    let thin = vec![b'a'; 1 << 20];
    for encoding in ALL {
        assert!(
            decode(encoding, &encode(encoding, &thin), 2 << 20).unwrap() == thin,
            "{encoding:?}"
        );
    }
}

#[test]
fn a_window_that_no_body_needs_is_refused() {
    // A frame without its size, whose header asks for a window of 2^27 bytes (RFC 8878 §3.1.1.1.2), and one raw block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x09, 0, 0, b'x'];
    let refused = decode(Encoding::Zstd, &frame, usize::MAX >> 1);
    assert!(matches!(refused, Err(EncodingError::Corrupt { .. })), "{refused:?}");
    let mut modest = frame;
    modest[5] = (23 - 10) << 3;
    assert_eq!(decode(Encoding::Zstd, &modest, 1).unwrap(), "x");
}

#[test]
fn deflate_may_be_bare() {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(b"{\"model\":\"m\"}").unwrap();
    let bare = writer.finish().unwrap();
    assert_eq!(decode(Encoding::Deflate, &bare, 100).unwrap(), "{\"model\":\"m\"}");
}

#[test]
fn what_was_joined_is_read_to_its_end() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let joined = [encode(encoding, b"{\"model\""), encode(encoding, b":\"m\"}")].concat();
        assert_eq!(
            decode(encoding, &joined, 100).unwrap(),
            "{\"model\":\"m\"}",
            "{encoding:?}"
        );
    }
}

#[test]
fn what_is_not_encoded_is_corrupt() {
    for encoding in ALL {
        let refused = decode(encoding, b"{\"model\":\"Xyzzy\",\"messages\":[]}", 1000);
        let Err(error @ EncodingError::Corrupt { .. }) = &refused else {
            panic!("{encoding:?}: {refused:?}")
        };
        assert!(!error.to_string().contains("Xyzzy"), "{error}");
    }
}

proptest! {
    #[test]
    fn every_encoding_is_undone(
        text in prop::collection::vec(any::<u8>(), 0..5000), which in 0..4_usize, step in 1..6000_usize,
    ) {
        let encoded = encode(ALL[which], &text);
        prop_assert_eq!(by_steps(ALL[which], &encoded, text.len(), step).unwrap(), text);
    }

    /// Cut short, it is an error or a shorter text, but never a text that was not there.
    #[test]
    fn a_cut_body_tells_nothing_new(
        text in prop::collection::vec(any::<u8>(), 1..5000), which in 0..4_usize, cut in any::<Index>(),
    ) {
        let encoded = encode(ALL[which], &text);
        if let Ok(decoded) = decode(ALL[which], &encoded[..cut.index(encoded.len())], text.len()) {
            prop_assert!(text.starts_with(&decoded));
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..500), which in 0..4_usize) {
        match decode(ALL[which], &bytes, 10_000) {
            Ok(decoded) => prop_assert!(decoded.len() <= 10_000),
            Err(EncodingError::Corrupt { .. }) => {}
            // A few bytes of Brotli may announce a megabyte, and nothing come of it.
            Err(EncodingError::Ratio) => prop_assert_eq!(ALL[which], Encoding::Brotli),
            Err(error) => prop_assert_eq!(error, EncodingError::TooLarge { max_bytes: 10_000 }),
        }
    }
}
