//! The course of one request through its plan: which attempt comes next after one has failed. Production and
//! `switchback explain` take the same decisions here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::{Plan, Step};
use super::table::Route;
use crate::classify::{Action, Basis, Class};
use crate::upstream::health::Change;
use crate::upstream::setback::{Scope, Setback};
use crate::upstream::{Admission, Refused};

/// Where a request stands in its plan.
pub struct Course {
    pub route: Arc<Route>,
    pub plan: Plan,
    /// A refusal leads to the next target, whatever the route does about its class.
    pub never_delivers: bool,
    /// The client's SDK retries by itself, so the same target is not tried twice.
    client_retries: bool,
    /// The next attempt must not take a connection from the pool.
    fresh: bool,
    position: usize,
    /// How many attempts were begun, over all targets.
    attempts: u32,
    /// How often the current target was tried again.
    repeats: u32,
}

/// What becomes of a request whose turn it is to be tried.
#[derive(Debug)]
pub enum Turn {
    /// An attempt at this target runs.
    Begun(Step, Admission),
    /// The upstream of this step has its `max_inflight` requests; the next one's turn comes.
    Full(Step),
    /// No target is left to ask.
    Over,
}

/// How an attempt failed.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub class: Class,
    /// The answer's status; `None` if there was no answer.
    pub status: Option<u16>,
    /// What the class rests on.
    pub basis: Basis,
    /// The upstream's own hint.
    pub retry_after: Option<Duration>,
    pub cause: Cause,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The target's or its upstream's, as the class says.
    Target,
    /// A connection from the pool proved dead: says nothing about the target.
    StaleConnection,
    /// What the request asks for, which says nothing about others.
    Request,
    /// The request's time was over, whichever attempts had used it up.
    Deadline,
}

impl Outcome {
    /// Reports a failed attempt to the health of its target or upstream. Returns what that changes, and for which of
    /// them.
    pub fn report(&self, step: &Step, admission: &Admission, now: Instant) -> Option<(Scope, Change)> {
        if self.cause != Cause::Target {
            return None;
        }
        let setback = Setback::of(self.class, self.basis, self.retry_after);
        let setback = setback.map(|setback| step.target.upstream.weigh(setback));
        admission.failed(setback, &step.target.cooldown, now)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same target again.
    Retry { wait: Duration },
    /// The next target.
    Fallback,
    /// The client gets this answer.
    Deliver,
    /// Nothing is left to try.
    Exhausted,
}

impl Next {
    /// The name that logs and `explain` write.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::Fallback => "fallback",
            Self::Deliver => "deliver",
            Self::Exhausted => "exhausted",
        }
    }
}

impl Course {
    pub fn new(route: Arc<Route>, plan: Plan, client_retries: bool) -> Self {
        Self {
            route,
            plan,
            never_delivers: false,
            client_retries,
            fresh: false,
            position: 0,
            attempts: 0,
            repeats: 0,
        }
    }

    /// Starts the attempt at the current target, or at the next one that may be asked. The state of targets may have
    /// changed since the plan was made; but the last one is asked whatever its state, rather than none.
    pub fn begin(&mut self, now: Instant) -> Turn {
        while let Some(step) = self.current(now) {
            match step.admit(self.plan.anyway || self.is_last(), now) {
                Ok(admission) => {
                    self.attempts += 1;
                    return Turn::Begun(step, admission);
                }
                Err(Refused::CoolingDown) => {
                    self.plan.resting.push(step);
                    self.pass_over();
                }
                Err(Refused::Full) => {
                    self.pass_over();
                    return Turn::Full(step);
                }
            }
        }
        Turn::Over
    }

    /// Returns the current step. If all targets that may be asked are full, those that cool down are asked after all:
    /// asking beats refusing.
    fn current(&mut self, now: Instant) -> Option<Step> {
        if self.position >= self.plan.steps.len() && !self.plan.anyway {
            self.plan.ask_resting(now);
        }
        self.plan.steps.get(self.position).cloned()
    }

    /// Returns whether the current target, or a later one, could resume a stream that breaks off.
    pub fn may_resume(&self) -> bool {
        self.is_any_able_to_resume(self.position)
    }

    /// Returns the same, provided that an attempt is left to do it.
    pub fn can_resume(&self) -> bool {
        self.attempts < self.route.retry.attempts && self.may_resume()
    }

    fn is_any_able_to_resume(&self, from: usize) -> bool {
        let steps = self.plan.steps.get(from..).unwrap_or_default();
        steps.iter().any(|step| step.target.can_resume())
    }

