//! What production would see of an attempt with a given fate.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::supposition::{Clock, Fate};
use crate::classify::hint::WAIT_MAX;
use crate::classify::{self, Basis, Class, Signals};
use crate::notation::duration;
use crate::routing::{Cause, Entry, Outcome, Step};

pub(super) struct Seen {
    /// `None`: it is answered.
    pub(super) outcome: Option<Outcome>,
    /// The clock that ran out, by its name in the configuration.
    pub(super) clock: Option<&'static str>,
    /// The rule of classification, where a status alone was given.
    pub(super) rule: Option<&'static str>,
    pub(super) took: Duration,
}

impl Seen {
    fn is_refused(&self) -> bool {
        self.clock.is_none()
            && self
                .outcome
                .as_ref()
                .is_some_and(|outcome| outcome.class == Class::Connect)
    }

    pub(super) fn entry(&self, target: &Arc<str>) -> Entry {
        Entry {
            target: Arc::clone(target),
            status: self.outcome.as_ref().map_or(Some(200), |outcome| outcome.status),
            class: self.outcome.as_ref().map(|outcome| outcome.class),
            clock: self.clock,
            unreachable: self.is_refused().then_some("connection refused"),
            ms: duration::whole_ms(self.took),
        }
    }
}

/// Returns what becomes of an attempt of a request that `streams` or does not. `left` is the time to the deadline, which cuts
/// a clock short.
pub(super) fn seen(fate: Fate, step: &Step, streams: bool, left: Duration) -> Seen {
    let timeouts = &step.target.timeouts;
    let (outcome, rule) = match fate {
        Fate::Served => (None, None),
        Fate::Answer {
            status,
            class,
            retry_after,
        } => {
            let (class, rule) = class.map_or_else(|| of_status(status, step), |class| (class, None));
            (Some(outcome(class, Some(status), retry_after)), rule)
        }
        Fate::Refused => (Some(outcome(Class::Connect, None, None)), None),
        Fate::Reset => (Some(outcome(Class::Reset, None, None)), None),
        Fate::Clock(clock) => {
            let (class, name, limit) = match clock {
                Clock::Connect => (Class::Connect, "connect", timeouts.connect),
                Clock::Header if streams => (Class::Timeout, "headers", timeouts.headers),
                Clock::Header => (Class::Timeout, "answer", timeouts.answer),
                Clock::FirstToken => (Class::Timeout, "first_token", timeouts.first_token),
            };
            let (class, name, cause) = if limit < left {
                (class, name, Cause::Target)
            } else {
                (Class::Timeout, "deadline", Cause::Deadline)
            };
            return Seen {
                outcome: Some(Outcome {
                    cause,
                    ..outcome(class, None, None)
                }),
                clock: Some(name),
                rule: None,
                took: limit.min(left),
            };
        }
    };
    Seen {
        outcome,
        clock: None,
        rule,
        took: Duration::ZERO,
    }
}

fn outcome(class: Class, status: Option<u16>, retry_after: Option<Duration>) -> Outcome {
    Outcome {
        class,
        status,
        basis: Basis::Status,
        retry_after: retry_after.map(|wait| wait.min(WAIT_MAX)),
        cause: Cause::Target,
    }
}

/// Returns what an answer means of which only the status is known.
fn of_status(status: u16, step: &Step) -> (Class, Option<&'static str>) {
    let verdict = classify::classify(&Signals {
        status,
        headers: &HeaderMap::new(),
        body: &[],
        provider: step.target.upstream.provider.as_deref(),
        request: None,
    });
    (verdict.class, Some(verdict.rule))
}
