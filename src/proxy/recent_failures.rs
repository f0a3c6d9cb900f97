//! Requests that have just failed with every target. Clients that repeat them within seconds, as most do, retry by themselves,
//! whether they announce it or not: trying the same target twice for each of their tries multiplies the load of an outage.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::body::Replay;

/// A client that comes back later has something else in mind.
const REMEMBERED: Duration = Duration::from_secs(60);
/// So many requests are remembered at once, the newest ones.
const REMEMBERED_MAX: usize = 1024;
/// A large body is told from others by its beginning and its length.
const DIGESTED_BYTES_MAX: usize = 64 * 1024;

/// The digests of the requests that failed lately.
#[derive(Debug, Default)]
pub(super) struct RecentFailures {
    /// Its keys are the process's own, so that nobody can make a request that is taken for another's.
    hashing: RandomState,
    failed: Mutex<VecDeque<(Instant, u64)>>,
}

impl RecentFailures {
    /// Remembers a request that no target has answered well.
    ///
    /// One without a body is not told from others.
    pub(super) fn remember(&self, body: &Replay, now: Instant) {
        if body.is_empty() {
            return;
        }
        let digest = self.digest(body);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= REMEMBERED_MAX {
            failed.pop_front();
        }
        failed.push_back((now, digest));
    }

    /// Returns whether the same request failed a moment ago.
    pub(super) fn has(&self, body: &Replay, now: Instant) -> bool {
        let is_over = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) > REMEMBERED;
        {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            while failed.pop_front_if(|entry| is_over(entry)).is_some() {}
            // Nearly always: then nothing has to be digested.
            if failed.is_empty() {
                return false;
            }
        }
        let digest = self.digest(body);
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.iter().any(|(_, other)| *other == digest)
    }

    fn digest(&self, body: &Replay) -> u64 {
        let beginning = body.beginning();
        let digested = &beginning[..beginning.len().min(DIGESTED_BYTES_MAX)];
        self.hashing.hash_one((body.len(), digested))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::body::Facts;

    fn body(text: &str) -> Replay {
        Replay::plain_one(Bytes::copy_from_slice(text.as_bytes()), Facts::default())
    }

    #[test]
    fn the_same_request_is_known_for_a_minute() {
        let failures = RecentFailures::default();
        let now = Instant::now();
        assert!(!failures.has(&body("a"), now));
        failures.remember(&body("a"), now);
        assert!(failures.has(&body("a"), now + REMEMBERED));
        assert!(!failures.has(&body("b"), now));
        failures.remember(&body(""), now);
        assert!(!failures.has(&body(""), now));
        assert!(!failures.has(&body("a"), now + REMEMBERED + Duration::from_secs(1)));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let failures = RecentFailures::default();
        let now = Instant::now();
        for number in 0..=REMEMBERED_MAX {
            failures.remember(&body(&number.to_string()), now);
        }
        assert!(!failures.has(&body("0"), now));
        assert!(failures.has(&body("1"), now));
    }
}
