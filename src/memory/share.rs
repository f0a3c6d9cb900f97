//! What one body or one held answer has of the budget.

use bytes::Bytes;
use thiserror::Error;

use super::budget::{Budget, SMALL_BYTES_MAX};
use super::queue::Rank;

/// More than one request can ever have, even if nobody else has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("more than {most_bytes} bytes, the most that one request can have of `server.memory`")]
pub struct NeverFits {
    pub most_bytes: usize,
}

/// Bytes of the budget. They are given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// Nothing of the budget, for something that is going to keep bytes.
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Makes it `bytes` in all, if there is room now and nobody waits who comes first. A share never gets smaller by this.
    pub fn try_grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return true;
        };
        let rank = self.rank(bytes);
        let grown = !self.budget.is_kept_for_others(rank) && self.budget.try_take(more, rank);
        if grown {
            self.bytes = bytes;
        }
        grown
    }

    /// The same, but waits for room, for as long as the caller does. A caller that stops waiting leaves the queue.
    ///
    /// # Errors
    /// [`NeverFits`], at once.
    pub async fn grow_to(&mut self, bytes: usize) -> Result<(), NeverFits> {
        if self.try_grow_to(bytes) {
            return Ok(());
        }
        let most_bytes = self.budget.most_alone_bytes();
        if bytes > most_bytes {
            return Err(NeverFits { most_bytes });
        }
        let more = bytes - self.bytes;
        let place = self.budget.wait_for(more, self.rank(bytes));
        self.bytes += place.granted().await;
        Ok(())
    }

    /// Gives back what is beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let beyond = self.bytes.saturating_sub(bytes);
        self.bytes -= beyond;
        self.budget.give_back(beyond);
    }

    /// `bytes` with this share, which is given back with the last reference to them, whoever has that.
    pub fn carry(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        if bytes.as_ref().is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Carried { bytes, _share: self })
    }

    /// The rank of a share that grows to `bytes`.
    fn rank(&self, bytes: usize) -> Rank {
        if bytes <= SMALL_BYTES_MAX {
            Rank::Small
        } else if self.bytes > SMALL_BYTES_MAX {
            Rank::Growing
        } else {
            Rank::New
        }
    }
}

struct Carried<T> {
    bytes: T,
    _share: Share,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Carried<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}
