//! Whatever an answer says of waiting: a wait is bounded, or there is none.
#![no_main]

use std::time::{Duration, SystemTime};

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use switchback::classify::hint::{WAIT_MAX, retry_after};
use switchback::classify::{Basis, Signals};

const NAMES: [&str; 8] = [
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];

#[derive(Debug, Arbitrary)]
struct Answer<'a> {
    headers: Vec<(u8, &'a [u8])>,
    body: &'a [u8],
    now_s: u32,
}

fuzz_target!(|answer: Answer<'_>| {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers.iter().take(16) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(NAMES[usize::from(*name) % NAMES.len()], value);
        }
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(answer.now_s));
    let signals = Signals {
        status: 429,
        headers: &headers,
        body: answer.body,
        provider: None,
        request: None,
    };
    if let Some(wait) = retry_after(&signals, Basis::Status, now) {
        assert!(wait <= WAIT_MAX, "{wait:?}");
    }
});
