//! What is known of the providers' base URLs: what is spoken there without being told, and how they are often mistaken.

use super::diagnostic::Diagnostic;
use super::document::Node;
use super::reader::{Reader, quotable};
use super::{BaseUrl, Key, Upstream, provider};
use crate::protocol::Protocol;

/// Hosts whose API is below a path, from the providers' own pages; a base URL without a path leads nowhere there.
const PATHS: [(&str, &str); 14] = [
    ("openrouter.ai", "/api/v1"),
    ("api.groq.com", "/openai/v1"),
    ("api.mistral.ai", "/v1"),
    ("api.x.ai", "/v1"),
    ("api.together.xyz", "/v1"),
    ("api.together.ai", "/v1"),
    ("api.fireworks.ai", "/inference/v1"),
    ("api.cerebras.ai", "/v1"),
    ("api.moonshot.ai", "/v1"),
    ("api.siliconflow.com", "/v1"),
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("dashscope.aliyuncs.com", "/compatible-mode/v1"),
    ("open.bigmodel.cn", "/api/paas/v4"),
    ("api.z.ai", "/api/paas/v4"),
];
const ANTHROPIC: &str = "api.anthropic.com";
/// What the URL of one endpoint ends with. But for the first, a version stands before it: a gateway, or a deployment, may
/// have such a name.
const ENDPOINTS: [&str; 5] = [
    "/chat/completions",
    "/completions",
    "/responses",
    "/messages",
    "/embeddings",
];

/// Returns whether the provider at this host is known, and asks for keys of its own. (Cloudflare's gateway may have them.)
pub(super) fn is_known(url: &BaseUrl) -> bool {
    provider::of_host(&url.host).is_some_and(|provider| provider != "cloudflare")
}

/// The protocols of an upstream for which none are written.
pub(super) fn protocols(url: &BaseUrl) -> Vec<Protocol> {
    let anthropic = (url.host == ANTHROPIC && url.path.is_empty())
        || (provider::of_host(&url.host).is_some() && is_anthropics(url));
    vec![if anthropic {
        Protocol::Anthropic
    } else {
        Protocol::OpenAi
    }]
}

fn is_anthropics(url: &BaseUrl) -> bool {
    url.path.ends_with("/anthropic")
}

/// The endpoint whose path this is, rather than a base URL's.
fn endpoint(path: &str) -> Option<&'static str> {
    ENDPOINTS.into_iter().find(|endpoint| {
        path.strip_suffix(endpoint)
            .is_some_and(|base| *endpoint == ENDPOINTS[0] || ends_in_version(base))
    })
}

fn ends_in_version(base: &str) -> bool {
    let last = base.rsplit('/').next().unwrap_or_default();
    let version = last.strip_prefix('v').unwrap_or_default();
    version.starts_with(|first: char| first.is_ascii_digit())
}

/// Says what is probably wrong with the URL of `upstream`, which stands at `node`.
pub(super) fn advise(reader: &mut Reader<'_>, upstream: &Upstream, node: &Node, is_protocol_written: bool) {
    let url = &upstream.url;
    if let Some(endpoint) = endpoint(&url.path) {
        endpoint_url(reader, upstream, node, endpoint);
        return;
    }
    if url.path.is_empty() && upstream.protocols.contains(&Protocol::OpenAi) {
        no_path(reader, url, node);
    }
    if is_protocol_written {
        return;
    }
    if url.host == ANTHROPIC && !url.path.is_empty() && !is_anthropics(url) {
        let message =
            "this is Anthropic's address for the OpenAI protocol: Claude Code and Anthropic's SDKs can't use it so";
        let help = "for them, write `url: https://api.anthropic.com`; for both, add `protocol: [openai, anthropic]`";
        reader.report(Diagnostic::note("assumed-protocol", node.place, message).help(help));
    } else if is_anthropics(url) && provider::of_host(&url.host).is_none() {
        let message = "this upstream is taken to speak the OpenAI protocol, because no `protocol` is written";
        let help = "if it speaks Anthropic's, write `protocol: anthropic`";
        reader.report(Diagnostic::note("assumed-protocol", node.place, message).help(help));
    }
}

