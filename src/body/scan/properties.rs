//! The scan against `serde_json`'s trees, on generated bodies.

use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;
use serde_json::Value;

use super::*;

/// What a tree says that the scan must say: independent of spans and raw values.
struct Tree(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Tree;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Tree(all))
            }
        }
        json.deserialize_map(Members)
    }
}

fn expected(tree: &Tree) -> Result<(String, bool), &'static str> {
    let of = |name: &str| {
        tree.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let stream = of("stream").last().is_some_and(|value| **value == Value::Bool(true));
    let names = ["model", "stream", "n", "previous_response_id", "conversation"];
    let is_alike = |key: &String| {
        let folded: String = key
            .chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect();
        names.contains(&&*folded) && !names.contains(&&**key)
    };
    match of("model")[..] {
        [_, _, ..] => Err("twice"),
        _ if tree.0.iter().any(|(key, _)| is_alike(key)) => Err("disputed"),
        _ if names.iter().any(|name| of(name).len() > 1) => Err("disputed"),
        [] => Err("none"),
        [Value::String(model)] if model.chars().any(char::is_control) => Err("control"),
        [Value::String(model)] => Ok((model.clone(), stream)),
        [_] => Err("not a string"),
    }
}

/// The scan's verdict agrees with the tree's, wherever `serde_json` can build one.
fn agrees_with_tree(body: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        walked(body).is_some(),
        parsed(body).is_ok(),
        "the walk and `serde_json` agree on what is JSON"
    );
    let verdict = scan(body);
    match serde_json::from_slice::<Tree>(body) {
        Ok(tree) => match (expected(&tree), &verdict) {
            (Ok((model, stream)), Ok(facts)) => {
                let found = facts.model.as_ref().unwrap();
                prop_assert_eq!((&model, stream), (&found.name, facts.stream));
                let token: String = serde_json::from_slice(&body[found.span.clone()]).unwrap();
                prop_assert_eq!(&token, &model);
            }
            (Err("none"), Ok(facts)) => prop_assert!(facts.model.is_none()),
            (Err("not a string"), Err(ScanError::ModelNotString { .. }))
            | (Err("control"), Err(ScanError::ModelControlCharacter { .. }))
            | (Err("twice"), Err(ScanError::ModelTwice { .. }))
            | (Err("disputed"), Err(ScanError::MemberTwice { .. } | ScanError::MemberAlike { .. })) => {}
            (tree, _) => prop_assert!(false, "tree {tree:?}, scan {verdict:?}"),
        },
        Err(_) if verdict.is_err() => {}
        // What a tree can't hold but the grammar allows.
        Err(error) => {
            let reason = error.to_string();
            let lenient = [
                "number out of range",
                "surrogate",
                "unexpected end of hex escape",
                "unicode",
                "recursion",
            ];
            prop_assert!(
                lenient.iter().any(|known| reason.contains(known)),
                "accepted, though: {reason}"
            );
        }
    }
    Ok(())
}

/// One character of a string, in one of the spellings that JSON has for it.
fn spelled() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<char>().prop_filter("must be escaped", |c| !matches!(c, '\0'..'\x20' | '"' | '\\')).prop_map(String::from),
        1 => any::<char>().prop_map(|c| {
            c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect()
        }),
        1 => prop::sample::select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["\\ud800", "\\uDFFF", "\\u0000"]).prop_map(str::to_owned),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop::collection::vec(spelled(), 0..8).prop_map(|chars| format!("\"{}\"", chars.concat()))
}

fn space() -> impl Strategy<Value = String> {
    "[ \\t\\r\\n]{0,2}"
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        string(),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?",
        prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let item = (space(), inner.clone(), space()).prop_map(|(a, value, b)| a + &value + &b);
        let member = (space(), string(), space(), inner, space())
            .prop_map(|(a, key, b, value, c)| format!("{a}{key}{b}:{value}{c}"));
        prop_oneof![
            (space(), prop::collection::vec(item, 0..4)).prop_map(|(a, items)| format!("[{a}{}]", items.join(","))),
            (space(), prop::collection::vec(member, 0..4)).prop_map(|(a, all)| format!("{{{a}{}}}", all.join(","))),
        ]
    })
}

