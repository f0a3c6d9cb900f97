//! The settings of programs that people have, for the gateway of the drill.

use std::net::SocketAddr;

use super::demonstration::chain;
use crate::config::Config;
use crate::protocol::Protocol;

/// What to write where, for each program that some route serves. Ends with an empty line.
pub(super) fn settings(config: &Config, gateway: SocketAddr) -> String {
    let mut out = String::new();
    if let Some(model) = model(config, Protocol::Anthropic) {
        out += &format!(
            "  Claude Code\n    ANTHROPIC_BASE_URL=http://{gateway} ANTHROPIC_AUTH_TOKEN=unused claude --model {model}\n\n"
        );
    }
    if let Some(model) = model(config, Protocol::OpenAi) {
        out += &format!(
            "  Codex, in ~/.codex/config.toml\n    model = {model:?}\n    model_provider = \"switchback\"\n    \
             [model_providers.switchback]\n    name = \"Switchback\"\n    base_url = \"http://{gateway}/v1\"\n    \
             wire_api = \"responses\"\n\n"
        );
    }
    out
}

/// A model that is answered in this protocol: of the first such route with an exact name, else of the first glob.
fn model(config: &Config, protocol: Protocol) -> Option<String> {
    let speaks = |name: &str| {
        let chain = chain(config, name);
        chain
            .first()
            .is_some_and(|first| config.upstreams[first.upstream].protocols.contains(&protocol))
    };
    let names = config.routes.iter().map(|route| &*route.name);
    let name = names
        .filter(|name| speaks(name))
        .min_by_key(|name| name.contains('*'))?;
    Some(match name {
        "claude-*" => "claude-sonnet-4-6".to_owned(),
        name => name.replace('*', "drill"),
    })
}
