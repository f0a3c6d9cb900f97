//! Where targets have `prefill`.

use super::*;

fn said(response: &Response) -> String {
    let text = response.text();
    let values = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let pieces = values.filter_map(|value| {
        let chat = value.pointer("/choices/0/delta/content");
        Some(chat.or_else(|| value.pointer("/delta/text"))?.as_str()?.to_owned())
    });
    pieces.collect()
}

/// A stream of `path`'s that says `text` and ends.
fn whole(path: &str, text: &str) -> String {
    match path {
        CHAT => role() + &delta(text) + &finish() + DONE,
        _ => {
            event(
                "message_start",
                json!({ "message": { "id": "msg_2", "content": [], "usage": { "input_tokens": 9 } } }),
            ) + &event(
                "content_block_start",
                json!({ "index": 0, "content_block": { "type": "text", "text": "" } }),
            ) + &event(
                "content_block_delta",
                json!({ "index": 0, "delta": { "type": "text_delta", "text": text } }),
            ) + &event("content_block_stop", json!({ "index": 0 }))
                + &event(
                    "message_delta",
                    json!({ "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 3 } }),
                )
                + &event("message_stop", json!({}))
        }
    }
}

#[tokio::test]
async fn where_another_goes_on_the_error_is_withheld() {
    let chat_error = data(&json!({ "error": { "code": 502, "message": "secret of the provider" } }));
    let in_choice =
        data(&json!({ "choices": [{ "index": 0, "delta": { "content": "secret" }, "finish_reason": "error" }] }));
    for (path, begun, error) in [
        (CHAT, delta("hi"), chat_error + DONE),
        (CHAT, delta("hi"), in_choice + DONE),
        (MESSAGES, message_begun(), overloaded()),
    ] {
        let text = begun + &error;
        for answer in [
            Answer::sse([text.clone()]),
            Answer::sse(text.as_bytes().chunks(9)),
            Answer::sse([text.clone()]).then(Ending::Cut),
        ] {
            let first = Upstream::answering([answer]).await;
            let second = Upstream::answering([Answer::sse([whole(path, " there")])]).await;
            let yaml = format!(
                "upstreams:\n  a: {{ url: \"{}/v1\"{BOTH} }}\n  b: {{ url: \"{}/v1\"{BOTH}, prefill: true }}\nroutes: {{ m: [a, b] }}",
                first.url(),
                second.url()
            );
            let gateway = Gateway::start(yaml).await;
            let response = gateway.post(path, chat_stream("m")).await;
            assert_eq!((said(&response).as_str(), &response.end), ("hi there", &End::Clean));
            assert!(!response.text().contains("rror"), "{}", response.text());
            assert!(!response.text().contains("secret"), "{}", response.text());
            let line = gateway.access(&response.id()).await;
            assert_eq!((&line["outcome"], &line["resumed"]), (&json!("ok"), &json!(1)));
            let ledger = client::ledger(line["ledger"].as_str().expect("a ledger"));
            let classes: Vec<_> = ledger.iter().map(|entry| entry.class.as_deref()).collect();
            assert_eq!(classes, [Some("broken"), None]);
            let attempt = attempt_line(&gateway, &response.id()).await;
            assert_eq!(attempt["action"], "resume");
            assert!(
                attempt["reason"]
                    .as_str()
                    .expect("a reason")
                    .contains("reported an error")
            );
        }
    }
}

#[tokio::test]
async fn where_nobody_can_go_on_the_error_comes_as_it_was() {
    let refusal = || Answer::json(400, error("no prefill here", "invalid_request_error", None));
    let tool = data(&json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [{ "index": 0 }] } }] }));
    let chat_error = data(&json!({ "error": { "code": 502, "message": "gone" } })) + DONE;
    for (path, text, requests) in [
        (CHAT, delta("hi") + &chat_error, 3),
        (MESSAGES, message_begun() + &overloaded(), 3),
        // What can't be continued isn't tried to be.
        (CHAT, tool + &chat_error, 1),
    ] {
        for answer in [Answer::sse([text.clone()]), Answer::sse(text.as_bytes().chunks(9))] {
            let first = Upstream::answering([answer, refusal()]).await;
            let second = Upstream::always(refusal()).await;
            let yaml = chain_with(&[first.url(), second.url()], &format!("{BOTH}, prefill: true"));
            let gateway = Gateway::start(yaml).await;
            let response = gateway.post(path, chat_stream("m")).await;
            assert_eq!((response.text(), &response.end), (text.clone(), &End::Clean));
            assert_eq!(first.requests().len() + second.requests().len(), requests);
            let line = gateway.access(&response.id()).await;
            assert_eq!((&line["outcome"], line.get("resumed")), (&json!("broken"), None));
            attempt_line(&gateway, &response.id()).await;
        }
    }
}

#[tokio::test]
async fn an_error_in_what_goes_on_is_withheld_too() {
    let error = data(&json!({ "error": { "code": 502, "message": "gone" } }));
    let first = Upstream::answering([Answer::sse([delta("hi") + &error])]).await;
    let second = Upstream::answering([Answer::sse([role() + &delta(" there") + &error])]).await;
    let third = Upstream::answering([Answer::sse([whole(CHAT, " again")])]).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\", prefill: true }}\n  c: {{ url: \"{}/v1\", prefill: true }}\n\
         routes: {{ m: [a, b, c] }}\npolicy: {{ retry: {{ attempts: 4 }} }}",
        first.url(),
        second.url(),
        third.url()
    );
    let gateway = Gateway::start(yaml).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (said(&response).as_str(), &response.end),
        ("hi there again", &End::Clean)
    );
    let line = gateway.access(&response.id()).await;
    let ledger = client::ledger(line["ledger"].as_str().expect("a ledger"));
    let classes: Vec<_> = ledger
        .iter()
        .map(|entry| (entry.target.as_str(), entry.class.as_deref()))
        .collect();
    assert!(
        classes.contains(&("b/m", Some("broken"))) && classes.last() == Some(&("c/m", None)),
        "{classes:?}"
    );
}
