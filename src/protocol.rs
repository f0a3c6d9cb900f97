//! What the wire says: the two protocols, their streams and their errors. No I/O.

use http::HeaderMap;

pub mod account;
pub mod chunked;
pub mod decode;
pub mod endpoint;
pub mod errors;
pub mod event;
pub mod judge;
pub mod meant;
pub mod models;
pub mod path;
pub mod percent;
pub mod query;
pub mod reported_error;
pub mod request_header;
pub mod resume;
pub mod sse;
pub mod tail;
pub mod whole_answer;

mod json_head;

/// The most that is held of an answer before it is judged, in bytes (docs: behaviour, "judgement").
pub const HELD_MAX_BYTES: usize = 64 * 1024;

/// The wire protocol that a path, an upstream or an error body speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    OpenAi,
    Anthropic,
}

impl Protocol {
    /// Every protocol, in the order of the enumeration, with the name that the configuration writes.
    pub const NAMES: [(&'static str, Self); 2] = [("openai", Self::OpenAi), ("anthropic", Self::Anthropic)];

    /// `/v1/messages*` and `/messages*` are anthropic, everything else openai. A query is ignored.
    pub fn of_path(path: &str) -> Self {
        let path = without_query(path);
        let rest = path.strip_prefix("/v1").unwrap_or(path);
        match rest.strip_prefix("/messages") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Anthropic,
            _ => Self::OpenAi,
        }
    }

    /// Does the same as [`Protocol::of_path`], except for the paths that both protocols have (`/v1/models`): there the
    /// `anthropic-version` header, which Anthropic's API requires, tells them apart.
    pub fn of_request(path: &str, headers: &HeaderMap) -> Self {
        let bare = without_query(path);
        let rest = bare.strip_prefix("/v1").unwrap_or(bare);
        let shared = rest == "/models" || rest.starts_with("/models/");
        if shared && headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else {
            Self::of_path(path)
        }
    }

    /// The name that the configuration writes.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }

    /// The path of a chat, with the `/v1` that its SDKs write.
    pub fn chat_path(self) -> &'static str {
        match self {
            Self::OpenAi => "/v1/chat/completions",
            Self::Anthropic => "/v1/messages",
        }
    }
}

/// What a path's answers and streams look like: which events mean that an answer has begun, and which one ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// `/chat/completions`
    Chat,
    /// `/completions`
    Completions,
    /// `/responses`
    Responses,
    /// `/v1/messages`
    Messages,
    /// Anything else: nothing is known of its events, and it has no known end.
    Other,
}

impl StreamKind {
    /// Tells by the end of the path, so that a prefix (`/openai/deployments/x/chat/completions`) doesn't matter.
    /// What lies below these (`/responses/ID`, `/messages/count_tokens`) is another kind of answer.
    pub fn of_path(path: &str) -> Self {
        let path = without_query(path).trim_end_matches('/');
        if path.ends_with("/chat/completions") {
            Self::Chat
        } else if path.ends_with("/completions") {
            Self::Completions
        } else if path.ends_with("/responses") {
            Self::Responses
        } else if path.ends_with("/v1/messages") || path == "/messages" {
            Self::Messages
        } else {
            Self::Other
        }
    }
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_protocol_and_kind() {
        for (path, protocol, kind) in [
            ("/v1/chat/completions", Protocol::OpenAi, StreamKind::Chat),
            (
                "/openai/deployments/x/chat/completions?api-version=1",
                Protocol::OpenAi,
                StreamKind::Chat,
            ),
            ("/v1/completions/", Protocol::OpenAi, StreamKind::Completions),
            ("/v1/responses", Protocol::OpenAi, StreamKind::Responses),
            ("/v1/responses/resp_1", Protocol::OpenAi, StreamKind::Other),
            ("/v1/messages?beta=true", Protocol::Anthropic, StreamKind::Messages),
            ("/messages", Protocol::Anthropic, StreamKind::Messages),
            ("/v1/messages/count_tokens", Protocol::Anthropic, StreamKind::Other),
            ("/v1/messagesx", Protocol::OpenAi, StreamKind::Other),
            ("/v1/threads/t/messages", Protocol::OpenAi, StreamKind::Other),
            ("/v1/embeddings", Protocol::OpenAi, StreamKind::Other),
        ] {
            assert_eq!(
                (Protocol::of_path(path), StreamKind::of_path(path)),
                (protocol, kind),
                "{path}"
            );
        }
    }

    #[test]
    fn names_and_chats_belong_to_their_protocols() {
        for (name, protocol) in Protocol::NAMES {
            assert_eq!(protocol.name(), name);
            assert_eq!(Protocol::of_path(protocol.chat_path()), protocol);
            assert_ne!(StreamKind::of_path(protocol.chat_path()), StreamKind::Other);
        }
    }

    #[test]
    fn the_model_list_follows_the_clients_protocol() {
        let mut headers = HeaderMap::new();
        assert_eq!(Protocol::of_request("/v1/models", &headers), Protocol::OpenAi);
        headers.insert("anthropic-version", http::HeaderValue::from_static("2023-06-01"));
        assert_eq!(Protocol::of_request("/v1/models/a", &headers), Protocol::Anthropic);
        assert_eq!(Protocol::of_request("/v1/chat/completions", &headers), Protocol::OpenAi);
    }
}
