//! A stream with several choices is whole once each of them has ended.

use serde_json::{Value, json};

use crate::support::*;

fn chunk(index: u64, text: &str, reason: Option<&str>) -> String {
    let choice = json!({ "index": index, "delta": { "content": text }, "finish_reason": reason });
    format!("data: {}\n\n", json!({ "id": "x", "choices": [choice] }))
}

fn text_chunk(index: u64, text: &str, reason: Option<&str>) -> String {
    let choice = json!({ "index": index, "text": text, "finish_reason": reason });
    format!("data: {}\n\n", json!({ "id": "x", "choices": [choice] }))
}

async fn answered(path: &str, answer: Answer) -> (Response, Value) {
    let upstream = Upstream::always(answer).await;
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", timeouts: { idle: 300ms }")).await;
    let body = chat_stream("m").replace("\"stream\"", "\"n\":2,\"stream\"");
    let response = gateway.post(path, body).await;
    let line = gateway.access(&response.id()).await;
    (response, line["outcome"].clone())
}

async fn is_broken(path: &str, answer: Answer, sent: &str) {
    let shown = format!("{answer:?}");
    let (response, outcome) = answered(path, answer).await;
    assert_ne!(response.end, End::Clean, "{shown}");
    let text = response.text();
    let added = text
        .strip_prefix(sent)
        .unwrap_or_else(|| panic!("{sent} before {text}"));
    assert!(added.contains("upstream_broken"), "{added}");
    assert_eq!(outcome, "broken", "{shown}");
}

async fn is_whole(path: &str, answer: Answer, sent: &str) {
    let shown = format!("{answer:?}");
    let (response, outcome) = answered(path, answer).await;
    assert_eq!(
        (response.text(), response.end),
        (sent.to_owned(), End::Clean),
        "{shown}"
    );
    assert_eq!(outcome, "ok", "{shown}");
}

#[tokio::test]
async fn a_choice_that_is_cut_breaks_the_stream_though_another_has_ended() {
    let one_ended = [chunk(0, "a", None), chunk(1, "b", None), chunk(0, "", Some("stop"))].concat();
    for ending in [Ending::Whole, Ending::Close, Ending::Cut, Ending::Reset, Ending::Stall] {
        is_broken(CHAT, Answer::sse([one_ended.clone()]).then(ending), &one_ended).await;
    }
    let in_pieces = Answer::sse(one_ended.as_bytes().chunks(7));
    is_broken(CHAT, in_pieces, &one_ended).await;
    is_broken(CHAT, Answer::sse([one_ended.clone()]).dribbled(), &one_ended).await;
    let texts = [text_chunk(1, "b", Some("length")), text_chunk(0, "a", None)].concat();
    is_broken("/v1/completions", Answer::sse([texts.clone()]), &texts).await;
    let one_after_another = [chunk(0, "a", Some("stop")), chunk(1, "b", None)].concat();
    is_broken(CHAT, Answer::sse([one_after_another.clone()]), &one_after_another).await;
}

#[tokio::test]
async fn each_choice_may_end_in_its_own_event_or_all_by_done() {
    let both = [
        chunk(0, "a", None),
        chunk(1, "b", None),
        chunk(1, "", Some("stop")),
        chunk(0, "", Some("length")),
    ]
    .concat();
    for ending in [Ending::Whole, Ending::Cut, Ending::Reset, Ending::Stall] {
        is_whole(CHAT, Answer::sse([both.clone()]).then(ending), &both).await;
    }
    is_whole(CHAT, Answer::sse(both.as_bytes().chunks(5)), &both).await;
    let done = [chunk(0, "a", Some("stop")), chunk(1, "b", None), DONE.to_owned()].concat();
    is_whole(CHAT, Answer::sse([done.clone()]), &done).await;
    let texts = [text_chunk(0, "a", Some("stop")), text_chunk(1, "b", Some("stop"))].concat();
    is_whole("/v1/completions", Answer::sse([texts.clone()]), &texts).await;
}

#[tokio::test]
async fn an_event_of_any_length_may_hold_what_ends_a_choice() {
    let huge = "x".repeat(3 << 20);
    let whole = [chunk(0, &huge, Some("stop")), chunk(1, &huge, Some("stop"))].concat();
    is_whole(CHAT, Answer::sse([whole.clone()]), &whole).await;
    let half = [chunk(0, &huge, Some("stop")), chunk(1, &huge, None)].concat();
    is_broken(CHAT, Answer::sse([half.clone()]), &half).await;
}

#[tokio::test]
async fn more_choices_than_can_be_told_apart_need_the_streams_own_end() {
    let many: String = (0..10_000).map(|index| chunk(index, "a", Some("stop"))).collect();
    is_broken(CHAT, Answer::sse([many.clone()]), &many).await;
    let done = many + DONE;
    is_whole(CHAT, Answer::sse([done.clone()]), &done).await;
}
