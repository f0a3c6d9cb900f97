//! The credential of an upstream, ready to be put on a request.

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use crate::config::{self, Key};
use crate::protocol::Protocol;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

#[derive(Debug, PartialEq, Eq)]
pub enum Credential {
    None,
    /// The client's own credential is forwarded.
    Passthrough,
    /// One header, whatever the protocol.
    Fixed(HeaderName, HeaderValue),
    /// `authorization: Bearer` for openai, `x-api-key` for anthropic.
    ByProtocol {
        bearer: HeaderValue,
        plain: HeaderValue,
    },
}

impl Credential {
    pub(super) fn compile(upstream: &config::Upstream) -> Self {
        let secret = match &upstream.key {
            Key::None => return Self::None,
            Key::Passthrough => return Self::Passthrough,
            Key::Secret(secret) => secret.expose(),
        };
        let bearer = || sensitive(&format!("Bearer {secret}"));
        match &upstream.key_header {
            Some(name) if *name == AUTHORIZATION => Self::Fixed(AUTHORIZATION, bearer()),
            Some(name) => Self::Fixed(name.clone(), sensitive(secret)),
            None => Self::ByProtocol {
                bearer: bearer(),
                plain: sensitive(secret),
            },
        }
    }

    pub fn is_passthrough(&self) -> bool {
        matches!(self, Self::Passthrough)
    }

    /// The key itself.
    pub(super) fn secret(&self) -> Option<&str> {
        let value = match self {
            Self::None | Self::Passthrough => return None,
            Self::Fixed(_, value) | Self::ByProtocol { plain: value, .. } => value.to_str().ok()?,
        };
        Some(value.strip_prefix("Bearer ").unwrap_or(value))
    }

    /// The header that carries it on a request in `protocol`.
    pub fn header(&self, protocol: Protocol) -> Option<(&HeaderName, &HeaderValue)> {
        match (self, protocol) {
            (Self::None | Self::Passthrough, _) => None,
            (Self::Fixed(name, value), _) => Some((name, value)),
            (Self::ByProtocol { bearer, .. }, Protocol::OpenAi) => Some((&AUTHORIZATION, bearer)),
            (Self::ByProtocol { plain, .. }, Protocol::Anthropic) => Some((&X_API_KEY, plain)),
        }
    }
}

fn sensitive(value: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(value).expect("the configuration refuses keys that are no header value");
    value.set_sensitive(true);
    value
}
