//! The end of a chunked body, found strictly (RFC 9112, section 7.1): lines end with CR LF, a size has digits, trailers are fields.

use thiserror::Error;

use super::request_header::is_token;

/// The most digits of a size: more is no length that anybody sends.
const SIZE_DIGITS_MAX: usize = 15;
const EXTENSION_MAX_BYTES: usize = 1024;
const TRAILERS_MAX_BYTES: usize = 8 * 1024;

/// The body is not what its framing promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the request body's chunked encoding is malformed (RFC 9112, section 7.1)")]
pub struct MalformedChunk;

/// Watches a chunked body go by. It looks at each byte of the framing, and at none of the data.
#[derive(Debug, Default)]
pub struct ChunkedBody {
    at: At,
    /// How much of the chunk is still to come, once its size is known.
    left: u64,
    /// Digits of a size, bytes of an extension or of the trailers so far.
    counted: usize,
    /// The trailer line so far.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum At {
    #[default]
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailer,
    TrailerLineFeed,
    End,
}

impl ChunkedBody {
    /// Returns how many of `bytes` belong to the body: all, unless it ends there.
    ///
    /// # Errors
    /// The framing is invalid.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, MalformedChunk> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::End {
            if self.at == At::Data {
                let here = usize::try_from(self.left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                self.left -= here as u64;
                at += here;
                if self.left == 0 {
                    self.at = At::DataReturn;
                }
            } else {
                self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    pub fn is_ended(&self) -> bool {
        self.at == At::End
    }

    fn step(&mut self, byte: u8) -> Result<(), MalformedChunk> {
        self.at = match (self.at, byte) {
            (At::Size, b'\r') if self.counted > 0 => At::SizeLineFeed,
            (At::Size, b';') if self.counted > 0 => {
                self.counted = 0;
                At::Extension
            }
            (At::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(MalformedChunk)?;
                self.count(SIZE_DIGITS_MAX)?;
                self.left = self.left * 16 + u64::from(digit);
                At::Size
            }
            (At::Extension, b'\r') => At::SizeLineFeed,
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count(EXTENSION_MAX_BYTES)?;
                At::Extension
            }
            (At::SizeLineFeed, b'\n') => {
                self.counted = 0;
                if self.left == 0 { At::Trailer } else { At::Data }
            }
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size,
            (At::Trailer, b'\r') => At::TrailerLineFeed,
            (At::Trailer, b'\t' | b' '..=b'~' | 0x80..) => {
                self.count(TRAILERS_MAX_BYTES)?;
                self.line.push(byte);
                At::Trailer
            }
            (At::TrailerLineFeed, b'\n') if self.line.is_empty() => At::End,
            (At::TrailerLineFeed, b'\n') => {
                let name = self.line.split(|&byte| byte == b':').next();
                if !self.line.contains(&b':') || !name.is_some_and(is_token) {
                    return Err(MalformedChunk);
                }
                self.line.clear();
                At::Trailer
            }
            _ => return Err(MalformedChunk),
        };
        Ok(())
    }

    fn count(&mut self, most: usize) -> Result<(), MalformedChunk> {
        self.counted += 1;
        if self.counted > most {
            Err(MalformedChunk)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many bytes the body has, if it ends; it is fed both whole and byte by byte.
    fn read(bytes: &[u8]) -> Result<Option<usize>, MalformedChunk> {
        let mut whole = ChunkedBody::default();
        let outcome = whole.feed(bytes).map(|count| whole.is_ended().then_some(count));
        let mut slow = ChunkedBody::default();
        let mut count = Ok(0);
        for byte in bytes.chunks(1) {
            count = count.and_then(|count| Ok(count + slow.feed(byte)?));
        }
        assert_eq!(
            outcome,
            count.map(|count| slow.is_ended().then_some(count)),
            "{bytes:?}"
        );
        outcome
    }

    #[test]
    fn bodies_that_clients_send() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00005;a=b; c=\"d\"\r\nhello\r\nA\r\n0123456789\r\n000\r\n\r\n",
            "3\r\n\r\n0\r\n0\r\nTrailer: value\r\nother:\r\n\r\n",
        ] {
            assert_eq!(read(body.as_bytes()), Ok(Some(body.len())), "{body:?}");
            let more = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(
                read(more.as_bytes()),
                Ok(Some(body.len())),
                "what follows is the next request's"
            );
            assert_eq!(read(&body.as_bytes()[..body.len() - 1]), Ok(None), "{body:?} cut short");
        }
    }

    #[test]
    fn bodies_that_are_none() {
        let ext = format!("5;{}\r\n", "x".repeat(EXTENSION_MAX_BYTES + 1));
        let trailer = format!("0\r\na: {}\r\n", "x".repeat(TRAILERS_MAX_BYTES));
        for body in [
            "\r\n",
            ";\r\n",
            "-5\r\n",
            "+5\r\n",
            "0x5\r\n",
            " 5\r\n",
            "5 \r\n",
            "g\r\n",
            "5\nhello",
            "5\rhello",
            "5;a\nhello",
            "5;\0\r\n",
            "5\r\nhelloXX",
            "5\r\nhello\n",
            "5\r\nhello\r0",
            "fffffffffffffffff\r\n",
            "0\r\nno field\r\n",
            "0\r\n: x\r\n",
            "0\r\na : x\r\n",
            "0\r\na: x\n",
            "0\r\n\n",
            "0\r\na: \0\r\n",
            &ext,
            &trailer,
        ] {
            assert_eq!(read(body.as_bytes()), Err(MalformedChunk), "{body:?}");
        }
    }
}
