//! Those who wait for room, in the order in which they are served.
//!
//! What is small comes first. Then comes what has begun to grow, for it holds room that others wait for. Within a rank, who
//! came first is served first; a large one at the head is not overtaken by those that would fit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Budget;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// May use all of the bound.
    Small,
    /// Large already, and wants more.
    Growing,
    /// Is about to become large.
    New,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    small_waiting: AtomicUsize,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    next_number: u64,
    waiters: BTreeMap<(Rank, u64), Waiter>,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Grant>,
}

/// Bytes that were taken for somebody. They are given back if nobody claims them.
#[derive(Debug)]
pub(super) struct Grant {
    budget: Budget,
    bytes: usize,
}

impl Grant {
    /// They belong to the caller now.
    pub(super) fn claim(mut self) -> usize {
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
    key: (Rank, u64),
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

impl Queue {
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Whether somebody waits who comes before a newcomer of `rank`.
    pub(super) fn is_ahead_of(&self, rank: Rank) -> bool {
        match rank {
            Rank::Small => self.small_waiting.load(Ordering::SeqCst) > 0,
            Rank::Growing | Rank::New => self.is_waiting(),
        }
    }

    pub(super) fn enter(&self, budget: &Budget, bytes: usize, rank: Rank) -> Place {
        let (granted, on_granted) = oneshot::channel();
        let mut places = self.lock();
        let key = (rank, places.next_number);
        places.next_number += 1;
        places.waiters.insert(key, Waiter { bytes, granted });
        self.count(rank, 1);
        drop(places);
        // Room may have been given back before this one was counted.
        self.serve(budget);
        Place {
            budget: budget.clone(),
            key,
            granted: on_granted,
        }
    }

    /// Whether it was still waiting.
    fn leave(&self, key: (Rank, u64)) -> bool {
        let mut places = self.lock();
        let was_waiting = places.waiters.remove(&key).is_some();
        if was_waiting {
            self.count(key.0, usize::MAX);
        }
        was_waiting
    }

    /// Grants room to the first ones, until one does not fit.
    pub(super) fn serve(&self, budget: &Budget) {
        // A grant that nobody takes gives its bytes back, which comes here again: only once the lock is released.
        let mut unclaimed = Vec::new();
        let mut places = self.lock();
        while let Some(first) = places.waiters.first_entry() {
            let (rank, bytes) = (first.key().0, first.get().bytes);
            if !budget.try_take(bytes, rank) {
                break;
            }
            let waiter = first.remove();
            self.count(rank, usize::MAX);
            let grant = Grant {
                budget: budget.clone(),
                bytes,
            };
            unclaimed.extend(waiter.granted.send(grant).err());
        }
        drop(places);
    }

    /// `by` is 1, or `usize::MAX` for one less.
    fn count(&self, rank: Rank, by: usize) {
        self.waiting.fetch_add(by, Ordering::SeqCst);
        if rank == Rank::Small {
            self.small_waiting.fetch_add(by, Ordering::SeqCst);
        }
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
