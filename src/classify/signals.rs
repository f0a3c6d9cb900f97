//! What a failed answer is classified by.

use http::HeaderMap;

use super::said::Request;

/// What is known of a failed answer.
#[derive(Debug, Clone, Copy)]
pub struct Signals<'a> {
    /// The response's status; 200 where an error came under it.
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// The body's start, decoded, or what [`error_payload`](crate::protocol::judge::Judge::error_payload) gives.
    pub body: &'a [u8],
    /// The upstream's provider, if it is known: some rules apply to one provider only.
    pub provider: Option<&'a str>,
    /// The request that the answer is about: what the answer repeats of it is not the upstream's word. `None`: the
    /// request is unknown, and words prove nothing.
    pub request: Option<&'a Request<'a>>,
}
