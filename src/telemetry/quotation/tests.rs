use proptest::prelude::*;

use super::*;

const NONE: [&str; 0] = [];

fn alone(message: &str) -> String {
    clean(message, NONE.into_iter(), b"{}").unwrap_or_default()
}

fn about(message: &str, request: &str) -> String {
    clean(message, NONE.into_iter(), request.as_bytes()).unwrap_or_default()
}

#[test]
fn what_providers_say_is_kept() {
    for message in [
        "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29980.",
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
        "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
        "The model `claude-sonnet-4-20250514` does not exist",
        "No endpoints found for meta-llama/llama-3.3-70b-instruct:free.",
        "Missing bearer authentication in header",
        "You exceeded your current quota: https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "余额不足",
    ] {
        assert_eq!(alone(message), message);
    }
}

#[test]
fn it_is_one_short_line() {
    assert_eq!(alone(" a\r\n\tb\u{0}\u{202e}\u{1b}[31mc \n"), "a b [31mc");
    assert_eq!(alone("\n \t"), "");
    let long = alone(&"word ".repeat(1000));
    assert_eq!(long.chars().count(), 200);
    assert!(long.ends_with('…'));
}

#[test]
fn keys_are_gone_whoever_has_them() {
    for (message, expected) in [
        (
            "Incorrect API key provided: sk-abc1****wxyz. See",
            "Incorrect API key provided: … See",
        ),
        ("bad key sk-ant-api03-AbCdEf", "bad key …"),
        ("Authorization: Bearer hunter2hunter2", "Authorization: Bearer …"),
        ("token a1b2c3d4e5f6a7b8c9d0 is revoked", "token … is revoked"),
        ("key 123e4567-e89b-12d3-a456-426614174000 unknown", "key … unknown"),
        ("AIzaSyDabcdefg is not valid", "… is not valid"),
        ("'eyJhbGciOi.eyJzdWIiOiI.SflKxw'", "'…'"),
        ("key=…, token=abc", "key=…, …"),
    ] {
        assert_eq!(alone(message), expected, "{message}");
    }
}

#[test]
fn configured_secrets_are_gone_whatever_they_look_like() {
    let secrets = ["open sesame", "ab"];
    let shown = clean("you said open sesame, about ab", secrets.into_iter(), b"");
    assert_eq!(shown.as_deref(), Some("you said …, about ab"));
}

#[test]
fn half_a_key_at_the_cut_is_not_kept() {
    let quoted = "the quoted prompt ".repeat(40);
    let message = format!("{}sk{}", &quoted[..398], "-secretsecret");
    let shown = clean(&message, NONE.into_iter(), quoted.as_bytes());
    assert_eq!(shown.as_deref(), Some("…"));
}

#[test]
fn the_prompt_is_gone() {
    let request = r#"{"messages":[{"content":"My mother's maiden name is \"Smith\"\nand I live in Z\u00fcrich \ud83d\ude00, near the lake"}]}"#;
    for (message, expected) in [
        ("Invalid: My mother's maiden name is \"Smith\"", "Invalid:…"),
        ("no `maiden name` here", "no `maiden name` here"),
        ("flagged: and I live in Zürich 😀, near the lake!", "flagged:…!"),
        // As it stands in the request.
        (r#"near {"messages":[{"content":"My mother's maiden"#, "near…"),
    ] {
        assert_eq!(about(message, request).replace(" …", "…"), expected, "{message}");
    }
}

#[test]
fn of_what_is_said_about_a_huge_request_nothing_is_kept() {
    let request = vec![b'x'; REQUEST_MAX_BYTES + 1];
    assert_eq!(clean("too large", NONE.into_iter(), &request).as_deref(), Some("…"));
}

#[test]
fn a_repetitive_request_takes_no_time() {
    let request = vec![b' '; REQUEST_MAX_BYTES];
    let message = " ".repeat(390) + "x";
    assert_eq!(clean(&message, NONE.into_iter(), &request).as_deref(), Some("…x"));
}

proptest! {
    /// However the prompt is written into JSON, and wherever the provider begins to quote it.
    #[test]
    fn no_long_quotation_survives(prompt in "[ -~äß漢\n\"\\\\]{24,120}", start in 0..40usize, length in 24..60usize) {
        let quoted: String = prompt.chars().skip(start).take(length).collect();
        prop_assume!(quoted.chars().count() >= 24);
        let request = serde_json::json!({ "prompt": prompt }).to_string();
        let ascii: String = request.chars().map(|char| match char.is_ascii() {
            true => char.to_string(),
            false => format!("\\u{:04x}", u32::from(char)),
        }).collect();
        for request in [request, ascii] {
            let shown = about(&format!("bad: {quoted} (end)"), &request);
            let run: Vec<char> = quoted.chars().collect();
            for window in run.windows(24) {
                let window: String = window.iter().collect();
                prop_assert!(!shown.contains(&window), "{shown:?} has {window:?}");
            }
        }
    }

    /// Any text, any request: short, one line, no panic.
    #[test]
    fn is_always_one_short_line(message in any::<String>(), request in any::<Vec<u8>>()) {
        if let Some(shown) = clean(&message, NONE.into_iter(), &request) {
            prop_assert!(shown.chars().count() <= 200);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}

#[test]
fn a_short_prompt_is_gone_too_and_the_words_of_the_trade_stay() {
    let request = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"PROMPTSECRET wombats"},{"role":"user","content":"hello"}],
        "max_completion_tokens":5}"#;
    for (message, expected) in [
        (
            "Internal error while handling: PROMPTSECRET wombats",
            "Internal error while handling: …",
        ),
        ("flagged: 'PROMPTSECRET'", "flagged: '…'"),
        ("no answer to hello.", "no answer to …."),
        (
            "Unsupported parameter: 'max_completion_tokens' with gpt-4o-mini",
            "Unsupported parameter: 'max_completion_tokens' with gpt-4o-mini",
        ),
    ] {
        assert_eq!(about(message, request), expected);
    }
}
