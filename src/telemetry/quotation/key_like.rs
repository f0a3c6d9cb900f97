//! What looks like a key, whoever's it is: providers repeat the one that they refuse.

use std::ops::Range;

/// How keys begin that are made by the providers (and by those who sell access to them).
const BEGINNINGS: [&str; 17] = [
    "sk-", "sk_", "pk-", "pk_", "rk_", "gsk_", "csk-", "xai-", "aiza", "akia", "asia", "hf_", "r8_", "pplx-", "nvapi-",
    "ghp_", "eyj",
];
const BEGUN_MIN_BYTES: usize = 6;
/// A run of letters and digits as long as this is random: words have no digits in them, and versions are short.
const MIXED_MIN_BYTES: usize = 16;
/// A run as long as this is no word.
const RUN_MIN_BYTES: usize = 32;
/// With dashes in it.
const TOKEN_MIN_BYTES: usize = 40;
/// After `Bearer`.
const BEARER_MIN_BYTES: usize = 8;

/// Where `text` has what looks like a key.
pub(super) fn find(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut after_bearer = false;
    tokens(text).filter(move |token| {
        let token = &text[token.clone()];
        let is_key = is_key_like(token) || after_bearer && is_bearer(token);
        after_bearer = token.eq_ignore_ascii_case("bearer");
        is_key
    })
}

/// Runs of what keys are made of, and of the stars that they are masked with.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
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

fn is_part(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_-+/=.*~".contains(char)
}

fn is_key_like(token: &str) -> bool {
    let lower = token.to_ascii_lowercase();
    let begins = BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning));
    let is_named = lower.split_once('=').is_some_and(|(name, value)| {
        !value.is_empty()
            && ["key", "token", "secret", "password"]
                .iter()
                .any(|word| name.ends_with(word))
    });
    begins && token.len() >= BEGUN_MIN_BYTES || is_named || token.contains("**") || is_random(token)
}

fn is_random(token: &str) -> bool {
    let has = |text: &str, kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    let is_mixed = |text: &str| has(text, u8::is_ascii_digit) && has(text, u8::is_ascii_alphabetic);
    let by_runs = token
        .split(|char: char| !char.is_ascii_alphanumeric() && !"+=".contains(char))
        .any(|run| run.len() >= RUN_MIN_BYTES || run.len() >= MIXED_MIN_BYTES && is_mixed(run));
    let as_a_whole = token.len() >= TOKEN_MIN_BYTES
        && !token.contains('/')
        && is_mixed(token)
        && has(token, u8::is_ascii_uppercase)
        && has(token, u8::is_ascii_lowercase);
    by_runs || as_a_whole || is_uuid(token)
}

/// Some providers' keys are UUIDs.
fn is_uuid(token: &str) -> bool {
    let lengths: Vec<usize> = token.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && token.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn is_bearer(token: &str) -> bool {
    token.len() >= BEARER_MIN_BYTES && token.bytes().any(|byte| byte.is_ascii_digit())
}
