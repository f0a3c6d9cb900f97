use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;
use crate::body::scan;
use crate::body::scan::properties::document;

fn joined(segments: &Segments) -> Vec<u8> {
    segments.iter().flat_map(|piece| piece.iter().copied()).collect()
}

#[test]
fn only_the_value_changes() {
    let body = Bytes::from_static(b"{ \"k\": 1e999,\t\"model\" :\"gpt\\u002d4o\" ,\"x\":\"\\ud800\", \"k\":-0}\n");
    let facts = scan(&body).unwrap();
    let sent = segments(&body, &facts, Some("a/\"b\"\\\u{1}é"), Edits::NONE);
    let expected = "{ \"k\": 1e999,\t\"model\" :\"a/\\\"b\\\"\\\\\\u0001é\" ,\"x\":\"\\ud800\", \"k\":-0}\n";
    assert_eq!(String::from_utf8(joined(&sent)).unwrap(), expected);
    assert_eq!(sent.len(), expected.len());
}

#[test]
fn nothing_is_copied() {
    let body = Bytes::from_static(br#"{"model":"a","stream":true}"#);
    let facts = scan(&body).unwrap();
    let pieces: Vec<Bytes> = segments(&body, &facts, Some("b"), Edits::NONE).into_iter().collect();
    let [prefix, token, suffix] = &pieces[..] else {
        panic!("three pieces")
    };
    assert_eq!(prefix.as_ptr(), body.as_ptr());
    assert_eq!(token, &Bytes::from_static(br#""b""#));
    assert_eq!(suffix.as_ptr(), body[facts.model.unwrap().span.end..].as_ptr());
}

#[test]
fn the_same_name_keeps_its_spelling() {
    let body = Bytes::from_static(br#"{"model":"gpt\u002d4o"}"#);
    let facts = scan(&body).unwrap();
    for model in [None, Some("gpt-4o")] {
        let pieces: Vec<Bytes> = segments(&body, &facts, model, Edits::NONE).into_iter().collect();
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].as_ptr(), body.as_ptr());
        assert_eq!(pieces[0].len(), body.len());
    }
}

#[test]
fn an_empty_body_has_no_pieces() {
    let none = Segments::from(Bytes::new());
    assert!(none.is_empty());
    assert_eq!((none.len(), none.iter().count()), (0, 0));
}

proptest! {
    /// Splicing and then parsing gives the parsed original with its `model` replaced; all other bytes are equal.
    #[test]
    fn splice_then_parse_is_parse_then_replace(text in document(1), model in any::<String>()) {
        let body = Bytes::from(text);
        let facts = scan(&body);
        prop_assume!(facts.as_ref().is_ok_and(|facts| facts.model.is_some()));
        let facts = facts.unwrap();
        let span = facts.model.clone().unwrap().span;
        let sent = segments(&body, &facts, Some(&model), Edits::NONE);
        let bytes = joined(&sent);
        prop_assert_eq!(sent.len(), bytes.len());
        prop_assert_eq!(&bytes[..span.start], &body[..span.start]);
        let suffix = body.len() - span.end;
        prop_assert_eq!(&bytes[bytes.len() - suffix..], &body[span.end..]);
        let token: String = serde_json::from_slice(&bytes[span.start..bytes.len() - suffix]).unwrap();
        prop_assert_eq!(&token, &model);
        if let Ok(mut expected) = serde_json::from_slice::<Map<String, Value>>(&body) {
            expected.insert("model".to_owned(), Value::from(model));
            prop_assert_eq!(serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap(), expected);
        }
    }
}
