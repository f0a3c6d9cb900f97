//! The end of a request: its line in the access log, and what is counted of it.

use pingora::Error;
use pingora_proxy::Session;

use super::context::{RequestContext, Stage};
use super::pingora_error::{is_client_gone, is_closed};
use crate::telemetry::access::{Access, Outcome};
use crate::telemetry::metrics::Request;
use crate::transport::Failure;

/// The request has ended, perhaps by `error`.
pub(super) fn ended(session: &Session, error: Option<&Error>, ctx: &mut RequestContext) {
    ctx.look_for_reported_error();
    ctx.served(error.is_none());
    ctx.end_resuming();
    let outcome = outcome(session, error, ctx);
    log(session, outcome, ctx);
    ctx.asked.route_meter().ended(&Request {
        outcome,
        status: session.response_written().map(|response| response.status.as_u16()),
        duration: ctx.asked.received.elapsed(),
        bytes_in: bytes_in(session, ctx),
        bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
    });
}

fn bytes_in(session: &Session, ctx: &RequestContext) -> u64 {
    u64::try_from(ctx.asked.bytes_in.max(session.body_bytes_read())).unwrap_or(u64::MAX)
}

fn log(session: &Session, outcome: Outcome, ctx: &RequestContext) {
    let request = session.req_header();
    let ledger = ctx.progress.ledger.to_header();
    let client = session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map(ToString::to_string);
    let ms = |until: tokio::time::Instant| {
        u64::try_from(until.duration_since(ctx.asked.received).as_millis()).unwrap_or(u64::MAX)
    };
    Access {
        id: ctx.asked.id.as_str(),
        client: Some(client.as_deref().unwrap_or("unix")),
        method: request.method.as_str(),
        path: request.uri.path(),
        http_version: if request.version == http::Version::HTTP_2 {
            "HTTP/2"
        } else {
            "HTTP/1.1"
        },
        protocol: ctx.asked.protocol.name(),
        stream: ctx.asked.stream,
        model: ctx.asked.model.as_deref(),
        route: ctx.asked.route.as_ref().map(|route| &*route.name),
        target: ctx.delivery.served_by.as_deref().or(ctx.progress.served_by.as_deref()),
        status: session.response_written().map(|response| response.status.as_u16()),
        outcome,
        refused: ctx.delivery.refused,
        attempts: ctx.progress.ledger.attempts(),
        resumed: ctx.progress.resumed,
        ledger,
        ms: ms(tokio::time::Instant::now()),
        first_byte_ms: ctx.delivery.committed.map(ms),
        bytes_in: bytes_in(session, ctx),
        bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
    }
    .emit();
}

/// How the request ended.
fn outcome(session: &Session, error: Option<&Error>, ctx: &RequestContext) -> Outcome {
    let upstream_broke = error.and_then(Failure::of).is_some();
    // A client that closes as soon as it has everything has not left early.
    let error = error.filter(|error| !(ctx.delivery.is_whole && is_closed(error)));
    match (&ctx.stage, error) {
        // A client that reads of an error closes, too.
        _ if ctx.progress.is_broken => Outcome::Broken,
        (_, Some(error)) if ctx.delivery.client_gone || (is_client_gone(error) && !upstream_broke) => {
            Outcome::ClientGone
        }
        (Stage::Committed(_), Some(_)) => Outcome::Broken,
        _ if ctx.delivery.exhausted => Outcome::Exhausted,
        (Stage::Committed(_), None) => Outcome::Ok,
        _ => match session.response_written() {
            Some(response) if response.status.as_u16() < 400 => Outcome::Ok,
            Some(_) => Outcome::GatewayError,
            None => Outcome::ClientGone,
        },
    }
}
