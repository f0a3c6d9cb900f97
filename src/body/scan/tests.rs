//! The scan against examples, and against `serde_json`'s trees.

use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;
use serde_json::Value;

use super::*;

fn facts(body: &str) -> Facts {
    scan(body.as_bytes()).unwrap()
}

fn name(body: &str) -> String {
    facts(body).model.unwrap().name
}

fn refused(body: impl AsRef<[u8]>) -> ScanError {
    scan(body.as_ref()).unwrap_err()
}

#[test]
fn a_chat_request() {
    let body = r#"{"messages":[{"role":"user","model":"no","content":"{\"model\":\"no\"}"}],"model": "gpt-4o" ,"stream":true}"#;
    let found = facts(body);
    let model = found.model.unwrap();
    assert_eq!(
        (model.name.as_str(), found.stream, found.pinned),
        ("gpt-4o", true, false)
    );
    assert_eq!((&body[model.span], model.notation), (r#""gpt-4o""#, Notation::Json));
}

#[test]
fn escapes_in_key_and_value() {
    assert_eq!(name(r#"{"mod\u0065l":"gpt\u002d4o","str\u0065am":true}"#), "gpt-4o");
    assert!(facts(r#"{"mod\u0065l":"x","str\u0065am":true}"#).stream);
    assert_eq!(
        name(r#"{"\u006D\u006f\u0064\u0065\u006c":"\ud83d\ude00\/\"\\"}"#),
        "😀/\"\\"
    );
    assert_eq!(name(r#"{"model\u0020":"no","model":"yes"}"#), "yes");
    assert_eq!(name(r#"{"\"model":"no","model\"":"no","model":"yes"}"#), "yes");
}

#[test]
fn stream_counts_only_as_true() {
    for (value, expected) in [
        ("true", true),
        ("false", false),
        ("1", false),
        ("\"true\"", false),
        ("[true]", false),
    ] {
        assert_eq!(
            facts(&format!(r#"{{"model":"m","stream":{value}}}"#)).stream,
            expected,
            "{value}"
        );
    }
    assert!(!facts(r#"{"model":"m","a":{"stream":true}}"#).stream);
}

#[test]
fn no_model_is_no_fault_of_the_body() {
    for body in ["{}", r#"{"a":{"model":"m","Model":"m"}}"#, r#"{"models":"m"}"#] {
        assert_eq!(facts(body), Facts::default(), "{body}");
    }
    assert!(facts(r#"{"stream":true}"#).stream);
}

#[test]
fn an_accounts_state_binds() {
    for (member, expected) in [
        (r#""previous_response_id":"resp_1""#, true),
        (r#""previous\u005fresponse_id":"resp_1""#, true),
        (r#""conversation":"conv_1""#, true),
        (r#""conversation":{"id":null}"#, true),
        (r#""previous_response_id":null"#, false),
        (r#""conversation" : null "#, false),
        (r#""metadata":{"conversation":"c"}"#, false),
    ] {
        assert_eq!(
            facts(&format!(r#"{{"model":"m",{member}}}"#)).pinned,
            expected,
            "{member}"
        );
        assert_eq!(
            facts(&format!("{{{member}}}")).pinned,
            expected,
            "{member}, without a model"
        );
    }
}

#[test]
fn whatever_the_grammar_allows_passes() {
    for value in [
        "1e999",
        "-0",
        "-0.0E-0",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\"\\\/\b\f\n\r\t\u0000""#,
        "\"\u{7f}\u{85}\u{2028}\"",
        "{}",
        "[ ]",
        r#"{"a":1,"a":2,"":null}"#,
        &"9".repeat(100_000),
    ] {
        assert_eq!(name(&format!("\r\n\t {{\"v\": {value}, \"model\" : \"m\"}} \n")), "m");
    }
    assert_eq!(name(r#"{"\ud800":1,"model":"m"}"#), "m");
    assert_eq!(
        scan(b"{\"v\":[\"\xff\"],\"model\":\"m\"}").unwrap().model.unwrap().name,
        "m"
    );
}

#[test]
fn a_body_in_order_is_walked_over() {
    let long = "x".repeat(100);
    for value in [
        "0",
        "-0.5e+7",
        "12E3",
        "true",
        "[]",
        "{}",
        "[[],{\"a\":[1,2 , 3]}]",
        "\"\"",
        "\"\\u00e4\\n\"",
    ] {
        assert!(
            walked(format!("{{\"a\" :\t{value} ,\"{long}\":\"{long}\\\"{long}\"}}\n").as_bytes()).is_some(),
            "{value}"
        );
    }
    for value in [
        "01",
        "1.",
        "-",
        "1e",
        ".5",
        "tru",
        "[1,]",
        "{\"a\"}",
        "{,}",
        "\"\\x\"",
        "\"\\u00g0\"",
        "\"\u{1}\"",
        "[}",
        "",
    ] {
        let body = format!("{{\"a\":{value}}}");
        assert!(
            walked(body.as_bytes()).is_none() && parsed(body.as_bytes()).is_err(),
            "{value}"
        );
    }
}

#[test]
fn depth_costs_no_stack() {
    const DEPTH: usize = 1_000_000;
    let mut body = r#"{"model":"m","v":"#.to_owned();
    body.push_str(&"[".repeat(DEPTH));
    body.push_str(&"]".repeat(DEPTH));
    assert_eq!(refused(&body), ScanError::Truncated { offset: body.len() });
    body.push('}');
    assert_eq!(name(&body), "m");
    assert_eq!(refused("[".repeat(DEPTH)), ScanError::NotAnObject);
    assert_eq!(
        refused(r#"{"model":"#.to_owned() + &"[".repeat(DEPTH)),
        ScanError::Truncated { offset: 9 + DEPTH }
    );
    assert_eq!(
        refused(format!(
            r#"{{"model":{}{}}}"#,
            r#"{"a":"#.repeat(DEPTH),
            "1".to_owned() + &"}".repeat(DEPTH)
        )),
        ScanError::ModelNotString { offset: 9 }
    );
}

#[test]
fn each_fault_has_its_name() {
    use ScanError::*;
    for (body, expected) in [
        (&b""[..], Empty),
        (b" \r\n", Empty),
        (b"[]", NotAnObject),
        (b"\"secret\"", NotAnObject),
        (b"null", NotAnObject),
        (b"{\"model\":null}", ModelNotString { offset: 9 }),
        (b"{\"model\": [\"m\"]}", ModelNotString { offset: 10 }),
        (
            b"{\"model\":\"m\",\"mod\\u0065l\":1}",
            ModelTwice { first: 9, second: 26 },
        ),
        (b"\xef\xbb\xbf{\"model\":\"m\"}", ByteOrderMark),
        (b"{\"model\":\"m", Truncated { offset: 11 }),
        (b"{\"model\":\"m\",\n\"a\"", Truncated { offset: 17 }),
        (b"{\"model\":\"m\\", Truncated { offset: 12 }),
        (b"{\"model\":\"m\xff\"}", ModelNotUnicode { offset: 12 }),
        (b"{\"model\":\"\xed\xa0\x80\"}", ModelNotUnicode { offset: 11 }),
        (b"{\"model\":\"\\ud800\"}", ModelNotUnicode { offset: 9 }),
        (b"{\"model\":\"a\\nb\"}", ModelControlCharacter { offset: 9 }),
        (b"{\"model\":\"\\u0000\"}", ModelControlCharacter { offset: 9 }),
        (b"{\"k\xff\":1,\"model\":\"m\"}", NotUtf8 { offset: 4 }),
        (b"{\"model\":\"m\0\"}", ControlCharacter { offset: 11 }),
        (b"{\"a\0\":1,\"model\":\"m\"}", ControlCharacter { offset: 3 }),
        (b"{\"model\":\"m\",\n\"a\":[\"\x1f\"]}", ControlCharacter { offset: 20 }),
        (b"{\"a\":\"\n\"}", ControlCharacter { offset: 6 }),
    ] {
        assert_eq!(refused(body), expected, "{}", String::from_utf8_lossy(body));
    }
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(MODEL_BYTES_MAX + 1));
    assert_eq!(
        refused(&long),
        ModelTooLong {
            length: MODEL_BYTES_MAX + 1
        }
    );
    assert!(scan(long.replacen("mm", "m", 2).as_bytes()).is_ok());
}

#[test]
fn what_is_not_json_is_a_syntax_error() {
    for body in [
        "model=gpt-4o",
        "{'model':'m'}",
        "// a comment\n{\"model\":\"m\"}",
        "{\"model\":\"m\" /* a comment */}",
        "{\"model\":\"m\"} x",
        "{\"model\":\"m\"}{}",
        "{\"model\":\"m\",}",
        "{\"model\":\"m\" \"a\":1}",
        "{\"model\":\"m\",\"a\":01}",
        "{\"model\":\"m\",\"a\":1.}",
        "{\"model\":\"m\",\"a\":+1}",
        "{\"model\":\"m\",\"a\":NaN}",
        "{\"model\":\"m\",\"a\":tru}",
        "{\"model\":\"m\",\"a\":\"\\x\"}",
        "{\"model\":\"m\",\"a\":\"\\u12g4\"}",
        "{\"model\":\"m\",\"a\":[1,]}",
        "{\"model\":\"m\",\"a\":[1}",
        "{\"model\":\"m\",a:1}",
        "{\"model\":\"m\",1:1}",
        "{\"model\":\"m\0\":1}\0",
        "{\"model\":\"m\"}\0",
    ] {
        let fault = refused(body);
        assert!(
            matches!(fault, ScanError::Syntax { .. } | ScanError::ControlCharacter { .. }),
            "{body}: {fault:?}"
        );
    }
}

#[test]
fn a_syntax_error_says_where() {
    let ScanError::Syntax { offset, .. } = refused("{\n\"model\": \"m\",\n\n\"a\": !}") else {
        panic!("not JSON")
    };
    assert_eq!(offset, 23, "right behind the `!`");
}

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
