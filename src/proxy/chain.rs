//! One request's attempts: whose turn it is, what is done about a failure, and what the client gets if all fail. Attempts
//! that resume a stream that broke off are attempts like any other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use tokio::time::Instant;

use super::attempt::{Attempt, beginning};
use super::break_off::BreakOff;
use super::patience::Patience;
use super::recorder::{Details, Recorder};
use crate::body::Replay;
use crate::classify::{Basis, Class};
use crate::routing::{Cause, Course, LastResort, LeftOut, Next, Outcome, Plan, Route, Step, Turn, Worth};
use crate::transport::{Clocks, Connection, Evidence, Failure, Wanted};

pub struct Chain {
    pub body: Replay,
    /// The request must have its answer by then; after commit, the attempt that resumes its stream must.
    pub deadline: Instant,
    /// The wait before the next attempt.
    pub wait: Duration,
    /// The attempt that runs, or whose answer the client gets.
    pub attempt: Option<Box<Attempt>>,
    client: Client,
    course: Course,
    kept: LastResort<Kept>,
}

/// What the client says of itself, as far as it matters to its chain.
pub(super) struct Client {
    pub received: Instant,
    pub streams: bool,
    /// It tries again by itself.
    pub retries: bool,
    pub patience: Option<Patience>,
}

/// A failed attempt's answer, in case nothing better comes.
pub(super) struct Kept {
    pub header: ResponseHeader,
    pub body: Bytes,
    /// Whether `body` is complete.
    pub whole: bool,
    pub step: Step,
}

impl Chain {
    /// Begins the chain of a request that may be sent to the targets of `plan`.
    pub(super) fn new(route: Arc<Route>, plan: Plan, body: Replay, client: Client) -> Self {
        let deadline = client.received + route.timeouts.deadline;
        Self {
            body,
            deadline: client
                .patience
                .map_or(deadline, |patience| patience.until.min(deadline)),
            wait: Duration::ZERO,
            attempt: None,
            kept: LastResort::new(route.exhausted),
            course: Course::new(route, plan, client.retries),
            client,
        }
    }

    /// Makes every refusal lead to the next target, if there is one: what is tried is a handshake, with which nothing has been
    /// asked yet.
    pub(super) fn never_deliver(&mut self) {
        self.course.never_delivers = true;
    }

    /// Begins the attempt whose turn it is. `None`: nobody is left to ask.
    pub(super) fn begin(&mut self, now: Instant, recorder: &mut Recorder<'_>) -> Option<&mut Attempt> {
        self.wait = Duration::ZERO;
        loop {
            match self.course.begin(now) {
                Turn::Begun(step, admission) => {
                    return Some(self.attempt.insert(Attempt::new(step, admission, now)));
                }
                Turn::Full(step) => {
                    self.kept.miss();
                    Attempt::full(&step, recorder);
                    recorder.asked.route_meter().fell_back();
                }
                Turn::Over => return None,
            }
        }
    }

    /// Returns which kind of connection the running attempt needs.
    pub(super) fn wanted_connection(&self) -> Wanted {
        match self.course.needs_fresh_connection() {
            true => Wanted::New,
            false => Wanted::Any,
        }
    }

    /// Notes that the client has been answered: what it said that it waits for has come.
    pub(super) fn was_answered_early(&mut self) {
        self.client.patience = None;
        self.deadline = self.client.received + self.course.route.timeouts.deadline;
    }

    /// The clocks of an attempt at the target of `step` that is connected.
    pub(super) fn clocks(&self, step: &Step) -> Clocks {
        let timeouts = &step.target.timeouts;
        Clocks {
            beginning: beginning(timeouts, self.client.streams),
            idle: timeouts.idle,
            deadline: self.deadline,
            makes_way: self
                .client
                .patience
                .and_then(|patience| patience.makes_way(self.course.later_targets())),
        }
    }

    /// Takes the result of connecting, and the target. Returned once.
    pub(super) fn take_opened(&mut self) -> Option<(Step, Result<Connection, Failure>)> {
        let attempt = self.attempt.as_mut()?;
        let opened = attempt.take_opened()?;
        Some((attempt.step.clone(), opened))
    }

    /// Settles the running attempt, which got no answer.
    pub(super) fn fail(&mut self, failure: &Failure, recorder: &mut Recorder<'_>) -> Next {
        let reason = failure.to_string();
        self.settle(
            &Outcome::from(failure),
            &Details::of_failure(failure, &reason),
            recorder,
        )
    }

