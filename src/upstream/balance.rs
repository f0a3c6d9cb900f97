//! What is known of an upstream's account: how much is left, whether that is low, and when it is polled next. Pure: it
//! is given `now`; the caller does the polling.

mod question;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::health::Change;
use super::registry::Registry;
use crate::config::{self, BalanceSource, Timeouts};
use crate::notation::duration;
use crate::protocol::Protocol;

pub use question::{Answer, Question, Remaining, Unreadable};

/// How long a whole poll may take.
pub const POLL_MAX: Duration = Duration::from_secs(30);
/// Polls come earlier or later by up to this fraction of `every`, so that gateways that started together do not poll
/// together.
const JITTER: f64 = 0.1;
/// The first poll comes within this time.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// Failing polls become less and less frequent, down to this interval (or `every`, if that is longer).
const FAILING_EVERY_MAX: Duration = Duration::from_secs(600);
/// A longer `retry-after` counts as this one.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A moment, by the clock that never jumps and by the calendar's.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub instant: Instant,
    pub unix_ms: u64,
}

/// The account behind an upstream with `balance`.
#[derive(Debug)]
pub struct Balance {
    settings: config::Balance,
    /// The clocks of the upstream.
    timeouts: Timeouts,
    /// How long an empty account keeps the upstream out, at least.
    out_of_credits: Duration,
    /// The state that a reload keeps.
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    reading: Option<Reading>,
    /// Why the last poll failed.
    failing: Option<Arc<str>>,
    /// How many polls failed in a row.
    failures: u32,
    is_low: bool,
    is_polled: bool,
    next: Option<Moment>,
}

/// The result of the last successful poll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub remaining: Remaining,
    pub read_at_unix_ms: u64,
}

/// The state of an account, for display.
#[derive(Debug, Clone)]
pub struct Status {
    /// `None`: no poll has succeeded yet.
    pub reading: Option<Reading>,
    /// The amount below which little is left, in the unit of the reading.
    pub low: f64,
    pub is_low: bool,
    /// Why the last poll failed, if it did: without the key, and without anything of the answer.
    pub failing: Option<Arc<str>>,
    pub next_poll_unix_ms: Option<u64>,
}

/// Permission to make one poll. However it ends, another may begin in due time.
#[derive(Debug)]
pub struct Turn {
    begun: Instant,
    state: Arc<Mutex<State>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.state).is_polled = false;
    }
}

/// A poll that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    pub reason: Arc<str>,
    /// The wait that the answer asked for.
    pub retry_after: Option<Duration>,
}

/// What an operator should learn from a poll, once for each change.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// The upstream cools down, or no longer.
    pub cooldown: Option<Change>,
    /// The credit has fallen below `low` (`true`), or is above it again.
    pub low: Option<bool>,
    /// Polls have begun to fail (`true`), or succeed again.
    pub failing: Option<bool>,
}

impl Balance {
    /// Compiles an account. `previous` is that of the same upstream before a reload. What is known of the account is
    /// kept if it is read in the same way.
    pub(super) fn compile(
        upstream: &config::Upstream,
        policy: &config::Policy,
        previous: Option<&Self>,
    ) -> Option<Self> {
        let settings = upstream.balance.clone()?;
        let known = previous.filter(|previous| previous.settings == settings);
        Some(Self {
            state: known.map_or_else(Arc::default, |known| Arc::clone(&known.state)),
            settings,
            timeouts: policy.timeouts(upstream.provider.as_deref()).with(&upstream.timeouts),
            out_of_credits: policy.cooldown.with(&upstream.cooldown).out_of_credits,
        })
    }

    pub fn settings(&self) -> &config::Balance {
        &self.settings
    }

    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    pub fn question(&self) -> Question {
        Question::first(&self.settings.source)
    }

    /// Returns the protocol whose credential header goes with the question: presets know their provider's.
    pub fn protocol(&self, spoken: &[Protocol]) -> Protocol {
        match (&self.settings.source, spoken.first()) {
            (BalanceSource::At { .. }, Some(first)) => *first,
            _ => Protocol::OpenAi,
        }
    }

