//! Where a request goes below an upstream's base URL.

use crate::protocol::endpoint::endpoint;
use crate::protocol::{Protocol, percent};

/// The path and query at the upstream for a client's `path`, in its normal form, and `query`.
///
/// An openai path is what follows `/v1`, after the base URL's path. An anthropic one keeps its `/v1`, but where the base
/// URL's path already ends in a version.
pub fn at_upstream(base_path: &str, protocol: Protocol, path: &str, query: &str, own_query: &str) -> String {
    let endpoint = endpoint(path);
    let mut target = String::with_capacity(base_path.len() + path.len() + own_query.len() + 64);
    target.push_str(base_path);
    match protocol {
        Protocol::Anthropic if !ends_in_version(base_path) => target.push_str("/v1"),
        Protocol::Anthropic | Protocol::OpenAi => {}
    }
    target.push_str(endpoint);
    if target.is_empty() {
        target.push('/');
    }
    let queries = [query, own_query];
    for (separator, query) in ['?', '&']
        .into_iter()
        .zip(queries.into_iter().filter(|query| !query.is_empty()))
    {
        target.push(separator);
        target.push_str(query);
    }
    target
}

/// Returns whether the last segment is a version: `v1`, `v2`, `v1beta`.
fn ends_in_version(base_path: &str) -> bool {
    let last = base_path.rsplit('/').next().unwrap_or_default();
    let digits = last.strip_prefix('v').unwrap_or_default();
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Encodes pairs as `application/x-www-form-urlencoded` without `+`: everything but unreserved characters is
/// percent-encoded (RFC 3986 §2.3).
pub(super) fn encode_query(pairs: &[(String, String)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        query.extend(percent::encoded(name, percent::QUERY_PART));
        query.push('=');
        query.extend(percent::encoded(value, percent::QUERY_PART));
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Anthropic, OpenAi};

    #[test]
    fn an_openai_path_follows_the_base_url() {
        let at = |base, path| at_upstream(base, OpenAi, path, "", "");
        assert_eq!(at("/v1", "/v1/chat/completions"), "/v1/chat/completions");
        assert_eq!(at("/v1", "/chat/completions"), "/v1/chat/completions");
        assert_eq!(at("/api/v1", "/v1/embeddings"), "/api/v1/embeddings");
        assert_eq!(at("", "/v1/responses"), "/responses");
        assert_eq!(at("", "/v1"), "/");
        assert_eq!(at("/v1", "/v1beta/x"), "/v1/v1beta/x");
    }

    #[test]
    fn an_anthropic_path_keeps_its_version_once() {
        let at = |base, path| at_upstream(base, Anthropic, path, "", "");
        assert_eq!(at("", "/v1/messages"), "/v1/messages");
        assert_eq!(at("", "/v1/v1/messages"), "/v1/messages");
        assert_eq!(at("", "/messages/count_tokens"), "/v1/messages/count_tokens");
        assert_eq!(at("/v1", "/v1/messages"), "/v1/messages");
        assert_eq!(at("/api/v1", "/v1/messages"), "/api/v1/messages");
        assert_eq!(at("/api/anthropic", "/v1/messages"), "/api/anthropic/v1/messages");
    }

    #[test]
    fn queries_are_joined() {
        let own = encode_query(&[("api-version".into(), "2026-01 ü".into())]);
        assert_eq!(own, "api-version=2026-01%20%C3%BC");
        assert_eq!(
            at_upstream("/v1", OpenAi, "/v1/x", "a=1", &own),
            format!("/v1/x?a=1&{own}")
        );
        assert_eq!(at_upstream("/v1", OpenAi, "/v1/x", "", &own), format!("/v1/x?{own}"));
        assert_eq!(at_upstream("/v1", OpenAi, "/v1/x", "a=1", ""), "/v1/x?a=1");
    }
}
