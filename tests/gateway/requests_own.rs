//! Refusals that are about what one request asks for: it goes to the next target, and the next request comes as before.

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// `first` refuses one request with `answer`, which the second one serves; the next is served by the first.
async fn costs_nobody_else(answer: Answer, class: &str) {
    let first = Upstream::answering([answer, well()]).await;
    let second = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[first.url(), second.url()])).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.header("x-gateway-upstream")),
        (200, Some("b")),
        "{class}"
    );
    assert_eq!(response.ledger()[0].class.as_deref(), Some(class));
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.header("x-gateway-upstream"), Some("a"), "{class}");
}

#[tokio::test]
async fn a_greedy_request_is_too_dear_by_itself() {
    for message in [
        "This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, but can only afford 8210. \
         To increase, visit https://openrouter.ai/settings/credits and add more credits",
        "Prompt tokens limit exceeded: 40000 > 8210. To increase, visit https://openrouter.ai/settings/credits",
    ] {
        costs_nobody_else(Answer::json(402, error(message, "", None)), "out_of_credits").await;
    }
}

#[tokio::test]
async fn who_can_afford_nothing_is_left_alone() {
    let message = "This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, but can only afford \
                   0. To increase, visit https://openrouter.ai/settings/credits";
    let empty = Upstream::always(Answer::json(402, error(message, "", None))).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[empty.url(), good.url()])).await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    }
    assert_eq!(empty.requests().len(), 1);
}

#[tokio::test]
async fn a_model_that_is_served_at_another_endpoint_is_there() {
    for (status, message) in [
        (
            404,
            "This model is only supported in v1/responses and not in v1/chat/completions.",
        ),
        (
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?",
        ),
        (
            400,
            "The chatCompletion operation does not work with the specified model, gpt-5-codex. Please choose different model and try again.",
        ),
        (
            400,
            "Model x/y is not supported for task text-generation and provider nebius. Supported task: conversational.",
        ),
    ] {
        let answer = Answer::json(status, error(message, "invalid_request_error", None));
        costs_nobody_else(answer, "model_not_found").await;
    }
}

#[tokio::test]
async fn a_model_that_lacks_what_one_request_asks_for_is_there_for_the_others() {
    for (status, message) in [
        (
            404,
            "No endpoints found that support tool use. To learn more, visit the documentation",
        ),
        (400, "registry.ollama.ai/library/gemma:2b does not support tools"),
        (400, "The model `text-only` does not support image input."),
        (404, "No endpoints found that support image input"),
        (400, "Model `m` does not support response_format json_schema"),
        (
            400,
            "This model only support stream mode, please enable the stream parameter",
        ),
        (
            400,
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ),
        (400, "Tool calling is not supported with model m"),
    ] {
        costs_nobody_else(Answer::json(status, error(message, "", None)), "model_not_found").await;
    }
}

#[tokio::test]
async fn a_key_without_the_scope_of_one_endpoint_is_good_for_the_others() {
    let scope = error(
        "You have insufficient permissions for this operation. Missing scopes: api.responses.write.",
        "invalid_request_error",
        Some("missing_scope"),
    );
    costs_nobody_else(Answer::json(401, scope), "auth").await;
    let privacy = error(
        "No endpoints found matching your data policy (Free model publication).",
        "",
        None,
    );
    costs_nobody_else(Answer::json(404, privacy), "auth").await;
}
