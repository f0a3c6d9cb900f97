//! Which parts of a request's header and query are meant for a provider, and which belong to its client.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::percent;

/// When one of the client's fields stays at the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// It stays, whatever the upstream is.
    Always,
    /// It stays where the upstream has a credential of its own, or none: `key: passthrough` lets it through.
    WithCredential,
    /// It passes, although a shorter name of the table says otherwise.
    Never,
}

/// Header fields of one kind, with the reason why they stay or pass.
pub struct Fields {
    pub stays: Stays,
    /// The names, in lower case. `*` at the end or at the beginning stands for any text; a whole name goes before one with a `*`,
    /// and of these the longer one first.
    pub names: &'static [&'static str],
    pub reason: &'static str,
}

/// The fields in which the client's credential may stand; the subprotocols of a websocket are checked one by one.
pub const CREDENTIALS: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "x-auth-token",
    "x-access-token",
    "x-auth-key",
    "x-authorization",
    "x-serverless-authorization",
    "x-goog-iam-authorization-token",
    "x-amz-security-token",
    "x-functions-key",
    "x-litellm-key",
    "cf-aig-authorization",
    "helicone-auth",
    "x-csrf-token",
    "x-xsrf-token",
    "apikey",
    "*-apikey",
    "*-api-key",
    "*-auth-token",
    "*-access-token",
    "*-subscription-key",
];

/// Every header field that does not simply pass: the gateway obeys this table, and a test compares it with
/// docs/security.md.
pub const FIELDS: &[Fields] = &[
    Fields {
        stays: Stays::WithCredential,
        names: CREDENTIALS,
        reason: "The client's credential: the upstream gets its own.",
    },
    Fields {
        stays: Stays::WithCredential,
        names: &[
            "openai-organization",
            "openai-project",
            "anthropic-workspace-id",
            "anthropic-organization-id",
            "chatgpt-account-id",
            "x-goog-user-project",
        ],
        reason: "They name the client's account, which the upstream's key does not belong to: the provider would refuse, and that would look like a bad key.",
    },
    Fields {
        stays: Stays::Always,
        names: &[
            "origin",
            "referer",
            "sec-fetch-*",
            "sec-ch-*",
            "sec-gpc",
            "sec-purpose",
            "dnt",
            "upgrade-insecure-requests",
            "access-control-request-*",
            "x-client-data",
            "device-memory",
            "dpr",
            "viewport-width",
            "downlink",
            "ect",
            "rtt",
        ],
        reason: "A browser says them of itself and of the page. Providers take `origin` for a call out of a web page and refuse it (Ollama 403, Anthropic 401).",
    },
    Fields {
        stays: Stays::Always,
        names: &[
            "forwarded",
            "via",
            "x-forwarded*",
            "x-real-*",
            "x-client-ip",
            "client-ip",
            "true-client-ip",
            "x-cluster-client-ip",
            "x-original-forwarded-for",
            "x-scheme",
            "x-url-scheme",
            "front-end-https",
            "x-request-start",
            "x-queue-start",
            "max-forwards",
        ],
        reason: "Proxies say with them where the client is and how it came here.",
    },
    Fields {
        stays: Stays::Always,
        names: &[
            "cf-*",
            "cdn-*",
            "x-amz-cf-*",
            "x-amzn-*",
            "cloudfront-*",
            "fly-*",
            "x-vercel-*",
            "x-azure-*",
            "x-fd-*",
            "x-arr-*",
            "x-appservice-*",
            "x-appengine-*",
            "x-cloud-trace-context",
            "x-envoy-*",
            "ngrok-*",
            "x-ngrok-*",
            "tailscale-*",
            "fastly-*",
            "akamai-*",
            "x-akamai-*",
            "x-sucuri-*",
            "incap-*",
            "x-nf-*",
            "x-render-*",
            "x-railway-*",
            "x-kong-*",
            "l5d-*",
            "x-varnish",
        ],
        reason: "A CDN, load balancer, mesh or tunnel in front of the gateway added them: they are about that hop, and tell of the client's network.",
    },
    Fields {
        stays: Stays::Never,
        names: &["cf-aig-*", "x-amzn-bedrock-*"],
        reason: "In spite of how they begin, they are for a provider: Cloudflare's AI Gateway, Bedrock.",
    },
    Fields {
        stays: Stays::Always,
        names: &[
            "remote-user",
            "remote-name",
            "remote-email",
            "remote-groups",
            "x-remote-*",
            "x-auth-request-*",
            "x-authentik-*",
            "x-webauth-*",
            "x-pomerium-*",
            "x-consumer-*",
            "x-credential-identifier",
            "x-goog-iap-*",
            "x-goog-authenticated-user-*",
            "x-ms-client-principal*",
            "x-ms-token-aad-*",
            "x-client-cert*",
            "x-ssl-client-*",
            "ssl-client-*",
        ],
        reason: "Proxies that authenticate users say with them who it is.",
    },
    Fields {
        stays: Stays::Always,
        names: &[
            "x-original-*",
            "x-rewrite-url",
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
        ],
        reason: "Some servers take path or method from them rather than from the request: a way around what the gateway looked at.",
    },
];

