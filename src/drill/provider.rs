//! Whom a stand-in stands for: the headers that this provider puts on every answer.

use std::time::Duration;

use crate::protocol::Protocol;

/// One upstream as its stand-in knows it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub name: String,
    pub protocols: Vec<Protocol>,
    pub provider: Option<String>,
}

/// What is different at each request: given, so that answers are made without a clock or a source of chance.
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
            (_, Some("openrouter")) => Family::OpenRouter,
            (_, Some("deepseek")) => Family::DeepSeek,
            _ => Family::OpenAi,
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
            let reset = rfc3339(stamp.now_s + limited.map_or(1, |wait| wait.as_secs().max(1)));
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

/// Unix time as RFC 3339 in UTC (the calendar: Howard Hinnant, "chrono-compatible low-level date algorithms").
pub(crate) fn rfc3339(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (unix_s / 3_600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_780_944_355), "2026-06-08T18:45:55Z");
        assert_eq!(rfc3339(4_102_444_799), "2099-12-31T23:59:59Z");
    }
}
