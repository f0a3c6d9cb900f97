//! What a request leaves in the log: one line for it, and one for each failed attempt.

use std::sync::Arc;

use pingora_core::{Error, ErrorType};
use pingora_proxy::Session;

use super::context::{RequestContext, RequestId, Stage};
use super::intake::is_client_gone;
use super::verdict::Signs;
use crate::routing::{self, Entry};
use crate::telemetry::access::{Access, Outcome};
use crate::telemetry::attempt;
use crate::telemetry::cooldown::{Cooldown, Phase};
use crate::transport::Failure;
use crate::upstream::health::Change;

/// One failed attempt.
pub(super) struct Failed<'a> {
    pub id: &'a RequestId,
    /// From 1.
    pub number: u32,
    pub target: Arc<str>,
    pub ms: u64,
    /// What came of it.
    pub action: &'static str,
}

impl Failed<'_> {
    /// Its line in the log, and what the ledger says of it.
    pub(super) fn enter(self, outcome: &routing::Outcome, signs: &Signs<'_>) -> Entry {
        attempt::Attempt {
            id: self.id.as_str(),
            number: self.number,
            target: &self.target,
            class: outcome.class.name(),
            status: outcome.status,
            clock: signs.clock,
            reason: signs.reason,
            rule: signs.rule,
            ms: self.ms,
            action: self.action,
            upstream_request_id: signs.upstream_request_id,
        }
        .emit();
        Entry {
            target: self.target,
            status: outcome.status,
            class: Some(outcome.class),
            clock: signs.clock,
            ms: self.ms,
        }
    }
}

/// A cooldown of `target`, that is `UPSTREAM/MODEL` or `UPSTREAM`, has begun or ended.
pub(crate) fn cooldown(target: &str, change: Change) {
    let (class, phase) = match change {
        Change::Opened {
            class,
            length,
            again: false,
        } => (class, Phase::Begun(length)),
        Change::Opened { class, length, .. } => (class, Phase::Prolonged(length)),
        Change::Closed { class } => (class, Phase::Ended),
    };
    Cooldown {
        target,
        class: class.name(),
        phase,
    }
    .emit();
}

pub(super) fn access(session: &Session, outcome: Outcome, ctx: &RequestContext) {
    let request = session.req_header();
    let ledger = ctx.ledger.to_header();
    let client = session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map(ToString::to_string);
    let ms =
        |until: tokio::time::Instant| u64::try_from(until.duration_since(ctx.received).as_millis()).unwrap_or(u64::MAX);
    Access {
        id: ctx.id.as_str(),
        client: Some(client.as_deref().unwrap_or("unix")),
        method: request.method.as_str(),
        path: request.uri.path(),
        http_version: if request.version == http::Version::HTTP_2 {
            "HTTP/2"
        } else {
            "HTTP/1.1"
        },
        protocol: ctx.protocol.name(),
        stream: ctx.asked.stream,
        model: ctx.asked.model.as_deref(),
        route: ctx.asked.route.as_ref().map(|route| &*route.name),
        target: ctx.served_by.as_deref(),
        status: session.response_written().map(|response| response.status.as_u16()),
        outcome,
        refused: ctx.refused,
        attempts: ctx.ledger.attempts(),
        resumed: ctx.resumed,
        ledger,
        ms: ms(tokio::time::Instant::now()),
        first_byte_ms: ctx.committed.map(ms),
        bytes_in: u64::try_from(ctx.asked.bytes_in.max(session.body_bytes_read())).unwrap_or(u64::MAX),
        bytes_out: u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX),
    }
    .emit();
}

/// The client's side of the connection was found closed; nothing failed to be written.
fn is_closed(error: &Error) -> bool {
    is_client_gone(error) && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
}

/// How the request ended.
pub(super) fn outcome(session: &Session, error: Option<&Error>, ctx: &RequestContext) -> Outcome {
    let upstream_broke = error.and_then(Failure::of).is_some();
    // A client that closes as soon as it has everything has not left early.
    let error = error.filter(|error| !(ctx.delivered && is_closed(error)));
    match (&ctx.stage, error) {
        // A client that reads of an error closes, too.
        _ if ctx.is_broken => Outcome::Broken,
        (_, Some(error)) if ctx.client_gone || (is_client_gone(error) && !upstream_broke) => Outcome::ClientGone,
        (Stage::Committed, Some(_)) => Outcome::Broken,
        _ if ctx.exhausted => Outcome::Exhausted,
        (Stage::Committed, None) => Outcome::Ok,
        _ => match session.response_written() {
            Some(response) if response.status.as_u16() < 400 => Outcome::Ok,
            Some(_) => Outcome::GatewayError,
            None => Outcome::ClientGone,
        },
    }
}