/// Parameters of a query that carry a credential, in any case and with any of `_`, `-` and nothing between their words.
pub const CREDENTIAL_PARAMETERS: &[&str] = &[
    "key",
    "apikey",
    "xapikey",
    "accesstoken",
    "authtoken",
    "token",
    "authorization",
    "subscriptionkey",
];

/// Prefixes of websocket subprotocols (items of `sec-websocket-protocol`) that carry the client's credential or name
/// its account: browsers have no other place for them.
pub const CREDENTIAL_SUBPROTOCOLS: &[&str] = &["openai-insecure-api-key.", "openai-organization.", "openai-project."];

/// Returns when one of the client's header fields stays at the gateway; `None` for an unknown field, which passes.
pub fn stays(name: &str) -> Option<Stays> {
    static INDEX: LazyLock<Index> = LazyLock::new(Index::new);
    INDEX.find(name)
}

/// Returns whether the parameter `name`, as it stands in a query, carries a credential.
pub fn is_credential_parameter(name: &str) -> bool {
    let bare: String = parameter_name(name)
        .chars()
        .filter(|char| !matches!(char, '_' | '-'))
        .collect();
    CREDENTIAL_PARAMETERS.contains(&bare.as_str())
}

/// The name of a parameter, decoded and in lower case, as names are compared.
pub fn parameter_name(name: &str) -> String {
    let decoded = percent::decoded(name).unwrap_or(Cow::Borrowed(name.as_bytes()));
    String::from_utf8_lossy(&decoded).to_lowercase()
}

