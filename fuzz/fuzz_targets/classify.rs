//! Any answer gets a class, within bounds, and the same one each time it is asked for.
#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use switchback::classify::message::message;
use switchback::classify::{Class, Signals, classify};

#[derive(Debug, Arbitrary)]
struct Answer<'a> {
    status: u16,
    provider: Option<&'a str>,
    error_type: Option<&'a str>,
    body: &'a [u8],
}

fuzz_target!(|answer: Answer<'_>| {
    let mut headers = HeaderMap::new();
    if let Some(value) = answer.error_type.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(HeaderName::from_static("x-amzn-errortype"), value);
    }
    let signals = Signals {
        status: answer.status,
        headers: &headers,
        body: answer.body,
        provider: answer.provider,
    };
    let verdict = classify(&signals);
    assert_eq!(classify(&signals), verdict);
    assert_eq!(Class::from_name(verdict.class.name()), Some(verdict.class));
    let _ = message(answer.body);
});
