//! An answer that breaks off after it had begun, or in which its upstream reports an error: why, and whether that counts
//! against the target.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::classify::{self, Basis, Class, Request, Signals};
use crate::protocol::reported_error;
use crate::routing::{Cause, Outcome, Step};
use crate::transport::{Assignment, Failure};
use crate::upstream::setback::Setback;

/// The status of the answer in which an error was reported: its own says that all was well.
const STATUS: u16 = 200;

pub(super) struct BreakOff {
    /// The reason for the log and the status page. It contains no words of the upstream, which may quote the request,
    /// only its code.
    pub reason: String,
    /// The rule that found the class, where the upstream has given a reason.
    pub rule: Option<&'static str>,
    /// The class of what the upstream has said, or [`Class::Broken`].
    class: Class,
    basis: Basis,
    retry_after: Option<Duration>,
    is_requests_own: bool,
}

impl BreakOff {
    /// Describes the break of the answer of the target of `step` to what `assignment` sent.
    pub(super) fn of(failure: &Failure, step: &Step, assignment: Option<&Assignment>) -> Self {
        match failure {
            Failure::Reported(error) => Self::reported(error, step, assignment),
            failure => Self {
                reason: failure.to_string(),
                rule: None,
                class: Class::Broken,
                basis: Basis::Status,
                retry_after: None,
                is_requests_own: false,
            },
        }
    }

    /// Describes an `error` that the upstream has reported in its stream.
    pub(super) fn reported(error: &[u8], step: &Step, assignment: Option<&Assignment>) -> Self {
        let headers = HeaderMap::new();
        let body = assignment.and_then(sent);
        let request = body.as_deref().map(|body| Request { body, texts: &[] });
        let answer = Signals {
            status: STATUS,
            headers: &headers,
            body: error,
            provider: step.target.upstream.provider.as_deref(),
            request: request.as_ref(),
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
            basis: verdict.basis,
            retry_after: classify::hint::retry_after(&answer, verdict.basis, SystemTime::now()),
            is_requests_own: verdict.is_requests_own,
        }
    }

    /// Returns the outcome for the log and the ledger, whatever the upstream has said.
    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            class: Class::Broken,
            status: None,
            basis: Basis::Status,
            retry_after: self.retry_after,
            cause: Cause::Target,
        }
    }

    /// Returns why it counts against the target; `None` where the request itself is the reason.
    pub(super) fn blames(&self) -> Option<Setback> {
        match self.is_requests_own {
            true => None,
            false => Setback::of(self.class, self.basis, self.retry_after),
        }
    }
}

/// Returns the body that was sent to the upstream, if it can be read: one that was sent compressed cannot, and then the
/// words of an error prove nothing.
fn sent(assignment: &Assignment) -> Option<Vec<u8>> {
    let body = &assignment.body;
    if body.len() > Request::BODY_MAX_BYTES {
        return None;
    }
    let is_plain = |body: &Vec<u8>| body.starts_with(b"{") && std::str::from_utf8(body).is_ok();
    Some(body.iter().flatten().copied().collect()).filter(is_plain)
}
