//! Reading a request's body: to its end, and for what routing needs to know.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use pingora_core::{Error, ErrorType};
use pingora_proxy::Session;
use tokio::time::Instant;

use super::context::RequestContext;
use super::intake::Stop;
use super::intent::is_multipart;
use super::reply::Refusal;
use crate::body::{Collector, Encoding, Facts, Replay, ScanError, boundary, scan, scan_form};
use crate::protocol::chunked::MalformedChunk;
use crate::protocol::endpoint::names_model;
use crate::transport::clock::before;

/// The whole body, and the facts that it states.
pub(super) async fn read(session: &mut Session, ctx: &mut RequestContext, endpoint: &str) -> Result<Replay, Stop> {
    // What could not be read in the end need not be received.
    if session
        .req_header()
        .headers
        .get_all(CONTENT_TYPE)
        .iter()
        .nth(1)
        .is_some()
    {
        return Err(Refusal::ContentTypeTwice.into());
    }
    let encoding = Encoding::of(&session.req_header().headers).map_err(Refusal::Encoding)?;
    let raw = collect(session, ctx).await?;
    ctx.read_at = Instant::now();
    let headers = &session.req_header().headers;
    let facts = |body: &[u8]| facts(headers, endpoint, body);
    Ok(Replay::new(raw, encoding, ctx.snapshot.max_body_bytes, facts)?)
}

async fn collect(session: &mut Session, ctx: &RequestContext) -> Result<Bytes, Stop> {
    let headers = &session.req_header().headers;
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let awaits_continue = headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut body = Collector::new(ctx.snapshot.max_body_bytes, declared).map_err(Refusal::TooLarge)?;
    if awaits_continue && session.as_http1().is_some() {
        session
            .write_continue_response()
            .await
            .map_err(|error| Stop::ClientGone(error.into_down()))?;
    }
    let until = ctx.received + ctx.snapshot.client_timeout;
    loop {
        match before(until, session.read_request_body()).await {
            Ok(Ok(Some(chunk))) => body.push(chunk).map_err(Refusal::TooLarge)?,
            Ok(Ok(None)) => return Ok(body.finish()),
            Ok(Err(error)) => return Err(broken(error)),
            Err(_) => {
                return Err(Refusal::TooSlow {
                    limit: ctx.snapshot.client_timeout,
                }
                .into());
            }
        }
    }
}

/// A malformed body is answered; a connection that has closed can't be.
fn broken(error: Box<Error>) -> Stop {
    if let Some(fault) = malformed_chunk(&error) {
        return Refusal::from(fault).into();
    }
    match error.etype() {
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => {
            Stop::ClientGone(error.into_down())
        }
        ErrorType::ReadTimedout => Refusal::TooSlow { limit: Duration::ZERO }.into(),
        // A body that ends early: the client has closed.
        ErrorType::Custom("PrematureBodyEnd") => Stop::ClientGone(error.into_down()),
        _ => Refusal::from(MalformedChunk).into(),
    }
}

/// The fault that the client's stream has found in the body's framing.
pub(super) fn malformed_chunk(error: &Error) -> Option<MalformedChunk> {
    let found = error.root_cause().downcast_ref::<io::Error>()?;
    found.get_ref()?.downcast_ref().copied()
}

/// What a body says, by its media type. Where no model is to be expected, JSON that is no object, or nothing, will do.
fn facts(headers: &HeaderMap, endpoint: &str, body: &[u8]) -> Result<Facts, Refusal> {
    if is_multipart(headers) {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        return boundary(content_type)
            .and_then(|boundary| scan_form(body, &boundary))
            .map_err(Refusal::Form);
    }
    match scan(body) {
        Err(ScanError::Empty | ScanError::NotAnObject) if !names_model(endpoint) => Ok(Facts::default()),
        scanned => scanned.map_err(Refusal::Body),
    }
}
