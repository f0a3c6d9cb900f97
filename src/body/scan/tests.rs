//! The scan against examples.

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