    /// Starts an attempt to resume a stream that has broken off: at the target that served it, or at the next one that
    /// can. The last one is asked whatever its state, rather than none.
    pub fn begin_resuming(&mut self, now: Instant) -> Turn {
        while self.can_resume() {
            let step = self.plan.steps[self.position].clone();
            if !step.target.can_resume() {
                self.pass_over();
                continue;
            }
            let is_last = !self.is_any_able_to_resume(self.position + 1);
            match step.admit(is_last, now) {
                Ok(admission) => {
                    self.attempts += 1;
                    return Turn::Begun(step, admission);
                }
                Err(Refused::CoolingDown) => self.pass_over(),
                Err(Refused::Full) => {
                    self.pass_over();
                    return Turn::Full(step);
                }
            }
        }
        Turn::Over
    }

    /// Lets others resume the stream of a target that has fallen silent: it is asked again only if no other can.
    pub fn resume_elsewhere(&mut self) {
        if self.is_any_able_to_resume(self.position + 1) {
            let silent = self.plan.steps.remove(self.position);
            self.plan.steps.push(silent);
        }
    }

    fn is_last(&self) -> bool {
        self.position + 1 >= self.plan.steps.len()
    }

    /// Returns how many targets come after the current one.
    pub fn later_targets(&self) -> usize {
        self.plan.steps.len().saturating_sub(self.position + 1)
    }

    /// Moves on to the next target.
    pub fn pass_over(&mut self) {
        self.position += 1;
        self.repeats = 0;
        self.fresh = false;
    }

    /// Returns whether the attempt that was begun must not take a connection from the pool.
    pub fn needs_fresh_connection(&self) -> bool {
        self.fresh
    }

    /// Decides what to do about a failed attempt, once it was reported. `left` is the time from `now` to the request's
    /// deadline, zero if it has passed; `jitter` is drawn from [0, 1).
    pub fn next(&self, outcome: &Outcome, now: Instant, left: Duration, jitter: f64) -> Next {
        let action = self.route.action(outcome.class, outcome.status);
        let may_deliver = outcome.status.is_some() && !self.never_delivers;
        if may_deliver && (action == Action::Deliver || self.is_foreign_everywhere(outcome)) {
            return Next::Deliver;
        }
        if self.attempts >= self.route.retry.attempts || left.is_zero() {
            return Next::Exhausted;
        }
        if outcome.cause == Cause::StaleConnection {
            return Next::Retry { wait: Duration::ZERO };
        }
        if action == Action::Retry
            && let Some(wait) = self.repeat_after(outcome, jitter)
            && wait < left
            && (self.is_last() || self.is_usable(now + wait))
        {
            return Next::Retry { wait };
        }
        if self.is_last() && !self.has_more_to_ask(outcome) {
            Next::Exhausted
        } else {
            Next::Fallback
        }
    }

    /// Returns whether the only target that can be asked says that it did not make what the request refers to: then no
    /// other did, and that is the answer to the client.
    fn is_foreign_everywhere(&self, outcome: &Outcome) -> bool {
        outcome.class == Class::ForeignState && self.attempts == 1 && self.is_last() && !self.plan.has_makers()
    }

    /// Returns whether somebody is left who was not in the plan: a target that cools down is asked before the client gets
    /// an error, and one that may have made the request's state after one that has not.
    fn has_more_to_ask(&self, outcome: &Outcome) -> bool {
        !self.plan.resting.is_empty() || (outcome.class == Class::ForeignState && self.plan.has_makers())
    }

    /// Returns whether the current target will not be cooling down.
    fn is_usable(&self, then: Instant) -> bool {
        let step = self.plan.steps.get(self.position);
        step.is_some_and(|step| !step.standing(then).is_skipped())
    }

    /// Returns how long to wait before the same target is tried again; `None` if it should not be.
    fn repeat_after(&self, outcome: &Outcome, jitter: f64) -> Option<Duration> {
        let retry = &self.route.retry;
        if self.repeats >= retry.same_target || self.client_retries {
            return None;
        }
        match outcome.retry_after {
            Some(hint) => (hint <= retry.max_wait).then_some(hint),
            // A rate limit without a hint says nothing about when to come back.
            None if outcome.class == Class::RateLimited => None,
            None => {
                let doubled = retry.backoff.saturating_mul(2u32.saturating_pow(self.repeats));
                Some(doubled.min(retry.max_backoff).mul_f64(jitter))
            }
        }
    }

    /// Advances to what [`Self::next`] decided about `outcome`.
    pub fn advance(&mut self, next: Next, outcome: &Outcome, now: Instant) {
        match next {
            Next::Retry { .. } => {
                self.fresh = outcome.cause == Cause::StaleConnection;
                self.repeats += u32::from(!self.fresh);
            }
            Next::Fallback => {
                if self.is_last() {
                    self.plan.ask_makers(now);
                }
                self.pass_over();
            }
            Next::Deliver | Next::Exhausted => {}
        }
    }
}

#[cfg(test)]
mod tests;
