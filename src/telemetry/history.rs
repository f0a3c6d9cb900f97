//! How a target has fared over the last hour, minute by minute, and its last failures: what the status page shows.
//!
//! A target that nobody asks has none of it. One that is asked all the time has about 28 KiB: a minute is taken when it is first
//! recorded in, and used again an hour later. It is given `now`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::token;

mod histogram;

pub use histogram::Quantiles;

use histogram::Histogram;

/// The minutes that are remembered.
pub const MINUTES: usize = 60;
/// The failures that are remembered.
pub const FAILURES_MAX: usize = 10;
/// A window of sixty minutes is sixty whole ones and the one that runs.
const SLOTS: usize = MINUTES + 1;

/// What is remembered of one target. It is shared by the requests to it, and locked for a few instructions once per
/// attempt: advancing the minutes needs a lock.
#[derive(Debug)]
pub struct History {
    /// When the first minute began, for all targets.
    epoch: Instant,
    records: Mutex<Records>,
}

/// A failed attempt that is remembered: enough to find it at the provider, and nothing of the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureNote {
    /// When it was judged, in milliseconds since 1970.
    pub unix_ms: u64,
    /// `rate_limited`, `timeout`, …
    pub class: &'static str,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The provider's words, [cleaned](crate::telemetry::quotation::clean); or ours, where there was no answer.
    pub message: Option<String>,
    /// The gateway's id of the request, as in the log.
    pub request_id: String,
    /// The provider's own id of it.
    pub upstream_request_id: Option<String>,
}

impl FailureNote {
    /// Returns a provider's id as it may be kept: cut, and only if it is a code and not prose.
    pub fn id(sent: &str) -> Option<String> {
        token(sent).map(str::to_owned)
    }
}

#[derive(Debug, Default)]
struct Records {
    /// The minutes, by their number modulo how many there are. Empty before the first attempt.
    slots: Box<[Option<Box<Slot>>]>,
    /// Sorted, oldest first.
    failures: VecDeque<FailureNote>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Minutes since the epoch.
    number: u64,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    attempts: u32,
    succeeded: u32,
    connect: Histogram,
    headers: Histogram,
    first_token: Histogram,
    total: Histogram,
}

/// An attempt that has ended. One whose client left before there was an answer is not counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempt {
    /// Its answer went to the client, and did not break off.
    pub succeeded: bool,
    /// How long it took to connect; `None` where the connection came from the pool.
    pub connect: Option<Duration>,
    /// How long successful attempts took, as far as it is known.
    pub headers: Option<Duration>,
    pub first_token: Option<Duration>,
    pub total: Option<Duration>,
}

/// What happened within some minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    pub attempts: u64,
    pub succeeded: u64,
    /// Covers new connections only.
    pub connect: Quantiles,
    /// The rest are of attempts that succeeded.
    pub headers: Quantiles,
    pub first_token: Quantiles,
    pub total: Quantiles,
}

/// What happened within one minute.
pub type Minute = Window;

impl History {
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            records: Mutex::default(),
        }
    }

    /// An attempt has ended `now`.
    pub fn record(&self, attempt: &Attempt, now: Instant) {
        let number = self.minute(now);
        let mut records = self.lock();
        let tally = records.tally_of(number);
        tally.attempts = tally.attempts.saturating_add(1);
        tally.succeeded = tally.succeeded.saturating_add(u32::from(attempt.succeeded));
        for (histogram, duration) in [
            (&mut tally.connect, attempt.connect),
            (&mut tally.headers, attempt.headers),
            (&mut tally.first_token, attempt.first_token),
            (&mut tally.total, attempt.total),
        ] {
            if let Some(duration) = duration {
                histogram.add(duration);
            }
        }
    }

    /// Remembers a failure in place of the oldest.
    pub fn note(&self, failure: FailureNote) {
        let failures = &mut self.lock().failures;
        if failures.len() == FAILURES_MAX {
            failures.pop_front();
        }
        failures.push_back(failure);
    }

    /// Combines the last `minutes` whole minutes (at most [`MINUTES`]) and the current one.
    pub fn window(&self, now: Instant, minutes: usize) -> Window {
        let last = self.minute(now);
        let first = last.saturating_sub(u64::try_from(minutes.min(MINUTES)).unwrap_or(0));
        self.lock().tally(first, last).into()
    }

    /// The last [`MINUTES`] minutes one by one, oldest first; the last one runs still.
    pub fn minutes(&self, now: Instant) -> Vec<Minute> {
        let last = self.minute(now);
        let records = self.lock();
        let back = (0..MINUTES as u64).rev();
        back.map(|back| match last.checked_sub(back) {
            Some(number) => records.tally(number, number).into(),
            None => Minute::default(),
        })
        .collect()
    }

    /// The last failures, newest first, at most [`FAILURES_MAX`].
    pub fn last_failures(&self) -> Vec<FailureNote> {
        self.lock().failures.iter().rev().cloned().collect()
    }

    /// Returns whether one of the failures is not older than `unix_ms` and has a message.
    pub fn has_message_since(&self, unix_ms: u64) -> bool {
        let records = self.lock();
        let mut notes = records.failures.iter();
        notes.any(|note| note.unix_ms >= unix_ms && note.message.is_some())
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs() / 60
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot_of(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).expect("below the count of slots")
}

impl Records {
    /// Returns what is recorded of the minute `number`, which runs.
    fn tally_of(&mut self, number: u64) -> &mut Tally {
        if self.slots.is_empty() {
            self.slots = (0..SLOTS).map(|_| None).collect();
        }
        let slot = self.slots[slot_of(number)].get_or_insert_default();
        if slot.number != number {
            **slot = Slot {
                number,
                tally: Tally::default(),
            };
        }
        &mut slot.tally
    }

    /// Adds up what happened from the minute `first` to the minute `last`.
    fn tally(&self, first: u64, last: u64) -> Tally {
        let mut sum = Tally::default();
        for number in first..=last {
            let slot = self.slots.get(slot_of(number)).and_then(Option::as_ref);
            if let Some(slot) = slot.filter(|slot| slot.number == number) {
                sum.merge(&slot.tally);
            }
        }
        sum
    }
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.attempts = self.attempts.saturating_add(other.attempts);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        self.connect.merge(&other.connect);
        self.headers.merge(&other.headers);
        self.first_token.merge(&other.first_token);
        self.total.merge(&other.total);
    }
}

impl From<Tally> for Window {
    fn from(tally: Tally) -> Self {
        Self {
            attempts: tally.attempts.into(),
            succeeded: tally.succeeded.into(),
            connect: tally.connect.quantiles(),
            headers: tally.headers.quantiles(),
            first_token: tally.first_token.quantiles(),
            total: tally.total.quantiles(),
        }
    }
}

#[cfg(test)]
mod tests;
