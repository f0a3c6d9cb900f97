//! The open connections of clients: how many there are, and which of them are idle, longest first.
//!
//! A connection is entered when it is accepted and taken out when it closes. In between its requests only set two numbers of
//! their own connection; whoever looks for idle connections looks at those.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::notation::duration;
use crate::telemetry::metrics::{Exposition, names};

/// How many idle connections one scan collects when room is needed, so that each scan of all connections serves many.
const LONGEST_IDLE: usize = 256;

#[derive(Debug)]
pub(in crate::server) struct Registry {
    epoch: Instant,
    entries: Mutex<Entries>,
    /// Connections that were closed because nothing came on them for too long.
    closed_idle: AtomicU64,
    /// Idle connections that were closed to make room for others.
    closed_for_room: AtomicU64,
    /// Connections that were refused, because there was no room and none was idle.
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    open: HashMap<u64, Arc<Presence>>,
    next_id: u64,
    /// When some idle connections became idle, and which they are, the longest idle last. It may be out of date.
    longest_idle: Vec<(u64, u64)>,
    /// No connection is kept open any more.
    closing: bool,
}

/// One open connection.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// How many requests run on it.
    running: AtomicUsize,
    /// When the last request ended, in milliseconds since the registry's epoch. It is meaningful only while none runs.
    idle_since_ms: AtomicU64,
    /// The connection is to close as soon as no request runs.
    dismissed: AtomicBool,
    waker: AtomicWaker,
}

/// A connection's place in the registry, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    registry: Arc<Registry>,
    id: u64,
    presence: Arc<Presence>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            entries: Mutex::default(),
            closed_idle: AtomicU64::new(0),
            closed_for_room: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

impl Registry {
    pub(super) fn now_ms(&self) -> u64 {
        duration::whole_ms(self.epoch.elapsed())
    }

    pub(in crate::server) fn show(&self, exposition: &Exposition) {
        let counts = [
            (&names::CLIENT_CONNECTIONS_CLOSED, &["idle"][..], &self.closed_idle),
            (&names::CLIENT_CONNECTIONS_CLOSED, &["room"], &self.closed_for_room),
            (&names::CLIENT_CONNECTIONS_REFUSED, &[], &self.refused),
        ];
        for (metric, labels, count) in counts {
            exposition.set_counter(metric, labels, count.load(Ordering::Relaxed) as f64);
        }
        exposition.set(&names::CLIENT_CONNECTIONS, &[], self.lock().open.len() as f64);
    }

