//! What a request asks for.

use serde_json::Value;

use super::provider::Identity;
use crate::protocol::Protocol;

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Messages,
    CountTokens,
    Models,
}

/// What was read from a request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub protocol: Protocol,
    pub endpoint: Endpoint,
    /// The name that the stand-in was asked for, and that its answer echoes; empty for the list of models.
    pub model: String,
    pub stream: bool,
    /// The request's JSON; null for the list of models.
    pub body: Value,
    /// A rough count, for `usage`: four bytes make a token.
    pub input_tokens: usize,
}

/// The endpoint of a path, whatever base path stands before it; for `models` also the model that is asked for.
pub(crate) fn endpoint<'a>(method: &str, path: &'a str) -> Option<(Endpoint, &'a str)> {
    if method == "GET" {
        return match path.split_once("/models") {
            Some((_, "")) => Some((Endpoint::Models, "")),
            Some((_, rest)) => rest.strip_prefix('/').map(|model| (Endpoint::Models, model)),
            None => None,
        };
    }
    let endings = [
        ("/chat/completions", Endpoint::Chat),
        ("/completions", Endpoint::Completions),
        ("/embeddings", Endpoint::Embeddings),
        ("/responses", Endpoint::Responses),
        ("/messages", Endpoint::Messages),
        ("/messages/count_tokens", Endpoint::CountTokens),
    ];
    let found = endings.iter().find(|(ending, _)| path.ends_with(ending))?;
    (method == "POST").then_some((found.1, ""))
}

/// The protocol that a path speaks; `models` is spoken by both, and `anthropic` tells that the client is Anthropic's.
pub(crate) fn protocol(path: &str, identity: &Identity, anthropic: bool) -> Protocol {
    if path.ends_with("/messages") || path.contains("/messages/") {
        return Protocol::Anthropic;
    }
    let only_anthropic = !identity.protocols.contains(&Protocol::OpenAi);
    let models = path.ends_with("/models") || path.contains("/models/");
    if models && (only_anthropic || (anthropic && identity.protocols.contains(&Protocol::Anthropic))) {
        return Protocol::Anthropic;
    }
    Protocol::OpenAi
}

impl Asked {
    /// # Errors
    /// The refusal that the provider would send: the body is no JSON object, or names no model.
    pub(crate) fn read(endpoint: Endpoint, protocol: Protocol, body: &[u8]) -> Result<Self, &'static str> {
        let json: Value =
            serde_json::from_slice(body).map_err(|_| "We could not parse the JSON body of your request.")?;
        let model = match &json["model"] {
            Value::String(model) if !model.is_empty() => model.clone(),
            _ => return Err("you must provide a model parameter"),
        };
        Ok(Self {
            protocol,
            endpoint,
            model,
            stream: json["stream"] == Value::Bool(true) && endpoint.streams(),
            body: json,
            input_tokens: (body.len() / 4).max(1),
        })
    }
}

impl Endpoint {
    fn streams(self) -> bool {
        matches!(
            self,
            Endpoint::Chat | Endpoint::Completions | Endpoint::Responses | Endpoint::Messages
        )
    }

    /// Returns how many events at the start of a stream carry nothing meaningful.
    pub(crate) fn opening(self) -> usize {
        match self {
            Endpoint::Chat => 1,
            Endpoint::Responses | Endpoint::Messages => 2,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_behind_any_base_path() {
        for (method, path, expected) in [
            ("POST", "/v1/chat/completions", Some((Endpoint::Chat, ""))),
            ("POST", "/chat/completions", Some((Endpoint::Chat, ""))),
            ("POST", "/v1/completions", Some((Endpoint::Completions, ""))),
            ("POST", "/api/v1/messages", Some((Endpoint::Messages, ""))),
            ("POST", "/v1/messages/count_tokens", Some((Endpoint::CountTokens, ""))),
            ("GET", "/v1/models", Some((Endpoint::Models, ""))),
            (
                "GET",
                "/api/v1/models/openai/gpt-4o",
                Some((Endpoint::Models, "openai/gpt-4o")),
            ),
            ("GET", "/v1/chat/completions", None),
            ("POST", "/v1/moderations", None),
            ("DELETE", "/v1/responses", None),
        ] {
            assert_eq!(endpoint(method, path), expected, "{method} {path}");
        }
    }
}
