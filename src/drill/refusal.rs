//! Error answers in the provider's own words and shape, so that a gateway, an SDK and a person read them as the
//! real ones. Sources: the providers' error pages, and answers that users recorded and reported.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Answer, Body, data, typed};
use super::asked::{Asked, Endpoint};
use super::chat;
use super::provider::{Family, Identity, Stamp, headers};
use crate::protocol::Protocol;

/// The `retry-after` of a 429 unless the fault says otherwise: longer than a proxy waits on one target by default, but
/// soon over.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const OPENAI_BROKEN: &str = "The server had an error processing your request. Sorry about that! You can retry your \
    request, or contact us through our help center at help.openai.com if you keep seeing this error.";
const OPENAI_OVERLOADED: &str = "The server is currently overloaded with other requests. Sorry about that! You can \
    retry your request, or contact us through our help center at help.openai.com if the error persists.";
const OPENAI_QUOTA: &str = "You exceeded your current quota, please check your plan and billing details. For more \
    information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.";
const OPENROUTER_CREDITS: &str = "Insufficient credits. Add more using https://openrouter.ai/settings/credits";
const ANTHROPIC_CREDITS: &str = "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
    Billing to upgrade or purchase credits.";

/// The answer with this status; `retry_after` adds that hint, and 429 always has one.
pub(crate) fn with_status(
    identity: &Identity,
    asked: &Asked,
    stamp: &Stamp,
    status: u16,
    retry_after: Option<Duration>,
) -> Answer {
    let family = identity.family(asked.protocol);
    let body = match family {
        Family::Anthropic => anthropic_by_status(status, &asked.model),
        Family::OpenRouter => openrouter_by_status(status, &asked.model),
        Family::OpenAi => openai_by_status(status, &asked.model),
        Family::DeepSeek => deepseek_by_status(status).unwrap_or_else(|| openai_by_status(status, &asked.model)),
    };
    let wait = retry_after.or((status == 429).then_some(RETRY_AFTER));
    refuse(family, stamp, status, wait, &body)
}

