//! Texts that look like keys. Where a false alarm would hide a name from the reader of a diagnostic, only what is
//! [surely] a key counts; where a miss would show a key to others, whatever [may be](perhaps) one counts.

use std::ops::Range;

/// The prefixes of keys that providers, and resellers of access to them, issue.
const BEGINNINGS: [&str; 17] = [
    "sk-", "sk_", "pk-", "pk_", "rk_", "gsk_", "csk-", "xai-", "aiza", "akia", "asia", "hf_", "r8_", "pplx-", "nvapi-",
    "ghp_", "eyj",
];
/// A run of letters and digits as long as this is no word.
const RUN_MIN_BYTES: usize = 32;

/// A text with such a prefix is surely a key from this length on: `sk-demo` is a name.
pub const SURELY_BEGUN_MIN_BYTES: usize = 16;
/// A run as long as this, with digits and letters in both cases, is surely random: names of models have dashes and dots.
const SURELY_RANDOM_MIN_BYTES: usize = 20;

const PERHAPS_BEGUN_MIN_BYTES: usize = 6;
/// A run as long as this with digits in it may be random: words have none, and versions are short.
const PERHAPS_RANDOM_MIN_BYTES: usize = 16;
/// A token as long as this, with dashes in it, may be random as a whole.
const PERHAPS_TOKEN_MIN_BYTES: usize = 40;
/// A text of this length after `Bearer` may be a key.
const BEARER_MIN_BYTES: usize = 8;

/// Finds, in order, the parts of `text` that are surely keys; names of models, hosts and files are not.
pub fn surely(text: &str) -> impl Iterator<Item = Range<usize>> {
    tokens(text, "_-.+~").filter(|token| is_surely_key(&text[token.clone()]))
}

/// Finds, in order, the parts of `text` that may be keys, masked ones included.
pub fn perhaps(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut after_bearer = false;
    tokens(text, "_-+/=.*~").filter(move |token| {
        let token = &text[token.clone()];
        let is_key = is_perhaps_key(token) || after_bearer && is_bearer(token);
        after_bearer = token.eq_ignore_ascii_case("bearer");
        is_key
    })
}

/// Runs of letters, digits and `others`.
fn tokens<'t>(text: &'t str, others: &'static str) -> impl Iterator<Item = Range<usize>> + use<'t> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || others.contains(char);
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_part)?;
        let end = text[start..]
            .find(|char| !is_part(char))
            .map_or(text.len(), |length| start + length);
        at = end;
        Some(start..end)
    })
}

fn is_begun(token: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| {
        let start = token.get(..beginning.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(beginning))
    })
}

fn has(text: &str, kind: fn(&u8) -> bool) -> bool {
    text.as_bytes().iter().any(kind)
}

fn has_digits_and_letters(text: &str) -> bool {
    has(text, u8::is_ascii_digit) && has(text, u8::is_ascii_alphabetic)
}

fn has_both_cases(text: &str) -> bool {
    has(text, u8::is_ascii_uppercase) && has(text, u8::is_ascii_lowercase)
}

fn is_surely_key(token: &str) -> bool {
    let is_random = |run: &str| {
        let least = if has_both_cases(run) {
            SURELY_RANDOM_MIN_BYTES
        } else {
            RUN_MIN_BYTES
        };
        run.len() >= least && has_digits_and_letters(run)
    };
    token.len() >= SURELY_BEGUN_MIN_BYTES && has(token, u8::is_ascii_digit) && is_begun(token)
        || token.split(|char: char| !char.is_ascii_alphanumeric()).any(is_random)
}

fn is_perhaps_key(token: &str) -> bool {
    let lower = token.to_ascii_lowercase();
    let is_named = lower.split_once('=').is_some_and(|(name, value)| {
        !value.is_empty()
            && ["key", "token", "secret", "password"]
                .iter()
                .any(|word| name.ends_with(word))
    });
    token.len() >= PERHAPS_BEGUN_MIN_BYTES && is_begun(token)
        || is_named
        || token.contains("**")
        || is_perhaps_random(token)
}

fn is_perhaps_random(token: &str) -> bool {
    let is_random =
        |run: &str| run.len() >= RUN_MIN_BYTES || run.len() >= PERHAPS_RANDOM_MIN_BYTES && has_digits_and_letters(run);
    let as_a_whole = token.len() >= PERHAPS_TOKEN_MIN_BYTES
        && !token.contains('/')
        && has(token, u8::is_ascii_digit)
        && has_both_cases(token);
    let mut runs = token.split(|char: char| !char.is_ascii_alphanumeric() && !"+=".contains(char));
    runs.any(is_random) || as_a_whole || is_uuid(token)
}

/// Returns whether `token` is a UUID, as some providers' keys are.
fn is_uuid(token: &str) -> bool {
    let lengths: Vec<usize> = token.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && token.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn is_bearer(token: &str) -> bool {
    token.len() >= BEARER_MIN_BYTES && token.bytes().any(|byte| byte.is_ascii_digit())
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
            assert_eq!(surely(key).count(), 1, "{key}");
            let within = format!("https://{key}/v1?x={key}");
            assert_eq!(surely(&within).count(), 2, "{within}");
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
            assert_eq!(surely(name).count(), 0, "{name}");
        }
    }
}
