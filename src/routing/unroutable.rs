//! Why a model can't be routed, in the words that clients and `switchback explain` read.

use std::sync::Arc;

use crate::protocol::Protocol;

/// `closest`: configured names, best first.
pub fn unknown_model(model: &str, closest: &[String]) -> String {
    let suggestion = match closest {
        [] => "; none is configured by name".to_owned(),
        names => format!("; the closest are: {}", names.join(", ")),
    };
    format!("no route for the model `{model}`{suggestion}")
}

/// `other`: a model that can be asked for in this protocol, and the upstream that serves it.
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
