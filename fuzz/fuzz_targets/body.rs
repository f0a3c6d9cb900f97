//! Scan and splice on any bytes, against `serde_json`.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use switchback::body::{Edits, scan, segments};

const OTHER: &str = "other/\"model\"\\\u{1}";

fuzz_target!(|input: &[u8]| {
    let scanned = scan(input);
    let Ok(Some(model)) = scanned.as_ref().map(|facts| facts.model.clone()) else {
        // What is refused is not an object with one good `model` for `serde_json` either.
        if let Ok(tree) = serde_json::from_slice::<Map<String, Value>>(input)
            && let Some(Value::String(model)) = tree.get("model")
        {
            use switchback::body::ScanError::{MemberAlike, MemberTwice, ModelTwice};
            let disputed = matches!(
                scanned,
                Err(ModelTwice { .. } | MemberTwice { .. } | MemberAlike { .. })
            );
            assert!(disputed || model.len() > switchback::body::MODEL_BYTES_MAX || model.chars().any(char::is_control));
        }
        return;
    };
    let facts = scanned.expect("it has a model");
    let body = Bytes::copy_from_slice(input);
    let sent: Vec<u8> = segments(&body, &facts, Some(OTHER), Edits::NONE)
        .iter()
        .flat_map(|piece| piece.to_vec())
        .collect();
    let again = scan(&sent);
    assert!(
        model.name == OTHER || again.is_err(),
        "a control character is in the name"
    );
    if let Ok(mut tree) = serde_json::from_slice::<Map<String, Value>>(input) {
        tree.insert("model".to_owned(), Value::from(OTHER));
        assert_eq!(
            serde_json::from_slice::<Map<String, Value>>(&sent).expect("still JSON"),
            tree
        );
    }
    assert_eq!(sent[..model.span.start], input[..model.span.start]);
    assert!(sent.ends_with(&input[model.span.end..]));
});
