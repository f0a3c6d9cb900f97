//! One attempt: its turn comes, a connection is there, its request is written.

use std::sync::{Arc, Mutex, OnceLock};

use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tokio::time::{Instant, sleep};

use super::chain::Begun;
use super::context::{RequestContext, Stage};
use super::headers::Sending;
use super::{headers, measure, resuming, verdict};
use crate::routing::{Next, Target};
use crate::transport::{Assignment, Clocks, Failure, JudgingConnector, Timings};

/// Nobody is left who may be asked.
pub(super) const NOBODY_LEFT: ErrorType = ErrorType::Custom("NobodyLeft");

/// Begins attempts until one has a connection: waits out the backoff, picks the target, connects.
pub(super) async fn begin(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<Box<HttpPeer>> {
    loop {
        let Stage::Trying(chain) = &mut ctx.stage else {
            return Error::e_explain(ErrorType::InternalError, "an attempt for a request that was answered");
        };
        let wait = chain.wait;
        if !wait.is_zero() {
            let before = Instant::now();
            with_client(session, sleep(wait)).await?;
            ctx.waited += before.elapsed();
        }
        let began = Instant::now();
        let step = match chain.begin(began) {
            Begun::Running(step) => step,
            Begun::Full(step) => {
                verdict::enter_full(ctx, &step);
                ctx.route_meter().fell_back();
                continue;
            }
            Begun::Nobody => {
                return Error::e_explain(NOBODY_LEFT, "every upstream that is left is full or cooling down");
            }
        };
        let target = &step.target;
        let endpoint = &ctx.snapshot.endpoints[target.upstream.index];
        let opening = connector.open(
            endpoint,
            chain.wanted_connection(),
            target.timeouts.connect,
            chain.deadline,
        );
        match with_client(session, opening).await? {
            Ok(connection) => {
                // What the pool has is not waited for.
                let connect = (!connection.is_reused()).then(|| began.elapsed());
                ctx.waited += connect.unwrap_or_default();
                measure::connected(&ctx.snapshot, &step, connect);
                chain.connected(connection, connect);
                return Ok(connector.peer());
            }
            Err(failure) => {
                ctx.waited += began.elapsed();
                switch(ctx, failure)?;
            }
        }
    }
}

/// Pingora watches the client while it waits for an upstream; here it is for us to do.
pub(super) async fn with_client<T>(session: &mut Session, work: impl Future<Output = T>) -> Result<T> {
    tokio::pin!(work);
    tokio::select! {
        // What is there already, like a connection from the pool, costs no look at the client.
        biased;
        done = &mut work => Ok(done),
        gone = session.read_body_or_idle(true) => match gone {
            Err(error) => Err(error.into_down()),
            Ok(_) => Ok(work.await),
        },
    }
}

/// No connection: on to what comes next, if anything does.
fn switch(ctx: &mut RequestContext, failure: Failure) -> Result<()> {
    match verdict::settle_failure(ctx, &failure) {
        Next::Retry { .. } | Next::Fallback => Ok(()),
        Next::Deliver | Next::Exhausted => Err(failure.into_error()),
    }
}

/// Those of an attempt that is connected.
pub(super) fn clocks(target: &Target, deadline: Instant) -> Clocks {
    let timeouts = &target.timeouts;
    Clocks {
        headers: timeouts.headers,
        first_token: timeouts.first_token,
        idle: timeouts.idle,
        deadline,
    }
}

/// Makes `header` what the attempt's target is sent.
pub(super) fn address(
    header: &mut RequestHeader,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<()> {
    let Some((step, connection)) = ctx.stage.take_connection() else {
        return Error::e_explain(ErrorType::InternalError, "a request without its attempt");
    };
    let resumable = resuming::resumable(ctx, connector, header);
    let Some(chain) = ctx.stage.chain() else {
        return Ok(());
    };
    let body = chain.body.outgoing(step.model.as_deref());
    let sending = Sending::Whole {
        body: &body,
        stream: ctx.asked.stream,
    };
    headers::to_upstream(header, &step.target.upstream, ctx.protocol, &ctx.id, &sending)?;
    let assignment = Arc::new(Assignment {
        connection: Mutex::new(Some(connection)),
        memory: ctx.snapshot.memory.clone(),
        body: body.segments,
        clocks: clocks(&step.target, chain.deadline),
        kind: ctx.kind,
        protocol: ctx.protocol,
        request_id: ctx.id.header(),
        resumable,
        timings: Timings::default(),
        reported: OnceLock::new(),
    });
    header.extensions_mut().insert(Arc::clone(&assignment));
    if let Stage::Trying(chain) = &mut ctx.stage
        && let Some(running) = chain.running_mut()
    {
        running.assignment = Some(assignment);
    }
    Ok(())
}
