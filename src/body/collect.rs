//! The body as it arrives: chunks, until its end or the limit, each with room made for it first.

use bytes::Bytes;
use thiserror::Error;

use super::buffer::Buffer;
use crate::memory::{NeverFits, SMALL_BYTES_MAX, Share};

/// Room that is made at once for a body whose length is not known, or which comes slowly.
const STEP_BYTES_MAX: usize = 1024 * 1024;

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
    held: Buffer,
    /// The room that it has. Once it is large and has said how long it is, that is room for all of it: bodies that each
    /// got half of what they need would wait for one another.
    share: Share,
    /// It only gets room for what has come.
    goes_by_steps: bool,
}

impl Collector {
    /// Collects a body of at most `max_bytes` that says to be `content_length` bytes long.
    ///
    /// # Errors
    /// [`TooLarge`] when it says to be longer than that: then nothing of it need be read.
    pub fn new(max_bytes: usize, content_length: Option<u64>, share: Share) -> Result<Self, TooLarge> {
        let declared_bytes = match content_length.map(usize::try_from) {
            Some(Ok(declared)) if declared <= max_bytes => Some(declared),
            Some(_) => return Err(TooLarge { max_bytes }),
            None => None,
        };
        Ok(Self {
            max_bytes,
            declared_bytes,
            held: Buffer::default(),
            share,
            goes_by_steps: false,
        })
    }

    /// What the body says to be longer than could ever fit.
    ///
    /// # Errors
    /// [`NeverFits`]: then nothing of it need be read.
    pub fn check_length(&self) -> Result<(), NeverFits> {
        let most_bytes = self.share.budget().most_alone_bytes();
        match self.declared_bytes {
            Some(declared) if declared > most_bytes.max(SMALL_BYTES_MAX) => Err(NeverFits { most_bytes }),
            _ => Ok(()),
        }
    }

    /// Makes room for a chunk of `bytes`, if there is any now.
    pub fn try_make_room(&mut self, bytes: usize) -> bool {
        let wanted = self.wanted(bytes);
        self.share.try_grow_to(wanted)
    }

    /// Waits for room for a chunk of `bytes`, for as long as the caller does.
    ///
    /// # Errors
    /// [`NeverFits`], at once.
    pub async fn make_room(&mut self, bytes: usize) -> Result<(), NeverFits> {
        let wanted = self.wanted(bytes);
        self.share.grow_to(wanted).await
    }

    /// The room that the body should have when `bytes` more are taken.
    fn wanted(&self, bytes: usize) -> usize {
        let needed = self.len() + bytes;
        if needed <= SMALL_BYTES_MAX || needed <= self.share.bytes() {
            return needed;
        }
        let wanted = match self.declared_bytes {
            Some(declared) if !self.goes_by_steps => declared,
            // About twice what has come.
            _ => (needed + needed.min(STEP_BYTES_MAX)).min(self.declared_bytes.unwrap_or(self.max_bytes)),
        };
        wanted.min(self.share.budget().most_alone_bytes()).max(needed)
    }

    /// Room that was made for what has not come yet.
    pub fn ahead_bytes(&self) -> usize {
        self.share.bytes().saturating_sub(self.len())
    }

    /// Whether anybody waits for room.
    pub fn is_waited_for(&self) -> bool {
        self.share.budget().is_contended()
    }

    /// Gives back the room for what has not come yet. From now on the body gets it by steps.
    pub fn go_by_steps(&mut self) {
        self.goes_by_steps = true;
        let len = self.len();
        self.share.shrink_to(len);
    }

    /// Takes the next chunk, for which room was made.
    ///
    /// # Errors
    /// [`TooLarge`] when the body, this chunk included, exceeds the limit; the chunk is not kept.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), TooLarge> {
        if chunk.len() > self.max_bytes - self.len() {
            return Err(TooLarge {
                max_bytes: self.max_bytes,
            });
        }
        self.held.push(chunk, self.declared_bytes.unwrap_or(self.max_bytes));
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole body, with the room that it takes.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.share.shrink_to(self.held.len());
        self.held.into_bytes(self.share)
    }
}

#[cfg(test)]
mod tests;