    /// Settles the running attempt, which has failed, and moves on to what comes next. An answer that is delivered is
    /// still in flight, and keeps its place.
    pub(super) fn settle(&mut self, outcome: &Outcome, details: &Details<'_>, recorder: &mut Recorder<'_>) -> Next {
        let Some(attempt) = &mut self.attempt else {
            return Next::Exhausted;
        };
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        let course = &self.course;
        let decide = || course.next(outcome, now, left, fastrand::f64());
        let next = attempt.failed(outcome, details, now, recorder, decide);
        if outcome.status.is_none() {
            self.kept.miss();
        }
        self.course.advance(next, outcome, now);
        match next {
            Next::Retry { wait } => {
                self.attempt = None;
                self.wait = wait;
            }
            Next::Fallback => {
                self.attempt = None;
                recorder.asked.route_meter().fell_back();
            }
            Next::Deliver | Next::Exhausted => {}
        }
        next
    }

    /// Keeps a failed answer of this class, if it is better than the one that is kept already.
    pub(super) fn keep(&mut self, class: Class, header: &ResponseHeader, evidence: &Evidence, step: &Step) {
        let worth = Worth::of(class, header.status.as_u16(), evidence.whole);
        self.kept.offer(worth, || Kept {
            header: header.clone(),
            body: evidence.held.clone(),
            whole: evidence.whole,
            step: step.clone(),
        });
    }

    /// Returns whether the client gets something earlier instead of an answer of this class and status that has just
    /// failed, when nothing is left to try.
    pub(super) fn prefers_kept_to(&self, class: Class, status: u16) -> bool {
        self.kept.is_preferred_to(Worth::of(class, status, true))
    }

    /// Returns the targets that a cooldown has kept out of this request for the model `requested`.
    pub(super) fn left_out(&self, requested: Option<&str>, now: Instant) -> LeftOut {
        LeftOut::of(&self.course.plan, requested, now)
    }

    pub(super) fn into_kept(mut self) -> Option<Kept> {
        self.kept.take()
    }

    /// Returns whether the running attempt's target, or a later one, could resume a stream that breaks off.
    pub(super) fn may_resume(&self) -> bool {
        self.course.may_resume()
    }

    /// Ends the attempt whose answer goes to the client, because that answer broke off.
    pub(super) fn break_off(&mut self, failure: &Failure, recorder: &mut Recorder<'_>) {
        let Some(attempt) = self.attempt.take() else { return };
        let break_off = BreakOff::of(failure, &attempt.step, attempt.assignment());
        if matches!(failure, Failure::Broken { fell_silent: true, .. }) {
            self.course.resume_elsewhere();
        }
        let action = match self.course.can_resume() {
            true => "resume",
            false => Next::Exhausted.name(),
        };
        attempt.broke_off(&break_off, action, recorder);
    }

    /// Begins an attempt to resume the stream. `None`: no target is left that could.
    pub(super) fn begin_resuming(&mut self, now: Instant, recorder: &mut Recorder<'_>) -> Option<&mut Attempt> {
        loop {
            match self.course.begin_resuming(now) {
                Turn::Begun(step, admission) => {
                    self.deadline = now + step.target.timeouts.deadline;
                    // It has its answer.
                    self.client.patience = None;
                    return Some(self.attempt.insert(Attempt::new(step, admission, now)));
                }
                Turn::Full(step) => Attempt::full(&step, recorder),
                Turn::Over => return None,
            }
        }
    }

    /// Settles an attempt to resume the stream, which has failed.
    pub(super) fn settle_resuming(&mut self, outcome: &Outcome, details: &Details<'_>, recorder: &mut Recorder<'_>) {
        if let Some(mut attempt) = self.attempt.take() {
            if outcome.class == Class::BadRequest && attempt.step.target.refused_prefill() {
                let target = recorder.asked.target_name(&attempt.step);
                log::warn!(
                    target = &*target;
                    "the target refuses to continue an answer: take `prefill` from it; until the next reload it is not asked again"
                );
            }
            self.course.pass_over();
            let course = &self.course;
            let decide = || match course.can_resume() {
                true => Next::Fallback,
                false => Next::Exhausted,
            };
            attempt.failed(outcome, details, Instant::now(), recorder, decide);
        }
    }
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        Self {
            class: match failure {
                Failure::Connect(_) | Failure::ConnectClock(_) => Class::Connect,
                Failure::NoDescriptors => Class::NoDescriptors,
                Failure::Reset { .. } => Class::Reset,
                Failure::Invalid(_) => Class::ServerError,
                Failure::Stalled
                | Failure::HeadersClock
                | Failure::AnswerClock
                | Failure::FirstTokenClock
                | Failure::Silent
                | Failure::MadeWay
                | Failure::Deadline => Class::Timeout,
                Failure::Broken { .. } | Failure::Reported(_) | Failure::Exhausted(_) => Class::Broken,
            },
            status: None,
            basis: Basis::Status,
            retry_after: None,
            cause: match failure {
                Failure::Reset { reused: true } => Cause::StaleConnection,
                Failure::Deadline => Cause::Deadline,
                Failure::MadeWay => Cause::Request,
                _ => Cause::Target,
            },
        }
    }
}
