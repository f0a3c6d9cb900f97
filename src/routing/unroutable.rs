//! Why a model can't be routed, in the words that clients and `switchback explain` read.

use std::sync::Arc;

use http::Method;

use crate::protocol::Protocol;
use crate::protocol::account::Guard;

/// Says that no route has the model. `closest`: configured names, best first.
pub fn unknown_model(model: &str, closest: &[String]) -> String {
    let suggestion = match closest {
        [] => "; none is configured by name".to_owned(),
        names => format!("; the closest are: {}", names.join(", ")),
    };
    format!("no route for the model `{model}`{suggestion}")
}

/// Says that no target speaks the protocol. `other`: a model that can be asked for in it, and the upstream that serves
/// it.
pub fn wrong_protocol(model: &str, protocol: Protocol, other: Option<&(Arc<str>, Arc<str>)>) -> String {
    let alternative = other.map_or_else(
        || "; no target of any other does".to_owned(),
        |(model, upstream)| format!("; `{upstream}` does, a target of the model `{model}`"),
    );
    format!(
        "no target of the model `{model}` speaks the {} protocol{alternative}",
        protocol.name()
    )
}

/// Says that a path is guarded. `asked`: a path, or a method and a path.
pub fn guarded(asked: &str, guard: Guard) -> String {
    match guard {
        Guard::Kept => format!("{asked} is about what an account keeps, so no model routes it"),
        Guard::Administered => format!("{asked} administers an account, so no model routes it"),
    }
}

/// Why no model routes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrouted {
    Guarded(Guard),
    /// It asks for a websocket.
    Websocket,
    /// Its path is one of Gemini's own API.
    Gemini,
    /// Its endpoint is one that is asked by `POST`.
    Method,
    /// Its body is JSON without a `model`.
    NamesNoModel,
    /// Its body is of this media type; empty if none is given.
    NotJson(String),
    /// Nothing is known of its path.
    Unknown,
}

/// Says why no model routes the request with `method` and `path`, and that no upstream is configured for such requests.
pub fn no_passthrough(method: &Method, path: &str, why: &Unrouted) -> String {
    let asked = format!("{method} {path}");
    let why = match why {
        Unrouted::Guarded(guard) => guarded(&asked, *guard),
        Unrouted::Websocket => {
            format!("{asked} asks for a websocket, and a model routes those only at `/v1/realtime?model=NAME`")
        }
        Unrouted::Gemini => format!(
            "{asked} belongs to Gemini's own API, which names the model in the path, and here only a `model` in the body \
             routes a request: ask `POST /v1/chat/completions`, which Gemini serves too"
        ),
        Unrouted::Method => format!("{asked} is routed by no model: this endpoint is asked by `POST`"),
        Unrouted::NamesNoModel => format!("{asked} has no `model` in its body, which would route it"),
        Unrouted::NotJson(media_type) if media_type.is_empty() => {
            format!("{asked} came without a `content-type`: a `model` is looked for in `application/json` only")
        }
        Unrouted::NotJson(media_type) => {
            format!("{asked} came as `{media_type}`: a `model` is looked for in `application/json` only")
        }
        Unrouted::Unknown => format!(
            "{asked} is no endpoint of this gateway, which serves `GET /v1/models` and what is asked by `POST` with a \
             `model`, such as `/v1/chat/completions`, `/v1/responses` and `/v1/messages`"
        ),
    };
    format!("{why}; no upstream is set for other requests, and the operator can name one as `server.passthrough`")
}

/// Says that nobody here wants what a client reports of itself.
pub fn telemetry(method: &Method, path: &str) -> String {
    format!("{method} {path} is for what a client reports of itself, which this gateway neither keeps nor sends on")
}

/// Says that `method` and `path` are closed although there is such an `upstream`.
pub fn administered(method: &Method, path: &str, upstream: &str) -> String {
    format!(
        "{method} {path} administers an account, which is closed here; the operator can open it with \
         `server: {{ passthrough: {{ upstream: {upstream}, paths: [{path}] }} }}`"
    )
}
