//! A whole answer, with the headers that all of them carry.

use bytes::Bytes;
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use serde::Serialize;

/// Headers of every answer: it is not cached, shared or sniffed.
const ALWAYS: [(&str, &str); 6] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];
/// The policy of everything but the page: a browser that shows it all the same loads and runs nothing.
const NOTHING_ELSE: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";

pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    policy: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            policy: NOTHING_ELSE.to_owned(),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        let mut body = serde_json::to_vec(value).expect("the values have string keys and finite depth");
        body.push(b'\n');
        Self::new(status, "application/json", body)
    }

    /// `code` is for programs, `message` for people.
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let error = serde_json::json!({ "error": { "code": code, "message": message } });
        Self::json(status, &error)
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets what the page may load, instead of nothing.
    pub(super) fn policy(self, policy: &str) -> Self {
        Self {
            policy: policy.to_owned(),
            ..self
        }
    }

    pub(super) async fn write(self, session: &mut ServerSession) -> Result<()> {
        let mut header = head(self.status, self.content_type, &self.policy)?;
        for (name, value) in self.headers {
            header.insert_header(name, value)?;
        }
        header.insert_header("content-length", self.body.len())?;
        let head_only = session.req_header().method == Method::HEAD;
        session.write_response_header(Box::new(header)).await?;
        if !head_only {
            session.write_response_body(self.body, true).await?;
        }
        Ok(())
    }
}

/// The header of an answer whose length is not known yet.
pub(super) fn unbounded(content_type: &str) -> Result<ResponseHeader> {
    let mut header = head(StatusCode::OK, content_type, NOTHING_ELSE)?;
    header.insert_header("transfer-encoding", "chunked")?;
    Ok(header)
}

fn head(status: StatusCode, content_type: &str, policy: &str) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(12))?;
    header.insert_header("content-type", content_type)?;
    header.insert_header("content-security-policy", policy)?;
    for (name, value) in ALWAYS {
        header.insert_header(name, value)?;
    }
    Ok(header)
}
