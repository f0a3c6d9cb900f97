//! The request that is explained.

use crate::protocol::Protocol;

/// What the client is supposed to ask.
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) protocol: Protocol,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) stream: bool,
}
