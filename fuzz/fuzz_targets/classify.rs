//! Any answer to any request gets a class, within bounds, and the same one each time it is asked for; one that does no more than
//! repeat the request proves nothing but by its status.
#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use switchback::classify::message::message;
use switchback::classify::{Basis, Class, Request, Signals, classify};

#[derive(Debug, Arbitrary)]
struct Answer<'a> {
    status: u16,
    provider: Option<&'a str>,
    error_type: Option<&'a str>,
    body: &'a [u8],
    request: &'a [u8],
    path: &'a [u8],
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
        request: Some(&Request {
            body: answer.request,
            texts: &[answer.path],
        }),
    };
    let verdict = classify(&signals);
    assert_eq!(classify(&signals), verdict);
    assert_eq!(Class::from_name(verdict.class.name()), Some(verdict.class));
    let _ = message(answer.body);
    // A prompt, and an answer that is its repetition.
    let said = String::from_utf8_lossy(answer.request);
    let prompt = serde_json::json!({ "model": "m", "prompt": said }).to_string();
    let repeated = serde_json::json!({ "error": { "message": said } }).to_string();
    let verdict = classify(&Signals {
        status: 400,
        headers: &HeaderMap::new(),
        body: repeated.as_bytes(),
        provider: None,
        request: Some(&Request {
            body: prompt.as_bytes(),
            texts: &[],
        }),
    });
    let costs_others = verdict.class.cools().is_some() && !verdict.is_requests_own;
    assert!(!costs_others || verdict.basis == Basis::Echo, "{verdict:?}");
});
