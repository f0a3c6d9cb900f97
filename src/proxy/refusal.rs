//! Why a request is refused before any upstream is asked, and the words of the refusal.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use pingora::Error;
use thiserror::Error;

use super::browser::Refused;
use crate::body::{EncodingError, FormError, ScanError, TooLarge};
use crate::memory::NeverFits;
use crate::protocol::Protocol;
use crate::protocol::chunked::MalformedChunk;
use crate::protocol::path::PathFault;
use crate::protocol::query::QueryFault;
use crate::protocol::request_header::HeaderFault;
use crate::routing::unroutable::{Unrouted, administered, no_passthrough, telemetry, unknown_model, wrong_protocol};

/// The value of `allow` (RFC 9110 §10.2.1).
pub(super) const SERVED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";

/// Why intake ends without a plan.
pub(super) enum Stop {
    Refused(Refusal),
    /// The client has left, or no target may be asked.
    Failed(Box<Error>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

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
    #[error(transparent)]
    Query(#[from] QueryFault),
    #[error("{}", unknown_model(.model, .closest))]
    UnknownModel { model: String, closest: Vec<String> },
    #[error("{}", wrong_protocol(.model, *.protocol, .other.as_ref()))]
    WrongProtocol {
        model: String,
        protocol: Protocol,
        other: Option<(Arc<str>, Arc<str>)>,
    },
    #[error("{}", no_passthrough(.method, .path, .why))]
    NoPassthrough {
        method: Method,
        path: String,
        why: Unrouted,
    },
    #[error("{}", telemetry(.method, .path))]
    Telemetry { method: Method, path: String },
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
    pub(super) fn status(&self) -> StatusCode {
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
            Self::UnknownModel { .. } | Self::NoPassthrough { .. } | Self::Telemetry { .. } => StatusCode::NOT_FOUND,
            Self::Path(_)
            | Self::Query(_)
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

    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed | Self::UnknownMethod => "method_not_allowed",
            Self::Path(_) | Self::Query(_) => "invalid_path",
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
            Self::Telemetry { .. } => "not_collected",
        }
    }

    /// Returns whether it is unknown where the next request would begin.
    pub(super) fn loses_framing(&self) -> bool {
        // CONNECT has framing of its own (RFC 9112 §6.3).
        matches!(self, Self::Header(_) | Self::MalformedBody(_) | Self::MethodNotAllowed)
    }

    pub(super) fn param(&self) -> Option<&'static str> {
        matches!(
            self,
            Self::NoModel { .. } | Self::UnknownModel { .. } | Self::WrongProtocol { .. }
        )
        .then_some("model")
    }
}