/// Returns what the provider answers when it is overloaded.
pub(crate) fn overloaded(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Answer {
    let status = if asked.protocol == Protocol::Anthropic {
        529
    } else {
        503
    };
    with_status(identity, asked, stamp, status, None)
}

/// Returns what the provider answers when the account is empty.
pub(crate) fn out_of_credits(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Answer {
    let family = identity.family(asked.protocol);
    match family {
        Family::OpenAi => refuse(family, stamp, 429, None, &openai_by_status(402, &asked.model)),
        Family::Anthropic => refuse(
            family,
            stamp,
            400,
            None,
            &anthropic("invalid_request_error", ANTHROPIC_CREDITS),
        ),
        Family::OpenRouter | Family::DeepSeek => with_status(identity, asked, stamp, 402, None),
    }
}

/// A refusal of the stand-in itself: the request was wrong.
pub(crate) fn plain(identity: &Identity, protocol: Protocol, stamp: &Stamp, status: u16, message: &str) -> Answer {
    let family = identity.family(protocol);
    let body = match family {
        Family::Anthropic if status == 404 => anthropic("not_found_error", message),
        Family::Anthropic => anthropic("invalid_request_error", message),
        Family::OpenRouter => openrouter(status, message),
        Family::OpenAi | Family::DeepSeek => openai(message, "invalid_request_error", None),
    };
    refuse(family, stamp, status, None, &body)
}

fn refuse(family: Family, stamp: &Stamp, status: u16, wait: Option<Duration>, body: &Value) -> Answer {
    let mut headers = headers(family, stamp, wait.filter(|_| status == 429));
    headers.push(("content-type", "application/json".to_owned()));
    if let Some(wait) = wait {
        let whole_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.push(("retry-after", whole_s.to_string()));
        if family == Family::OpenAi {
            headers.push(("retry-after-ms", wait.as_millis().to_string()));
        }
    }
    let mut body = body.clone();
    if family == Family::Anthropic {
        body["request_id"] = json!(format!("req_{}", stamp.id));
        let again = matches!(status, 408 | 409 | 429 | 500..);
        headers.push(("x-should-retry", again.to_string()));
    }
    Answer {
        status,
        headers,
        body: Body::Whole(body.to_string().into_bytes()),
    }
}

/// The body of an answer that says 200 and is an error.
pub(crate) fn body_in_200(identity: &Identity, asked: &Asked) -> Value {
    match identity.family(asked.protocol) {
        Family::Anthropic => anthropic_by_status(500, &asked.model),
        Family::OpenRouter => openrouter_by_status(502, &asked.model),
        Family::OpenAi | Family::DeepSeek => openai_by_status(500, &asked.model),
    }
}

/// The last events of a stream that brings an error.
pub(crate) fn events(identity: &Identity, asked: &Asked, stamp: &Stamp) -> Vec<String> {
    let family = identity.family(asked.protocol);
    match (asked.endpoint, family) {
        (Endpoint::Messages, _) => vec![typed(&anthropic("overloaded_error", "Overloaded"))],
        (Endpoint::Responses, _) => vec![
            typed(
                &json!({ "type": "error", "sequence_number": 2, "code": "server_error", "message": OPENAI_BROKEN,
                "param": null }),
            ),
            typed(&json!({ "type": "response.failed", "sequence_number": 3, "response": {
                "id": format!("resp_{}", stamp.id), "object": "response", "created_at": stamp.now_s,
                "status": "failed", "model": asked.model, "output": [], "parallel_tool_calls": true,
                "tool_choice": "auto", "tools": [],
                "error": { "code": "server_error", "message": OPENAI_BROKEN } } })),
        ],
        (_, Family::OpenRouter) => {
            let choice = json!([{ "index": 0, "delta": { "content": "" }, "finish_reason": "error" }]);
            let mut chunk = chat::chunk(asked, stamp, &choice);
            chunk["error"] = json!({ "code": "server_error", "message": "Provider disconnected unexpectedly" });
            vec![data(&chunk)]
        }
        _ => vec![
            data(&openai_by_status(500, &asked.model)),
            "data: [DONE]\n\n".to_owned(),
        ],
    }
}

fn openai(message: &str, kind: &str, code: Option<&str>) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

fn openai_by_status(status: u16, model: &str) -> Value {
    match status {
        401 => openai(
            "Incorrect API key provided: stand-in. You can find your API key at \
                https://platform.openai.com/account/api-keys.",
            "invalid_request_error",
            Some("invalid_api_key"),
        ),
        402 => openai(OPENAI_QUOTA, "insufficient_quota", Some("insufficient_quota")),
        403 => openai(
            "Country, region, or territory not supported",
            "request_forbidden",
            Some("unsupported_country_region_territory"),
        ),
        404 => openai(
            &format!("The model `{model}` does not exist or you do not have access to it."),
            "invalid_request_error",
            Some("model_not_found"),
        ),
        413 => openai("Request too large", "invalid_request_error", Some("request_too_large")),
        429 => openai(
            &format!(
                "Rate limit reached for {model} in organization stand-in on requests per min (RPM): Limit 500, Used \
                    500, Requested 1. Please try again later. Visit https://platform.openai.com/account/rate-limits to \
                    learn more."
            ),
            "requests",
            Some("rate_limit_exceeded"),
        ),
        503 => openai(OPENAI_OVERLOADED, "server_error", None),
        500.. => openai(OPENAI_BROKEN, "server_error", None),
        _ => openai(&reason(status), "invalid_request_error", None),
    }
}

fn deepseek_by_status(status: u16) -> Option<Value> {
    match status {
        402 => Some(openai(
            "Insufficient Balance",
            "unknown_error",
            Some("invalid_request_error"),
        )),
        500 => Some(openai("Internal Server Error", "internal_server_error", None)),
        503 => Some(openai(
            "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
            "service_unavailable_error",
            Some("service_unavailable_error"),
        )),
        _ => None,
    }
}

fn openrouter(status: u16, message: &str) -> Value {
    json!({ "error": { "message": message, "code": status } })
}

fn openrouter_by_status(status: u16, model: &str) -> Value {
    let mut body = openrouter(
        status,
        &match status {
            401 => "No auth credentials found".to_owned(),
            402 => OPENROUTER_CREDITS.to_owned(),
            404 => format!("No endpoints found for {model}."),
            408 => "Your request timed out".to_owned(),
            413 => "Request payload exceeds size limits".to_owned(),
            429 => format!("Rate limit exceeded: limit_rpm/{model}. High demand for {model}, please retry shortly."),
            502 => "Provider returned error".to_owned(),
            503 => "There is no available model provider that meets your routing requirements".to_owned(),
            _ => reason(status),
        },
    );
    match status {
        502 => {
            let raw = openai(OPENAI_BROKEN, "server_error", None).to_string();
            body["error"]["metadata"] = json!({ "raw": raw, "provider_name": "Stand-in" });
        }
        503 => body["error"]["metadata"] = json!({ "error_type": "provider_overloaded" }),
        _ => {}
    }
    body
}

fn anthropic(kind: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}

fn anthropic_by_status(status: u16, model: &str) -> Value {
    let (kind, message) = match status {
        401 => ("authentication_error", "invalid x-api-key".to_owned()),
        402 => (
            "billing_error",
            "The organization has reached its spend limit.".to_owned(),
        ),
        403 => (
            "permission_error",
            "Your API key does not have permission to use the specified resource.".to_owned(),
        ),
        404 => ("not_found_error", format!("model: {model}")),
        413 => ("request_too_large", "Request exceeds the maximum size".to_owned()),
        429 => (
            "rate_limit_error",
            "This request would exceed the rate limit for your organization (stand-in) of 50 requests per minute. For \
                details, refer to: https://docs.anthropic.com/en/api/rate-limits."
                .to_owned(),
        ),
        504 => ("timeout_error", "Request timed out".to_owned()),
        529 => ("overloaded_error", "Overloaded".to_owned()),
        500 => ("api_error", "Internal server error".to_owned()),
        501.. => ("api_error", reason(status)),
        _ => ("invalid_request_error", reason(status)),
    };
    anthropic(kind, &message)
}

fn reason(status: u16) -> String {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason());
    reason.map_or_else(|| format!("Status {status}"), str::to_owned)
}
