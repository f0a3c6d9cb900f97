//! The bound, what is used of it, and the room that is granted to those who waited for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::queue::{Key, Queue, Rank};

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
    queue: Queue<Grant>,
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
    pub(super) fn try_take(&self, bytes: usize, rank: Rank) -> bool {
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

    pub(super) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.0.used_bytes.fetch_sub(bytes, Ordering::SeqCst);
            self.serve_waiting();
        }
    }

    /// Whether somebody waits who comes before a newcomer of `rank`.
    pub(super) fn is_kept_for_others(&self, rank: Rank) -> bool {
        self.0.queue.is_ahead_of(rank)
    }

    /// Takes a place in the queue for `bytes` more.
    pub(super) fn wait_for(&self, bytes: usize, rank: Rank) -> Place {
        let (key, granted) = self.0.queue.enter(bytes, rank);
        // Room may have been given back before this one was counted.
        self.serve();
        Place {
            budget: self.clone(),
            key,
            granted,
        }
    }

    /// Grants room to those who wait, in their order, as far as there is any.
    fn serve_waiting(&self) {
        if self.0.queue.is_waiting() {
            self.serve();
        }
    }

    fn serve(&self) {
        self.0.queue.serve(|bytes, rank| {
            self.try_take(bytes, rank).then(|| Grant {
                budget: self.clone(),
                bytes,
            })
        });
    }
}

/// Bytes that were taken for somebody. They are given back if nobody claims them.
#[derive(Debug)]
struct Grant {
    budget: Budget,
    bytes: usize,
}

impl Grant {
    /// They belong to the caller now.
    fn claim(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// A place in the queue, which is left when it is dropped.
pub(super) struct Place {
    budget: Budget,
    key: Key,
    granted: oneshot::Receiver<Grant>,
}

impl Place {
    /// Waits until it is its turn and there is room.
    pub(super) async fn granted(mut self) -> usize {
        match (&mut self.granted).await {
            Ok(grant) => grant.claim(),
            // The sender is only dropped with this place.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.budget.0.queue.leave(self.key) {
            // Those behind may fit.
            self.budget.serve_waiting();
        }
    }
}
