//! What requests and attempts leave in the [`meters`](super::meters), each once, when it has ended.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pingora_proxy::Session;
use tokio::time::Instant;

use super::Snapshot;
use super::break_off::BreakOff;
use super::context::{RequestContext, RequestId, Serving, Stage};
use super::verdict::Signs;
use crate::body::Replay;
use crate::classify::{self, Class};
use crate::routing::{Outcome, Step};
use crate::telemetry::access;
use crate::telemetry::history::FailureNote;
use crate::telemetry::metrics::{Request, Served};
use crate::telemetry::quotation;
use crate::transport::Timings;

/// Bodies up to this are searched for each failure.
const SEARCHED_ALWAYS_MAX_BYTES: usize = 16 * 1024;
const LARGE_SEARCH_EVERY_MS: u64 = 1000;

/// What is kept of a provider's words about the request with this `body`, which the target of `step` has refused. To
/// search a large body takes milliseconds, and the next attempt waits: that is done once in a while.
pub(super) fn message(snapshot: &Snapshot, step: &Step, body: &Replay, payload: &[u8]) -> Option<String> {
    // Without the request's own words those that were quoted can't be told from the provider's.
    let plain = body.plain()?;
    let is_large = plain.len() > SEARCHED_ALWAYS_MAX_BYTES;
    let history = &snapshot.meters.of_target(&step.target).history;
    if is_large && history.has_message_since(unix_ms().saturating_sub(LARGE_SEARCH_EVERY_MS)) {
        return None;
    }
    let said = classify::message::message(payload)?;
    let secrets = snapshot.table.upstreams.iter().flat_map(|upstream| upstream.secrets());
    quotation::clean(&said, secrets, plain)
}

/// The running attempt got an answer that goes to the client.
pub(super) fn answered(ctx: &mut RequestContext) {
    let Stage::Trying(chain) = &mut ctx.stage else { return };
    let Some(running) = chain.running_mut() else { return };
    ctx.waited += running.waited(Instant::now());
    running.served = Some(Served {
        connect: running.connect,
        ..answer(running.assignment.as_ref().map(|assignment| &assignment.timings))
    });
}

/// What is known of an answer when it has begun.
pub(super) fn answer(timings: Option<&Timings>) -> Served {
    Served {
        connect: None,
        headers: timings.and_then(Timings::headers),
        first_token: timings.and_then(Timings::first_token),
        total: None,
    }
}

/// An attempt at the target of `step` got its connection: a new one within `connect`, or one from the pool.
pub(super) fn connected(snapshot: &Snapshot, step: &Step, connect: Option<Duration>) {
    snapshot.meters.of_target(&step.target).connected(connect);
}

/// An attempt at the target of `step` has failed, and `action` is taken.
pub(super) fn failed(
    snapshot: &Snapshot,
    id: &RequestId,
    (step, connect): (&Step, Option<Duration>),
    outcome: &Outcome,
    signs: &Signs<'_>,
    action: &'static str,
) {
    let note = FailureNote {
        status: outcome.status,
        message: signs.message.clone().or_else(|| signs.reason.map(str::to_owned)),
        upstream_request_id: signs.upstream_request_id.and_then(FailureNote::id),
        ..note(id, outcome.class)
    };
    let meter = snapshot.meters.of_target(&step.target);
    meter.failed(note, action, connect, Instant::now());
}

/// The client left while an attempt at the target of `step` ran.
pub(super) fn abandoned(snapshot: &Snapshot, step: &Step) {
    snapshot.meters.of_target(&step.target).abandoned();
}

/// The first byte goes to the client.
pub(super) fn committed(ctx: &RequestContext, now: Instant) {
    let added = now.saturating_duration_since(ctx.read_at).saturating_sub(ctx.waited);
    ctx.snapshot.meters.added.observe(added.as_secs_f64());
}

/// An answer has ended, `whole` or because the client left.
pub(super) fn ended(snapshot: &Snapshot, serving: &Serving, whole: bool) {
    let Some(served) = &serving.served else { return };
    let now = Instant::now();
    let served = Served {
        total: whole.then(|| now.duration_since(serving.began)),
        ..*served
    };
    snapshot.meters.of_target(&serving.step.target).served(&served, now);
}

/// An answer broke off, and `action` is taken.
pub(super) fn broke_off(
    snapshot: &Snapshot,
    id: &RequestId,
    serving: &Serving,
    break_off: &BreakOff,
    action: &'static str,
) {
    let Some(served) = &serving.served else { return };
    let note = FailureNote {
        message: Some(break_off.reason.clone()),
        ..note(id, Class::Broken)
    };
    let meter = snapshot.meters.of_target(&serving.step.target);
    meter.failed(note, action, served.connect, Instant::now());
}

/// What is relayed as it comes is not judged: any answer is one.
pub(super) fn relayed(snapshot: &Snapshot, step: &Step) {
    let meter = snapshot.meters.of_target(&step.target);
    meter.served(&Served::default(), Instant::now());
}

/// The request has ended.
pub(super) fn request(session: &Session, outcome: access::Outcome, ctx: &RequestContext) {
    ctx.route_meter().ended(&Request {
        outcome,
        status: session.response_written().map(|response| response.status.as_u16()),
        duration: ctx.received.elapsed(),
        bytes_in: u64::try_from(ctx.asked.bytes_in.max(session.body_bytes_read())).unwrap_or(u64::MAX),
        bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
    });
}

/// Of a failure that has just been judged.
fn note(id: &RequestId, class: Class) -> FailureNote {
    FailureNote {
        unix_ms: unix_ms(),
        class: class.name(),
        status: None,
        message: None,
        request_id: id.as_str().to_owned(),
        upstream_request_id: None,
    }
}

fn unix_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
