//! The path of a request through its plan, under what is supposed to happen.
//!
//! Answers are taken to come at once, clocks to run out in full, and every wait to be as long as its jitter allows:
//! where that matters, the deadline cuts the path as early as it could. Targets start in good health, and cool down as
//! production's do: the machines that tell it are told the path's own times.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::asked::Asked;
use super::seen::seen;
use super::supposition::{Fate, Supposition};
use crate::classify::Action;
use crate::routing::{Course, Entry, LastResort, Ledger, LeftOut, Next, Outcome, Step, Turn, Worth};

/// The draws between which every wait lies.
const JITTER_MIN: f64 = 0.0;
const JITTER_MAX: f64 = 1.0;

/// The least and the most that something may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

impl Span {
    fn plus(self, least: Duration, most: Duration) -> Self {
        Self {
            least: self.least.saturating_add(least),
            most: self.most.saturating_add(most),
        }
    }
}

pub(super) struct Walk {
    pub(super) attempts: Vec<Attempt>,
    pub(super) ledger: Ledger,
    pub(super) end: End,
    /// Targets whose turn came while they cooled down.
    pub(super) left_out: Vec<Arc<str>>,
    /// The time from the request to its end.
    pub(super) took: Span,
    /// Which suppositions an attempt came to.
    used: Vec<bool>,
}

pub(super) struct Attempt {
    /// `UPSTREAM/MODEL`
    pub(super) target: Arc<str>,
    /// The time since the request came.
    pub(super) began: Span,
    pub(super) took: Duration,
    /// `None`: it is answered.
    pub(super) failed: Option<Failed>,
}

pub(super) struct Failed {
    pub(super) outcome: Outcome,
    /// The clock that runs out, by its name in the configuration.
    pub(super) clock: Option<&'static str>,
    /// The rule of classification, where a status alone was given.
    pub(super) rule: Option<&'static str>,
    pub(super) action: Action,
    pub(super) next: Next,
    /// Before the next attempt, for a retry.
    pub(super) wait: Span,
}

/// What the client gets.
pub(super) enum End {
    /// An answer that has begun.
    Served { target: Arc<str> },
    /// A failed answer of an upstream, whole.
    Failure { target: Arc<str>, status: u16 },
    /// The gateway's own account.
    Account { status: u16, message: String },
}

impl Walk {
    /// The suppositions that no attempt came to.
    pub(super) fn unused<'a>(&self, suppositions: &'a [Supposition]) -> impl Iterator<Item = &'a Supposition> {
        suppositions
            .iter()
            .zip(self.used.clone())
            .filter(|(_, used)| !used)
            .map(|(supposition, _)| supposition)
    }
}

pub(super) fn walk(course: Course, began: Instant, asked: &Asked, suppositions: &[Supposition]) -> Walk {
    let mut walker = Walker {
        deadline: course.route.timeouts.deadline,
        kept: LastResort::new(course.route.exhausted),
        course,
        requested: &asked.model,
        streams: asked.stream,
        began,
        supposed: Supposed {
            suppositions,
            used: vec![false; suppositions.len()],
        },
        attempts: Vec::new(),
        ledger: Ledger::default(),
        time: Span::default(),
    };
    // Ends: a course has a budget of attempts, and passes over a target once.
    let end = loop {
        if let Some(end) = walker.turn() {
            break end;
        }
    };
    let left_out = walker.course.plan.resting.iter();
    Walk {
        left_out: left_out.map(|step| step.name(Some(&asked.model))).collect(),
        attempts: walker.attempts,
        ledger: walker.ledger,
        end,
        took: walker.time,
        used: walker.supposed.used,
    }
}

/// A request on its way.
struct Walker<'a> {
    course: Course,
    requested: &'a str,
    streams: bool,
    began: Instant,
    /// The target and the status of an answer that failed.
    kept: LastResort<(Arc<str>, u16)>,
    supposed: Supposed<'a>,
    deadline: Duration,
    time: Span,
    attempts: Vec<Attempt>,
    ledger: Ledger,
}