/// A known provider has no such paths; others may.
fn endpoint_url(reader: &mut Reader<'_>, upstream: &Upstream, node: &Node, endpoint: &str) {
    let message = format!(
        "this is the address of one endpoint: each request adds its own, such as `{endpoint}`, to the base URL"
    );
    let written = node.text().unwrap_or_default().trim_end_matches('/');
    let base = written.strip_suffix(endpoint).map(|base| match endpoint {
        "/messages" => base.strip_suffix("/v1").unwrap_or(base),
        _ => base,
    });
    let help = match base {
        Some(base) => format!("write `{}`", quotable(base)),
        None => format!("leave out `{endpoint}`"),
    };
    let diagnostic = if is_known(&upstream.url) {
        Diagnostic::error("endpoint-url", node.place, message)
    } else {
        Diagnostic::warning("endpoint-url", node.place, message)
    };
    reader.report(diagnostic.help(help));
}

fn no_path(reader: &mut Reader<'_>, url: &BaseUrl, node: &Node) {
    let host = &*url.host;
    let is_openais = host == "api.openai.com" || host.ends_with(".api.openai.com");
    let path = match PATHS.into_iter().find(|&(known, _)| known == host) {
        Some((_, path)) => path,
        None if is_openais => "/v1",
        None => return,
    };
    let message = format!("this base URL has no path, but the provider's API is below `{path}`");
    // That nothing answers elsewhere is known of one provider only.
    let diagnostic = if is_openais {
        Diagnostic::error("no-path", node.place, message)
    } else {
        Diagnostic::warning("no-path", node.place, message)
    };
    reader.report(diagnostic.help(format!("write `https://{host}{path}`")));
}

/// Warns of an upstream that asks for a key, and for which nothing is written that could be one.
pub(super) fn warn_of_no_key(reader: &mut Reader<'_>, upstream: &Upstream, node: &Node) {
    let Some(provider) = provider::of_host(&upstream.url.host).filter(|_| is_known(&upstream.url)) else {
        return;
    };
    let is_told_otherwise = !upstream.headers.is_empty()
        || !upstream.query.is_empty()
        || !upstream.forward_headers.is_empty()
        || upstream.tls.client_cert.is_some();
    if upstream.key != Key::None || is_told_otherwise {
        return;
    }
    let message = "this provider answers nobody without a key, and the upstream has no `key`";
    let help = format!(
        "write `key: ${{{}_API_KEY}}`, `key: passthrough` for the client's own, or `key: none` if this is meant",
        provider.to_ascii_uppercase()
    );
    reader.report(Diagnostic::warning("no-key", node.place, message).help(help));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url;

    #[test]
    fn anthropics_addresses_are_known() {
        for (text, protocol) in [
            ("https://api.anthropic.com", Protocol::Anthropic),
            ("https://api.anthropic.com/", Protocol::Anthropic),
            ("https://api.anthropic.com/v1", Protocol::OpenAi),
            ("https://api.deepseek.com/anthropic", Protocol::Anthropic),
            ("https://api.z.ai/api/anthropic/", Protocol::Anthropic),
            (
                "https://gateway.ai.cloudflare.com/v1/a/b/anthropic",
                Protocol::Anthropic,
            ),
            ("https://gateway.internal/anthropic", Protocol::OpenAi),
            ("https://openrouter.ai/api/v1", Protocol::OpenAi),
            ("http://127.0.0.1:8000", Protocol::OpenAi),
        ] {
            assert_eq!(protocols(&url::parse(text).unwrap()), [protocol], "{text}");
        }
    }

    #[test]
    fn endpoints_are_told_from_prefixes() {
        for (path, expected) in [
            ("/v1/chat/completions", Some("/chat/completions")),
            ("/openai/deployments/gpt-4o/chat/completions", Some("/chat/completions")),
            ("/v1/completions", Some("/completions")),
            ("/v1/messages", Some("/messages")),
            ("/openai/deployments/embeddings", None),
            ("/models", None),
            ("/responses", None),
            ("/v1", None),
            ("", None),
        ] {
            assert_eq!(endpoint(path), expected, "{path}");
        }
    }

    #[test]
    fn every_path_belongs_to_a_known_host() {
        for (host, path) in PATHS {
            let url = url::parse(&format!("https://{host}{path}")).unwrap();
            assert!(is_known(&url), "{host}");
        }
    }
}