    pub fn status(&self) -> Status {
        let state = lock(&self.state);
        Status {
            reading: state.reading,
            low: self.settings.low,
            is_low: state.is_low,
            failing: state.failing.clone(),
            next_poll_unix_ms: state.next.map(|next| next.unix_ms),
        }
    }

    /// Gives permission for the poll that is due, if one is and none is under way. `draw` is from 0 to 1.
    pub fn begin(&self, now: Moment, draw: f64) -> Option<Turn> {
        let mut state = lock(&self.state);
        let first = || later(now, FIRST_WITHIN.min(self.settings.every).mul_f64(draw));
        let due = *state.next.get_or_insert_with(first);
        if state.is_polled || now.instant < due.instant {
            return None;
        }
        state.is_polled = true;
        state.next = Some(later(now, self.wait(0, draw)));
        Some(Turn {
            begun: now.instant,
            state: Arc::clone(&self.state),
        })
    }

    /// Returns whether the poll is one for this account: a reload may have come in between.
    pub fn awaits(&self, turn: &Turn) -> bool {
        Arc::ptr_eq(&self.state, &turn.state)
    }

    fn wait(&self, failures: u32, draw: f64) -> Duration {
        let every = self.settings.every;
        let backoff = every.saturating_mul(2u32.saturating_pow(failures));
        backoff
            .min(FAILING_EVERY_MAX.max(every))
            .mul_f64(1.0 - JITTER + 2.0 * JITTER * draw)
    }

    /// Returns whether nothing was left on the account when it was last read.
    pub(super) fn is_spent(&self) -> bool {
        lock(&self.state)
            .reading
            .is_some_and(|reading| reading.remaining.is_spent)
    }

    /// Records what a poll reported about the account of the upstream whose health is in `registry`. A failing poll
    /// changes only the time of the next one.
    pub fn learn(
        &self,
        turn: Turn,
        told: Result<Remaining, Failed>,
        registry: &Registry,
        now: Moment,
        draw: f64,
    ) -> News {
        if !self.awaits(&turn) {
            return News::default();
        }
        let mut state = lock(&self.state);
        let news = match told {
            Ok(remaining) => {
                let wait = self.wait(0, draw);
                state.next = Some(later(now, wait));
                let was_spent = state.reading.is_some_and(|reading| reading.remaining.is_spent);
                let cooldown = if remaining.is_spent {
                    // To the next reading at least: as long as there is nothing, nothing is asked.
                    let length = self.out_of_credits.max(wait + POLL_MAX);
                    registry.own().lock().emptied(length, now.instant)
                } else if remaining.amount.is_some() || was_spent {
                    registry.own().lock().refilled(turn.begun)
                } else {
                    None
                };
                let is_low = remaining.amount.is_some_and(|amount| amount < self.settings.low);
                let news = News {
                    cooldown,
                    low: (is_low != state.is_low).then_some(is_low),
                    failing: (state.failures > 0).then_some(false),
                };
                state.reading = Some(Reading {
                    remaining,
                    read_at_unix_ms: now.unix_ms,
                });
                (state.failures, state.failing, state.is_low) = (0, None, is_low);
                news
            }
            Err(failed) => {
                state.failures = state.failures.saturating_add(1);
                let wish = failed.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                state.next = Some(later(now, self.wait(state.failures, draw).max(wish)));
                state.failing = Some(failed.reason);
                News {
                    failing: (state.failures == 1).then_some(true),
                    ..News::default()
                }
            }
        };
        drop(state);
        drop(turn);
        news
    }
}

fn later(now: Moment, wait: Duration) -> Moment {
    Moment {
        instant: now.instant + wait,
        unix_ms: now.unix_ms.saturating_add(duration::whole_ms(wait)),
    }
}

/// Nothing panics while it holds this lock.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
