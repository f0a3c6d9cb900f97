//! One bound on what all requests together keep in memory: their bodies, raw and decoded, and answers that are held back.
//!
//! Whatever is kept has a [`Share`] of the [`Budget`], and gives it back when it is dropped. Where there is room, a share
//! grows by one atomic operation. Where there is none, it waits for its turn in a [queue](queue).

mod allocator;
mod machine;
mod queue;
mod share;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use queue::{Queue, Rank};

pub use allocator::give_back_freed;
pub use machine::default_bound_bytes;
pub use share::{NeverFits, Share};

/// What keeps no more than this is small, and may use what is reserved for its kind.
pub const SMALL_BYTES_MAX: usize = 64 * 1024;
/// One part in so many is reserved for what is small, so that ordinary traffic never waits for large bodies.
const RESERVE_PARTS: usize = 8;

/// The most that one request can have of a budget of `bound_bytes`, when nobody else has any.
pub const fn most_alone_bytes(bound_bytes: usize) -> usize {
    bound_bytes - bound_bytes / RESERVE_PARTS
}

/// A handle on the bound. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<State>);

#[derive(Debug)]
struct State {
    bound_bytes: AtomicUsize,
    used_bytes: AtomicUsize,
    queue: Queue,
    /// Requests that were refused for want of room.
    refused: AtomicU64,
}

impl Budget {
    pub fn new(bound_bytes: usize) -> Self {
        Self(Arc::new(State {
            bound_bytes: AtomicUsize::new(bound_bytes),
            used_bytes: AtomicUsize::new(0),
            queue: Queue::default(),
            refused: AtomicU64::new(0),
        }))
    }

    /// Nothing of the budget, for something that is going to keep bytes.
    pub fn share(&self) -> Share {
        Share::of(self.clone())
    }

    pub fn bound_bytes(&self) -> usize {
        self.0.bound_bytes.load(Ordering::Relaxed)
    }

    /// From now on this is the bound. What is kept already stays.
    pub fn set_bound(&self, bound_bytes: usize) {
        self.0.bound_bytes.store(bound_bytes, Ordering::SeqCst);
        self.serve_waiting();
    }

    /// Bytes that are kept now, or that room was made for.
    pub fn used_bytes(&self) -> usize {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// The most that one request can have, when nobody else has any.
    pub fn most_alone_bytes(&self) -> usize {
        most_alone_bytes(self.bound_bytes())
    }

    /// Whether anybody waits for room.
    pub fn is_contended(&self) -> bool {
        self.0.queue.is_waiting()
    }

    /// Counts a request that was refused because no room was left in time.
    pub fn count_refusal(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub fn refusals(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Takes `bytes` more, unless that is beyond what `rank` may use.
    fn try_take(&self, bytes: usize, rank: Rank) -> bool {
        let limit = match rank {
            Rank::Small => self.bound_bytes(),
            Rank::Growing | Rank::New => self.most_alone_bytes(),
        };
        let taken = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit);
        // In one order with what the queue counts: whoever gives back sees who waits, or who waits sees what was given back.
        self.0
            .used_bytes
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, taken)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.0.used_bytes.fetch_sub(bytes, Ordering::SeqCst);
            self.serve_waiting();
        }
    }

    /// Grants room to those who wait, in their order, as far as there is any.
    fn serve_waiting(&self) {
        if self.0.queue.is_waiting() {
            self.0.queue.serve(self);
        }
    }
}

#[cfg(test)]
mod tests;
