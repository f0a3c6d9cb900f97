//! A request → the answer that a healthy provider would give. Pure: what differs each time comes in a [`Stamp`].

use serde_json::{Value, json};

use super::provider::{Family, Identity, Stamp, headers};
use super::refusal;
use super::{chat, embeddings, messages, models, responses};
use crate::protocol::Protocol;

/// A response before anything is done to its delivery.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    /// Server-sent events, each with the blank line that ends it.
    Stream(Vec<String>),
}

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
pub(crate) struct Ask {
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

impl Ask {
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

    /// How many events at the start of a stream say nothing yet.
    fn opening(self) -> usize {
        match self {
            Endpoint::Chat => 1,
            Endpoint::Responses | Endpoint::Messages => 2,
            _ => 0,
        }
    }
}

/// What a healthy provider says.
pub(crate) fn healthy(identity: &Identity, ask: &Ask, stamp: &Stamp) -> Answer {
    let family = identity.family(ask.protocol);
    let mut headers = headers(family, stamp, None);
    let body = if ask.stream {
        headers.push(("content-type", "text/event-stream; charset=utf-8".to_owned()));
        headers.push(("cache-control", "no-cache".to_owned()));
        Body::Stream(events(identity, ask, stamp))
    } else {
        headers.push(("content-type", "application/json".to_owned()));
        let body = match ask.endpoint {
            Endpoint::Chat => chat::whole(identity, ask, stamp),
            Endpoint::Completions => chat::legacy(identity, ask, stamp),
            Endpoint::Embeddings => embeddings::whole(ask),
            Endpoint::Responses => responses::whole(identity, ask, stamp),
            Endpoint::Messages => messages::whole(identity, ask, stamp),
            Endpoint::CountTokens => json!({ "input_tokens": ask.input_tokens }),
            Endpoint::Models => models::whole(identity, ask, stamp),
        };
        Body::Whole(body.to_string().into_bytes())
    };
    Answer {
        status: 200,
        headers,
        body,
    }
}

fn events(identity: &Identity, ask: &Ask, stamp: &Stamp) -> Vec<String> {
    let mut events = match ask.endpoint {
        Endpoint::Responses => responses::events(identity, ask, stamp),
        Endpoint::Messages => messages::events(identity, ask, stamp),
        Endpoint::Completions => chat::legacy_events(identity, ask, stamp),
        _ => chat::events(identity, ask, stamp),
    };
    if identity.family(ask.protocol) == Family::OpenRouter {
        events.insert(0, ": OPENROUTER PROCESSING\n\n".to_owned());
    }
    events
}

/// Status 200, and an error before anything meaningful: as an event where the request streams, else as the body.
pub(crate) fn error_inside(identity: &Identity, ask: &Ask, stamp: &Stamp, in_stream: bool) -> Answer {
    let mut answer = healthy(identity, ask, stamp);
    match &mut answer.body {
        Body::Stream(events) if in_stream => {
            let comments = events.iter().take_while(|event| event.starts_with(':')).count();
            events.truncate(comments + ask.endpoint.opening());
            events.extend(refusal::events(identity, ask, stamp));
        }
        body => {
            answer.headers.retain(|(name, _)| *name != "content-type");
            answer.headers.push(("content-type", "application/json".to_owned()));
            *body = Body::Whole(refusal::body_in_200(identity, ask).to_string().into_bytes());
        }
    }
    answer
}

/// The words of every answer: who gives it, and for which model.
pub(crate) fn text(identity: &Identity, ask: &Ask) -> String {
    format!("Hello from {} (stand-in), model {}.", identity.name, ask.model)
}

/// A text in about ten pieces, as a stream brings it.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(letters.len().div_ceil(10).max(1))
        .map(|piece| piece.iter().collect())
        .collect()
}

/// `data: JSON` (openai).
pub(crate) fn data(json: &Value) -> String {
    format!("data: {json}\n\n")
}

/// `event: TYPE` and `data: JSON` (anthropic, and openai's responses); the type is that of the JSON.
pub(crate) fn typed(json: &Value) -> String {
    format!("event: {}\ndata: {json}\n\n", json["type"].as_str().unwrap_or_default())
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

    #[test]
    fn pieces_make_the_whole_text() {
        for text in [
            "",
            "é",
            "Hello from openai (stand-in), model gpt-4o.",
            &"ü".repeat(1000),
        ] {
            let pieces = pieces(text);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.len() <= 10 && pieces.iter().all(|piece| !piece.is_empty()));
        }
    }
}
