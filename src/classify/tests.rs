use super::*;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::Value;

mod basis;

const RECORDED: &str = include_str!("../../tests/data/provider-errors.json");
const INVENTED: &str = include_str!("../../tests/data/more-provider-errors.json");

fn headers(case: &Value) -> HeaderMap {
    let members = case["headers"].as_object().into_iter().flatten();
    members
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value.as_str().unwrap()).unwrap())
        })
        .collect()
}

fn verdict(case: &Value, status: u16, body: &[u8], provider: Option<&str>) -> Verdict {
    classify(&Signals {
        status,
        headers: &headers(case),
        body,
        provider,
        request: Some(&Request::default()),
    })
}

fn status(case: &Value) -> u16 {
    u16::try_from(case["status"].as_u64().unwrap()).unwrap()
}

/// The labels that `classify` misses, one line each.
fn misses(cases: &[Value]) -> Vec<String> {
    let seen = |case: &Value| {
        let body = case["body"].as_str().unwrap();
        verdict(case, status(case), body.as_bytes(), case["provider"].as_str())
    };
    let wrong = cases
        .iter()
        .filter(|case| case["class"].as_str() != Some(seen(case).class.name()));
    wrong
        .map(|case| format!("{}: {} is {:?}", case["id"], case["class"], seen(case)))
        .collect()
}

