//! Where attempts leave what became of them: the ledger, the log, the meters, and the cooldown's lines in the log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::asked::Asked;
use crate::classify::Class;
use crate::notation::date;
use crate::routing::{Entry, Ledger, Outcome, Step};
use crate::telemetry::attempt::Attempt;
use crate::telemetry::cooldown::{Cooldown, Phase};
use crate::telemetry::history::FailureNote;
use crate::telemetry::metrics::TargetMeter;
use crate::transport::Failure;
use crate::upstream::health::Change;
use crate::upstream::setback::Scope;

/// What has become of a request so far.
#[derive(Default)]
pub struct Progress {
    pub ledger: Ledger,
    /// The target that has begun to answer behind a client that was answered early.
    pub served_by: Option<Arc<str>>,
    /// How long it has waited: for upstreams, and between attempts.
    pub waited: Duration,
    /// How often another attempt went on with the stream.
    pub resumed: u32,
    /// The answer broke off after it had begun, or reported an error, and nobody went on with it.
    pub is_broken: bool,
}

/// A request's progress, and what was asked, which tells where to enter it.
pub(super) struct Recorder<'a> {
    pub asked: &'a Asked,
    pub progress: &'a mut Progress,
}

/// What the log tells of a failed attempt besides its class.
#[derive(Default)]
pub(super) struct Details<'a> {
    pub reason: Option<&'a str>,
    pub rule: Option<&'static str>,
    pub clock: Option<&'static str>,
    /// Why there was no connection, in a few words that the client may read.
    pub unreachable: Option<&'static str>,
    pub upstream_request_id: Option<&'a str>,
    /// The provider's words, fit to be kept.
    pub message: Option<String>,
}

impl<'a> Details<'a> {
    /// The details of an attempt that got no answer, for the `reason` that `failure` gives.
    pub(super) fn of_failure(failure: &Failure, reason: &'a str) -> Self {
        Self {
            clock: failure.clock(),
            unreachable: failure.why_unreachable(),
            reason: Some(reason),
            ..Self::default()
        }
    }
}

/// A failed attempt, or one whose answer broke off.
pub(super) struct Failed<'a> {
    pub step: &'a Step,
    pub began: Instant,
    /// How long connecting took, where the connection was a new one.
    pub connect: Option<Duration>,
    pub outcome: &'a Outcome,
    pub details: &'a Details<'a>,
    /// What is done about it.
    pub action: &'static str,
}

impl Recorder<'_> {
    pub(super) fn meter(&self, step: &Step) -> &Arc<TargetMeter> {
        self.asked.snapshot.meters.of_target(&step.target)
    }

    /// Logs that the target of `step`, or its upstream, begins or ends to cool down.
    pub(super) fn cooldown(&self, step: &Step, change: Option<(Scope, Change)>) {
        match change {
            Some((Scope::Upstream, change)) => log_cooldown(&step.target.upstream.name, change),
            Some((Scope::Target, change)) => log_cooldown(&self.asked.target_name(step), change),
            None => {}
        }
    }

    /// Logs and counts a failure; `number` is the attempt's, from 1.
    pub(super) fn failed(&self, failed: &Failed<'_>, number: u32) {
        let Failed {
            step,
            began,
            outcome,
            details,
            ..
        } = *failed;
        Attempt {
            id: self.asked.id.as_str(),
            number,
            target: &self.asked.target_name(step),
            class: outcome.class.name(),
            status: outcome.status,
            clock: details.clock,
            reason: details.reason,
            rule: details.rule,
            ms: elapsed_ms(began),
            action: failed.action,
            upstream_request_id: details.upstream_request_id,
        }
        .emit();
        let note = FailureNote {
            unix_ms: unix_ms(),
            class: outcome.class.name(),
            status: outcome.status,
            message: details.message.clone().or_else(|| details.reason.map(str::to_owned)),
            request_id: self.asked.id.as_str().to_owned(),
            upstream_request_id: details.upstream_request_id.and_then(FailureNote::id),
        };
        let meter = self.meter(step);
        meter.failed(note, failed.action, failed.connect, Instant::now());
    }

    /// Enters an attempt into the ledger; `class` is `None` for one that serves.
    pub(super) fn enter(
        &mut self,
        step: &Step,
        began: Instant,
        status: Option<u16>,
        class: Option<Class>,
        details: &Details<'_>,
    ) {
        self.progress.ledger.push(Entry {
            target: self.asked.target_name(step),
            status,
            class,
            clock: details.clock,
            unreachable: details.unreachable,
            ms: elapsed_ms(began),
        });
    }
}

/// Logs that `target`, that is `UPSTREAM/MODEL` or `UPSTREAM`, begins or ends to cool down.
pub(crate) fn log_cooldown(target: &str, change: Change) {
    let (class, phase) = match change {
        Change::Opened {
            class,
            length,
            again: false,
        } => (class, Phase::Begun(length)),
        Change::Opened { class, length, .. } => (class, Phase::Prolonged(length)),
        Change::Closed { class } => (class, Phase::Ended),
    };
    Cooldown {
        target,
        class: class.name(),
        phase,
    }
    .emit();
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn unix_ms() -> u64 {
    date::unix_ms(SystemTime::now())
}
