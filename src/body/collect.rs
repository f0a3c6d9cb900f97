//! The body as it arrives: chunks, until its end or the limit.

use bytes::Bytes;
use thiserror::Error;

/// Reserved on the word of a `content-length` alone. What lies beyond is reserved as bytes really come.
const TRUSTED_BYTES_MAX: usize = 1024 * 1024;

/// The body is larger than `max_bytes` (HTTP 413).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the request body is larger than {max_bytes} bytes, the most that is taken here")]
pub struct TooLarge {
    pub max_bytes: usize,
}

/// Gathers a body's chunks into one `Bytes`. A body that comes in one chunk is not copied.
#[derive(Debug)]
pub struct Collector {
    max_bytes: usize,
    declared_bytes: Option<usize>,
    held: Held,
}

#[derive(Debug)]
enum Held {
    One(Bytes),
    Many(Vec<u8>),
}

impl Collector {
    /// For a body of at most `max_bytes` that says to be `content_length` bytes long.
    ///
    /// # Errors
    /// [`TooLarge`] when it says to be longer than that: then nothing of it need be read.
    pub fn new(max_bytes: usize, content_length: Option<u64>) -> Result<Self, TooLarge> {
        let declared_bytes = match content_length.map(usize::try_from) {
            Some(Ok(declared)) if declared <= max_bytes => Some(declared),
            Some(_) => return Err(TooLarge { max_bytes }),
            None => None,
        };
        Ok(Self {
            max_bytes,
            declared_bytes,
            held: Held::One(Bytes::new()),
        })
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`TooLarge`] when the body, this chunk included, exceeds the limit; the chunk is not kept.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), TooLarge> {
        if chunk.len() > self.max_bytes - self.len() {
            return Err(TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        match &mut self.held {
            Held::One(first) if first.is_empty() => *first = chunk,
            Held::One(_) if chunk.is_empty() => {}
            Held::One(first) => {
                let needed = first.len() + chunk.len();
                let trusted = self.declared_bytes.unwrap_or(0).min(TRUSTED_BYTES_MAX);
                let mut bytes = Vec::with_capacity(needed.max(trusted));
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(&chunk);
                self.held = Held::Many(bytes);
            }
            Held::Many(bytes) => {
                grow(bytes, chunk.len(), self.declared_bytes.unwrap_or(self.max_bytes));
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.held {
            Held::One(first) => first.len(),
            Held::Many(bytes) => bytes.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole body.
    #[must_use]
    pub fn finish(self) -> Bytes {
        match self.held {
            Held::One(only) => only,
            Held::Many(bytes) => Bytes::from(bytes),
        }
    }
}

/// Room for `more` bytes: twice what there was, but not beyond the `expected` whole, so that a body never takes up to
/// twice its size.
pub(super) fn grow(bytes: &mut Vec<u8>, more: usize, expected: usize) {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        let capacity = (bytes.capacity() * 2).min(expected).max(needed);
        bytes.reserve_exact(capacity - bytes.len());
    }
}

#[cfg(test)]
mod tests;