/// Returns whether `item` of `sec-websocket-protocol` carries the client's credential.
pub fn is_credential_subprotocol(item: &str) -> bool {
    let item = item.trim();
    let begins = |start: &&str| {
        item.get(..start.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    CREDENTIAL_SUBPROTOCOLS.iter().any(begins)
}

/// An index of the table, so that a name is compared with few others: every field of every request is looked up.
struct Index {
    /// Whole names by their length.
    whole: [Vec<Entry>; WHOLE_MAX_BYTES + 1],
    /// Beginnings by [`bucket`]; in each the longest first.
    beginnings: [Vec<Entry>; BUCKETS],
    endings: Vec<Entry>,
}

type Entry = (&'static str, Stays);

/// Longer than any whole name of the table.
const WHOLE_MAX_BYTES: usize = 40;
/// A bucket for each value of a byte's lower five bits, and the same again behind `x-`.
const BUCKETS: usize = 64;

impl Index {
    fn new() -> Self {
        let mut index = Self {
            whole: [const { Vec::new() }; WHOLE_MAX_BYTES + 1],
            beginnings: [const { Vec::new() }; BUCKETS],
            endings: Vec::new(),
        };
        for row in FIELDS {
            for name in row.names {
                if let Some(beginning) = name.strip_suffix('*') {
                    index.beginnings[bucket(beginning)].push((beginning, row.stays));
                } else if let Some(ending) = name.strip_prefix('*') {
                    index.endings.push((ending, row.stays));
                } else {
                    index.whole[name.len()].push((name, row.stays));
                }
            }
        }
        for bucket in &mut index.beginnings {
            bucket.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        }
        index
    }

    fn find(&self, name: &str) -> Option<Stays> {
        let of_length = self.whole.get(name.len()).map_or(&[][..], Vec::as_slice);
        let whole = of_length.iter().find(|(whole, _)| *whole == name);
        let found = whole
            .or_else(|| {
                self.beginnings[bucket(name)]
                    .iter()
                    .find(|(beginning, _)| name.starts_with(beginning))
            })
            .or_else(|| self.endings.iter().find(|(ending, _)| name.ends_with(ending)));
        found.map(|&(_, stays)| stays)
    }
}

/// Returns the bucket of names with this beginning.
fn bucket(name: &str) -> usize {
    let low_bits = |byte: &u8| usize::from(byte & 0x1f);
    match name.as_bytes() {
        [b'x', b'-', third, ..] => BUCKETS / 2 + low_bits(third),
        [first, ..] => low_bits(first),
        [] => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_clients_stays() {
        for name in [
            "origin",
            "sec-fetch-site",
            "sec-ch-ua-platform",
            "cf-connecting-ip",
            "x-amz-cf-id",
            "x-amzn-trace-id",
            "x-forwarded-for",
            "x-forwarded",
            "x-real-ip",
            "fly-region",
            "x-original-url",
        ] {
            assert_eq!(stays(name), Some(Stays::Always), "{name}");
        }
        for name in [
            "authorization",
            "x-openrouter-api-key",
            "cf-aig-authorization",
            "openai-project",
            "x-foo-auth-token",
        ] {
            assert_eq!(stays(name), Some(Stays::WithCredential), "{name}");
        }
        assert_eq!(stays("x-amzn-bedrock-trace"), Some(Stays::Never));
    }

    #[test]
    fn what_is_the_providers_passes() {
        for name in [
            "",
            "x-",
            "accept",
            "accept-language",
            "content-type",
            "user-agent",
            "anthropic-beta",
            "anthropic-version",
            "openai-beta",
            "http-referer",
            "x-title",
            "x-openrouter-title",
            "idempotency-key",
            "x-stainless-retry-count",
            "x-request-id",
            "traceparent",
            "tracestate",
            "x-ms-client-request-id",
            "x-amz-date",
            "x-goog-api-client",
            "sec-websocket-key",
            "x-nobody-knows",
            &"x".repeat(100),
        ] {
            assert_eq!(stays(name), None, "{name}");
        }
    }

    #[test]
    fn every_name_of_the_table_is_found() {
        for row in FIELDS {
            for name in row.names {
                assert_eq!(stays(&name.replace('*', "zz")), Some(row.stays), "{name}");
            }
        }
    }

    #[test]
    fn parameters_and_subprotocols_that_carry_credentials() {
        for name in [
            "key",
            "api_key",
            "API-Key",
            "%6bey",
            "access_token",
            "x-api-key",
            "auth_token",
        ] {
            assert!(is_credential_parameter(name), "{name}");
        }
        for name in ["beta", "alt", "api-version", "model", "keys", "%zz", ""] {
            assert!(!is_credential_parameter(name), "{name}");
        }
        assert!(is_credential_subprotocol(" OpenAI-insecure-api-key.sk-1"));
        assert!(!is_credential_subprotocol("realtime") && !is_credential_subprotocol("openai-beta.realtime-v1"));
    }

    #[test]
    fn the_manual_has_this_table() {
        let rows: Vec<String> = FIELDS
            .iter()
            .map(|row| {
                let stays = match row.stays {
                    Stays::Always => "stay",
                    Stays::WithCredential => "stay, but with `key: passthrough`",
                    Stays::Never => "pass",
                };
                let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
                format!("| {} | {stays} | {} |\n", names.join(", "), row.reason)
            })
            .collect();
        let manual = include_str!("../../docs/security.md");
        assert!(
            manual.contains(&rows.concat()),
            "docs/security.md should have:\n{}",
            rows.concat()
        );
        for name in CREDENTIAL_PARAMETERS.iter().chain(CREDENTIAL_SUBPROTOCOLS) {
            assert!(
                manual.contains(&format!("`{name}")),
                "docs/security.md does not speak of `{name}`"
            );
        }
    }
}
