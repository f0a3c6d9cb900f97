//! The gateway's own answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;
use tokio::time::timeout;

use super::context::{RequestContext, Stage};
use super::headers::{self, Origin};
use super::refusal::{Refusal, SERVED_METHODS};
use crate::body::Encoding;
use crate::protocol::errors::GatewayError;

/// After an early refusal the rest of the body is read for this long, so that the client gets to read the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MAX_BYTES: usize = 64 * 1024 * 1024;
const GREETING: &str = "Switchback, a gateway to language models. It serves OpenAI's and Anthropic's APIs; GET /v1/models lists the models.\n";
/// When a request that found no room should be repeated. By then others have ended, or have been refused as well.
const RETRY_AFTER_S: u32 = 1;

/// Refuses the request, in the shape of its protocol.
pub(super) async fn refuse(session: &mut Session, ctx: &mut RequestContext, refusal: Refusal) -> Result<()> {
    let status = refusal.status();
    let unread = !session.is_body_done();
    if unread || refusal.loses_framing() {
        session.set_keepalive(None);
    }
    ctx.delivery.refused = Some(refusal.code());
    let error = GatewayError {
        param: refusal.param(),
        ..GatewayError::new(status.as_u16(), refusal.code(), refusal.to_string())
    };
    let mut header = json_header(status)?;
    if matches!(refusal, Refusal::Busy) {
        ctx.asked.snapshot.memory.count_refusal();
        header.insert_header(RETRY_AFTER, RETRY_AFTER_S)?;
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // RFC 9110 §12.5.3: in a response, what a request may come in.
        header.insert_header(ACCEPT_ENCODING, Encoding::UNDERSTOOD)?;
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        header.insert_header(ALLOW, SERVED_METHODS)?;
    }
    answer(
        session,
        ctx,
        header,
        error.body(ctx.asked.protocol, ctx.asked.id.as_str()),
    )
    .await?;
    if unread {
        linger(session).await;
    }
    Ok(())
}

/// A JSON answer of the gateway's own.
pub(super) async fn json(
    session: &mut Session,
    ctx: &mut RequestContext,
    status: StatusCode,
    body: String,
) -> Result<()> {
    answer(session, ctx, json_header(status)?, body).await
}

/// Tells whoever looks what is here.
pub(super) async fn greet(session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
    let mut header = json_header(StatusCode::OK)?;
    header.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
    answer(session, ctx, header, GREETING.to_owned()).await
}

pub(super) fn json_header(status: StatusCode) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(8))?;
    header.insert_header(CONTENT_TYPE, "application/json")?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    Ok(header)
}

/// An answer of the gateway's own that has no content.
pub(super) async fn empty(session: &mut Session, ctx: &mut RequestContext, mut header: ResponseHeader) -> Result<()> {
    ctx.stage = Stage::Answered;
    headers::add_gateway_headers(&mut header, &ctx.asked, &ctx.progress.ledger, None, None)?;
    send(session, header, Bytes::new()).await
}

/// Sends an answer of the gateway's own.
pub(super) async fn answer(
    session: &mut Session,
    ctx: &mut RequestContext,
    mut header: ResponseHeader,
    body: String,
) -> Result<()> {
    ctx.stage = Stage::Answered;
    header.insert_header(CONTENT_LENGTH, body.len())?;
    let origin = (header.status.as_u16() >= 400).then_some(Origin::Gateway);
    headers::add_gateway_headers(&mut header, &ctx.asked, &ctx.progress.ledger, None, origin)?;
    send(session, header, Bytes::from(body)).await
}

pub(super) async fn send(session: &mut Session, header: ResponseHeader, body: Bytes) -> Result<()> {
    let is_head = session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(header), is_head || body.is_empty())
        .await?;
    if !is_head && !body.is_empty() {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// Reads what is left of the request for a while: a client that is still sending would have its connection reset, and might never see the answer.
pub(super) async fn linger(session: &mut Session) {
    let drain = async {
        let mut drained = 0;
        while drained < LINGER_MAX_BYTES
            && let Ok(Some(chunk)) = session.read_request_body().await
        {
            drained += chunk.len();
        }
    };
    // What has not come by now is not waited for.
    let _ = timeout(LINGER, drain).await;
}
