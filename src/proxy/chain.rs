//! One request that has not been answered yet: its course through the plan, and what is proxy's own of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora_http::ResponseHeader;
use tokio::time::Instant;

use super::context::Serving;
use super::resuming::Resuming;
use crate::body::Replay;
use crate::classify::{Basis, Class};
use crate::routing::{Cause, Course, LastResort, LeftOut, Next, Outcome, Plan, Route, Step, Turn, Worth};
use crate::telemetry::metrics::Served;
use crate::transport::{Assignment, Connection, Evidence, Failure, Wanted};
use crate::upstream::Admission;
use crate::upstream::health::Change;
use crate::upstream::setback::Scope;

/// A request that has not been answered yet.
pub struct Chain {
    pub body: Replay,
    pub deadline: Instant,
    /// Waited before the next attempt.
    pub wait: Duration,
    course: Course,
    running: Option<Running>,
    kept: LastResort<Kept>,
}

/// The attempt that runs now.
pub struct Running {
    pub step: Step,
    pub began: Instant,
    pub admission: Admission,
    /// How long connecting took; `None` where the connection came from the pool, or there is none yet.
    pub connect: Option<Duration>,
    pub assignment: Option<Arc<Assignment>>,
    /// Once its answer is known to be good.
    pub served: Option<Served>,
    connection: Option<Connection>,
}

impl Running {
    /// How long its upstream was waited for since it is connected.
    pub fn waited(&self, now: Instant) -> Duration {
        let timings = self.assignment.as_ref().map(|assignment| &assignment.timings);
        timings.map_or(Duration::ZERO, |timings| timings.waited(now))
    }
}

/// Whose turn it is.
pub enum Begun {
    /// An attempt at this step's target runs.
    Running(Step),
    /// The upstream of this step has its `max_inflight` requests; the next one's turn comes.
    Full(Step),
    /// Nobody is left to ask.
    Nobody,
}

/// A failed attempt's answer, in case nothing better comes.
pub struct Kept {
    pub header: ResponseHeader,
    pub body: Bytes,
    /// Whether `body` is complete.
    pub whole: bool,
    pub step: Step,
}

impl Chain {
    pub fn new(route: Arc<Route>, plan: Plan, body: Replay, deadline: Instant, client_retries: bool) -> Self {
        Self {
            body,
            deadline,
            wait: Duration::ZERO,
            kept: LastResort::new(route.exhausted),
            course: Course::new(route, plan, client_retries),
            running: None,
        }
    }

    /// Starts the attempt whose turn it is.
    pub fn begin(&mut self, now: Instant) -> Begun {
        self.wait = Duration::ZERO;
        match self.course.begin(now) {
            Turn::Begun(step, admission) => {
                self.running = Some(Running {
                    step: step.clone(),
                    began: now,
                    admission,
                    connect: None,
                    assignment: None,
                    served: None,
                    connection: None,
                });
                Begun::Running(step)
            }
            Turn::Full(step) => {
                self.kept.miss();
                Begun::Full(step)
            }
            Turn::Over => Begun::Nobody,
        }
    }

    /// Which connection will do for the running attempt.
    pub fn wanted_connection(&self) -> Wanted {
        match self.course.needs_fresh_connection() {
            true => Wanted::New,
            false => Wanted::Any,
        }
    }

    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    pub fn running_mut(&mut self) -> Option<&mut Running> {
        self.running.as_mut()
    }

    /// The running attempt has got its connection: a new one within `connect`, or one from the pool.
    pub fn connected(&mut self, connection: Connection, connect: Option<Duration>) {
        if let Some(running) = &mut self.running {
            running.connect = connect;
            running.connection = Some(connection);
        }
    }

    pub fn take_connection(&mut self) -> Option<Connection> {
        self.running.as_mut()?.connection.take()
    }

    /// The running attempt, which is no longer the chain's: its answer goes to the client.
    pub fn take_running(&mut self) -> Option<Running> {
        self.running.take()
    }

    /// Whether the running attempt's target, or one after it, could go on with a stream that breaks off.
    pub fn may_resume(&self) -> bool {
        let running = self.running.iter().map(|running| &running.step);
        running.chain(self.course.following()).any(|step| step.target.prefill)
    }

    /// From here on it is `resuming` that answers for `serving`.
    pub fn hand_over(&self, resuming: &Resuming, serving: Serving) {
        let (made, left) = self.course.attempts();
        resuming.commit(serving, self.course.following(), made, left);
    }

    /// Tells those who answer for a failed attempt. What that changes, and for whom.
    pub fn report(&self, outcome: &Outcome, now: Instant) -> Option<(Scope, Change)> {
        let running = self.running.as_ref()?;
        outcome.report(&running.step, &running.admission, now)
    }

    /// What to do about a failed attempt, once it was reported. `jitter` is drawn from [0, 1).
    pub fn next(&self, outcome: &Outcome, now: Instant, jitter: f64) -> Next {
        let left = self.deadline.saturating_duration_since(now);
        self.course.next(outcome, now, left, jitter)
    }

    /// Moves on to what [`Self::next`] said of `outcome`. An answer that is delivered is still in flight, and still runs.
    pub fn advance(&mut self, next: Next, outcome: &Outcome, now: Instant) {
        if outcome.status.is_none() {
            self.kept.miss();
        }
        self.course.advance(next, outcome, now);
        match next {
            Next::Retry { wait } => {
                self.running = None;
                self.wait = wait;
            }
            Next::Fallback => self.running = None,
            Next::Deliver | Next::Exhausted => {}
        }
    }

    /// Keeps a failed answer of this class, if it is better than the one that is kept already.
    pub fn keep(&mut self, class: Class, header: &ResponseHeader, evidence: &Evidence, step: &Step) {
        self.kept.offer(Worth::of(class, evidence.whole), || Kept {
            header: header.clone(),
            body: evidence.held.clone(),
            whole: evidence.whole,
            step: step.clone(),
        });
    }

    /// Whether the client gets something earlier than an answer of this class that has just failed, nothing being left to
    /// try.
    pub fn prefers_kept_to(&self, class: Class) -> bool {
        self.kept.is_preferred_to(class)
    }

    /// Whom a cooldown has kept out of this request for the model `requested`.
    pub fn left_out(&self, requested: Option<&str>, now: Instant) -> LeftOut {
        LeftOut::of(&self.course.plan, requested, now)
    }

    pub fn into_kept(mut self) -> Option<Kept> {
        self.kept.take()
    }
}

/// What it means that an attempt got no answer.
pub(super) fn class_of(failure: &Failure) -> Class {
    match failure {
        Failure::Connect(_) | Failure::ConnectClock(_) => Class::Connect,
        Failure::NoDescriptors => Class::NoDescriptors,
        Failure::Reset { .. } => Class::Reset,
        Failure::Invalid(_) => Class::ServerError,
        Failure::Stalled | Failure::HeadersClock | Failure::FirstTokenClock | Failure::Deadline => Class::Timeout,
        Failure::Broken(_) | Failure::Reported(_) => Class::Broken,
    }
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        Self {
            class: class_of(failure),
            status: None,
            basis: Basis::Status,
            retry_after: None,
            cause: match failure {
                Failure::Reset { reused: true } => Cause::StaleConnection,
                Failure::Deadline => Cause::Deadline,
                _ => Cause::Target,
            },
        }
    }
}
