//! The shapes of the providers' own documentation and sources, and what stands in their place when something is wrong.

use serde_json::json;

use super::*;

fn answered(question: &Question, body: &Value) -> Result<Answer, Unreadable> {
    question.answered("api.example", 200, body.to_string().as_bytes())
}

fn told(question: &Question, body: &Value) -> Remaining {
    match answered(question, body) {
        Ok(Answer::Told(remaining)) => remaining,
        other => panic!("{question:?} got {other:?} from {body}"),
    }
}

fn left(amount: f64, currency: Option<&'static str>) -> Remaining {
    Remaining {
        amount: Some(amount),
        currency,
        is_spent: false,
    }
}

fn spent(amount: f64, currency: Option<&'static str>) -> Remaining {
    Remaining {
        is_spent: true,
        ..left(amount, currency)
    }
}

fn unlimited(currency: Option<&'static str>) -> Remaining {
    Remaining {
        amount: None,
        currency,
        is_spent: false,
    }
}

fn at(pointer: &str) -> Question {
    Question::At {
        path_and_query: "/x".to_owned(),
        pointer: pointer.to_owned(),
    }
}

#[test]
fn each_has_its_path() {
    let path = |question: Question, base| question.path_and_query(base, "");
    for base in ["/api/v1", "/api"] {
        assert_eq!(path(Question::OpenRouterKey, base), "/api/v1/key");
        assert_eq!(path(Question::OpenRouterCredits, base), "/api/v1/credits");
    }
    for base in ["/v1", "", "/anthropic"] {
        assert_eq!(path(Question::DeepSeek, base), "/user/balance");
        assert_eq!(path(Question::Moonshot, base), "/v1/users/me/balance");
    }
    let usage = Question::OneApiUsage { limit: 1.0 };
    assert_eq!(path(Question::OneApiLimit, ""), "/v1/dashboard/billing/subscription");
    assert_eq!(path(usage, "/relay/v1"), "/relay/v1/dashboard/billing/usage");
}

#[test]
fn the_upstreams_own_query_goes_along() {
    assert_eq!(Question::DeepSeek.path_and_query("", "a=1"), "/user/balance?a=1");
    let question = Question::At {
        path_and_query: "/v1/balance?unit=usd".to_owned(),
        pointer: String::new(),
    };
    assert_eq!(question.path_and_query("/v1", ""), "/v1/balance?unit=usd");
    assert_eq!(question.path_and_query("/v1", "a=1"), "/v1/balance?unit=usd&a=1");
}

#[test]
fn openrouter_tells_a_key_what_it_may_spend() {
    let key = Question::OpenRouterKey;
    let usd = Some("USD");
    let body = json!({ "data": { "limit": 100, "limit_remaining": 74.5, "usage": 25.5, "is_management_key": false } });
    assert_eq!(told(&key, &body), left(74.5, usd));
    let body = json!({ "data": { "limit": 5, "limit_remaining": 0 } });
    assert_eq!(told(&key, &body), spent(0.0, usd));
    // The lesser of the two is what stops it.
    let body = json!({ "data": { "limit_remaining": 74.5, "effective_budget": { "remaining_usd": 3 } } });
    assert_eq!(told(&key, &body), left(3.0, usd));
    let body = json!({ "data": { "limit_remaining": null, "effective_budget": { "remaining_usd": -0.25 } } });
    assert_eq!(told(&key, &body), spent(-0.25, usd));
}

#[test]
fn openrouters_null_is_no_limit_of_the_keys_and_not_the_account() {
    let key = Question::OpenRouterKey;
    // A management key may ask about the account.
    for more in [json!({}), json!({ "is_management_key": true })] {
        let mut body = json!({ "data": { "limit_remaining": null, "effective_budget": null } });
        body["data"]
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(answered(&key, &body), Ok(Answer::Ask(Question::OpenRouterCredits)));
    }
    let body = json!({ "data": { "limit_remaining": null, "is_management_key": false } });
    assert_eq!(told(&key, &body), unlimited(Some("USD")));
    let credits = Question::OpenRouterCredits;
    let body = json!({ "data": { "total_credits": 100.5, "total_usage": 25.75 } });
    assert_eq!(told(&credits, &body), left(74.75, Some("USD")));
    for refusal in [401, 403] {
        let answer = credits.answered("openrouter.ai", refusal, b"{}");
        assert_eq!(answer, Ok(Answer::Told(unlimited(Some("USD")))));
    }
    assert_eq!(
        credits.answered("openrouter.ai", 500, b"{}"),
        Err(Unreadable::Status(500))
    );
}

#[test]
fn what_a_subtraction_leaves_behind_is_nothing() {
    let body = json!({ "data": { "total_credits": 0.3, "total_usage": 0.1 + 0.2 } });
    assert_eq!(
        told(&Question::OpenRouterCredits, &body),
        spent(-0.0, Some("USD")),
        "rounded"
    );
}

