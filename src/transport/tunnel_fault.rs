//! How a proxy fails that leads to an upstream.

use std::io;

use thiserror::Error;

/// Why a proxy has opened no tunnel to an upstream. No password is in the words.
#[derive(Debug, Error)]
pub(super) enum TunnelFault {
    #[error("the proxy can't be reached: {0}")]
    NotReached(String),
    #[error("the proxy closed the connection: {0}")]
    Closed(#[from] io::Error),
    #[error("the proxy asks for a user and a password")]
    NoLogin,
    #[error("the proxy refused the user and password")]
    Login,
    #[error("the proxy refused: {0}")]
    Refused(String),
    #[error("the proxy does not answer as one does: {0}")]
    Invalid(&'static str),
}

impl TunnelFault {
    /// The same in a few words, for clients.
    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::NotReached(_) => "the proxy can't be reached",
            Self::Closed(_) => "the proxy closed the connection",
            Self::NoLogin | Self::Login => "the proxy wants a login",
            Self::Refused(_) => "the proxy refused",
            Self::Invalid(_) => "the proxy does not answer as one does",
        }
    }
}
