//! The next attempt: its turn comes, it gets a connection, and its request is written.

use std::sync::Arc;

use pingora::http::RequestHeader;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;
use tokio::time::{Instant, sleep};

use super::asked::Asked;
use super::attempt::edits;
use super::chain::Chain;
use super::context::RequestContext;
use super::headers::{self, Sending};
use super::pingora_error::NOBODY_LEFT;
use super::resuming::Resuming;
use crate::protocol::StreamKind;
use crate::transport::{JudgingConnector, Resumable, Wanted};

/// Makes the next attempt's connection. The peer says whether that worked: Pingora asks
/// [`verdict::on_no_connection`](super::verdict::on_no_connection) what to do about one that cannot be reached.
pub(super) async fn connect(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<Box<HttpPeer>> {
    Ok(connector.peer(open(session, ctx, connector).await?))
}

/// Waits out the backoff, picks the target, and connects. Returns whether that worked.
pub(super) async fn open(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<bool> {
    let Some((trying, mut recorder)) = ctx.trying() else {
        return Error::e_explain(ErrorType::InternalError, "an attempt for a request that was answered");
    };
    let chain = &mut trying.chain;
    if !chain.wait.is_zero() {
        let before = Instant::now();
        with_client(session, sleep(chain.wait)).await?;
        recorder.progress.waited += before.elapsed();
    }
    let began = Instant::now();
    let Some(attempt) = chain.begin(began, &mut recorder) else {
        return Error::e_explain(NOBODY_LEFT, "every upstream that is left is full or cooling down");
    };
    let target = Arc::clone(&attempt.step.target);
    let endpoint = &recorder.asked.snapshot.endpoints[target.upstream.index];
    let wanted = match recorder.asked.switches {
        true => Wanted::NewHttp1,
        false => chain.wanted_connection(),
    };
    let opened = match connector.take_idle(endpoint, wanted) {
        Some(connection) => Ok(connection),
        None => {
            let opening = connector.open(endpoint, wanted, target.timeouts.connect, chain.deadline);
            with_client(session, opening).await?
        }
    };
    let is_open = opened.is_ok();
    if let Some(attempt) = &mut chain.attempt {
        attempt.opened(opened, began.elapsed(), &mut recorder);
    }
    Ok(is_open)
}

/// Watches the client during `work`: Pingora does so only while it waits for an upstream.
pub(super) async fn with_client<T>(session: &mut Session, work: impl Future<Output = T>) -> Result<T> {
    tokio::pin!(work);
    tokio::select! {
        // What is there already costs no look at the client.
        biased;
        done = &mut work => Ok(done),
        gone = session.read_body_or_idle(true) => match gone {
            Err(error) => Err(error.into_down()),
            Ok(_) => Ok(work.await),
        },
    }
}

/// Turns `header` into the one that the attempt's target is sent.
pub(super) fn address(
    header: &mut RequestHeader,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<()> {
    let Some((trying, recorder)) = ctx.trying() else {
        return Ok(());
    };
    let asked = recorder.asked;
    trying.resuming = resuming(asked, &trying.chain, header, connector);
    let resumable = trying.resuming.as_ref().map(|by| Resumable {
        by: Arc::clone(by) as _,
        continues: continues(asked, &trying.chain),
        max_held_bytes: asked.snapshot.max_held_bytes,
    });
    let chain = &mut trying.chain;
    let Some((step, Ok(connection))) = chain.take_opened() else {
        return Error::e_explain(ErrorType::InternalError, "a request without its connection");
    };
    let body = chain.body.outgoing(step.model.as_deref(), edits(&step));
    let sending = Sending::Whole {
        body: &body,
        stream: asked.stream,
    };
    headers::to_upstream(header, &step, &asked.id, &sending)?;
    let clocks = chain.clocks(&step);
    if let Some(attempt) = &mut chain.attempt {
        let assignment = attempt.assign(asked, connection, body.segments, clocks, resumable);
        header.extensions_mut().insert(assignment);
    }
    Ok(())
}

/// Returns what makes the answer to `header` resumable, if any target of the chain could resume it.
fn resuming(
    asked: &Asked,
    chain: &Chain,
    header: &RequestHeader,
    connector: &JudgingConnector,
) -> Option<Arc<Resuming>> {
    let is_early = asked.keepalive().is_some_and(|keepalive| keepalive.before_first_token);
    (is_early || continues(asked, chain)).then(|| Arc::new(Resuming::new(connector.clone(), header.clone())))
}

/// Whether another attempt may continue a stream that breaks off.
fn continues(asked: &Asked, chain: &Chain) -> bool {
    let is_chat = matches!(asked.kind, StreamKind::Chat | StreamKind::Messages);
    is_chat && asked.stream && chain.may_resume()
}