    /// Takes a place for a new connection. If there are `most` already (or `is_short` of something else), the longest
    /// idle one is closed for it; `None`: none is idle.
    pub(super) fn enter(self: &Arc<Self>, most: usize, is_short: bool) -> Option<Place> {
        let mut entries = self.lock();
        if is_short || entries.open.len() >= most {
            if !entries.dismiss_longest_idle() {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            self.closed_for_room.fetch_add(1, Ordering::Relaxed);
        }
        let id = entries.next_id;
        entries.next_id += 1;
        let presence = Arc::new(Presence::default());
        // It is busy until it has shown what it speaks.
        presence.running.store(1, Ordering::Release);
        presence.dismissed.store(entries.closing, Ordering::Release);
        entries.open.insert(id, Arc::clone(&presence));
        Some(Place {
            registry: Arc::clone(self),
            id,
            presence,
        })
    }

    /// Closes connections that have been idle for `limit`.
    pub(super) fn close_idle(&self, limit: Duration) {
        let limit_ms = duration::whole_ms(limit);
        let Some(since_ms) = self.now_ms().checked_sub(limit_ms) else {
            return;
        };
        let entries = self.lock();
        let idle = entries
            .open
            .values()
            .filter(|presence| presence.is_idle_since(since_ms));
        let closed = idle.filter(|presence| presence.dismiss()).count();
        self.closed_idle.fetch_add(closed as u64, Ordering::Relaxed);
    }

    /// Closes every connection as soon as it is idle.
    pub(super) fn close_all(&self) {
        let mut entries = self.lock();
        entries.closing = true;
        for presence in entries.open.values() {
            presence.dismiss();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn dismiss_longest_idle(&mut self) -> bool {
        loop {
            while let Some((since_ms, id)) = self.longest_idle.pop() {
                let presence = self.open.get(&id);
                if presence.is_some_and(|presence| presence.is_idle_since(since_ms) && presence.dismiss()) {
                    return true;
                }
            }
            let idle = self
                .open
                .iter()
                .filter_map(|(id, presence)| Some((presence.idle_since_ms()?, *id)));
            let mut idle: Vec<_> = idle.collect();
            if idle.is_empty() {
                return false;
            }
            if idle.len() > LONGEST_IDLE {
                idle.select_nth_unstable(LONGEST_IDLE);
                idle.truncate(LONGEST_IDLE);
            }
            idle.sort_unstable_by_key(|one| Reverse(*one));
            self.longest_idle = idle;
        }
    }
}

impl Presence {
    /// Notes that a request begins.
    pub(super) fn begin(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    /// A request has ended.
    pub(super) fn end(&self, now_ms: u64) {
        self.idle_since_ms.store(now_ms, Ordering::Release);
        self.running.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }

    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Is ready once the connection is to close. One task may wait at a time.
    pub(super) fn poll_dismissed(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.is_dismissed() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Returns since when it has been idle. `None`: it is busy, or about to close.
    fn idle_since_ms(&self) -> Option<u64> {
        (self.is_idle() && !self.is_dismissed()).then(|| self.idle_since_ms.load(Ordering::Acquire))
    }

    /// Returns whether it is idle, and has been since `at_ms`.
    fn is_idle_since(&self, at_ms: u64) -> bool {
        self.idle_since_ms().is_some_and(|since_ms| since_ms <= at_ms)
    }

    /// Dismisses the connection; a request that arrives at this very moment is still answered. `false`: it was
    /// dismissed already.
    fn dismiss(&self) -> bool {
        let is_first = !self.dismissed.swap(true, Ordering::AcqRel);
        if is_first {
            self.waker.wake();
        }
        is_first
    }
}

impl Place {
    pub(super) fn presence(&self) -> Arc<Presence> {
        Arc::clone(&self.presence)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(place: &Place, since_ms: u64) {
        place.presence.end(since_ms);
    }

    #[test]
    fn the_longest_idle_goes_first() {
        let registry = Arc::new(Registry::default());
        let places: Vec<_> = (0..4).map(|_| registry.enter(4, false).unwrap()).collect();
        assert!(registry.enter(4, false).is_none(), "all are busy");
        for (place, since_ms) in places.iter().zip([30, 10, 40, 20]) {
            idle(place, since_ms);
        }
        places[3].presence.begin();
        let mut more = Vec::new();
        for expected in [1, 0, 2] {
            more.extend(registry.enter(4, false));
            let dismissed: Vec<_> = places.iter().map(|place| place.presence.is_dismissed()).collect();
            assert!(dismissed[expected], "{dismissed:?}");
        }
        assert!(!places[3].presence.is_dismissed() && registry.enter(4, false).is_none());
        assert_eq!(registry.refused.load(Ordering::Relaxed), 2);
        assert_eq!(registry.closed_for_room.load(Ordering::Relaxed), 3);
        drop((places, more));
        assert!(registry.lock().open.is_empty());
    }

    #[test]
    fn one_that_is_busy_again_is_passed_over() {
        let registry = Arc::new(Registry::default());
        let places: Vec<_> = (0..3).map(|_| registry.enter(9, false).unwrap()).collect();
        places
            .iter()
            .zip([1, 2, 3])
            .for_each(|(place, since_ms)| idle(place, since_ms));
        let first = registry.enter(9, true).expect("one is idle");
        assert!(places[0].presence.is_dismissed());
        places[1].presence.begin();
        places[1].presence.end(4);
        let second = registry.enter(9, true).expect("two are idle");
        assert!(places[2].presence.is_dismissed() && !places[1].presence.is_dismissed());
        drop((first, second));
    }

    #[test]
    fn what_was_idle_for_too_long_closes() {
        let registry = Arc::new(Registry::default());
        let places: Vec<_> = (0..2).map(|_| registry.enter(9, false).unwrap()).collect();
        idle(&places[0], 0);
        registry.close_idle(Duration::ZERO);
        registry.close_idle(Duration::ZERO);
        assert!(places[0].presence.is_dismissed() && !places[1].presence.is_dismissed());
        assert_eq!(registry.closed_idle.load(Ordering::Relaxed), 1);
        registry.close_idle(Duration::from_secs(3600));
        registry.close_all();
        assert!(places[1].presence.is_dismissed());
        assert!(registry.enter(9, false).expect("there is room").presence.is_dismissed());
    }
}
