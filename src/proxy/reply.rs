//! Answers that the gateway gives for itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use pingora_core::Result;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use thiserror::Error;
use tokio::time::timeout;

use super::browser::Refused;
use super::context::{RequestContext, Stage};
use super::headers::{self, Origin};
use crate::body::{Encoding, EncodingError, FormError, ScanError, TooLarge};
use crate::memory::NeverFits;
use crate::protocol::Protocol;
use crate::protocol::account::Guard;
use crate::protocol::chunked::MalformedChunk;
use crate::protocol::errors::GatewayError;
use crate::protocol::path::PathFault;
use crate::protocol::request_header::HeaderFault;
use crate::routing::unroutable::{administered, no_passthrough, unknown_model, wrong_protocol};

/// As `allow` lists them (RFC 9110 §10.2.1).
const SERVED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// After an early refusal the rest of the body is read for so long, so that the client gets to read the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// When a request that found no room should come again. By then others have ended, or have been refused as well.
const RETRY_AFTER_S: u32 = 1;

/// Why a request is refused before any upstream is asked. `Display` is what the client reads.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Browser(#[from] Refused),
    #[error("this method is not served here; served are {SERVED_METHODS}")]
    MethodNotAllowed,
    #[error("this method is not known here; served are {SERVED_METHODS}")]
    UnknownMethod,
    #[error(transparent)]
    Path(PathFault),
    #[error(transparent)]
    Header(HeaderFault),
    #[error(transparent)]
    TooLarge(TooLarge),
    #[error("the request body needs {0}; the operator can raise it")]
    NeverFits(NeverFits),
    #[error(
        "the gateway is busy: other requests' bodies take up its memory, and no room for this one was found in time; \
         try again in a moment, and if this happens often the operator can raise `server.memory`"
    )]
    Busy,
    #[error("the request did not arrive whole within {limit:?}")]
    TooSlow { limit: Duration },
    #[error("nothing more of the request came for {limit:?}")]
    Silent { limit: Duration },
    #[error(transparent)]
    MalformedBody(#[from] MalformedChunk),
    #[error("the request has `content-type` twice, and readers disagree on which one holds; send it once")]
    ContentTypeTwice,
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    #[error(transparent)]
    Body(ScanError),
    #[error(transparent)]
    Form(FormError),
    #[error("{}", if *.is_form {
        "the form has no `model`: add a field of that name"
    } else {
        "the request body has no `model`: add a top-level `model` string"
    })]
    NoModel { is_form: bool },
    #[error("{}", unknown_model(.model, .closest))]
    UnknownModel { model: String, closest: Vec<String> },
    #[error("{}", wrong_protocol(.model, *.protocol, .other.as_ref()))]
    WrongProtocol {
        model: String,
        protocol: Protocol,
        other: Option<(Arc<str>, Arc<str>)>,
    },
    #[error("{}", no_passthrough(.method, .path, *.guard))]
    NoPassthrough {
        method: Method,
        path: String,
        guard: Option<Guard>,
    },
    #[error("{}", administered(.method, .path, .upstream))]
    Administered {
        method: Method,
        path: String,
        upstream: Arc<str>,
    },
    #[error("the upstream for requests without a model does not speak the {} protocol", .protocol.name())]
    PassthroughProtocol { protocol: Protocol },
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Browser(refused) => refused.status(),
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownMethod => StatusCode::NOT_IMPLEMENTED,
            Self::Administered { .. } => StatusCode::FORBIDDEN,
            Self::Header(fault) => StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST),
            Self::TooLarge(_)
            | Self::NeverFits(_)
            | Self::Encoding(EncodingError::TooLarge { .. } | EncodingError::Ratio) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Encoding(EncodingError::Unknown | EncodingError::Several) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooSlow { .. } | Self::Silent { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownModel { .. } | Self::NoPassthrough { .. } => StatusCode::NOT_FOUND,
            Self::Path(_)
            | Self::MalformedBody(_)
            | Self::ContentTypeTwice
            | Self::Encoding(EncodingError::Corrupt { .. })
            | Self::Body(_)
            | Self::Form(_)
            | Self::NoModel { .. }
            | Self::WrongProtocol { .. }
            | Self::PassthroughProtocol { .. } => StatusCode::BAD_REQUEST,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed | Self::UnknownMethod => "method_not_allowed",
            Self::Path(_) => "invalid_path",
            Self::Administered { .. } => "account_administration",
            Self::Header(fault) => fault.code(),
            Self::MalformedBody(_) | Self::ContentTypeTwice => "malformed_request",
            Self::Browser(refused) => refused.code(),
            Self::TooLarge(_)
            | Self::NeverFits(_)
            | Self::Encoding(EncodingError::TooLarge { .. } | EncodingError::Ratio) => "request_too_large",
            Self::Busy => "gateway_busy",
            Self::Encoding(EncodingError::Unknown | EncodingError::Several) => "unsupported_encoding",
            Self::TooSlow { .. } | Self::Silent { .. } => "request_timeout",
            Self::Encoding(EncodingError::Corrupt { .. }) | Self::Body(_) | Self::Form(_) | Self::NoModel { .. } => {
                "invalid_body"
            }
            Self::UnknownModel { .. } => "model_not_found",
            Self::WrongProtocol { .. } | Self::PassthroughProtocol { .. } => "wrong_protocol",
            Self::NoPassthrough { .. } => "no_route",
        }
    }

    /// Where the next request would begin is not known.
    fn loses_framing(&self) -> bool {
        // CONNECT has framing of its own (RFC 9112 §6.3).
        matches!(self, Self::Header(_) | Self::MalformedBody(_) | Self::MethodNotAllowed)
    }

    fn param(&self) -> Option<&'static str> {
        matches!(
            self,
            Self::NoModel { .. } | Self::UnknownModel { .. } | Self::WrongProtocol { .. }
        )
        .then_some("model")
    }
}

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

/// Any answer of the gateway's own.
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

/// A client that is still sending would have its connection reset, and might never see the answer.
pub(super) async fn linger(session: &mut Session) {
    let drain = async {
        let mut drained = 0;
        while drained < LINGER_MAX_BYTES
            && let Ok(Some(chunk)) = session.read_request_body().await
        {
            drained += chunk.len();
        }
    };
    // Whether it was drained or not, the connection closes now.
    let _ = timeout(LINGER, drain).await;
}
