//! A websocket that a model routes, `GET /v1/realtime?model=NAME`: its handshake is tried at one target after the other, since
//! nothing has been said before one has switched. From then on it is relayed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_proxy::Session;
use tokio::time::timeout;

use super::attempt::beginning;
use super::connecting::{self, with_client};
use super::context::{RequestContext, Stage};
use super::diagnosis::{Question, diagnose};
use super::headers::{self, Sending};
use super::pingora_error::NEXT_ATTEMPT;
use super::relay::{Switched, relay_switched};
use crate::protocol::{HELD_MAX_BYTES, decode, query};
use crate::routing::{Next, Step};
use crate::transport::relay::{RelayClocks, RelayEvent, Relayed};
use crate::transport::{Evidence, Failure, JudgingConnector, RelayedBody};

/// How long the body of a refusal may take once its header is there.
const REFUSAL_MAX: Duration = Duration::from_secs(5);

/// What an upstream says to a handshake.
enum Heard {
    Switched(Box<ResponseHeader>),
    Refused(Box<ResponseHeader>, Evidence),
}

/// Finds a target that switches, and relays what is said then, if intake has planned that. Returns whether it did.
pub(super) async fn serve(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<bool> {
    if !ctx.asked.switches || !matches!(ctx.stage, Stage::Trying(_)) {
        return Ok(false);
    }
    session.set_read_timeout(None);
    loop {
        if let Some(switched) = attempt(session, ctx, connector).await? {
            return relay_switched(session, ctx, switched).await;
        }
    }
}

/// Makes the next attempt. `Ok(None)`: it has failed, and another may follow.
async fn attempt(
    session: &mut Session,
    ctx: &mut RequestContext,
    connector: &JudgingConnector,
) -> Result<Option<Switched>> {
    connecting::open(session, ctx, connector).await?;
    let Some((trying, mut recorder)) = ctx.trying() else {
        return Error::e_explain(ErrorType::InternalError, "a handshake that was answered");
    };
    let chain = &mut trying.chain;
    let Some((step, opened)) = chain.take_opened() else {
        return Error::e_explain(ErrorType::InternalError, "a handshake without its connection");
    };
    let connection = match opened {
        Ok(connection) => connection,
        Err(failure) => return after(chain.fail(&failure, &mut recorder), || failure.into_error()),
    };
    let mut header = Box::new(session.req_header().clone());
    rename(&mut header, &step)?;
    let sending = Sending::Relayed(RelayedBody::Upgrade);
    headers::to_upstream(&mut header, &step, &recorder.asked.id, &sending)?;
    let begun = connector.relay(connection, header, RelayedBody::Upgrade, clocks(&step));
    let heard = match begun {
        Ok((mut upstream, feed)) => match with_client(session, answer(&mut upstream)).await? {
            Ok(Heard::Switched(header)) => return Ok(Some(Switched { upstream, feed, header })),
            Ok(Heard::Refused(header, evidence)) => {
                if evidence.whole {
                    upstream.release();
                }
                Ok((header, evidence))
            }
            Err(failure) => Err(failure),
        },
        Err(failure) => Err(failure),
    };
    let Some((trying, mut recorder)) = ctx.trying() else {
        return Error::e_explain(ErrorType::InternalError, "a handshake that was answered");
    };
    let chain = &mut trying.chain;
    let (header, evidence) = match heard {
        Ok(refused) => refused,
        Err(failure) => return after(chain.fail(&failure, &mut recorder), || failure.into_error()),
    };
    let question = Question {
        header: session.req_header(),
        body: &chain.body,
        step: &step,
    };
    let (outcome, details) = diagnose(&header, &evidence, &question, &recorder.asked.snapshot);
    let next = chain.settle(&outcome, &details, &mut recorder);
    if !(next == Next::Exhausted && chain.prefers_kept_to(outcome.class, outcome.status.unwrap_or(0))) {
        chain.keep(outcome.class, &header, &evidence, &step);
    }
    after(next, || Error::explain(NEXT_ATTEMPT, "the handshake was refused"))
}

/// Goes on, or ends the request by `error`.
fn after(next: Next, error: impl FnOnce() -> Box<Error>) -> Result<Option<Switched>> {
    match next {
        Next::Retry { .. } | Next::Fallback => Ok(None),
        Next::Deliver | Next::Exhausted => Err(error()),
    }
}

/// Puts the model's name at the target of `step` into the query.
fn rename(header: &mut RequestHeader, step: &Step) -> Result<()> {
    let Some(model) = &step.model else { return Ok(()) };
    let renamed = query::with_model(header.uri.query().unwrap_or_default(), model);
    let target = format!("{}?{renamed}", header.uri.path());
    let uri = target
        .try_into()
        .or_err(ErrorType::InvalidHTTPHeader, "a renamed model")?;
    header.set_uri(uri);
    Ok(())
}

fn clocks(step: &Step) -> RelayClocks {
    let timeouts = &step.target.timeouts;
    RelayClocks {
        beginning: beginning(timeouts, true),
        idle: timeouts.idle,
    }
}

/// Hears what the upstream says, to the end of a refusal.
async fn answer(upstream: &mut Relayed) -> Result<Heard, Failure> {
    // How many interim responses there may be is bounded below.
    let header = loop {
        match upstream.next().await? {
            RelayEvent::Interim(_) => {}
            RelayEvent::Header(header) => break header,
            RelayEvent::Body(_) | RelayEvent::End => return Err(Failure::Reset { reused: false }),
        }
    };
    match header.status {
        StatusCode::SWITCHING_PROTOCOLS => Ok(Heard::Switched(header)),
        status if status.as_u16() < 400 => Err(Failure::Invalid(format!("status {} to a handshake", status.as_u16()))),
        _ => {
            let mut held = BytesMut::new();
            let whole = timeout(REFUSAL_MAX, collect(upstream, &mut held))
                .await
                .unwrap_or(false);
            let held = held.freeze();
            let payload = Bytes::copy_from_slice(&decode::prefix(&header.headers, &held));
            Ok(Heard::Refused(
                header,
                Evidence {
                    held,
                    whole,
                    payload,
                    fault: None,
                },
            ))
        }
    }
}

/// Collects a body of at most [`HELD_MAX_BYTES`]. Returns whether it came whole.
async fn collect(upstream: &mut Relayed, held: &mut BytesMut) -> bool {
    while held.len() <= HELD_MAX_BYTES {
        if upstream.is_ended() {
            return true;
        }
        match upstream.next().await {
            Ok(RelayEvent::Body(bytes)) if held.len() + bytes.len() <= HELD_MAX_BYTES => held.extend_from_slice(&bytes),
            Ok(RelayEvent::End) => return true,
            Ok(_) | Err(_) => return false,
        }
    }
    false
}
