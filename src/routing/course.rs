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
    /// The client's SDK retries by itself, so the same target is not tried twice.
    client_retries: bool,
    /// The next attempt must not take a connection from the pool.
    fresh: bool,
    position: usize,
    /// Attempts begun, over all targets.
    attempts: u32,
    /// Second tries of the current target.
    repeats: u32,
}

/// What becomes of a request whose turn it is to be tried.
#[derive(Debug)]
pub enum Turn {
    /// An attempt at this target runs.
    Begun(Step, Admission),
    /// The upstream of this step has its `max_inflight` requests; the next one's turn comes.
    Full(Step),
    /// Nobody is left to ask.
    Over,
}

/// How an attempt failed.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub class: Class,
    /// The answer's status; `None` if there was no answer.
    pub status: Option<u16>,
    /// What the class stands on.
    pub basis: Basis,
    /// The upstream's own hint.
    pub retry_after: Option<Duration>,
    pub cause: Cause,
}

/// Whose doing a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The target's or its upstream's, as the class says.
    Target,
    /// A connection from the pool proved dead: says nothing about the target.
    StaleConnection,
    /// What the request asks for: says nothing about others.
    Request,
    /// The request's time was over, whoever had used it up.
    Deadline,
}

impl Outcome {
    /// Tells those who answer for an attempt that has failed. What that changes, and for whom.
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
    /// As logs and `explain` write it.
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
            client_retries,
            fresh: false,
            position: 0,
            attempts: 0,
            repeats: 0,
        }
    }

    /// Starts the attempt at the current target, or at the next one that may be asked. How targets stand has changed
    /// since the plan was made; but the last one is asked however it stands, rather than none.
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

    /// Whose turn it is. Where all who may be asked are full, those that cool down are asked after all: asking beats
    /// refusing.
    fn current(&mut self, now: Instant) -> Option<Step> {
        if self.position >= self.plan.steps.len() && self.attempts == 0 && !self.plan.anyway {
            self.plan.ask_resting(now);
        }
        self.plan.steps.get(self.position).cloned()
    }

    /// Those whose turn comes after the current one's.
    pub fn following(&self) -> &[Step] {
        self.plan.steps.get(self.position + 1..).unwrap_or_default()
    }

    /// How many attempts were made, and how many may still be.
    pub fn attempts(&self) -> (u32, u32) {
        let budget = self.route.retry.attempts;
        (self.attempts, budget.saturating_sub(self.attempts))
    }

    fn is_last(&self) -> bool {
        self.position + 1 >= self.plan.steps.len()
    }

    fn pass_over(&mut self) {
        self.position += 1;
        self.repeats = 0;
        self.fresh = false;
    }

    /// Whether the attempt that was begun must not take a connection from the pool.
    pub fn needs_fresh_connection(&self) -> bool {
        self.fresh
    }

    /// What to do about a failed attempt, once it was reported. `left` is the time from `now` to the request's deadline,
    /// zero if it has passed; `jitter` is drawn from [0, 1).
    pub fn next(&self, outcome: &Outcome, now: Instant, left: Duration, jitter: f64) -> Next {
        let action = self.route.action(outcome.class, outcome.status);
        if outcome.status.is_some() && (action == Action::Deliver || self.is_foreign_everywhere(outcome)) {
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
        if self.is_last() && !(outcome.class == Class::ForeignState && self.plan.has_makers()) {
            Next::Exhausted
        } else {
            Next::Fallback
        }
    }

    /// Whether the only one who can be asked says that it did not make what the request refers to: then nobody did, and
    /// that is what the client asked.
    fn is_foreign_everywhere(&self, outcome: &Outcome) -> bool {
        outcome.class == Class::ForeignState && self.attempts == 1 && self.is_last() && !self.plan.has_makers()
    }

    /// Whether the current target will not be cooling down.
    fn is_usable(&self, then: Instant) -> bool {
        let step = self.plan.steps.get(self.position);
        step.is_some_and(|step| !step.standing(then).is_skipped())
    }

    /// How long to wait before the same target is tried again; `None` if it should not be.
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

    /// Moves on to what [`Self::next`] said of `outcome`.
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
mod tests {
    use super::*;
    use crate::config::{self, KeyPolicy, LoadOptions};
    use crate::protocol::Protocol;
    use crate::routing::{RouteTable, plan};

    const LEFT: Duration = Duration::from_secs(100);

    /// Of a route to upstreams a and b, with this policy.
    fn course(policy: &str, client_retries: bool) -> Course {
        course_of("[a, b]", policy, client_retries)
    }

    fn course_of(targets: &str, policy: &str, client_retries: bool) -> Course {
        let file = tempfile::NamedTempFile::new().unwrap();
        let upstreams = "upstreams: { a: { url: \"http://127.0.0.1:1\" }, b: { url: \"http://127.0.0.1:2\" } }";
        let yaml = format!("{upstreams}\nroutes: {{ m: {targets} }}\npolicy: {{ {policy} }}\n");
        std::fs::write(file.path(), yaml).unwrap();
        let options = LoadOptions {
            env: &|_| None,
            keys: KeyPolicy::Required,
        };
        let loaded = config::load(file.path(), &options);
        let table = RouteTable::compile(&loaded.config.unwrap_or_else(|| panic!("{policy} has errors")), None);
        let route = Arc::clone(table.route("m").unwrap());
        let plan = plan(&route, "m", Protocol::OpenAi, Instant::now(), |_| 0);
        Course::new(route, plan, client_retries)
    }

    fn failed(class: Class, status: u16, retry_after_s: Option<u64>) -> Outcome {
        Outcome {
            class,
            status: Some(status),
            basis: Basis::Status,
            retry_after: retry_after_s.map(Duration::from_secs),
            cause: Cause::Target,
        }
    }

    /// What follows when every attempt fails so, until nothing does.
    fn followed(mut course: Course, outcome: &Outcome, left: Duration) -> Vec<Next> {
        let mut seen = Vec::new();
        let mut now = Instant::now();
        while let Turn::Begun(step, admission) = course.begin(now) {
            outcome.report(&step, &admission, now);
            let next = course.next(outcome, now, left, 0.5);
            seen.push(next);
            if matches!(next, Next::Deliver | Next::Exhausted) {
                break;
            }
            if let Next::Retry { wait } = next {
                now += wait;
            }
            course.advance(next, outcome, now);
        }
        seen
    }

    fn retry(wait_ms: u64) -> Next {
        Next::Retry {
            wait: Duration::from_millis(wait_ms),
        }
    }

    #[test]
    fn failures_are_followed_as_the_policy_says() {
        use Next::{Deliver, Exhausted, Fallback};
        let server_error = failed(Class::ServerError, 500, None);
        for (policy, outcome, expected) in [
            ("", &server_error, vec![retry(125), Fallback, retry(125), Exhausted]),
            // Backoff doubles, up to its bound; the budget is for all targets together.
            (
                "retry: { same_target: 4, max_backoff: 800ms, attempts: 7 }, cooldown: { after: 0 }",
                &server_error,
                vec![
                    retry(125),
                    retry(250),
                    retry(400),
                    retry(400),
                    Fallback,
                    retry(125),
                    Exhausted,
                ],
            ),
            // Who cools down is not tried again, but the last one is.
            (
                "retry: { same_target: 4, attempts: 7 }, cooldown: { after: 2 }",
                &server_error,
                vec![
                    retry(125),
                    Fallback,
                    retry(125),
                    retry(250),
                    retry(500),
                    retry(1000),
                    Exhausted,
                ],
            ),
            ("retry: { attempts: 1 }", &server_error, vec![Exhausted]),
            ("on: { server_error: deliver }", &server_error, vec![Deliver]),
            // A status goes before its class.
            (
                "on: { server_error: deliver, 500: fallback }",
                &server_error,
                vec![Fallback, Exhausted],
            ),
            ("", &failed(Class::BadRequest, 400, None), vec![Deliver]),
            ("", &failed(Class::RateLimited, 429, None), vec![Fallback, Exhausted]),
            (
                "",
                &failed(Class::RateLimited, 429, Some(3)),
                vec![retry(3000), Fallback, retry(3000), Exhausted],
            ),
            ("", &failed(Class::RateLimited, 429, Some(4)), vec![Fallback, Exhausted]),
        ] {
            assert_eq!(
                followed(course(policy, false), outcome, LEFT),
                expected,
                "{policy} {outcome:?}"
            );
        }
    }

    #[test]
    fn a_client_that_retries_is_not_retried_for() {
        let outcome = failed(Class::ServerError, 500, None);
        assert_eq!(
            followed(course("", true), &outcome, LEFT),
            [Next::Fallback, Next::Exhausted]
        );
    }

    #[test]
    fn the_deadline_ends_it_and_no_wait_outlasts_it() {
        let outcome = failed(Class::RateLimited, 429, Some(2));
        let two = Duration::from_secs(2);
        assert_eq!(
            followed(course("", false), &outcome, two),
            [Next::Fallback, Next::Exhausted]
        );
        assert_eq!(followed(course("", false), &outcome, Duration::ZERO), [Next::Exhausted]);
    }

    #[test]
    fn a_dead_connection_costs_an_attempt_and_no_second_try() {
        let mut course = course("", false);
        let stale = Outcome {
            cause: Cause::StaleConnection,
            status: None,
            ..failed(Class::Reset, 0, None)
        };
        let now = Instant::now();
        assert!(matches!(course.begin(now), Turn::Begun(..)));
        assert_eq!(course.next(&stale, now, LEFT, 0.5), retry(0));
        course.advance(retry(0), &stale, now);
        assert!(course.needs_fresh_connection());
        let rest = followed(course, &failed(Class::ServerError, 500, None), LEFT);
        assert_eq!(rest, [retry(125), Next::Fallback, retry(125), Next::Exhausted]);
    }

    #[test]
    fn without_an_answer_there_is_nothing_to_deliver() {
        let silent = Outcome {
            status: None,
            ..failed(Class::Timeout, 0, None)
        };
        let course = course("on: { timeout: deliver }", false);
        assert_eq!(followed(course, &silent, LEFT), [Next::Fallback, Next::Exhausted]);
    }

    #[test]
    fn who_cools_down_by_then_is_passed_over() {
        let outcome = failed(Class::Auth, 401, None);
        let mut course = course_of("[a/one, a/two, b]", "", false);
        let now = Instant::now();
        let Turn::Begun(step, admission) = course.begin(now) else {
            panic!("nobody is asked")
        };
        assert!(outcome.report(&step, &admission, now).is_some());
        assert_eq!(course.next(&outcome, now, LEFT, 0.5), Next::Fallback);
        course.advance(Next::Fallback, &outcome, now);
        let Turn::Begun(step, _) = course.begin(now) else {
            panic!("b is not asked")
        };
        assert_eq!(&*step.name(Some("m")), "b/m");
        let resting: Vec<_> = course.plan.resting.iter().map(|step| step.name(None)).collect();
        assert_eq!(resting, ["a/two".into()]);
    }
}
