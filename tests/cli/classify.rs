//! `switchback classify`: one answer, and files of labelled ones.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Outcome, switchback};

fn classify(arguments: &[&str], input: &str) -> Outcome {
    let arguments: Vec<&str> = std::iter::once("classify").chain(arguments.iter().copied()).collect();
    switchback(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments, input)
}

fn in_json(arguments: &[&str], body: &str) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json", "--body", "-"]).collect();
    let outcome = classify(&arguments, body);
    assert_eq!(outcome.status, 0);
    outcome.json()
}

#[test]
fn labelled_answers_are_all_right() {
    for (file, score) in [
        ("tests/data/provider-errors.json", "122/122\n"),
        ("tests/data/more-provider-errors.json", "211/211\n"),
    ] {
        let outcome = classify(&["--cases", file], "");
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (0, score),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn misses_are_told() {
    let cases = json!([
        { "id": "right", "provider": null, "status": 429, "headers": {}, "body": "", "class": "rate_limited" },
        { "id": "wrong", "provider": "openai", "status": 429, "headers": { "a": ["1", "2"] },
          "body": "{\"error\":{\"code\":\"insufficient_quota\"}}", "class": "rate_limited" },
        { "id": "good", "provider": "openai", "status": 200, "headers": { "content-type": "application/json" },
          "body": "{\"choices\":[{}]}", "class": "server_error" },
        { "id": "no failure", "provider": "openai", "status": 200, "headers": {}, "body": "{\"choices\":[{}]}", "class": null },
    ])
    .to_string();
    let outcome = classify(&["--cases", "-"], &cases);
    let expected = "wrong: expected rate_limited, got out_of_credits (rule balance-code)\n\
                    good: expected server_error, got none\n2/4\n";
    assert_eq!((outcome.status, outcome.stdout.as_str()), (1, expected));
    let outcome = classify(&["--cases", "-", "--json"], &cases);
    let expected = json!({ "total": 4, "right": 2, "misses": [
        { "id": "wrong", "expected": "rate_limited", "got": "out_of_credits", "rule": "balance-code" },
        { "id": "good", "expected": "server_error", "got": null, "rule": null },
    ] });
    assert_eq!((outcome.status, outcome.json()), (1, expected));
}

#[test]
fn an_answer_is_judged_and_classified_as_in_production() {
    let quota = r#"{"error":{"code":"insufficient_quota"}}"#;
    let credit = json!({ "class": "out_of_credits", "action": "fallback", "rule": "balance-code", "basis": "code" });
    assert_eq!(in_json(&["--status", "429"], quota), credit);
    let host = |url| in_json(&["--status", "429", "--upstream", url], quota)["class"].clone();
    assert_eq!(host("https://api.openai.com/v1"), "out_of_credits");
    assert_eq!(
        host("https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        "rate_limited"
    );
    assert_eq!(
        in_json(&["--status", "429", "--provider", "dashscope"], quota)["class"],
        "rate_limited"
    );
    let stream = ["--status", "200", "--header", "content-type: text/event-stream"];
    let overloaded = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\nevent: error\n\
         data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    assert_eq!(in_json(&stream, overloaded)["class"], "overloaded");
    let none = json!({ "class": null, "action": "deliver", "rule": null, "basis": null });
    assert_eq!(
        in_json(&stream, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n"),
        none
    );
    // The last words of a response stream are content to a chat, and a failure on their own path.
    let failed = "data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\ndata: {\"type\":\"response.failed\",\
                  \"response\":{\"error\":{\"code\":\"insufficient_quota\"}}}\n\n";
    assert_eq!(in_json(&stream, failed)["class"], "out_of_credits");
    let on_path: Vec<&str> = stream.into_iter().chain(["--path", "/v1/chat/completions"]).collect();
    assert_eq!(in_json(&on_path, failed), none);
}

#[test]
fn what_the_answer_repeats_of_the_request_is_not_the_upstreams_word() {
    let directory = tempfile::tempdir().unwrap();
    let answer = directory.path().join("answer.json");
    let error = |message: &str| json!({ "error": { "message": message } }).to_string();
    let sentence = "Your credit balance is too low to access the API";
    std::fs::write(&answer, error(&format!("Invalid value: '{sentence}'"))).unwrap();
    let about = |request: &str| {
        let answer = answer.to_str().unwrap();
        let arguments = ["--status", "400", "--json", "--body", answer, "--request", "-"];
        classify(&arguments, request).json()
    };
    let told = |class, action, rule, basis| json!({ "class": class, "action": action, "rule": rule, "basis": basis });
    let asked = json!({ "model": "m", "prompt": sentence }).to_string();
    assert_eq!(about(&asked), told("bad_request", "deliver", "status-4xx", "status"));
    assert_eq!(
        about(r#"{"model":"m"}"#),
        told("out_of_credits", "fallback", "balance-wording", "wording")
    );
    // Cases carry their requests.
    let case = |request: &str, class: &str| json!({ "id": class, "status": 400, "body": error(&format!("no: {sentence}")), "request": request, "class": class });
    let cases = json!([case(&asked, "bad_request"), case("{}", "out_of_credits")]).to_string();
    assert_eq!(classify(&["--cases", "-"], &cases).stdout, "2/2\n");
}

#[test]
fn people_read_text() {
    let told = classify(&["--status", "429", "--header", "retry-after: 20"], "").stdout;
    assert_eq!(
        told,
        "class   rate_limited\naction  retry\nrule    status-429\nbasis   status\nwait    20 s, as the answer asks\n"
    );
    let told = classify(&["--status", "204"], "").stdout;
    assert_eq!(told, "class   none (not a failure)\naction  deliver\n");
}

#[test]
fn wrong_usage_ends_with_2_and_a_reason() {
    for (arguments, reason) in [
        (&[][..], "--status"),
        (&["--status", "42"], "100..=999"),
        (&["--status", "429", "--header", "retry-after"], "no colon"),
        (&["--status", "429", "--header", "a b: c"], "no header's name"),
        (&["--status", "429", "--upstream", "openai"], "does not begin with"),
        (&["--status", "429", "--body", "no-such-file"], "no-such-file"),
        (
            &["--status", "429", "--upstream", "https://a", "--provider", "b"],
            "cannot be used with",
        ),
        (&["--status", "429", "--cases", "-"], "cannot be used with"),
        (&["--cases", "-"], "standard input: not a JSON array"),
    ] {
        let outcome = classify(arguments, "{}");
        assert_eq!(outcome.status, 2, "{arguments:?}: {}", outcome.stdout);
        assert!(outcome.stderr.contains(reason), "{arguments:?}: {}", outcome.stderr);
    }
    let outcome = classify(
        &["--cases", "-"],
        r#"[{"id":"a","status":429},{"id":"b","status":"x"}]"#,
    );
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("standard input: case b: "),
        "{}",
        outcome.stderr
    );
}
