//! What is sent and what must come back: known to both ends, so that each can check all of it.

use std::fmt::Write;

/// How many events a stream has, its `[DONE]` included.
pub(crate) const STREAM_EVENTS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Exchange {
    /// 1 KiB of JSON both ways.
    Json1k,
    /// 1 MiB of JSON as request, 1 KiB as response.
    Json1m,
    /// 1 KiB of JSON, answered with server-sent events, each written on its own.
    Sse20,
    /// A stream that begins with one event and then says nothing.
    Silent,
}

impl Exchange {
    pub(crate) const ALL: [Self; 4] = [Self::Json1k, Self::Json1m, Self::Sse20, Self::Silent];

    /// The request's body.
    pub(crate) fn request(self) -> Vec<u8> {
        let (bytes, stream) = match self {
            Self::Json1k => (1 << 10, false),
            Self::Json1m => (1 << 20, false),
            Self::Sse20 => (1 << 10, true),
            Self::Silent => (2 << 10, true),
        };
        let open = r#"{"model":"bench","messages":[{"role":"user","content":""#;
        let close = format!(r#""}}],"temperature":0.7,"stream":{stream}}}"#);
        let prose = "Say what a gateway does when its first upstream fails.\\n";
        let units = (bytes - open.len() - close.len()) / prose.len();
        let filler = bytes - open.len() - close.len() - units * prose.len();
        format!("{open}{}{}{close}", prose.repeat(units), ".".repeat(filler)).into_bytes()
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json1k | Self::Json1m => "application/json",
            Self::Sse20 | Self::Silent => "text/event-stream",
        }
    }

    /// The response's body in the pieces in which it is written.
    pub(crate) fn response(self) -> Vec<Vec<u8>> {
        match self {
            Self::Json1k | Self::Json1m => {
                let open = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":""#;
                let close = r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}"#;
                vec![format!("{open}{}{close}", "a".repeat((1 << 10) - open.len() - close.len())).into_bytes()]
            }
            Self::Sse20 => (0..STREAM_EVENTS).map(event).collect(),
            // The one that says something: clients and proxies then know that the answer has begun.
            Self::Silent => vec![event(1)],
        }
    }
}

fn event(nth: usize) -> Vec<u8> {
    if nth + 1 == STREAM_EVENTS {
        return b"data: [DONE]\n\n".to_vec();
    }
    let (delta, finish) = match nth {
        0 => (r#"{"role":"assistant","content":""}"#.to_owned(), "null"),
        _ if nth + 2 == STREAM_EVENTS => ("{}".to_owned(), r#""stop""#),
        _ => (format!(r#"{{"content":" word{nth}"}}"#), "null"),
    };
    let mut event = String::new();
    let _ = write!(
        event,
        r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
    );
    event.push_str("\n\n");
    event.into_bytes()
}
