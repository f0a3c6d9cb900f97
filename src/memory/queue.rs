//! The queue of those who wait for room, in the order in which they are served.
//!
//! What is small comes first. Then comes what has begun to grow, for it holds room that others wait for. Within a rank, who
//! came first is served first; a large one at the head is not overtaken by those that would fit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// May use all of the bound.
    Small,
    /// Large already, and wants more.
    Growing,
    /// Is about to become large.
    New,
}

/// Where somebody stands in the queue: the rank, and the number among all who ever came.
pub(super) type Key = (Rank, u64);

/// The queue. A waiter is sent a `Grant` when it is its turn.
#[derive(Debug)]
pub(super) struct Queue<Grant> {
    waiting: AtomicUsize,
    small_waiting: AtomicUsize,
    places: Mutex<Places<Grant>>,
}

#[derive(Debug)]
struct Places<Grant> {
    next_number: u64,
    waiters: BTreeMap<Key, Waiter<Grant>>,
}

#[derive(Debug)]
struct Waiter<Grant> {
    bytes: usize,
    granted: oneshot::Sender<Grant>,
}

impl<Grant> Default for Queue<Grant> {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            small_waiting: AtomicUsize::new(0),
            places: Mutex::new(Places {
                next_number: 0,
                waiters: BTreeMap::new(),
            }),
        }
    }
}

impl<Grant> Queue<Grant> {
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

    pub(super) fn enter(&self, bytes: usize, rank: Rank) -> (Key, oneshot::Receiver<Grant>) {
        let (granted, on_granted) = oneshot::channel();
        let mut places = self.lock();
        let key = (rank, places.next_number);
        places.next_number += 1;
        places.waiters.insert(key, Waiter { bytes, granted });
        self.count(rank, 1);
        (key, on_granted)
    }

    /// Whether it was still waiting.
    pub(super) fn leave(&self, key: Key) -> bool {
        let mut places = self.lock();
        let was_waiting = places.waiters.remove(&key).is_some();
        if was_waiting {
            self.count(key.0, usize::MAX);
        }
        was_waiting
    }

    /// Sends grants to the first ones, until `take` has none for one of them.
    pub(super) fn serve(&self, take: impl Fn(usize, Rank) -> Option<Grant>) {
        // A grant that nobody takes gives its bytes back, which comes here again: only once the lock is released.
        let mut unclaimed = Vec::new();
        let mut places = self.lock();
        while let Some(first) = places.waiters.first_entry() {
            let rank = first.key().0;
            let Some(grant) = take(first.get().bytes, rank) else {
                break;
            };
            let waiter = first.remove();
            self.count(rank, usize::MAX);
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
    fn lock(&self) -> MutexGuard<'_, Places<Grant>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
