//! The end of a request that no live answer was delivered for, or whose answer broke off.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use pingora::{Error, Result};
use pingora_proxy::{FailToProxy, Session};
use tokio::time::{Instant, sleep};

use super::chain::Kept;
use super::context::{RequestContext, Stage};
use super::headers::{self, Served};
use super::pingora_error::{is_client_gone, is_connection_lost};
use super::recorder::Recorder;
use super::reply;
use crate::routing::LeftOut;

/// How long an HTTP/2 connection is given to send what is queued before a stream is reset.
const LAST_FRAMES: Duration = Duration::from_millis(50);

/// Pingora has given up: the client gets the answer that was kept, or the gateway's own account of what was tried.
pub(super) async fn conclude(session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
    // Where the next request would begin is known only behind the whole of this one, and the next answer only behind a whole
    // one: nothing of one may have gone out so far.
    let mut keeps_connection = session.is_body_done() && session.response_written().is_none();
    if !keeps_connection {
        session.set_keepalive(None);
    }
    let written = match std::mem::replace(&mut ctx.stage, Stage::Answered) {
        stage @ Stage::Committed(_) => {
            // What the client has got must not look complete.
            keeps_connection = false;
            session.set_keepalive(None);
            ctx.stage = stage;
            if is_client_gone(error) {
                session.shutdown().await;
            } else {
                cut(session).await;
            }
            Ok(())
        }
        stage if is_client_gone(error) => {
            ctx.delivery.client_gone = true;
            keeps_connection = false;
            if let Stage::Trying(trying) = stage
                && let Some(attempt) = trying.chain.attempt
            {
                let mut recorder = Recorder {
                    asked: &ctx.asked,
                    progress: &mut ctx.progress,
                };
                attempt.abandoned(&mut recorder);
            }
            session.shutdown().await;
            Ok(())
        }
        Stage::Trying(trying) => {
            ctx.delivery.exhausted = true;
            let failures = &ctx.asked.snapshot.recent_failures;
            failures.remember(&trying.chain.body, Instant::now());
            let left_out = trying.chain.left_out(ctx.asked.model.as_deref(), Instant::now());
            match trying.chain.into_kept() {
                Some(kept) => {
                    if !kept.whole {
                        keeps_connection = false;
                        session.set_keepalive(None);
                    }
                    deliver(session, ctx, kept).await
                }
                None => account(session, ctx, &left_out).await,
            }
        }
        _ => {
            let written = account(session, ctx, &LeftOut::default()).await;
            if !session.is_body_done() {
                reply::linger(session).await;
            }
            written
        }
    };
    ctx.delivery.keeps_connection = keeps_connection && written.is_ok();
    match written {
        Ok(()) => {}
        Err(error) if is_connection_lost(&error) => ctx.delivery.client_gone = true,
        Err(error) => {
            let (id, error) = (ctx.asked.id.as_str(), error.to_string());
            log::error!(id = id, error = error.as_str(); "an answer could not be written: a fault of the gateway's own");
        }
    }
    let response = session.response_written();
    FailToProxy {
        error_code: response.map_or(0, |response| response.status.as_u16()),
        can_reuse_downstream: false,
    }
}

/// An earlier answer, whole. One that was cut while it was held is cut for the client too.
async fn deliver(session: &mut Session, ctx: &mut RequestContext, kept: Kept) -> Result<()> {
    let Kept {
        mut header,
        body,
        whole,
        step,
    } = kept;
    let upstream = &step.target.upstream;
    let model = step.model.clone().or_else(|| ctx.asked.model.clone());
    let served = Served {
        upstream,
        model: model.as_deref(),
    };
    headers::to_client(&mut header, &ctx.asked, &ctx.progress.ledger, &served)?;
    headers::frame_kept(&mut header, whole.then_some(body.len()))?;
    if whole {
        return reply::send(session, header, body).await;
    }
    session.write_response_header(Box::new(header), false).await?;
    session.write_response_body(Some(body), false).await?;
    cut(session).await;
    Ok(())
}

/// Ends an answer so that it can't be taken for a whole one. Over HTTP/2 a reset drops what is queued before it, so the
/// header, the body so far and an error event get their time to leave.
async fn cut(session: &mut Session) {
    if session.is_http2() {
        sleep(LAST_FRAMES).await;
    }
    session.shutdown().await;
}

/// The gateway's own answer where no upstream gave one.
async fn account(session: &mut Session, ctx: &mut RequestContext, left_out: &LeftOut) -> Result<()> {
    let error = ctx.progress.ledger.account(left_out);
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = error.body(ctx.asked.protocol, ctx.asked.id.as_str());
    let mut header = reply::json_header(status)?;
    if ctx.progress.ledger.is_short_of_descriptors() {
        // They come back with each request that ends.
        header.insert_header(RETRY_AFTER, 1)?;
    } else if let Some(seconds) = left_out.retry_after_s() {
        header.insert_header(RETRY_AFTER, seconds)?;
        headers::discourage_long_wait(&mut header)?;
    }
    reply::answer(session, ctx, header, body).await
}
