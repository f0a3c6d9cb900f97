//! The verdict on an attempt: what it means, and what comes next.

use std::time::Duration;

use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use super::context::{RequestContext, Serving, Stage};
use super::diagnosis::{Question, diagnose};
use super::headers::{self, Served};
use super::pingora_error::{NEXT_ATTEMPT, is_client_gone};
use super::recorder::{Details, Recorder};
use crate::routing::{Next, Outcome, Step};
use crate::transport::{Connection, Early, Evidence, Failure};

/// Judges the answer to what the client `asked`: deliver it (`Ok`), or end the attempt.
pub(super) fn on_answer(asked: &RequestHeader, header: &mut ResponseHeader, ctx: &mut RequestContext) -> Result<()> {
    if header.extensions_mut().remove::<Early>().is_some() {
        return on_early(header, ctx);
    }
    let evidence = header.extensions_mut().remove::<Evidence>();
    let mut recorder = Recorder {
        asked: &ctx.asked,
        progress: &mut ctx.progress,
    };
    let attempt = match &mut ctx.stage {
        Stage::Trying(trying) => trying.chain.attempt.as_mut(),
        Stage::Relaying(attempt) => Some(attempt),
        _ => return Ok(()),
    };
    match (attempt, evidence) {
        (None, _) => return Error::e_explain(ErrorType::InternalError, "an answer without its attempt"),
        (Some(attempt), None) => attempt.answered(header.status.as_u16(), &mut recorder),
        (Some(_), Some(evidence)) => reject(asked, header, &evidence, ctx)?,
    }
    commit(header, ctx)
}

/// Settles a failed answer. `Ok`: it is delivered all the same.
fn reject(asked: &RequestHeader, header: &ResponseHeader, evidence: &Evidence, ctx: &mut RequestContext) -> Result<()> {
    let Some((trying, mut recorder)) = ctx.trying() else {
        return Ok(());
    };
    let chain = &mut trying.chain;
    let Some(step) = chain.attempt.as_ref().map(|attempt| attempt.step.clone()) else {
        return Ok(());
    };
    let question = Question {
        header: asked,
        body: &chain.body,
        step: &step,
    };
    let (outcome, details) = diagnose(header, evidence, &question, &recorder.asked.snapshot);
    match chain.settle(&outcome, &details, &mut recorder) {
        Next::Deliver => Ok(()),
        Next::Exhausted if !chain.prefers_kept_to(outcome.class, header.status.as_u16()) => {
            let failures = &recorder.asked.snapshot.recent_failures;
            failures.remember(&chain.body, Instant::now());
            ctx.delivery.exhausted = true;
            Ok(())
        }
        Next::Exhausted => Error::e_explain(NEXT_ATTEMPT, "an earlier answer is preferred"),
        Next::Retry { .. } | Next::Fallback => {
            chain.keep(outcome.class, header, evidence, &step);
            let mut error = Error::explain(NEXT_ATTEMPT, "");
            error.set_retry(true);
            Err(error)
        }
    }
}

/// Commits: from here on the answer is the client's, and nothing can be retried.
fn commit(header: &mut ResponseHeader, ctx: &mut RequestContext) -> Result<()> {
    let now = Instant::now();
    ctx.delivery.committed = Some(now);
    match std::mem::replace(&mut ctx.stage, Stage::Committed(Serving::Over)) {
        Stage::Trying(trying) => {
            let mut trying = *trying;
            let Some(attempt) = trying.chain.attempt.take() else {
                return Ok(());
            };
            let added = now.saturating_duration_since(ctx.asked.read_at);
            let added = added.saturating_sub(ctx.progress.waited);
            ctx.asked.snapshot.meters.added.observe(added.as_secs_f64());
            let made = hand_out(header, ctx, &attempt.step);
            let serving = match trying.resuming {
                Some(resuming) => {
                    trying.chain.attempt = Some(attempt);
                    let progress = std::mem::take(&mut ctx.progress);
                    resuming.commit(trying.chain, ctx.asked.clone(), progress, true);
                    Serving::Resumable(resuming)
                }
                None => Serving::Attempt(attempt),
            };
            ctx.stage = Stage::Committed(serving);
            made
        }
        Stage::Relaying(attempt) => {
            let made = hand_out(header, ctx, &attempt.step);
            ctx.stage = Stage::Committed(Serving::Attempt(attempt));
            made
        }
        stage => {
            ctx.stage = stage;
            Ok(())
        }
    }
}

