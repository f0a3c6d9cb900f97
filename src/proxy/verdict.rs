//! The verdict on an attempt: what it means, and what comes next.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;

use super::break_off::BreakOff;
use super::chain::Chain;
use super::context::{RequestContext, Serving, Stage};
use super::headers::{self, Served};
use super::intake::is_client_gone;
use super::{health, measure, record};
use crate::body::{BEGINNING_BYTES, Replay};
use crate::classify::{self, Class, Signals};
use crate::routing::{Cause, Entry, Next, Outcome, Step};
use crate::transport::{Evidence, Failure};

/// A body of which only the beginning is there is one that is too large to be searched.
const _: () = assert!(BEGINNING_BYTES > classify::Request::BODY_MAX_BYTES);

/// Ends an attempt whose answer the client does not get.
const NEXT_ATTEMPT: ErrorType = ErrorType::Custom("NextAttempt");

/// An answer came to what the client `asked`: deliver it (`Ok`), or end the attempt.
pub(super) fn on_answer(asked: &RequestHeader, header: &mut ResponseHeader, ctx: &mut RequestContext) -> Result<()> {
    let evidence = header.extensions_mut().remove::<Evidence>();
    let step = match &ctx.stage {
        Stage::Trying(chain) => chain.running().map(|running| running.step.clone()),
        Stage::Relaying(relay) => Some(relay.step.clone()),
        _ => return Ok(()),
    };
    let Some(step) = step else {
        return Error::e_explain(ErrorType::InternalError, "an answer without its attempt");
    };
    match evidence {
        None => {
            enter_served(ctx, &step, header.status.as_u16());
            health::answered(ctx);
            measure::answered(ctx);
        }
        Some(evidence) => reject(asked, header, &evidence, &step, ctx)?,
    }
    commit(header, ctx, &step)
}

/// Settles a failed answer. `Ok`: it is delivered all the same.
fn reject(
    asked: &RequestHeader,
    header: &ResponseHeader,
    evidence: &Evidence,
    step: &Step,
    ctx: &mut RequestContext,
) -> Result<()> {
    let Some(chain) = ctx.stage.chain() else {
        return Ok(());
    };
    let (outcome, mut signs) = read(header, evidence, step, asked, &chain.body);
    signs.message = measure::message(&ctx.snapshot, step, &chain.body, &evidence.payload);
    let next = settle(ctx, &outcome, &signs);
    let Stage::Trying(chain) = &mut ctx.stage else {
        return Ok(());
    };
    match next {
        Next::Deliver => Ok(()),
        Next::Exhausted if !chain.prefers_kept_to(outcome.class) => {
            ctx.exhausted = true;
            Ok(())
        }
        Next::Exhausted => Error::e_explain(NEXT_ATTEMPT, "an earlier answer is preferred"),
        Next::Retry { .. } | Next::Fallback => {
            chain.keep(outcome.class, header, evidence, step);
            let mut error = Error::explain(NEXT_ATTEMPT, "");
            error.set_retry(true);
            Err(error)
        }
    }
}

/// What a failed answer of the target of `step` means, to what the client `asked` with this `body`.
pub(super) fn read<'a>(
    header: &'a ResponseHeader,
    evidence: &Evidence,
    step: &Step,
    asked: &RequestHeader,
    body: &Replay,
) -> (Outcome, Signs<'a>) {
    let status = header.status.as_u16();
    let mut texts: Vec<&[u8]> = vec![asked.raw_path()];
    texts.extend(asked.headers.values().map(HeaderValue::as_bytes));
    texts.extend(step.model.as_deref().map(str::as_bytes));
    let answer = Signals {
        status,
        headers: &header.headers,
        body: &evidence.payload,
        provider: step.target.upstream.provider.as_deref(),
        request: Some(&classify::Request {
            body: body.beginning(),
            texts: &texts,
        }),
    };
    let verdict = classify::classify(&answer);
    let outcome = Outcome {
        class: verdict.class,
        status: Some(status),
        basis: verdict.basis,
        retry_after: classify::hint::retry_after(&answer, verdict.basis, SystemTime::now()),
        cause: match verdict.is_requests_own {
            true => Cause::Request,
            false => Cause::Target,
        },
    };
    let signs = Signs {
        rule: Some(verdict.rule),
        upstream_request_id: headers::upstream_request_id(&header.headers),
        ..Signs::default()
    };
    (outcome, signs)
}