/// An object with `models` members of that name among others, in any order and spelling.
pub(in crate::body) fn document(models: usize) -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![r#""model""#, r#""mod\u0065l""#, r#""\u006dodel""#]).prop_map(str::to_owned);
    let model = prop_oneof![8 => string(), 1 => value()];
    let stream = prop::sample::select(vec![r#""stream""#, r#""\u0073tream""#]).prop_map(str::to_owned);
    let others = prop_oneof![
        4 => (string(), value()),
        1 => (stream, prop_oneof![Just("true".to_owned()), Just("false".to_owned()), value()]),
    ];
    (
        prop::collection::vec((name, model), models),
        prop::collection::vec(others, 0..5),
        space(),
        space(),
    )
        .prop_flat_map(|(models, others, before, after)| {
            let members = [models, others].concat();
            (Just(members).prop_shuffle(), Just(before), Just(after))
        })
        .prop_map(|(members, before, after)| {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{after}{key}{before}:{after}{value}{before}"))
                .collect();
            format!("{before}{{{before}{}}}{after}", members.join(","))
        })
}

/// Replace, insert, remove or cut at one place.
fn mutate(body: &mut Vec<u8>, kind: u8, place: Index, byte: u8) {
    let at = place.index(body.len().max(1)).min(body.len());
    match kind {
        0 if at < body.len() => body[at] = byte,
        1 if at < body.len() => drop(body.remove(at)),
        2 => body.truncate(at),
        _ => body.insert(at, byte),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn valid_documents(text in (0_usize..3).prop_flat_map(document)) {
        agrees_with_tree(text.as_bytes())?;
        let grammatical = !matches!(
            scan(text.as_bytes()),
            Err(ScanError::Syntax { .. } | ScanError::Truncated { .. } | ScanError::ControlCharacter { .. }
                | ScanError::Empty | ScanError::NotAnObject | ScanError::NotUtf8 { .. })
        );
        prop_assert!(grammatical, "refused: {text}");
    }

    #[test]
    fn any_value(text in value()) {
        agrees_with_tree(text.as_bytes())?;
    }

    #[test]
    fn mutated_documents(
        text in document(1),
        changes in prop::collection::vec((0_u8..4, any::<Index>(), prop_oneof![
            any::<u8>(), prop::sample::select(b"\"\\{}[]:,0-.eEu \n\0\xff".to_vec()),
        ]), 1..4),
    ) {
        let mut body = text.into_bytes();
        for (kind, place, byte) in changes {
            mutate(&mut body, kind, place, byte);
        }
        agrees_with_tree(&body)?;
    }

    #[test]
    fn what_is_plain_is_told_from_what_is_not(text in prop::collection::vec(prop_oneof![9 => b' '..=u8::MAX, 1 => any::<u8>()], 0..120)) {
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let first = text.iter().position(is_special).unwrap_or(text.len());
        let told = walk::plain_bytes(&text);
        prop_assert!(told == first || told < first && text.len() - told < 8, "{told} of {first}");
    }

    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees_with_tree(&body)?;
    }
}

proptest! {
    /// A client's error never repeats what the client sent: prompts are secrets.
    #[test]
    fn messages_hold_no_content(place in any::<Index>(), byte in any::<u8>(), kind in 0_u8..4) {
        let mut body = br#"{"Xyzzy":"Xyzzy Xyzzy","messages":[{"Xyzzy":{"Xyzzy":"Xyzzy"}}],"model":["Xyzzy"]}"#.to_vec();
        mutate(&mut body, kind, place, byte);
        // A member of another name is no fault.
        let message = scan(&body).map_or_else(|fault| fault.to_string(), |_| String::new());
        prop_assert!(!message.contains("Xyz") && !message.contains("yzzy"), "{message}");
    }
}
