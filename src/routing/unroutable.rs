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

/// Says that no upstream is configured for requests that no model routes, such as `method` and `path`.
pub fn no_passthrough(method: &Method, path: &str, guard: Option<Guard>) -> String {
    let asked = format!("{method} {path}");
    let why = guard.map_or_else(
        || format!("{asked} is routed by no model"),
        |guard| guarded(&asked, guard),
    );
    format!("{why}, and no upstream is set for such requests; the operator can name one as `server.passthrough`")
}

/// Says that `method` and `path` are closed although there is such an `upstream`.
pub fn administered(method: &Method, path: &str, upstream: &str) -> String {
    format!(
        "{method} {path} administers an account, which is closed here; the operator can open it with \
         `server: {{ passthrough: {{ upstream: {upstream}, paths: [{path}] }} }}`"
    )
}
