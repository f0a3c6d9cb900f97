//! The cooldown machine: whether a target or an upstream is used, left alone, or tried again. Pure: it is given `now`.
//!
//! ```text
//! closed ──failures in a row, or one that opens at once──▶ open ──its time is over: one request tries──▶ half-open
//!   ▲                                                       ▲                                                │
//!   │                                                       └──────────failed: for twice as long────────────┤
//!   └───────────────────────────────────────────────────────────────────────────────────────────succeeded───┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::setback::{Setback, WORDED_MAX};
use crate::classify::{Class, Testimony};
use crate::config::Cooldown;

/// One cooldown machine. Those who use it, by [`Pass`]es, tell it how they fared.
#[derive(Debug, Default)]
pub struct Health {
    state: State,
    /// What words alone have said since the last answer: a second request that is told the same confirms them.
    testimony: Option<Testimony>,
    /// The number of trials so far, from which each takes its number.
    trials: u64,
}

#[derive(Debug)]
enum State {
    /// In use. Counts failures in a row: before an answer began, and after.
    Closed {
        failed: u32,
        broken: u32,
        /// The length of a cooldown that breaks after commit began, until a whole answer has come: that answers begin again
        /// says little about a target that cuts them.
        probation: Option<Duration>,
    },
    /// Skipped until its rest is over; then the next request tries it.
    Open(Rest),
    /// One request tries it, the others still skip it.
    HalfOpen { rest: Rest, trial: u64 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            failed: 0,
            broken: 0,
            probation: None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    /// The class that began it.
    class: Class,
    since: Instant,
    until: Instant,
    /// The time that a failed trial doubles.
    length: Duration,
    /// Words alone began it.
    by_words: bool,
}

/// Permission to make one attempt. It is returned to the machine that gave it.
#[derive(Debug)]
pub struct Pass {
    granted: Instant,
    /// The attempt is the trial that decides whether the machine closes.
    trial: Option<u64>,
}

impl Pass {
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }
}

/// The state at a moment, ordered from best to worst; the later the end, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// In use.
    Closed,
    /// The cooldown is over, and the next request will try.
    Due,
    /// Skipped while another request tries.
    OnTrial { class: Class },
    /// Skipped until then.
    Open { until: Instant, class: Class },
}

impl Standing {
    pub fn is_skipped(self) -> bool {
        matches!(self, Self::OnTrial { .. } | Self::Open { .. })
    }

    /// Returns how much longer it is skipped; zero if it is not, or if that is unknown.
    pub fn remaining(self, now: Instant) -> Duration {
        match self {
            Self::Open { until, .. } => until.saturating_duration_since(now),
            _ => Duration::ZERO,
        }
    }
}

/// A change that an operator should hear of, once each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Opened {
        class: Class,
        length: Duration,
        /// The machine was open before, and a trial has failed.
        again: bool,
    },
    Closed {
        /// The class that it was open for.
        class: Class,
    },
}

impl Health {
    pub fn standing(&self, now: Instant) -> Standing {
        match &self.state {
            State::Closed { .. } => Standing::Closed,
            State::Open(rest) if now < rest.until => Standing::Open {
                until: rest.until,
                class: rest.class,
            },
            State::Open(_) => Standing::Due,
            State::HalfOpen { rest, .. } => Standing::OnTrial { class: rest.class },
        }
    }

    /// Returns whether it can be forgotten: nothing has failed lately, or the failures are old enough.
    pub fn is_forgettable(&self, now: Instant) -> bool {
        matches!(
            self.state,
            State::Closed {
                failed: 0,
                broken: 0,
                probation: None
            }
        ) || self.standing(now) == Standing::Due
    }

    /// Gives permission for an attempt, which is the trial if one is due. `None`: it is to be skipped.
    pub fn admit(&mut self, now: Instant) -> Option<Pass> {
        match &self.state {
            State::Closed { .. } => Some(Pass {
                granted: now,
                trial: None,
            }),
            State::Open(rest) if now >= rest.until => {
                self.trials += 1;
                let trial = self.trials;
                self.state = State::HalfOpen { rest: *rest, trial };
                Some(Pass {
                    granted: now,
                    trial: Some(trial),
                })
            }
            State::Open(_) | State::HalfOpen { .. } => None,
        }
    }

    /// Does the same for an attempt that is made in any case, because there is no other target to ask.
    pub fn admit_anyway(&mut self, now: Instant) -> Pass {
        self.admit(now).unwrap_or(Pass {
            granted: now,
            trial: None,
        })
    }

    /// Records that an answer has begun. An attempt that is older than the cooldown says nothing about it.
    pub fn answered(&mut self, pass: &Pass) -> Option<Change> {
        self.testimony = None;
        match &mut self.state {
            State::Closed { failed, .. } => {
                *failed = 0;
                None
            }
            State::HalfOpen { rest, trial } if pass.trial == Some(*trial) || pass.granted > rest.since => {
                let rest = *rest;
                self.close(rest)
            }
            State::Open(rest) if pass.granted > rest.since => {
                let rest = *rest;
                self.close(rest)
            }
            State::Open(_) | State::HalfOpen { .. } => None,
        }
    }

    /// An answer that had begun has come to its end.
    pub fn completed(&mut self) {
        if let State::Closed { broken, probation, .. } = &mut self.state {
            *broken = 0;
            *probation = None;
        }
    }

