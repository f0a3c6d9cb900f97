//! The provider that a stand-in plays: the headers that it puts on every answer.

use std::time::Duration;

use crate::notation::date;
use crate::protocol::Protocol;

/// One upstream as its stand-in knows it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub name: String,
    pub protocols: Vec<Protocol>,
    pub provider: Option<String>,
}

/// What differs between requests. It is passed in, so that answers are made without a clock or a source of chance.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    /// 32 hexadecimal digits, unique.
    pub id: String,
    /// Unix time.
    pub now_s: u64,
}

/// The providers whose own shapes a stand-in knows; all others look like `OpenAi` (or `Anthropic`, by protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    OpenAi,
    Anthropic,
    OpenRouter,
    DeepSeek,
}

impl Identity {
    pub(crate) fn family(&self, protocol: Protocol) -> Family {
        match (protocol, self.provider.as_deref()) {
            (Protocol::Anthropic, _) => Family::Anthropic,
            (Protocol::OpenAi, Some("openrouter")) => Family::OpenRouter,
            (Protocol::OpenAi, Some("deepseek")) => Family::DeepSeek,
            (Protocol::OpenAi, _) => Family::OpenAi,
        }
    }
}

/// The headers of every answer; `limited` says the wait of a rate limit that was hit.
pub(crate) fn headers(family: Family, stamp: &Stamp, limited: Option<Duration>) -> Vec<(&'static str, String)> {
    let id = &stamp.id;
    let mut headers = vec![("server", "switchback-drill".to_owned())];
    let left = |full: &str| {
        if limited.is_some() {
            "0".to_owned()
        } else {
            full.to_owned()
        }
    };
    match family {
        Family::OpenAi => {
            let reset = limited.map_or("120ms".to_owned(), |wait| format!("{}s", wait.as_secs_f64()));
            headers.extend([
                ("x-request-id", format!("req_{id}")),
                ("openai-version", "2020-10-01".to_owned()),
                ("openai-organization", "stand-in".to_owned()),
                ("openai-processing-ms", "1".to_owned()),
                ("x-ratelimit-limit-requests", "500".to_owned()),
                ("x-ratelimit-remaining-requests", left("499")),
                ("x-ratelimit-reset-requests", reset.clone()),
                ("x-ratelimit-limit-tokens", "30000".to_owned()),
                ("x-ratelimit-remaining-tokens", left("29900")),
                ("x-ratelimit-reset-tokens", reset),
            ]);
        }
        Family::Anthropic => {
            let reset = date::of_unix_seconds(stamp.now_s + limited.map_or(1, |wait| wait.as_secs().max(1)));
            headers.extend([
                ("request-id", format!("req_{id}")),
                ("anthropic-organization-id", "stand-in".to_owned()),
                ("anthropic-ratelimit-requests-limit", "50".to_owned()),
                ("anthropic-ratelimit-requests-remaining", left("49")),
                ("anthropic-ratelimit-requests-reset", reset.clone()),
                ("anthropic-ratelimit-input-tokens-limit", "20000".to_owned()),
                ("anthropic-ratelimit-input-tokens-remaining", left("19900")),
                ("anthropic-ratelimit-input-tokens-reset", reset.clone()),
                ("anthropic-ratelimit-output-tokens-limit", "8000".to_owned()),
                ("anthropic-ratelimit-output-tokens-remaining", left("7900")),
                ("anthropic-ratelimit-output-tokens-reset", reset),
            ]);
        }
        Family::OpenRouter => {
            headers.push(("x-generation-id", format!("gen-{}-{id}", stamp.now_s)));
            // Only its own 429 carries them (openrouter.ai/docs, "limits"); the reset is Unix time in ms.
            if let Some(wait) = limited {
                let reset_ms = u128::from(stamp.now_s) * 1000 + wait.as_millis();
                headers.extend([
                    ("x-ratelimit-limit", "20".to_owned()),
                    ("x-ratelimit-remaining", "0".to_owned()),
                    ("x-ratelimit-reset", reset_ms.to_string()),
                ]);
            }
        }
        Family::DeepSeek => headers.push(("x-ds-trace-id", id.clone())),
    }
    headers
}
