//! Forms of any bytes: what is spliced reads as it was, with another model.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use switchback::body::{Edits, boundary, scan_form, segments};

const OTHER: &str = "other";

#[derive(Debug, Arbitrary)]
struct Form<'a> {
    content_type: &'a [u8],
    body: &'a [u8],
}

fuzz_target!(|form: Form<'_>| {
    let boundary = boundary(form.content_type).unwrap_or_else(|_| b"b".to_vec());
    let Ok(facts) = scan_form(form.body, &boundary) else {
        return;
    };
    let body = Bytes::copy_from_slice(form.body);
    let sent: Vec<u8> = segments(&body, &facts, Some(OTHER), Edits::NONE)
        .iter()
        .flat_map(|piece| piece.to_vec())
        .collect();
    let Some(model) = facts.model else {
        assert_eq!(sent, form.body);
        return;
    };
    let end = sent.len() - (form.body.len() - model.span.end);
    assert_eq!(sent[..model.span.start], form.body[..model.span.start]);
    assert_eq!(sent[end..], form.body[model.span.end..]);
    let again = scan_form(&sent, &boundary).expect("still a form");
    assert_eq!(again.model.expect("still names a model").name, OTHER);
    assert_eq!(again.stream, facts.stream);
});