/// Answers the client though no upstream has begun to: attempts go on behind it.
fn on_early(header: &mut ResponseHeader, ctx: &mut RequestContext) -> Result<()> {
    ctx.delivery.committed = Some(Instant::now());
    let Stage::Trying(trying) = std::mem::replace(&mut ctx.stage, Stage::Committed(Serving::Over)) else {
        return Error::e_explain(ErrorType::InternalError, "an early answer to no attempt");
    };
    let Some(resuming) = trying.resuming else {
        return Error::e_explain(ErrorType::InternalError, "an early answer that nobody goes on with");
    };
    headers::add_gateway_headers(header, &ctx.asked, &ctx.progress.ledger, None, None)?;
    let progress = std::mem::take(&mut ctx.progress);
    resuming.commit(trying.chain, ctx.asked.clone(), progress, false);
    ctx.stage = Stage::Committed(Serving::Resumable(resuming));
    Ok(())
}

/// Turns the header of an answer of the target of `step` into the client's.
fn hand_out(header: &mut ResponseHeader, ctx: &mut RequestContext, step: &Step) -> Result<()> {
    ctx.delivery.served_by = Some(ctx.asked.target_name(step));
    let served = Served {
        upstream: &step.target.upstream,
        model: step.model.as_deref().or(ctx.asked.model.as_deref()),
    };
    headers::to_client(header, &ctx.asked, &ctx.progress.ledger, &served)
}

/// Settles an attempt without a connection, and moves on to what comes next, if anything does.
pub(super) fn on_no_connection(error: Box<Error>, ctx: &mut RequestContext) -> Box<Error> {
    let Some((trying, mut recorder)) = ctx.trying() else {
        return error;
    };
    let Some((_, Err(failure))) = trying.chain.take_opened() else {
        return error;
    };
    let next = trying.chain.fail(&failure, &mut recorder);
    told(failure.into_error(), next)
}

/// Settles an attempt that got no answer, or an answer that broke off.
pub(super) fn on_error(mut error: Box<Error>, ctx: &mut RequestContext) -> Box<Error> {
    if is_client_gone(&error) {
        error.set_retry(false);
        return error;
    }
    if let Some((trying, mut recorder)) = ctx.trying() {
        if *error.etype() == NEXT_ATTEMPT {
            return error;
        }
        let next = match Failure::of(&error) {
            Some(failure) => trying.chain.fail(failure, &mut recorder),
            None => Next::Exhausted,
        };
        return told(error, next);
    }
    if let Some(failure) = Failure::of(&error) {
        ctx.broke_off(failure);
    }
    error.set_retry(false);
    error
}

/// Tells Pingora whether there is to be another attempt.
fn told(mut error: Box<Error>, next: Next) -> Box<Error> {
    error.set_retry(matches!(next, Next::Retry { .. } | Next::Fallback));
    error
}

/// Takes the result of connecting for a relayed request, which `took` this long.
pub(super) fn relay_opened(
    ctx: &mut RequestContext,
    opened: Result<Connection, Failure>,
    took: Duration,
) -> Result<Connection> {
    let Some((attempt, mut recorder)) = ctx.relaying() else {
        return Error::e_explain(ErrorType::InternalError, "a relay that was answered");
    };
    attempt.opened(opened, took, &mut recorder);
    match attempt.take_opened() {
        Some(Ok(connection)) => Ok(connection),
        Some(Err(failure)) => Err(relay_failed(ctx, failure)),
        None => Error::e_explain(ErrorType::InternalError, "a relay without its connection"),
    }
}

/// Ends a relayed request that got no answer. There is no second try.
pub(super) fn relay_failed(ctx: &mut RequestContext, failure: Failure) -> Box<Error> {
    if let Some((attempt, mut recorder)) = ctx.relaying() {
        let reason = failure.to_string();
        let details = Details::of_failure(&failure, &reason);
        let outcome = Outcome::from(&failure);
        attempt.failed(&outcome, &details, Instant::now(), &mut recorder, || Next::Exhausted);
    }
    failure.into_error()
}
