//! Answer → class → action. Pure: the same table judges production, `explain` and `classify`.
//!
//! An answer is first [read](reading), whatever its shape, into codes, numbers and text; then the first rule of the
//! [table](rules) that applies names its class.

use http::HeaderMap;

pub mod hint;
pub mod message;

mod pattern;
mod reading;
mod rules;
mod wording;

use reading::Reading;

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
    /// The upstream has `max_inflight` requests already; no attempt is made.
    Saturated,
    /// The client left; never counts against a target.
    ClientGone,
    /// The response broke off after commit.
    Broken,
}

impl Class {
    pub const ALL: [Self; 16] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::RateLimited,
        Self::OutOfCredits,
        Self::Auth,
        Self::ModelNotFound,
        Self::ContextLength,
        Self::ContentPolicy,
        Self::BadRequest,
        Self::Overloaded,
        Self::ServerError,
        Self::Protocol,
        Self::Saturated,
        Self::ClientGone,
        Self::Broken,
    ];

    /// As configuration, ledger, logs and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::OutOfCredits => "out_of_credits",
            Self::Auth => "auth",
            Self::ModelNotFound => "model_not_found",
            Self::ContextLength => "context_length",
            Self::ContentPolicy => "content_policy",
            Self::BadRequest => "bad_request",
            Self::Overloaded => "overloaded",
            Self::ServerError => "server_error",
            Self::Protocol => "protocol",
            Self::Saturated => "saturated",
            Self::ClientGone => "client_gone",
            Self::Broken => "broken",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// What happens unless `policy.on` says otherwise. A rate limit whose `retry-after` is longer than `max_wait` is
    /// the caller's to turn into a fallback.
    pub fn default_action(self) -> Action {
        match self {
            Self::Reset | Self::RateLimited | Self::Overloaded | Self::ServerError => Action::Retry,
            Self::Connect
            | Self::Timeout
            | Self::OutOfCredits
            | Self::Auth
            | Self::ModelNotFound
            | Self::ContextLength
            | Self::Protocol
            | Self::Saturated => Action::Fallback,
            Self::ContentPolicy | Self::BadRequest | Self::ClientGone | Self::Broken => Action::Deliver,
        }
    }
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

impl Action {
    pub const ALL: [Self; 3] = [Self::Deliver, Self::Fallback, Self::Retry];

    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Fallback => "fallback",
            Self::Retry => "retry",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// What is known of a failed answer.
#[derive(Debug, Clone, Copy)]
pub struct Signals<'a> {
    /// The response's status; 200 where an error came under it.
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// The body's start, decoded, or what [`error_payload`](crate::protocol::judge::Judge::error_payload) gives.
    pub body: &'a [u8],
    /// The upstream's provider, where it is known: some rules hold for one provider only.
    pub provider: Option<&'a str>,
}

/// What a failed answer means, and the name of the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    pub rule: &'static str,
    /// What this request asks for is the reason: the same target may do well with the next one.
    pub is_requests_own: bool,
}

/// Classifies a failed answer. Its work is bounded, whatever the body is.
pub fn classify(answer: &Signals<'_>) -> Verdict {
    let reading = Reading::of(answer);
    let rule = rules::first(&reading);
    rule.map_or(
        Verdict {
            class: Class::ServerError,
            rule: "no-rule",
            is_requests_own: false,
        },
        |rule| Verdict {
            class: rule.class,
            rule: rule.name,
            is_requests_own: rule.is_requests_own,
        },
    )
}

#[cfg(test)]
mod tests;