impl Walker<'_> {
    /// One attempt, if one is made; what the client gets, if it is the last one.
    fn turn(&mut self) -> Option<End> {
        let (step, admission) = match self.course.begin(self.now()) {
            Turn::Begun(step, admission) => (step, admission),
            Turn::Full(step) => {
                self.kept.miss();
                self.ledger.push(Entry::saturated(step.name(Some(self.requested))));
                return None;
            }
            Turn::Over => return Some(self.without_answer()),
        };
        let target = step.name(Some(self.requested));
        let began = self.time;
        let seen = seen(
            self.supposed.fate(&step, self.requested),
            &step,
            self.streams,
            self.left(),
        );
        self.time = self.time.plus(seen.took, seen.took);
        self.ledger.push(seen.entry(&target));
        let took = seen.took;
        let failed = seen.outcome.map(|outcome| {
            outcome.report(&step, &admission, self.now());
            self.fail(outcome, seen.clock, seen.rule)
        });
        drop(admission);
        let end = match &failed {
            None => Some(End::Served {
                target: Arc::clone(&target),
            }),
            Some(failed) => self.settle(failed, &target),
        };
        self.attempts.push(Attempt {
            target,
            began,
            took,
            failed,
        });
        end
    }

    /// The moment after the longest waits.
    fn now(&self) -> Instant {
        self.began + self.time.most
    }

    /// The time to the deadline, after the longest waits.
    fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.time.most)
    }

    /// Returns what is decided about a failure.
    fn fail(&self, outcome: Outcome, clock: Option<&'static str>, rule: Option<&'static str>) -> Failed {
        let (now, left) = (self.now(), self.left());
        let next = self.course.next(&outcome, now, left, JITTER_MAX);
        let wait = match (self.course.next(&outcome, now, left, JITTER_MIN), next) {
            (Next::Retry { wait: least }, Next::Retry { wait: most }) => Span { least, most },
            // Only the longest wait outlasts the target's cooldown.
            (_, Next::Retry { wait: most }) => Span { least: most, most },
            _ => Span::default(),
        };
        Failed {
            action: self.course.route.action(outcome.class, outcome.status),
            outcome,
            clock,
            rule,
            next,
            wait,
        }
    }

    /// Continues with the next attempt, or ends.
    fn settle(&mut self, failed: &Failed, target: &Arc<str>) -> Option<End> {
        let class = failed.outcome.class;
        let own = failed.outcome.status.map(|status| (Arc::clone(target), status));
        if own.is_none() {
            self.kept.miss();
        }
        match (failed.next, own) {
            (next @ (Next::Retry { .. } | Next::Fallback), own) => {
                if let Some(own) = own {
                    self.kept.offer(Worth::of(class, own.1, true), || own);
                }
                self.time = self.time.plus(failed.wait.least, failed.wait.most);
                self.course.advance(next, &failed.outcome, self.now());
                None
            }
            (Next::Deliver, Some(own)) => Some(End::failure(own)),
            (Next::Exhausted, Some(own)) if !self.kept.is_preferred_to(Worth::of(class, own.1, true)) => {
                Some(End::failure(own))
            }
            (Next::Deliver | Next::Exhausted, _) => Some(self.without_answer()),
        }
    }

    /// The last attempt gave no answer, or an earlier one is preferred.
    fn without_answer(&mut self) -> End {
        match self.kept.take() {
            Some(kept) => End::failure(kept),
            None => {
                let left_out = LeftOut::of(&self.course.plan, Some(self.requested), self.now());
                let error = self.ledger.account(&left_out);
                End::Account {
                    status: error.status,
                    message: error.message,
                }
            }
        }
    }
}

impl End {
    fn failure((target, status): (Arc<str>, u16)) -> Self {
        Self::Failure { target, status }
    }
}

/// The suppositions, and which of them have come to pass.
struct Supposed<'a> {
    suppositions: &'a [Supposition],
    used: Vec<bool>,
}

impl Supposed<'_> {
    /// Returns what happens to an attempt: a supposition about the model there takes precedence over one about its
    /// upstream. Of several fates, the first that has not come yet applies, else the last.
    fn fate(&mut self, step: &Step, requested: &str) -> Fate {
        let concerned = || {
            self.suppositions
                .iter()
                .filter(|supposition| supposition.concerns(step, requested))
        };
        let Some(first) = concerned()
            .find(|supposition| supposition.model.is_some())
            .or_else(|| concerned().next())
        else {
            return Fate::Served;
        };
        let indices = self.suppositions.iter().enumerate();
        let same: Vec<usize> = indices
            .filter(|(_, supposition)| supposition.concerns_the_same(first))
            .map(|(index, _)| index)
            .collect();
        let index = same
            .iter()
            .copied()
            .find(|&index| !self.used[index])
            .or(same.last().copied());
        index.map_or(Fate::Served, |index| {
            self.used[index] = true;
            self.suppositions[index].fate
        })
    }
}
