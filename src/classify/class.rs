//! What a failure means, and what follows from that: one table, from which configuration, cooldowns and `explain` take what
//! they need.

use Action::{Deliver, Fallback, Retry};

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
    /// The request carries what another account made: an encrypted reasoning item, a signature, the id of a file or a
    /// response.
    ForeignState,
    ContextLength,
    ContentPolicy,
    BadRequest,
    Overloaded,
    ServerError,
    /// A success that is no answer: malformed, or cut before its end.
    BadAnswer,
    /// A success without content, tool calls, a refusal, a reason for its end or tokens spent.
    Empty,
    /// The target does not speak the request's protocol; no attempt is made.
    Protocol,
    /// The upstream has `max_inflight` requests already; no attempt is made.
    Saturated,
    /// The gateway had no file descriptor left for a new connection; no attempt is made.
    NoDescriptors,
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

/// A failure cools down one model at an upstream, or the whole upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One model at an upstream.
    Target,
    /// The upstream with all its models.
    Upstream,
}

/// What there is to know of a class.
struct Row {
    class: Class,
    /// The name that configuration, ledger, logs and metrics write.
    name: &'static str,
    /// What happens unless `policy.on` says otherwise. A rate limit whose `retry-after` is longer than `max_wait` is the
    /// caller's to turn into a fallback.
    action: Action,
    /// What a failure of this class counts against. `None`: against nobody, because it is the request's own fault or no
    /// failure at all.
    cools: Option<Scope>,
    /// What an attempt that fails this way ends with.
    seen: Seen,
}

/// How an attempt of a class ends.
enum Seen {
    /// It comes with an answer, which usually has this status. `policy.on` may name the class, and `explain` may suppose it.
    Answered(u16),
    /// It comes without an answer. `policy.on` may name the class.
    Silent,
    /// It is caused by the gateway or the client, or it comes after commit: nothing is left to decide.
    Settled,
}

#[rustfmt::skip] // one readable table
const TABLE: [Row; 20] = {
    use Class::*;
    use Scope::{Target, Upstream};
    use Seen::*;
    [
        Row { class: Connect, name: "connect", action: Fallback, cools: Some(Upstream), seen: Silent },
        Row { class: Reset, name: "reset", action: Retry, cools: Some(Target), seen: Silent },
        Row { class: Timeout, name: "timeout", action: Fallback, cools: Some(Target), seen: Silent },
        Row { class: RateLimited, name: "rate_limited", action: Retry, cools: Some(Target), seen: Answered(429) },
        Row { class: OutOfCredits, name: "out_of_credits", action: Fallback, cools: Some(Upstream), seen: Answered(402) },
        Row { class: Auth, name: "auth", action: Fallback, cools: Some(Upstream), seen: Answered(401) },
        Row { class: ModelNotFound, name: "model_not_found", action: Fallback, cools: Some(Target), seen: Answered(404) },
        Row { class: ForeignState, name: "foreign_state", action: Fallback, cools: None, seen: Answered(400) },
        Row { class: ContextLength, name: "context_length", action: Fallback, cools: None, seen: Answered(400) },
        Row { class: ContentPolicy, name: "content_policy", action: Deliver, cools: None, seen: Answered(400) },
        Row { class: BadRequest, name: "bad_request", action: Deliver, cools: None, seen: Answered(400) },
        Row { class: Overloaded, name: "overloaded", action: Retry, cools: Some(Target), seen: Answered(503) },
        Row { class: ServerError, name: "server_error", action: Retry, cools: Some(Target), seen: Answered(500) },
        Row { class: BadAnswer, name: "bad_answer", action: Fallback, cools: Some(Target), seen: Answered(200) },
        Row { class: Empty, name: "empty", action: Fallback, cools: Some(Target), seen: Answered(200) },
        Row { class: Protocol, name: "protocol", action: Fallback, cools: None, seen: Settled },
        Row { class: Saturated, name: "saturated", action: Fallback, cools: None, seen: Settled },
        Row { class: NoDescriptors, name: "no_descriptors", action: Fallback, cools: None, seen: Settled },
        Row { class: ClientGone, name: "client_gone", action: Deliver, cools: None, seen: Settled },
        Row { class: Broken, name: "broken", action: Deliver, cools: Some(Target), seen: Settled },
    ]
};

impl Class {
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Connect; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].class;
            at += 1;
        }
        all
    };

    /// The table has a row for each class, in the order of the enumeration.
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name that configuration, ledger, logs and metrics write.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// What happens unless `policy.on` says otherwise. A rate limit whose `retry-after` is longer than `max_wait` is
    /// the caller's to turn into a fallback.
    pub fn default_action(self) -> Action {
        self.row().action
    }

    /// Returns what a failure of this class counts against. `None`: against nobody.
    pub fn cools(self) -> Option<Scope> {
        self.row().cools
    }

    /// The classes that `policy.on` can name: those of attempts that fail before commit.
    pub fn in_policy() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(|class| !matches!(class.row().seen, Seen::Settled))
    }

    /// The status that an answer of this class usually has. `None`: it is not the class of an answer.
    pub fn usual_status(self) -> Option<u16> {
        match self.row().seen {
            Seen::Answered(status) => Some(status),
            Seen::Silent | Seen::Settled => None,
        }
    }
}

impl Action {
    /// Every action, in the order of the enumeration, with the name that the configuration writes.
    pub const NAMES: [(&'static str, Self); 3] = [("deliver", Deliver), ("fallback", Fallback), ("retry", Retry)];

    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_class() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index, "{class:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for class in Class::ALL {
            assert_eq!(Class::from_name(class.name()), Some(class));
        }
        for (name, action) in Action::NAMES {
            assert_eq!(action.name(), name);
        }
        assert_eq!(Class::from_name("rate-limited"), None);
    }
}