fn cases(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_recorded_answer_is_classified_as_labelled() {
    let cases = cases(RECORDED);
    assert!(cases.len() >= 122);
    assert_eq!(misses(&cases), Vec::<String>::new());
}

#[test]
fn every_invented_answer_is_classified_as_labelled() {
    let cases = cases(INVENTED);
    assert!(cases.len() >= 60);
    assert_eq!(misses(&cases), Vec::<String>::new());
}

#[test]
fn every_class_of_an_answer_has_a_recorded_or_invented_one() {
    let cases = [cases(RECORDED), cases(INVENTED)].concat();
    // A success that is none is told by its shape.
    let is_error = |class: &Class| class.usual_status().is_some_and(|status| status >= 400);
    for class in Class::ALL.into_iter().filter(is_error) {
        assert!(cases.iter().any(|case| case["class"] == class.name()), "{class:?}");
    }
}

/// A gateway that does no more than pass an error on must not change what it means.
#[test]
fn wrapping_an_answer_does_not_change_its_class() {
    let mut changed = Vec::new();
    for case in cases(RECORDED)
        .iter()
        .filter(|case| case["body_kind"] == "json" && status(case) >= 400)
    {
        let body = case["body"].as_str().unwrap();
        let before = verdict(case, status(case), body.as_bytes(), case["provider"].as_str());
        let wraps = [
            serde_json::json!({"error": {"message": "Provider returned error", "code": status(case), "metadata": {"raw": body}}}),
            serde_json::json!({"error": {"message": format!("Error from provider: {body}"), "type": "api_error"}}),
            serde_json::json!([{"error": {"message": body, "code": status(case).to_string()}}]),
        ];
        for wrap in wraps {
            let after = verdict(
                case,
                status(case),
                wrap.to_string().as_bytes(),
                case["provider"].as_str(),
            );
            if before.class != after.class {
                changed.push(format!("{}: {before:?} became {after:?} in {wrap}", case["id"]));
            }
        }
    }
    assert_eq!(changed, Vec::<String>::new());
}

#[test]
fn an_error_under_200_is_judged_by_what_it_says() {
    let mut changed = Vec::new();
    for case in cases(RECORDED)
        .iter()
        .filter(|case| case["body_kind"] == "json" && status(case) >= 400)
    {
        let mut body: Value = serde_json::from_str(case["body"].as_str().unwrap()).unwrap();
        if !body["error"].is_object() {
            continue;
        }
        body["error"]["code"] = body["error"]["code"]
            .as_str()
            .map_or_else(|| status(case).into(), Into::into);
        body["error"]["status_code"] = status(case).into();
        let after = verdict(case, 200, body.to_string().as_bytes(), case["provider"].as_str());
        if case["class"].as_str() != Some(after.class.name()) {
            changed.push(format!("{}: {} became {after:?}", case["id"], case["class"]));
        }
    }
    assert_eq!(changed, Vec::<String>::new());
}

#[test]
fn the_status_alone_decides_where_nothing_else_speaks() {
    for (status, class) in [
        (400, Class::BadRequest),
        (401, Class::Auth),
        (402, Class::OutOfCredits),
        (403, Class::Auth),
        (404, Class::BadRequest),
        (405, Class::BadRequest),
        (408, Class::ServerError),
        (409, Class::BadRequest),
        (413, Class::ContextLength),
        (422, Class::BadRequest),
        (429, Class::RateLimited),
        (499, Class::BadRequest),
        (500, Class::ServerError),
        (502, Class::ServerError),
        (503, Class::Overloaded),
        (504, Class::ServerError),
        (524, Class::ServerError),
        (529, Class::Overloaded),
        (200, Class::ServerError),
        (999, Class::ServerError),
    ] {
        for body in ["", "{}", "null", "<html><body>API key invalid</body></html>"] {
            assert_eq!(
                verdict(&Value::Null, status, body.as_bytes(), None).class,
                class,
                "{status} {body}"
            );
        }
    }
}

#[test]
fn the_same_words_mean_what_the_provider_means() {
    let quota = br#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}"#;
    assert_eq!(
        verdict(&Value::Null, 429, quota, Some("openai")).class,
        Class::OutOfCredits
    );
    assert_eq!(verdict(&Value::Null, 429, quota, None).class, Class::OutOfCredits);
    assert_eq!(
        verdict(&Value::Null, 429, quota, Some("dashscope")).class,
        Class::RateLimited
    );
    let google =
        br#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details."}}"#;
    assert_eq!(
        verdict(&Value::Null, 429, google, Some("gemini")).class,
        Class::RateLimited
    );
    assert_eq!(
        verdict(&Value::Null, 429, google, Some("azure")).class,
        Class::OutOfCredits
    );
    assert_eq!(verdict(&Value::Null, 498, b"", Some("groq")).class, Class::Overloaded);
    assert_eq!(
        verdict(&Value::Null, 498, b"", Some("cohere")).class,
        Class::ContentPolicy
    );
}

#[test]
fn every_rule_has_a_name_of_its_own_and_its_stems_are_lower_case() {
    let mut names: Vec<&str> = rules::RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    for words in [
        wording::OUT_OF_CREDITS,
        wording::RATE_LIMITED,
        wording::AUTH,
        wording::PERMISSION,
        wording::MODEL_NOT_FOUND,
        wording::CONTEXT_LENGTH,
        wording::CONTENT_POLICY,
        wording::OVERLOADED,
        wording::SERVER_ERROR,
    ] {
        for stem in words {
            assert_eq!(*stem, stem.to_lowercase());
            assert!(stem.split('*').all(|part| !part.is_empty()), "{stem}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_classified(status in 0u16..1000, body in prop::collection::vec(any::<u8>(), 0..2000)) {
        let seen = verdict(&Value::Null, status, &body, Some("openai"));
        prop_assert!(Class::ALL.contains(&seen.class));
    }
}

/// Does what production does: holds the answer, judges it, classifies what the judge kept.
#[test]
fn what_the_judge_keeps_is_enough_to_classify() {
    use crate::protocol::StreamKind;
    use crate::protocol::judge::{Judge, Judgement};
    let mut wrong = Vec::new();
    for case in cases(RECORDED).iter().chain(&cases(INVENTED)) {
        let body = case["body"].as_str().unwrap().as_bytes();
        let kind = match body {
            body if body.windows(9).any(|piece| piece == b"response.") => StreamKind::Responses,
            body if body.starts_with(b"event: ") => StreamKind::Messages,
            _ => StreamKind::Chat,
        };
        let mut judge = Judge::new(status(case), &headers(case), kind);
        let decided = body
            .chunks(50)
            .map(|piece| judge.feed(piece))
            .find(|seen| *seen != Judgement::Undecided);
        let judgement = decided.unwrap_or_else(|| judge.end());
        let seen = verdict(case, status(case), judge.error_payload(), case["provider"].as_str());
        if judgement != Judgement::Failed || case["class"].as_str() != Some(seen.class.name()) {
            wrong.push(format!("{}: {judgement:?}, {} is {seen:?}", case["id"], case["class"]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
