//! What looks like a key, wherever in the file it was pasted: as a URL, as a name, under a key that doesn't exist.

use std::ops::Range;

/// How keys begin that are made by the providers, and by those who sell access to them.
const BEGINNINGS: [&str; 16] = [
    "sk-", "sk_", "pk-", "pk_", "rk_", "gsk_", "csk-", "xai-", "aiza", "akia", "asia", "hf_", "pplx-", "nvapi-",
    "ghp_", "eyj",
];
/// Shorter ones are names: `sk-demo`.
pub(super) const BEGUN_MIN_BYTES: usize = 16;
/// A run of letters and digits as long as this, in both cases, is random: names of models have dashes and dots.
const RANDOM_MIN_BYTES: usize = 20;
/// With letters of one case.
const RUN_MIN_BYTES: usize = 32;

/// Where `text` has what looks like a key, in order.
pub(super) fn find(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "_-.+~".contains(char);
    let mut at = 0;
    let tokens = std::iter::from_fn(move || {
        let start = at + text[at..].find(is_part)?;
        let end = text[start..]
            .find(|char| !is_part(char))
            .map_or(text.len(), |length| start + length);
        at = end;
        Some(start..end)
    });
    tokens.filter(|token| is_key(&text[token.clone()]))
}

fn is_key(token: &str) -> bool {
    let begins = |beginning: &&str| {
        let start = token.get(..beginning.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    };
    let has = |run: &str, kind: fn(&u8) -> bool| run.as_bytes().iter().any(kind);
    let is_random = |run: &str| {
        let is_mixed = has(run, u8::is_ascii_uppercase) && has(run, u8::is_ascii_lowercase);
        let least = if is_mixed { RANDOM_MIN_BYTES } else { RUN_MIN_BYTES };
        run.len() >= least && has(run, u8::is_ascii_digit) && has(run, u8::is_ascii_alphabetic)
    };
    let is_begun = token.len() >= BEGUN_MIN_BYTES && has(token, u8::is_ascii_digit) && BEGINNINGS.iter().any(begins);
    is_begun || token.split(|char: char| !char.is_ascii_alphanumeric()).any(is_random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_names() {
        for key in [
            "sk-proj-Ab12Cd34Ef56Gh78",
            "gsk_0123456789abcdefghij",
            "AIzaSyA0123456789bcdefghij",
            "aB3dE6gH9jK2mN5pQ8sT1v",
            "0123456789abcdef0123456789abcdef",
            "Bearer xai-0123456789abcdef",
        ] {
            assert_eq!(find(key).count(), 1, "{key}");
            let within = format!("https://{key}/v1?x={key}");
            assert_eq!(find(&within).count(), 2, "{within}");
        }
        for name in [
            "claude-3-5-sonnet-20241022",
            "anthropic.claude-3-7-sonnet-20250219-v1:0",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "ft:gpt-4o-mini-2024-07-18:my-org:suffix:AbCd1234",
            "https://my-resource.openai.azure.com/openai/v1",
            "/etc/switchback/keys/openai",
            "sk-demo",
            "${OPENAI_API_KEY_OF_THE_TEAM}",
        ] {
            assert_eq!(find(name).count(), 0, "{name}");
        }
    }
}
