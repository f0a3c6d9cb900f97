//! Answer → class → action.

/// What a failure means (docs: behaviour, "classes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Refused, DNS, TLS, or the `connect` clock.
    Connect,
    /// Closed or reset before a response.
    Reset,
    /// The `headers` or `first_token` clock.
    Timeout,
    RateLimited,
    OutOfCredits,
    Auth,
    ModelNotFound,
    ContextLength,
    ContentPolicy,
    BadRequest,
    Overloaded,
    ServerError,
    /// The target does not speak the request's protocol; no attempt is made.
    Protocol,
    /// The client left; never counts against a target.
    ClientGone,
    /// The response broke off after commit.
    Broken,
}

/// What the proxy does about a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The client gets the answer as it is.
    Deliver,
    /// The next target.
    Fallback,
    /// The same target again, at most `same_target` times, then fallback.
    Retry,
}
