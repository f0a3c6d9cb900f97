//! An answer that breaks off after it had begun, or in which its upstream reports an error: why, and whether that counts
//! against the target.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::classify::{self, Basis, Class, Signals};
use crate::protocol::reported_error;
use crate::routing::{Cause, Outcome, Step};
use crate::transport::Failure;

/// The status of the answer in which an error was reported: its own says that all was well.
const STATUS: u16 = 200;

pub(super) struct BreakOff {
    /// For the log and the status page. No words of the upstream, which may quote the request: its code alone.
    pub reason: String,
    /// What told the class, where the upstream has said why.
    pub rule: Option<&'static str>,
    /// What the upstream has said, or [`Class::Broken`].
    class: Class,
    retry_after: Option<Duration>,
    is_requests_own: bool,
}

impl BreakOff {
    /// The answer of the attempt at the target of `step` broke off.
    pub(super) fn of(failure: &Failure, step: &Step) -> Self {
        match failure {
            Failure::Reported(error) => Self::reported(error, step),
            failure => Self {
                reason: failure.to_string(),
                rule: None,
                class: Class::Broken,
                retry_after: None,
                is_requests_own: false,
            },
        }
    }

    /// The upstream has reported `error` in its stream.
    pub(super) fn reported(error: &[u8], step: &Step) -> Self {
        let headers = HeaderMap::new();
        let answer = Signals {
            status: STATUS,
            headers: &headers,
            body: error,
            provider: step.target.upstream.provider.as_deref(),
            // It is no longer held once its answer has begun.
            request: None,
        };
        let verdict = classify::classify(&answer);
        let code = reported_error::code(error);
        let reason = match code {
            Some(code) => format!("the upstream reported an error in its stream: {code}"),
            None => "the upstream reported an error in its stream".to_owned(),
        };
        Self {
            reason,
            rule: Some(verdict.rule),
            class: verdict.class,
            retry_after: classify::hint::retry_after(&answer, verdict.basis, SystemTime::now()),
            is_requests_own: verdict.is_requests_own,
        }
    }

    /// As the log and the ledger have it, whatever the upstream has said.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            class: Class::Broken,
            basis: Basis::Status,
            status: None,
            retry_after: self.retry_after,
            cause: Cause::Target,
        }
    }

    /// Why it counts against the target; `None` where the request itself is the reason.
    pub(super) fn blames(&self) -> Option<(Class, Option<Duration>)> {
        (!self.is_requests_own).then_some((self.class, self.retry_after))
    }
}
