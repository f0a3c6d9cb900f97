//! What targets and upstreams are told of how they fared, and what the log says when that changes how they stand.

use tokio::time::Instant;

use super::break_off::BreakOff;
use super::chain::Chain;
use super::context::{Asked, RequestContext, Serving, Stage};
use super::{measure, record};
use crate::routing::{Outcome, Step};
use crate::upstream::health::Change;
use crate::upstream::setback::Scope;

/// The running attempt has failed.
pub(super) fn failed(chain: &Chain, asked: &Asked, outcome: &Outcome, now: Instant) {
    if let Some(running) = chain.running() {
        record_change(&running.step, asked.model.as_deref(), chain.report(outcome, now));
    }
}

/// An answer has begun.
pub(super) fn answered(ctx: &RequestContext) {
    let Stage::Trying(chain) = &ctx.stage else { return };
    let Some(running) = chain.running() else { return };
    for change in running.admission.answered() {
        record_change(&running.step, ctx.asked.model.as_deref(), Some(change));
    }
}

/// The answer has ended, `whole` or because the client left: the upstream has room for another request.
pub(super) fn ended(ctx: &mut RequestContext, whole: bool) {
    ctx.relay_slot = None;
    if let Some(serving) = ctx.take_serving() {
        measure::ended(&ctx.snapshot, &serving, whole);
        // A failure that is delivered comes to its end, too, and is no sign that answers do.
        if whole && serving.served.is_some() {
            serving.admission.completed();
        }
    }
}

/// An answer of a request for the model `requested` broke off after it had begun.
pub(super) fn record_broken(serving: &Serving, requested: Option<&str>, break_off: &BreakOff) {
    let setback = break_off.blames();
    let cooldown = &serving.step.target.cooldown;
    let change = serving.admission.broke_off(setback, cooldown, Instant::now());
    record_change(&serving.step, requested, change);
}

/// What has changed for the target of `step`, in a request for the model `requested`, or for its upstream.
pub(super) fn record_change(step: &Step, requested: Option<&str>, change: Option<(Scope, Change)>) {
    match change {
        Some((Scope::Upstream, change)) => record::cooldown(&step.target.upstream.name, change),
        Some((Scope::Target, change)) => record::cooldown(&step.name(requested), change),
        None => {}
    }
}