/// From here on the answer is the client's, and nothing can be retried.
fn commit(header: &mut ResponseHeader, ctx: &mut RequestContext, step: &Step) -> Result<()> {
    let upstream = Arc::clone(&step.target.upstream);
    let model = step.model.clone().or_else(|| ctx.asked.model.clone());
    ctx.served_by = Some(ctx.asked.target_name(step));
    let now = Instant::now();
    if let Stage::Trying(mut chain) = std::mem::replace(&mut ctx.stage, Stage::Committed)
        && let Some(running) = chain.take_running()
    {
        let serving = Serving {
            step: running.step,
            began: running.began,
            admission: running.admission,
            assignment: running.assignment,
            served: running.served,
        };
        ctx.serve(serving, &chain);
        measure::committed(ctx, now);
    } else {
        measure::relayed(&ctx.snapshot, step);
    }
    ctx.committed = Some(now);
    headers::to_client(
        header,
        ctx,
        &Served {
            upstream: &upstream,
            model: model.as_deref(),
        },
    )
}

fn enter_served(ctx: &mut RequestContext, step: &Step, status: u16) {
    let began = match &ctx.stage {
        Stage::Trying(chain) => chain.running().map_or(ctx.received, |running| running.began),
        Stage::Relaying(relay) => relay.began,
        _ => ctx.received,
    };
    let target = ctx.asked.target_name(step);
    ctx.ledger.push(Entry {
        target,
        status: Some(status),
        class: None,
        clock: None,
        ms: elapsed_ms(began),
    });
}

/// An attempt got no answer, or an answer broke off.
pub(super) fn on_error(mut error: Box<Error>, ctx: &mut RequestContext) -> Box<Error> {
    match &ctx.stage {
        Stage::Trying(_) if *error.etype() == NEXT_ATTEMPT => return error,
        Stage::Trying(_) if !is_client_gone(&error) => {
            let retry = match Failure::of(&error) {
                Some(failure) => matches!(settle_failure(ctx, failure), Next::Retry { .. } | Next::Fallback),
                None => false,
            };
            error.set_retry(retry);
        }
        Stage::Committed if !is_client_gone(&error) => {
            if let Some(failure) = Failure::of(&error) {
                broke_off(ctx, failure);
            }
            error.set_retry(false);
        }
        _ => error.set_retry(false),
    }
    error
}

/// The answer broke off after it had begun.
pub(super) fn broke_off(ctx: &mut RequestContext, failure: &Failure) {
    if let Some(serving) = ctx.take_serving() {
        let break_off = BreakOff::of(failure, &serving);
        enter_break_off(ctx, &serving, &break_off);
    }
}

/// Whether the upstream has reported an error in the stream that goes to the client: for the books it has broken off
/// then, however it ends.
pub(super) fn reported(ctx: &mut RequestContext) {
    if let Some((serving, error)) = ctx.take_reported() {
        let break_off = BreakOff::reported(&error, &serving);
        enter_break_off(ctx, &serving, &break_off);
    }
}

fn enter_break_off(ctx: &mut RequestContext, serving: &Serving, break_off: &BreakOff) {
    ctx.is_broken = true;
    health::record_broken(serving, ctx.asked.model.as_deref(), break_off);
    // A failure that is delivered was recorded before it began.
    if serving.served.is_none() {
        return;
    }
    measure::broke_off(&ctx.snapshot, &ctx.id, serving, break_off, "deliver");
    let failed = record::Failed {
        id: &ctx.id,
        number: ctx.ledger.attempts(),
        target: ctx.asked.target_name(&serving.step),
        ms: elapsed_ms(serving.began),
        action: "deliver",
    };
    failed.enter(&break_off.outcome(), &Signs::of_break_off(break_off));
    ctx.ledger.broke_off();
}

