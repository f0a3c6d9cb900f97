//! A failure as it is remembered: enough to find it at the provider, and nothing of the prompt.

use crate::telemetry::attempt::token;

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureNote {
    /// When it was judged, in milliseconds since 1970.
    pub unix_ms: u64,
    /// `rate_limited`, `timeout`, …
    pub class: &'static str,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// The provider's words, [cleaned](crate::telemetry::quotation::clean); or ours, where there was no answer.
    pub message: Option<String>,
    /// The gateway's, as in the log.
    pub request_id: String,
    /// The provider's own.
    pub upstream_request_id: Option<String>,
}

impl FailureNote {
    /// A provider's id as it may be kept: cut, and only if it is a code and no prose.
    pub fn id(sent: &str) -> Option<String> {
        token(sent).map(str::to_owned)
    }
}
