//! The gateway's own errors, in the shape that makes each protocol's SDKs raise their usual exceptions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::tail::Cut;
use super::{Protocol, StreamKind};

/// An error that no upstream has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayError {
    pub status: u16,
    /// The word for programs: `model_not_found`, `upstreams_exhausted`, …
    pub code: &'static str,
    /// The text for people: what happened, where, and what to do. It contains no secret and nothing of a prompt.
    pub message: String,
    /// The member of the request that is at fault.
    pub param: Option<&'static str>,
    /// The attempts, where they are the reason.
    pub attempts: Vec<Tried>,
}

/// One attempt, as an exhausted chain's error lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// `UPSTREAM/MODEL`
    pub target: String,
    pub class: &'static str,
    pub status: Option<u16>,
    pub ms: u64,
}

impl GatewayError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            attempts: Vec::new(),
        }
    }

    pub fn with_param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub fn with_attempts(mut self, attempts: Vec<Tried>) -> Self {
        self.attempts = attempts;
        self
    }

    /// The body of a response with this status; `content-type` is `application/json`.
    pub fn body(&self, protocol: Protocol, request_id: &str) -> String {
        self.to_json(protocol, request_id).to_string()
    }

    fn to_json(&self, protocol: Protocol, request_id: &str) -> Value {
        let mut error = match protocol {
            Protocol::OpenAi => json!({
                "message": self.message,
                "type": openai_type(self.status),
                "param": self.param,
                "code": self.code,
                "request_id": request_id,
            }),
            Protocol::Anthropic => json!({
                "type": anthropic_type(self.status),
                "message": self.message,
                "details": { "error_code": self.code },
            }),
        };
        if !self.attempts.is_empty() {
            error["attempts"] = self.attempts.iter().map(Tried::to_json).collect();
        }
        match protocol {
            Protocol::OpenAi => json!({ "error": error }),
            Protocol::Anthropic => json!({ "type": "error", "error": error, "request_id": request_id }),
        }
    }
}

impl Tried {
    fn to_json(&self) -> Value {
        json!({ "target": self.target, "class": self.class, "status": self.status, "ms": self.ms })
    }
}

/// Writes the last event of a stream that broke off after commit. The connection must then be aborted, never ended
/// cleanly. OpenAI's SDKs raise on a `data` object with an `error`, Anthropic's only on an event that is named `error`.
///
/// On `/v1/responses` the event is named and typed (<https://platform.openai.com/docs/api-reference/responses-streaming/error>),
/// with its code and message both at the top, where OpenAI's SDKs look, and in an `error`, where others do. A
/// `response.failed` follows, which is all that some clients show. What number the stream's last event had is not known: both
/// say 0, since clients insist on one.
pub fn stream_error_event(
    protocol: Protocol,
    kind: StreamKind,
    cut: Cut,
    error: &GatewayError,
    request_id: &str,
) -> Bytes {
    let told = error.to_json(protocol, request_id);
    let events = match (protocol, kind) {
        (Protocol::OpenAi, StreamKind::Responses) => {
            let first = json!({
                "type": "error", "sequence_number": 0,
                "code": error.code, "message": error.message, "param": null, "error": told["error"],
            });
            let failed = json!({
                "type": "response.failed", "sequence_number": 0,
                "response": {
                    "id": request_id, "object": "response", "status": "failed", "output": [],
                    "error": { "code": error.code, "message": error.message },
                },
            });
            format!("event: error\ndata: {first}\n\nevent: response.failed\ndata: {failed}\n\n")
        }
        (Protocol::OpenAi, _) => format!("data: {told}\n\n"),
        (Protocol::Anthropic, _) => format!("event: error\ndata: {told}\n\n"),
    };
    let mut event = cut.resync(protocol).to_vec();
    event.extend_from_slice(events.as_bytes());
    Bytes::from(event)
}

/// Returns the `type` of an error: <https://platform.openai.com/docs/guides/error-codes>
fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Returns the `type` of an error: <https://docs.anthropic.com/en/api/errors>
fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_protocols_shape() {
        let error = GatewayError::new(404, "model_not_found", "no route \"gpt\"").with_param("model");
        let openai: Value = serde_json::from_str(&error.body(Protocol::OpenAi, "id-1")).unwrap();
        assert_eq!(
            openai,
            json!({"error": {"message": "no route \"gpt\"", "type": "invalid_request_error", "param": "model",
                "code": "model_not_found", "request_id": "id-1"}})
        );
        let anthropic: Value = serde_json::from_str(&error.body(Protocol::Anthropic, "id-1")).unwrap();
        assert_eq!(
            anthropic,
            json!({"type": "error", "request_id": "id-1", "error": {"type": "not_found_error",
                "message": "no route \"gpt\"", "details": {"error_code": "model_not_found"}}})
        );
    }

    #[test]
    fn an_exhausted_chain_lists_what_was_tried() {
        let tried = Tried {
            target: "openai/gpt-4o".into(),
            class: "timeout",
            status: None,
            ms: 30_000,
        };
        let error = GatewayError::new(504, "upstreams_exhausted", "all failed").with_attempts(vec![tried]);
        for protocol in [Protocol::OpenAi, Protocol::Anthropic] {
            let body: Value = serde_json::from_str(&error.body(protocol, "id")).unwrap();
            let expected = json!([{"target": "openai/gpt-4o", "class": "timeout", "status": null, "ms": 30_000}]);
            assert_eq!(body["error"]["attempts"], expected);
        }
    }
}
