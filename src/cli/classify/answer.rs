//! A recorded answer, judged and classified the way a live one is.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::classify::{self, Request, Signals, Verdict, hint};
use crate::protocol::StreamKind;
use crate::protocol::judge::{Judge, Judgement};

/// How much of a body is examined to tell which endpoint it came from.
const LOOK_BYTES_MAX: usize = 16 * 1024;

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The body as it was on the wire: `content-encoding` is undone here.
    pub(super) body: Vec<u8>,
    pub(super) provider: Option<String>,
    /// The path of the request; `None`: the body tells.
    pub(super) path: Option<String>,
    /// The body of the request that it is about.
    pub(super) request: Vec<u8>,
}

pub(super) struct Failure {
    pub(super) verdict: Verdict,
    /// What the answer asks to wait.
    pub(super) wait: Option<Duration>,
}

impl Answer {
    /// Returns the failure. `None`: the answer is no failure, and the client gets it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let kind = self
            .path
            .as_deref()
            .map_or_else(|| kind_of_body(&self.body), StreamKind::of_path);
        let mut judge = Judge::new(self.status, &self.headers, kind);
        let judgement = match judge.feed(&self.body) {
            Judgement::Undecided => judge.end(),
            decided => decided,
        };
        (judgement == Judgement::Failed).then(|| {
            let signals = Signals {
                status: self.status,
                headers: &self.headers,
                body: judge.error_payload(),
                provider: self.provider.as_deref(),
                request: Some(&Request {
                    body: &self.request,
                    texts: &[],
                }),
            };
            let verdict = classify::classify(&signals);
            Failure {
                wait: hint::retry_after(&signals, verdict.basis, SystemTime::now()),
                verdict,
            }
        })
    }
}

/// The endpoint whose events or objects these are; a chat's if nothing tells.
fn kind_of_body(body: &[u8]) -> StreamKind {
    let start = String::from_utf8_lossy(&body[..body.len().min(LOOK_BYTES_MAX)]);
    let bare: String = start.chars().filter(|char| !char.is_whitespace()).collect();
    const SIGNS: [(&str, StreamKind); 8] = [
        ("\"type\":\"response.", StreamKind::Responses),
        ("event:response.", StreamKind::Responses),
        ("\"object\":\"response\"", StreamKind::Responses),
        ("\"object\":\"text_completion\"", StreamKind::Completions),
        ("\"object\":\"chat.completion", StreamKind::Chat),
        ("\"type\":\"message_start\"", StreamKind::Messages),
        ("\"type\":\"content_block_", StreamKind::Messages),
        ("\"type\":\"message\"", StreamKind::Messages),
    ];
    SIGNS
        .iter()
        .find(|(sign, _)| bare.contains(sign))
        .map_or(StreamKind::Chat, |&(_, kind)| kind)
}