/// Settles an attempt that got no answer.
pub(super) fn settle_failure(ctx: &mut RequestContext, failure: &Failure) -> Next {
    let reason = failure.to_string();
    let signs = Signs {
        clock: failure.clock(),
        reason: Some(&reason),
        ..Signs::default()
    };
    settle(ctx, &Outcome::from(failure), &signs)
}

/// What the log tells of a failed attempt besides its class.
#[derive(Default)]
pub(super) struct Signs<'a> {
    pub reason: Option<&'a str>,
    pub rule: Option<&'static str>,
    pub clock: Option<&'static str>,
    pub upstream_request_id: Option<&'a str>,
    /// The provider's words, fit to be kept.
    pub message: Option<String>,
}

impl<'a> Signs<'a> {
    pub(super) fn of_break_off(break_off: &'a BreakOff) -> Self {
        Self {
            reason: Some(&break_off.reason),
            rule: break_off.rule,
            ..Self::default()
        }
    }
}

/// Reports and records a failed attempt, and moves the chain on to what comes next.
fn settle(ctx: &mut RequestContext, outcome: &Outcome, signs: &Signs<'_>) -> Next {
    let Stage::Trying(chain) = &ctx.stage else {
        return Next::Exhausted;
    };
    let Some(running) = chain.running() else {
        return Next::Exhausted;
    };
    let now = Instant::now();
    health::failed(chain, &ctx.asked, outcome, now);
    let next = chain.next(outcome, now, fastrand::f64());
    let failed = record::Failed {
        id: &ctx.id,
        number: ctx.ledger.attempts() + 1,
        target: ctx.asked.target_name(&running.step),
        ms: elapsed_ms(running.began),
        action: next.name(),
    };
    let entry = failed.enter(outcome, signs);
    measure::failed(
        &ctx.snapshot,
        &ctx.id,
        (&running.step, running.connect),
        outcome,
        signs,
        next.name(),
    );
    if next == Next::Fallback {
        ctx.route_meter().fell_back();
    }
    ctx.waited += running.waited(now);
    ctx.ledger.push(entry);
    if let Stage::Trying(chain) = &mut ctx.stage {
        chain.advance(next, outcome, now);
    }
    next
}

/// The client left while an attempt ran. That counts against nobody, but it was made.
pub(super) fn enter_abandoned(ctx: &mut RequestContext, chain: &Chain) {
    if let Some(running) = chain.running() {
        measure::abandoned(&ctx.snapshot, &running.step);
        let target = ctx.asked.target_name(&running.step);
        let ms = elapsed_ms(running.began);
        ctx.ledger.push(Entry {
            target,
            status: None,
            class: Some(Class::ClientGone),
            clock: None,
            ms,
        });
    }
}

/// No attempt was made, because the upstream has its `max_inflight` requests.
pub(super) fn enter_full(ctx: &mut RequestContext, step: &Step) {
    let target = ctx.asked.target_name(step);
    ctx.ledger.push(Entry::saturated(target));
}

/// A request that is relayed got no answer, or its answer broke off. There is no second try.
pub(super) fn relay_failed(ctx: &mut RequestContext, failure: Failure) -> Box<Error> {
    if let Stage::Relaying(relay) = &ctx.stage {
        let outcome = Outcome::from(&failure);
        let reason = failure.to_string();
        let signs = Signs {
            clock: failure.clock(),
            reason: Some(&reason),
            ..Signs::default()
        };
        let action = Next::Exhausted.name();
        let failed = record::Failed {
            id: &ctx.id,
            number: ctx.ledger.attempts() + 1,
            target: ctx.asked.target_name(&relay.step),
            ms: elapsed_ms(relay.began),
            action,
        };
        let entry = failed.enter(&outcome, &signs);
        measure::failed(&ctx.snapshot, &ctx.id, (&relay.step, None), &outcome, &signs, action);
        ctx.ledger.push(entry);
    }
    failure.into_error()
}

pub(super) fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
