//! What a failed answer means, by what the provider says.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method};
use pingora::http::{RequestHeader, ResponseHeader};

use super::recorder::{Details, unix_ms};
use super::snapshot::Snapshot;
use crate::body::{BEGINNING_BYTES, Replay};
use crate::classify::{self, Basis, Class, Signals, Verdict};
use crate::protocol::endpoint::{endpoint, names_model};
use crate::protocol::whole_answer::AnswerFault;
use crate::protocol::{StreamKind, reported_error};
use crate::routing::{Cause, Outcome, Step};
use crate::telemetry::quotation;
use crate::transport::Evidence;

/// Bodies up to this size are searched for each failure.
const SEARCHED_ALWAYS_MAX_BYTES: usize = 16 * 1024;
const LARGE_SEARCH_EVERY_MS: u64 = 1000;

/// A body of which only the beginning is there is too large to be searched.
const _: () = assert!(BEGINNING_BYTES > classify::Request::BODY_MAX_BYTES);

/// The request, for a failed answer that may quote it.
pub(super) struct Question<'a> {
    pub header: &'a RequestHeader,
    pub body: &'a Replay,
    /// The target that was asked.
    pub step: &'a Step,
}

/// Finds what the failed answer to `question` means.
pub(super) fn diagnose<'a>(
    header: &'a ResponseHeader,
    evidence: &Evidence,
    question: &Question<'_>,
    snapshot: &Snapshot,
) -> (Outcome, Details<'a>) {
    let status = header.status.as_u16();
    let mut texts: Vec<&[u8]> = vec![question.header.raw_path()];
    texts.extend(question.header.headers.values().map(HeaderValue::as_bytes));
    texts.extend(question.step.model.as_deref().map(str::as_bytes));
    let answer = Signals {
        status,
        headers: &header.headers,
        body: &evidence.payload,
        provider: question.step.target.upstream.provider.as_deref(),
        request: Some(&classify::Request {
            body: question.body.beginning(),
            texts: &texts,
        }),
    };
    let verdict = verdict(&answer, evidence, question.header);
    let outcome = Outcome {
        class: verdict.class,
        status: Some(status),
        basis: verdict.basis,
        retry_after: classify::hint::retry_after(&answer, verdict.basis, SystemTime::now()),
        cause: match verdict.is_requests_own {
            true => Cause::Request,
            false => Cause::Target,
        },
    };
    let details = Details {
        rule: Some(verdict.rule),
        upstream_request_id: upstream_request_id(&header.headers),
        message: message(&evidence.payload, question, snapshot),
        ..Details::default()
    };
    (outcome, details)
}

/// Classifies a failed answer; a success that is none says so by itself, unless its words tell more.
fn verdict(answer: &Signals<'_>, evidence: &Evidence, request: &RequestHeader) -> Verdict {
    let own = |class, rule| Verdict {
        class,
        rule,
        basis: Basis::Status,
        is_requests_own: false,
    };
    match evidence.fault {
        Some(AnswerFault::Malformed) => return own(Class::BadAnswer, "malformed-answer"),
        Some(AnswerFault::Empty) => return own(Class::Empty, "empty-answer"),
        None => {}
    }
    let verdict = classify::classify(answer);
    if answer.status < 400 && verdict.rule == classify::NO_RULE {
        return own(Class::BadAnswer, "no-answer");
    }
    if verdict.class == Class::BadRequest && lacks_endpoint(answer, request) {
        return own(Class::Protocol, "no-such-endpoint");
    }
    verdict
}

/// Whether an upstream says no more than that nothing is at the request's path, which other upstreams may well serve. Where all
/// of an API lies elsewhere, as when chats are not found, somebody has to hear of it.
fn lacks_endpoint(answer: &Signals<'_>, request: &RequestHeader) -> bool {
    let endpoint = endpoint(request.uri.path());
    let is_common = matches!(
        StreamKind::of_path(endpoint),
        StreamKind::Chat | StreamKind::Completions | StreamKind::Messages
    );
    matches!(answer.status, 404 | 405 | 501)
        && request.method == Method::POST
        && names_model(endpoint)
        && !is_common
        && !reported_error::has_code(answer.body)
}

/// Returns what is kept of a provider's words about a request that it has refused. Searching a large body takes
/// milliseconds while the next attempt waits, so it is done only once in a while.
fn message(payload: &[u8], question: &Question<'_>, snapshot: &Snapshot) -> Option<String> {
    // Without the request's own words those that were quoted can't be told from the provider's.
    let plain = question.body.plain()?;
    let is_large = plain.len() > SEARCHED_ALWAYS_MAX_BYTES;
    let history = &snapshot.meters.of_target(&question.step.target).history;
    if is_large && history.has_message_since(unix_ms().saturating_sub(LARGE_SEARCH_EVERY_MS)) {
        return None;
    }
    let said = classify::message::message(payload)?;
    let secrets = snapshot.table.upstreams.iter().flat_map(|upstream| upstream.secrets());
    quotation::clean(&said, secrets, plain)
}

/// The provider's own id of a request.
fn upstream_request_id(headers: &HeaderMap) -> Option<&str> {
    ["x-request-id", "request-id", "x-generation-id"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
}
