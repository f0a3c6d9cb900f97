//! What targets and upstreams are told of how they fared, and what the log says when that changes how they stand.

use tokio::time::Instant;

use super::chain::Chain;
use super::context::{Asked, RequestContext, Stage};
use super::record;
use crate::classify::Class;
use crate::routing::{Outcome, Step};
use crate::upstream::health::Change;
use crate::upstream::setback::Scope;

/// The running attempt has failed.
pub(super) fn failed(chain: &Chain, asked: &Asked, outcome: &Outcome, now: Instant) {
    if let (Some(running), Some(change)) = (chain.running(), chain.report(outcome, now)) {
        record(&running.step, asked, change);
    }
}

/// An answer has begun.
pub(super) fn answered(ctx: &RequestContext) {
    let Stage::Trying(chain) = &ctx.stage else { return };
    let Some(running) = chain.running() else { return };
    for change in running.admission.answered() {
        record(&running.step, &ctx.asked, change);
    }
}

/// The answer has ended, `whole` or because the client left: the upstream has room for another request.
pub(super) fn ended(ctx: &mut RequestContext, whole: bool) {
    ctx.relay_slot = None;
    if let Some(serving) = ctx.serving.take().filter(|_| whole) {
        serving.admission.completed();
    }
}

/// The answer broke off after it had begun.
pub(super) fn broke_off(ctx: &mut RequestContext) {
    if let Some(serving) = ctx.serving.take() {
        let cooldown = &serving.step.target.cooldown;
        let change = serving.admission.failed(Class::Broken, None, cooldown, Instant::now());
        if let Some(change) = change {
            record(&serving.step, &ctx.asked, change);
        }
    }
}

fn record(step: &Step, asked: &Asked, (scope, change): (Scope, Change)) {
    match scope {
        Scope::Upstream => record::cooldown(&step.target.upstream.name, change),
        Scope::Target => record::cooldown(&asked.target_name(step), change),
    }
}
