use std::io::Write;

use http::HeaderValue;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

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
            let mut writer = brotli::CompressorWriter::new(&mut bytes, 4096, 5, 20);
            writer.write_all(text).unwrap();
            drop(writer);
            bytes
        }
        Encoding::Zstd => zstd::encode_all(text, 3).unwrap(),
    }
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
            assert_eq!(encoding.decode(&encoded, bytes).unwrap(), text, "{encoding:?}, {bytes}");
            if bytes > 0 {
                let max_bytes = bytes - 1;
                let refused = encoding.decode(&encoded, max_bytes);
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
fn a_bomb_takes_no_more_than_the_limit() {
    const MAX_BYTES: usize = 1 << 20;
    // 64 MiB in some kilobytes; unbounded, it would be built whole.
    let text = vec![b' '; 64 << 20];
    for encoding in ALL {
        let bomb = encode(encoding, &text);
        assert!(bomb.len() < 100_000, "{encoding:?}: {} bytes", bomb.len());
        assert_eq!(
            encoding.decode(&bomb, MAX_BYTES),
            Err(EncodingError::TooLarge { max_bytes: MAX_BYTES }),
            "{encoding:?}"
        );
    }
}

#[test]
fn a_window_that_no_body_needs_is_refused() {
    // A frame without its size, whose header asks for a window of 2^27 bytes (RFC 8878 §3.1.1.1.2), and one raw block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3, 0x09, 0, 0, b'x'];
    let refused = Encoding::Zstd.decode(&frame, usize::MAX >> 1);
    assert!(matches!(refused, Err(EncodingError::Corrupt { .. })), "{refused:?}");
    let mut modest = frame;
    modest[5] = (23 - 10) << 3;
    assert_eq!(Encoding::Zstd.decode(&modest, 1).unwrap(), "x");
}

#[test]
fn deflate_may_be_bare() {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(b"{\"model\":\"m\"}").unwrap();
    let bare = writer.finish().unwrap();
    assert_eq!(Encoding::Deflate.decode(&bare, 100).unwrap(), "{\"model\":\"m\"}");
}

#[test]
fn what_was_joined_is_read_to_its_end() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let joined = [encode(encoding, b"{\"model\""), encode(encoding, b":\"m\"}")].concat();
        assert_eq!(
            encoding.decode(&joined, 100).unwrap(),
            "{\"model\":\"m\"}",
            "{encoding:?}"
        );
    }
}

#[test]
fn what_is_not_encoded_is_corrupt() {
    for encoding in ALL {
        let refused = encoding.decode(b"{\"model\":\"Xyzzy\",\"messages\":[]}", 1000);
        let Err(error @ EncodingError::Corrupt { .. }) = &refused else {
            panic!("{encoding:?}: {refused:?}")
        };
        assert!(!error.to_string().contains("Xyzzy"), "{error}");
    }
}

proptest! {
    #[test]
    fn every_encoding_is_undone(text in prop::collection::vec(any::<u8>(), 0..5000), which in 0..4_usize) {
        let encoded = encode(ALL[which], &text);
        prop_assert_eq!(ALL[which].decode(&encoded, text.len()).unwrap(), text);
    }

    /// Cut short, it is an error or a shorter text, but never a text that was not there.
    #[test]
    fn a_cut_body_tells_nothing_new(
        text in prop::collection::vec(any::<u8>(), 1..5000), which in 0..4_usize, cut in any::<Index>(),
    ) {
        let encoded = encode(ALL[which], &text);
        if let Ok(decoded) = ALL[which].decode(&encoded[..cut.index(encoded.len())], text.len()) {
            prop_assert!(text.starts_with(&decoded));
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..500), which in 0..4_usize) {
        match ALL[which].decode(&bytes, 10_000) {
            Ok(decoded) => prop_assert!(decoded.len() <= 10_000),
            Err(EncodingError::Corrupt { .. }) => {}
            Err(error) => prop_assert_eq!(error, EncodingError::TooLarge { max_bytes: 10_000 }),
        }
    }
}
