//! What a verdict stands on, whatever a provider repeats of the request.

use super::*;

fn about(request: &str, status: u16, answer: &Value) -> Verdict {
    about_path(request, "/v1/chat/completions", status, answer)
}

fn about_path(request: &str, path: &str, status: u16, answer: &Value) -> Verdict {
    let none = HeaderMap::new();
    let answer = answer.to_string();
    classify(&Signals {
        status,
        headers: &none,
        body: answer.as_bytes(),
        provider: None,
        request: Some(&Request {
            body: request.as_bytes(),
            texts: &[path.as_bytes()],
        }),
    })
}

fn message(text: &str) -> Value {
    serde_json::json!({ "error": { "message": text, "type": "invalid_request_error", "param": null, "code": null } })
}

fn prompt(text: &str) -> String {
    serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": text }], "reasoning_effort": "low" })
        .to_string()
}

const EMPTY: &str = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.";

#[test]
fn status_and_code_prove_what_they_say_and_words_bear_witness() {
    let code = |code: &str| serde_json::json!({ "error": { "message": "no", "code": code } });
    for (status, answer, class, basis) in [
        (401, message("no"), Class::Auth, "status"),
        (402, message("Insufficient Balance"), Class::OutOfCredits, "status"),
        (403, message("no"), Class::Auth, "status"),
        (429, code("rate_limit_exceeded"), Class::RateLimited, "status"),
        (429, code("insufficient_quota"), Class::OutOfCredits, "code"),
        (400, code("API_KEY_INVALID"), Class::Auth, "code"),
        (404, code("model_not_found"), Class::ModelNotFound, "code"),
        (
            200,
            serde_json::json!({ "error": { "code": 402 } }),
            Class::OutOfCredits,
            "status",
        ),
        (400, message(EMPTY), Class::OutOfCredits, "wording"),
        (404, message("model: claude-9"), Class::ModelNotFound, "wording"),
        (500, message("litellm: Error code: 401 - no"), Class::Auth, "wording"),
        (400, message("litellm.AuthenticationError: no"), Class::Auth, "wording"),
    ] {
        let seen = about(&prompt("hi"), status, &answer);
        assert_eq!((seen.class, seen.basis.name()), (class, basis), "{status} {answer}");
    }
    let page = classify(&Signals {
        status: 403,
        headers: &HeaderMap::new(),
        body: b"<html>blocked</html>",
        provider: None,
        request: Some(&Request::default()),
    });
    assert_eq!((page.class, page.basis.name()), (Class::Auth, "wording"));
}

/// However a provider repeats it.
#[test]
fn what_the_request_says_is_not_the_providers_word() {
    let said = "Your credit balance is too low to use `tools`";
    let echoes = [
        said.to_owned(),
        said.to_uppercase(),
        said.replace(' ', "\n "),
        serde_json::Value::from(said).to_string(),
        said.replace('`', "&#96;"),
        said[..30].to_owned(),
        said[5..].to_owned(),
    ];
    for request in [
        prompt(said),
        prompt(&said.replace(' ', "  \t")),
        serde_json::json!({ "model": said, "messages": [] }).to_string(),
        serde_json::json!({ "model": "m", said: 1 }).to_string(),
        serde_json::json!({ "model": "m", "tools": [{ "function": { "name": said } }] }).to_string(),
        prompt(said).replace("credit", "cr\\u0065dit"),
        // Joined again by the provider.
        serde_json::json!({ "model": "m", "messages": [{ "content": [
            { "type": "text", "text": "Your cre" }, { "type": "text", "text": "dit balance is too" }, { "type": "text", "text": " low to use `tools`" },
        ] }] })
        .to_string(),
        format!("--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nm\r\n--x\r\ncontent-disposition: form-data; \
                 name=\"file\"; filename=\"{said}\"\r\n\r\n…\r\n--x--\r\n"),
    ] {
        for echo in &echoes {
            for template in ["Invalid value: '{}'", "`{}` is not supported", "no route for {}", "{}"] {
                let answer = message(&template.replace("{}", echo));
                let seen = about(&request, 400, &answer);
                assert!(
                    !matches!(seen.class, Class::OutOfCredits) || seen.basis == Basis::Echo,
                    "{request}\n{answer}\n{seen:?}"
                );
            }
        }
        let whole = about(&request, 400, &message(&format!("Invalid value: '{said}'")));
        assert_eq!(whole.class, Class::BadRequest, "{request}");
    }
    // Split over fields, each half of it innocent.
    let halves = serde_json::json!({ "model": "insufficient", "user": "balance" }).to_string();
    let answer = serde_json::json!({ "error": { "message": "no model insufficient", "detail": "for user balance" } });
    assert_ne!(about(&halves, 400, &answer).basis.name(), "wording");
    // Completed by the provider's own words.
    let seen = about(
        r#"{"model":"balance"}"#,
        400,
        &message("insufficient rights to use balance here"),
    );
    assert_eq!(seen.basis, Basis::Echo);
    let seen = about_path(
        r#"{"model":"m"}"#,
        "/v1/model/x",
        404,
        &message("Cannot POST /v1/model/x"),
    );
    assert_ne!(seen.basis.name(), "wording");
}

