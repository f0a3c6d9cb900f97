//! What `switchback explain` prints, to the letter: `expected/NAME.txt`, for `chains.yaml`.
//!
//! `UPDATE_EXPECTED=1 cargo test --test cli` writes the outputs anew; read the difference before committing it.

use std::fs;

use crate::program::{Outcome, directory, switchback};

const CASES: [(&str, &str); 17] = [
    ("chain", "gpt-4o"),
    ("chain-json", "gpt-4o --json"),
    ("glob-spread-route", "gpt-5-mini --stream"),
    ("glob-spread-route-json", "gpt-5-mini --json --if azure=503"),
    ("anthropic", "claude-sonnet --protocol anthropic"),
    (
        "path",
        "claude-sonnet --path /v1/messages/count_tokens?beta=true --if anthropic=auth",
    ),
    ("all-fail", "gpt-4o --if openai=429 --if openrouter=timeout"),
    ("no-answer", "gpt-4o --if openai=refused --if openrouter=connect"),
    (
        "first-kept",
        "gpt-4 --if azure=429:2s --if openai=overloaded --if openrouter=reset",
    ),
    (
        "sequence",
        "gpt-4o --if openai=500 --if openai=ok --if openrouter/other=402",
    ),
    ("waits", "gpt-4o --if openai=429:2s --if openrouter=429:20s"),
    ("delivered", "gpt-4o --if openai=content_policy"),
    ("cooldown", "two-of-openai --if openai=401"),
    (
        "cooldown-json",
        "two-of-openai --json --if openai=401 --if openrouter=refused",
    ),
    ("kept", "gpt-4 --path /v1/files"),
    ("unknown-model", "gtp-4o --if openai=429"),
    ("unknown-upstream", "gpt-4o --if opneai=429"),
];

fn explain(arguments: &str) -> Outcome {
    let all: Vec<&str> = ["explain", "--config", "chains.yaml"]
        .into_iter()
        .chain(arguments.split(' '))
        .collect();
    switchback(&directory(), &all, "")
}

#[test]
fn every_case_prints_what_is_expected() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for (name, arguments) in CASES {
        let outcome = explain(arguments);
        let printed = format!(
            "$ switchback explain {arguments}\n{}{}exit status {}\n",
            outcome.stderr, outcome.stdout, outcome.status
        );
        assert!(!printed.contains("sk-"), "a secret in {printed}");
        let file = directory().join(format!("expected/{name}.txt"));
        if update {
            fs::write(&file, &printed).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if printed != expected {
            wrong.push(format!("=== {name}: expected\n{expected}--- printed\n{printed}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_model_that_can_not_be_asked_so_is_refused_in_the_gateways_words() {
    let outcome = explain("claude-sonnet --path /v1/chat/completions");
    assert_eq!(outcome.status, 0, "openrouter speaks both");
    let outcome = explain("gpt-4o --protocol anthropic --json");
    assert_eq!(outcome.json()["chain"][0]["passed_over"], "protocol");
    let yaml = tempfile::tempdir().unwrap();
    let upstreams =
        "upstreams: { a: { url: \"http://127.0.0.1:1\" }, b: { url: \"http://127.0.0.1:2\", protocol: anthropic } }";
    fs::write(
        yaml.path().join("c.yaml"),
        format!("{upstreams}\nroutes: {{ m: [a], n: [b] }}\n"),
    )
    .unwrap();
    let arguments = ["explain", "--config", "c.yaml", "m", "--protocol", "anthropic"];
    let outcome = switchback(yaml.path(), &arguments, "");
    assert_eq!(outcome.status, 1);
    assert_eq!(
        outcome.stderr,
        "error: no target of the model `m` speaks the anthropic protocol; `b` does, a target of the model `n`\n"
    );
}

#[test]
fn the_protocol_is_that_of_the_first_target() {
    for (arguments, path) in [
        ("claude-sonnet --json", "/v1/messages"),
        ("gpt-4o --json", "/v1/chat/completions"),
        ("strong --json", "/v1/chat/completions"),
        ("claude-sonnet --protocol openai --json", "/v1/chat/completions"),
    ] {
        assert_eq!(explain(arguments).json()["path"], path, "{arguments}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_a_reason() {
    for (arguments, reason) in [
        ("--json", "<MODEL>"),
        ("gpt-4o --if openai=200", "400 to 599"),
        ("gpt-4o --if openai", "UPSTREAM=FATE"),
        ("gpt-4o --path v1/messages", "not a path"),
        ("gpt-4o --path /v1/messages --protocol openai", "cannot be used with"),
        ("gpt-4o --protocol grpc", "possible values"),
    ] {
        let outcome = explain(arguments);
        assert_eq!(outcome.status, 2, "{arguments}: {}", outcome.stdout);
        assert!(outcome.stderr.contains(reason), "{arguments}: {}", outcome.stderr);
    }
    let nowhere = ["explain", "--config", "no-such-file.yaml", "gpt-4o"];
    assert_eq!(switchback(&directory(), &nowhere, "").status, 1);
}