    /// The attempt has failed, for which this machine answers.
    pub fn failed(&mut self, pass: &Pass, setback: &Setback, cooldown: &Cooldown, now: Instant) -> Option<Change> {
        if let (Some(testimony), Some(own)) = (setback.testimony, setback.own_duration(cooldown)) {
            return self.told(pass, setback.class, testimony, own, now);
        }
        let at_once = setback.opens_at_once(cooldown);
        let base = cooldown.base.min(cooldown.max);
        let (length, again) = match &mut self.state {
            State::Closed {
                probation: Some(length),
                ..
            } if setback.after_commit() => {
                let doubled = length.saturating_mul(2).min(cooldown.max);
                (at_once.unwrap_or(base).max(doubled), true)
            }
            State::Closed { failed, broken, .. } => {
                let count = if setback.after_commit() { broken } else { failed };
                *count = count.saturating_add(1);
                let enough = cooldown.after > 0 && *count >= cooldown.after;
                (at_once.max(enough.then_some(base))?, false)
            }
            State::HalfOpen { rest, trial } if pass.trial == Some(*trial) => {
                let doubled = rest.length.saturating_mul(2).min(cooldown.max);
                (at_once.unwrap_or(base).max(doubled), true)
            }
            // Others that fail meanwhile do not decide the trial, unless they were told how long to stay away.
            State::HalfOpen { .. } => (at_once?, true),
            State::Open(rest) => {
                if let Some(length) = at_once
                    && now + length > rest.until
                {
                    rest.until = now + length;
                    rest.length = length;
                    rest.class = setback.class;
                }
                return None;
            }
        };
        self.open(setback.class, length, again, now)
    }

    /// Records a failure that rests on words alone, and would keep it out for `own` if anything else said so: as long
    /// as no answer comes, it takes two different requests that are told the same. Then it is out for a minute at most,
    /// and for twice as long each time a trial is told it again.
    fn told(&mut self, pass: &Pass, class: Class, testimony: Testimony, own: Duration, now: Instant) -> Option<Change> {
        let before = self.testimony.replace(testimony);
        let (length, again) = match &self.state {
            State::Closed { .. } if before.is_some_and(|before| before.bears_out(testimony)) => {
                (own.min(WORDED_MAX), false)
            }
            State::HalfOpen { rest, trial } if pass.trial == Some(*trial) => {
                let is_repeated = rest.by_words && rest.class == class;
                let first = rest.length.min(WORDED_MAX);
                let length = if is_repeated {
                    rest.length.saturating_mul(2)
                } else {
                    first
                };
                (length.min(own), true)
            }
            State::Closed { .. } | State::Open(_) | State::HalfOpen { .. } => return None,
        };
        let change = self.open(class, length, again, now);
        if let State::Open(rest) = &mut self.state {
            rest.by_words = true;
        }
        change
    }

    /// Records that the upstream's account is empty, according to its provider: it stays out for `length` from now,
    /// whatever else keeps it out.
    pub fn emptied(&mut self, length: Duration, now: Instant) -> Option<Change> {
        match &mut self.state {
            State::Closed { .. } => self.open(Class::OutOfCredits, length, false, now),
            State::Open(rest) if rest.class == Class::OutOfCredits && now < rest.until => {
                rest.until = rest.until.max(now + length);
                None
            }
            // Due, on trial, or out for another reason, which may end before the account is filled.
            State::Open(rest) | State::HalfOpen { rest, .. } => {
                let length = length.max(rest.until.saturating_duration_since(now));
                let again = rest.class == Class::OutOfCredits;
                self.open(Class::OutOfCredits, length, again, now)
            }
        }
    }

    /// Records that the account had credit when its provider was asked, at `asked`: a cooldown that began before for
    /// lack of it ends.
    pub fn refilled(&mut self, asked: Instant) -> Option<Change> {
        match &self.state {
            State::Open(rest) | State::HalfOpen { rest, .. }
                if rest.class == Class::OutOfCredits && rest.since < asked =>
            {
                let rest = *rest;
                self.close(rest)
            }
            _ => None,
        }
    }

    /// Forgets every failure, because what failed was made to fail and no longer does. Returns whether it was out.
    pub(super) fn recover(&mut self) -> bool {
        let was_out = !matches!(self.state, State::Closed { .. });
        self.state = State::default();
        self.testimony = None;
        was_out
    }

    /// Records that the attempt has shown nothing: if it was a trial, the next request makes it.
    pub fn abandoned(&mut self, pass: &Pass) {
        if let State::HalfOpen { rest, trial } = &self.state
            && pass.trial == Some(*trial)
        {
            self.state = State::Open(*rest);
        }
    }

    fn open(&mut self, class: Class, length: Duration, again: bool, now: Instant) -> Option<Change> {
        self.state = State::Open(Rest {
            class,
            since: now,
            until: now + length,
            length,
            by_words: false,
        });
        Some(Change::Opened { class, length, again })
    }

    fn close(&mut self, rest: Rest) -> Option<Change> {
        self.state = State::Closed {
            failed: 0,
            broken: 0,
            probation: (rest.class == Class::Broken).then_some(rest.length),
        };
        Some(Change::Closed { class: rest.class })
    }
}

#[cfg(test)]
mod tests;