#[test]
fn a_code_that_is_a_value_of_the_request_says_nothing() {
    for request in [
        r#"{"model":"insufficient_quota"}"#,
        r#"{"model":"m","user":"Insufficient-Quota"}"#,
        r#"{"insufficient_quota":1,"model":"m"}"#,
        "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ninsufficient_quota\r\n--x--\r\n",
    ] {
        let answer = serde_json::json!({ "error": { "message": "no", "code": "insufficient_quota" } });
        assert_eq!(about(request, 400, &answer).class, Class::BadRequest, "{request}");
        assert_eq!(
            about(&prompt("what is insufficient_quota?"), 400, &answer).basis,
            Basis::Code
        );
    }
    // A prompt that is an error, wrapped as gateways wrap those.
    let error = r#"{"error":{"code":"insufficient_quota"}}"#;
    for text in [error.to_owned(), format!("Invalid prompt: {error}")] {
        assert_eq!(
            about(&prompt(error), 400, &message(&text)).class,
            Class::BadRequest,
            "{text}"
        );
    }
    let status = serde_json::json!({ "error": { "message": "no", "code": "402" } });
    assert_eq!(about(r#"{"model":"402"}"#, 200, &status).class, Class::ServerError);
    assert_eq!(
        about(r#"{"model":"m","n":402}"#, 200, &status).class,
        Class::ServerError
    );
    let printed = message("Error code: 402");
    assert_eq!(
        about(&prompt("Error code: 402"), 500, &printed).class,
        Class::ServerError
    );
}

#[test]
fn short_words_of_the_request_do_not_tear_a_sentence_apart() {
    let long =
        prompt(&"The effort is too low, and so is the balance of power; access the API, purchase a plan. ".repeat(500));
    for request in [prompt("hi"), prompt("Is it too low?"), long] {
        let seen = about(&request, 400, &message(EMPTY));
        assert_eq!((seen.class, seen.basis.name()), (Class::OutOfCredits, "wording"));
    }
    // Where the prompt has the sentence itself, only the status speaks.
    assert_eq!(about(&prompt(EMPTY), 400, &message(EMPTY)).class, Class::BadRequest);
    assert_eq!(about(&prompt(EMPTY), 402, &message(EMPTY)).basis, Basis::Status);
}

#[test]
fn a_sentence_is_the_same_whatever_numbers_it_holds_and_a_request_whatever_its_spaces() {
    let told = |request: &str, text: &str| match about(request, 400, &message(text)).basis {
        Basis::Wording(testimony) => testimony,
        other => panic!("{other:?}"),
    };
    let first = told(&prompt("one"), &format!("{EMPTY} (request 1ab)"));
    assert!(first.bears_out(told(&prompt("two"), &format!("{EMPTY} (request 2cd)"))));
    assert!(!first.bears_out(told(&prompt(" one "), EMPTY)), "the same request");
    assert!(
        !first.bears_out(told(&prompt("two"), "Insufficient balance")),
        "another sentence"
    );
}

#[test]
fn of_a_huge_request_and_of_none_words_prove_nothing() {
    let huge = prompt(&"x".repeat(3 << 20));
    assert_eq!(about(&huge, 400, &message(EMPTY)).basis, Basis::Echo);
    assert_eq!(about(&huge, 402, &message(EMPTY)).basis, Basis::Status);
    let unknown = classify(&Signals {
        status: 400,
        headers: &HeaderMap::new(),
        body: message(EMPTY).to_string().as_bytes(),
        provider: None,
        request: None,
    });
    assert_eq!((unknown.class, unknown.basis), (Class::OutOfCredits, Basis::Echo));
}

proptest! {
    #[test]
    fn any_request_is_searched(status in 0u16..1000, body in any::<String>(), request in prop::collection::vec(any::<u8>(), 0..500)) {
        let answer = message(&format!("{body} credit balance is too low {}", String::from_utf8_lossy(&request)));
        let _ = about(&String::from_utf8_lossy(&request), status, &answer);
    }

    /// A client that makes a provider repeat a sentence of the table, in whatever template, proves nothing.
    #[test]
    fn no_wording_is_proved_by_an_echo(
        pattern in prop::sample::select([wording::OUT_OF_CREDITS, wording::AUTH, wording::MODEL_NOT_FOUND, wording::RATE_LIMITED].concat()),
        filler in "[a-z]{0,8}", before in "[a-z ]{0,20}", after in "[a-z ]{0,20}", quote in prop::sample::select(vec!["", "'", "`", "\""]),
    ) {
        let said = format!("{before}{}{after}", pattern.replace('*', &format!(" {filler} ")));
        let answer = message(&format!("Bad value: {quote}{said}{quote}."));
        for request in [prompt(&said), serde_json::json!({ "model": said }).to_string(), serde_json::json!({ "model": "m", said: 1 }).to_string()] {
            let seen = about(&request, 400, &answer);
            prop_assert!(
                seen.class.cools().is_none() || seen.is_requests_own || seen.basis == Basis::Echo,
                "{} gives {:?}", answer, seen
            );
        }
    }

    /// Neither does an answer that is assembled from what the table looks for, in codes and prose alike.
    #[test]
    fn nothing_is_proved_by_a_repetition(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 1..12), status in prop::sample::select(vec![200u16, 400, 404, 500, 502]),
    ) {
        let said = pieces.concat();
        let error = serde_json::json!({ "message": said, "code": said, "type": said, "retryDelay": said });
        for answer in [message(&said), serde_json::json!({ "error": error }), serde_json::json!({ "detail": [{ "msg": said }, { "msg": said }] })] {
            for request in [prompt(&said), serde_json::json!({ "model": said, "n": 402 }).to_string()] {
                let seen = about(&request, status, &answer);
                let by_status = about("{}", status, &serde_json::json!({})).class;
                prop_assert!(
                    seen.class.cools().is_none() || seen.class == by_status || seen.is_requests_own || seen.basis == Basis::Echo,
                    "{request}: {answer} gives {seen:?}"
                );
            }
        }
    }
}

const PIECES: &[&str] = &[
    "credit balance",
    " is too low",
    "balance",
    "insufficient",
    " ",
    " ",
    "invalid",
    " api key",
    "api_key",
    "model",
    " not found",
    "does not exist",
    "http://x/ ",
    "Error code: ",
    "code: '",
    "402",
    "401",
    "'",
    "\"",
    "`",
    ". ",
    ": ",
    "{",
    "}",
    "{\"error\":{\"code\":\"insufficient_quota\"}}",
    "insufficient_quota",
    "AuthenticationError",
    "RateLimitError",
    "\n",
    "İ",
    "É",
    "余额",
    "不足",
    "rate limit",
    "overloaded",
    "try again in ",
    "160h",
    "<b>",
];