#[test]
fn deepseek_has_strings_and_a_balance_a_currency() {
    let info = |currency, total| json!({ "currency": currency, "total_balance": total, "granted_balance": "10.00" });
    let body = json!({ "is_available": true, "balance_infos": [info("CNY", "110.00")] });
    assert_eq!(told(&Question::DeepSeek, &body), left(110.0, Some("CNY")));
    let body = json!({ "is_available": true, "balance_infos": [info("CNY", "0.00"), info("USD", "50.00")] });
    assert_eq!(told(&Question::DeepSeek, &body), left(50.0, Some("USD")));
    // What is there is not enough for a request.
    let body = json!({ "is_available": false, "balance_infos": [info("CNY", "0.01")] });
    assert_eq!(told(&Question::DeepSeek, &body), spent(0.01, Some("CNY")));
    let body = json!({ "is_available": false, "balance_infos": [] });
    assert_eq!(told(&Question::DeepSeek, &body), spent(0.0, None));
    let body = json!({ "is_available": true, "balance_infos": [] });
    assert_eq!(
        answered(&Question::DeepSeek, &body),
        Err(Unreadable::Nowhere("/balance_infos/0".to_owned()))
    );
    let body = json!({ "balance_infos": [info("a label of the provider's making", "1")] });
    assert_eq!(told(&Question::DeepSeek, &body), left(1.0, None));
}

#[test]
fn moonshot_bills_in_the_currency_of_its_platform() {
    let body = json!({ "code": 0, "data": { "available_balance": 49.5, "voucher_balance": 46.5, "cash_balance": 3.0 },
        "scode": "0x0", "status": true });
    for (host, currency) in [
        ("api.moonshot.ai", Some("USD")),
        ("api.moonshot.cn", Some("CNY")),
        ("127.0.0.1", None),
    ] {
        let answer = Question::Moonshot.answered(host, 200, body.to_string().as_bytes());
        assert_eq!(answer, Ok(Answer::Told(left(49.5, currency))));
    }
}

#[test]
fn one_api_is_asked_twice() {
    let Ok(Answer::Ask(usage)) = answered(&Question::OneApiLimit, &json!({ "hard_limit_usd": 12.5 })) else {
        panic!("the usage is asked next");
    };
    // In hundredths.
    assert_eq!(told(&usage, &json!({ "total_usage": 250 })), left(10.0, None));
    assert_eq!(told(&usage, &json!({ "total_usage": 1250 })), spent(0.0, None));
    let unlimited_token = json!({ "hard_limit_usd": 100_000_000 });
    assert_eq!(told(&Question::OneApiLimit, &unlimited_token), unlimited(None));
    // As these relays report their own failures.
    let error = json!({ "error": { "message": "record not found", "type": "upstream_error" } });
    assert_eq!(
        answered(&Question::OneApiLimit, &error),
        Err(Unreadable::Nowhere("/hard_limit_usd".to_owned()))
    );
}

#[test]
fn a_pointer_leads_to_a_number_or_a_string_that_holds_one() {
    let body = json!({ "a/b": [{ "c~d": " 7.5 " }], "n": 3, "": { "": -1 } });
    assert_eq!(told(&at("/a~1b/0/c~0d"), &body), left(7.5, None));
    assert_eq!(told(&at("/n"), &body), left(3.0, None));
    assert_eq!(told(&at("//"), &body), spent(-1.0, None));
    assert_eq!(told(&at(""), &json!(2.5)), left(2.5, None));
}

#[test]
fn what_cannot_be_read_says_why_and_nothing_of_the_answer() {
    let body = json!({ "text": "sk-secret", "null": null, "list": [1], "nan": "NaN", "inf": "inf", "yes": true });
    for pointer in ["/text", "/null", "/list", "/nan", "/inf", "/yes", ""] {
        let error = answered(&at(pointer), &body).unwrap_err();
        assert_eq!(error, Unreadable::NoNumber(pointer.to_owned()));
        assert!(!error.to_string().contains("sk-secret"), "{error}");
    }
    for pointer in ["/nothing", "/list/1", "/list/01", "/list/-"] {
        let error = answered(&at(pointer), &body).unwrap_err();
        assert_eq!(error, Unreadable::Nowhere(pointer.to_owned()));
    }
    for body in ["", "<html>", "{\"a\":", "1e999"] {
        let error = at("").answered("h", 200, body.as_bytes());
        assert_eq!(error, Err(Unreadable::NotJson), "{body}");
    }
    for status in [204, 301, 401, 402, 500] {
        let expected = if status == 204 {
            Unreadable::NotJson
        } else {
            Unreadable::Status(status)
        };
        assert_eq!(Question::DeepSeek.answered("h", status, b""), Err(expected));
    }
}
