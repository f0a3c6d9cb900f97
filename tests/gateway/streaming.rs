//! After commit: bytes as they come, and an end that never looks better than it was.

use serde_json::json;

use crate::support::*;

async fn one(answer: Answer) -> (Upstream, Gateway) {
    let upstream = Upstream::always(answer).await;
    let gateway = Gateway::start(chain_with(&[upstream.url()], ", protocol: [openai, anthropic]")).await;
    (upstream, gateway)
}

#[tokio::test]
async fn the_client_reads_an_event_before_the_upstream_sends_the_next() {
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    play.chunk(role()).await;
    for word in ["one", "two", "three"] {
        play.chunk(delta(word)).await;
        if word == "one" {
            let head = client.head().await;
            assert_eq!(
                (head.status(), head.header("content-type")),
                (200, Some("text/event-stream"))
            );
            assert_eq!(client.until(word).await, (role() + &delta(word)).into_bytes());
        } else {
            assert_eq!(client.until(word).await, delta(word).into_bytes());
        }
    }
    // Half an event passes too: there is no waiting for its end.
    play.chunk("data: {\"cho").await;
    assert_eq!(client.until("cho").await, b"data: {\"cho");
    play.chunk(finish().trim_start_matches("data: {\"cho")).await;
    play.chunk(DONE).await;
    play.finish().await;
    assert_eq!(client.rest_of_stream().await.1, End::Clean);
}

#[tokio::test]
async fn the_bytes_of_a_stream_are_not_framed_anew() {
    let odd = format!(
        "{}:comment\nevent: x\ndata:no space\ndata:  two\n\nid: 7\n\n{}{}",
        delta("a"),
        finish(),
        DONE
    );
    for answer in [
        Answer::sse([odd.clone()]),
        Answer::sse([odd.clone()]).dribbled(),
        Answer::sse(odd.as_bytes().chunks(1)),
    ] {
        let (_upstream, gateway) = one(answer).await;
        let response = gateway.post(CHAT, chat_stream("m")).await;
        assert_eq!((response.text(), response.end), (odd.clone(), End::Clean));
    }
}

#[tokio::test]
async fn a_stream_of_http_1_0_passes() {
    let whole = stream_of("hi").concat();
    let (_upstream, gateway) = one(Answer::sse([whole.clone()]).until_close()).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.status(), response.text(), response.end),
        (200, whole, End::Clean)
    );
}

/// What was sent comes first; then one error event with the request's id; then no clean end.
async fn broken(path: &str, answer: Answer, sent: &str, error_event: &str) {
    let shown = format!("{answer:?}");
    let (_upstream, gateway) = one(answer).await;
    let response = gateway.post(path, chat_stream("m")).await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.end, End::Clean, "{shown}");
    let text = response.text();
    let added = text
        .strip_prefix(sent)
        .unwrap_or_else(|| panic!("{sent:?} before {text:?}"));
    assert!(added.trim_start().starts_with(error_event), "{added:?}");
    assert!(added.ends_with("\n\n") && added.contains(&response.id()), "{added:?}");
    let data = added
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .expect("an event with data");
    let data: serde_json::Value = serde_json::from_str(data).expect("of JSON");
    assert!(data["error"]["message"].is_string(), "{data}");
    assert_eq!(added.matches("data:").count(), 1, "one event: {added:?}");
    let line = gateway.access(&response.id()).await;
    assert_eq!(line["outcome"], "broken");
}

#[tokio::test]
async fn a_broken_stream_never_looks_complete() {
    let sent = role() + &delta("half");
    for ending in [Ending::Cut, Ending::Reset, Ending::Whole] {
        let answer = Answer::sse([sent.clone()]).then(ending);
        broken(CHAT, answer, &sent, "data: {").await;
    }
    let half_event = sent.clone() + "data: {\"choices\":[{\"del";
    broken(
        CHAT,
        Answer::sse([half_event.clone()]).then(Ending::Cut),
        &half_event,
        "data: {",
    )
    .await;
    broken(CHAT, Answer::sse([sent.clone()]).until_close(), &sent, "data: {").await;
}

fn message(parts: usize) -> String {
    let events = [
        event("message_start", json!({ "message": { "id": "msg_1" } })),
        event(
            "content_block_delta",
            json!({ "index": 0, "delta": { "type": "text_delta", "text": "hi" } }),
        ),
        event("message_delta", json!({ "delta": { "stop_reason": "end_turn" } })),
        event("message_stop", json!({})),
    ];
    events[..parts].concat()
}

fn response_events(last: &str) -> String {
    event("response.created", json!({ "response": {} }))
        + &event("response.output_text.delta", json!({ "delta": "hi" }))
        + &if last.is_empty() {
            String::new()
        } else {
            event(last, json!({ "response": {} }))
        }
}

#[tokio::test]
async fn every_protocol_has_its_own_end() {
    broken(MESSAGES, Answer::sse([message(3)]), &message(3), "event: error\n").await;
    broken(
        MESSAGES,
        Answer::sse([message(2)]).then(Ending::Reset),
        &message(2),
        "event: error\n",
    )
    .await;
    let events = response_events("");
    let (_upstream, gateway) = one(Answer::sse([events.clone()])).await;
    let response = gateway.post("/v1/responses", chat_stream("m")).await;
    assert!(
        response.end != End::Clean && response.text().starts_with(&events),
        "{response:?}"
    );
    assert!(response.text()[events.len()..].contains("error"), "{response:?}");
    for (path, whole) in [
        (MESSAGES, message(4)),
        ("/v1/responses", response_events("response.completed")),
        ("/v1/responses", response_events("response.incomplete")),
        ("/v1/responses", response_events("response.failed")),
        (CHAT, delta("hi") + &finish() + DONE),
        (CHAT, delta("hi") + DONE),
        (CHAT, delta("hi") + &finish()),
        (
            CHAT,
            delta("hi") + &finish() + "data: {\"choices\":[],\"usage\":{\"total_tokens\":1}}\n\n",
        ),
    ] {
        let (_upstream, gateway) = one(Answer::sse([whole.clone()])).await;
        let response = gateway.post(path, chat_stream("m")).await;
        assert_eq!((response.text(), response.end), (whole, End::Clean), "nothing is added");
    }
}

#[tokio::test]
async fn an_end_may_come_in_pieces() {
    let whole = delta("hi") + &finish();
    let (_upstream, gateway) = one(Answer::sse(whole.as_bytes().chunks(3))).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((response.text(), response.end), (whole, End::Clean));
}

#[tokio::test]
async fn an_end_that_is_only_quoted_is_none() {
    let sent = delta("say data: [DONE] and \"finish_reason\":\"stop\"");
    broken(CHAT, Answer::sse([sent.clone()]), &sent, "data: {").await;
}

#[tokio::test]
async fn an_upstreams_own_error_event_passes_as_it_is() {
    let whole = delta("hi") + &format!("data: {}\n\n", error("boom", "server_error", None)) + DONE;
    let (_upstream, gateway) = one(Answer::sse([whole.clone()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((response.text(), response.end), (whole, End::Clean));
}

#[tokio::test]
async fn other_bodies_that_are_cut_end_uncleanly_too() {
    for answer in [
        Answer::json(200, "{\"id\":\"1\",\"half\":"),
        Answer::json(200, "{\"id\":\"1\",\"half\":").chunked(),
        Answer::status(200, "RIFF....WAVE").header("content-type", "audio/wav"),
    ] {
        for ending in [Ending::Cut, Ending::Reset] {
            let (_upstream, gateway) = one(answer.clone().then(ending)).await;
            let response = gateway.post("/v1/audio/speech", chat("m")).await;
            assert_eq!(response.status(), 200);
            assert_ne!(response.end, End::Clean, "{answer:?} {ending:?}");
            let sent = answer.clone().then(Ending::Cut).writes().concat();
            let sent = String::from_utf8_lossy(&sent).into_owned();
            assert!(
                sent.contains(&response.text()),
                "nothing is added: {:?}",
                response.text()
            );
        }
    }
}

#[tokio::test]
async fn the_next_request_is_not_hurt_by_a_broken_one() {
    let good = Answer::sse(stream_of("well"));
    let upstream = Upstream::answering([Answer::sse([delta("half")]).then(Ending::Cut), good]).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    assert_ne!(gateway.post(CHAT, chat_stream("m")).await.end, End::Clean);
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(
        (response.text(), response.end),
        (stream_of("well").concat(), End::Clean)
    );
}

#[tokio::test]
async fn a_stream_dribbled_byte_by_byte_is_the_same_stream() {
    let whole = stream_of("slow").concat();
    let (_upstream, gateway) = one(Answer::sse([whole.clone()]).dribbled()).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!((response.text(), response.end), (whole, End::Clean));
}

#[tokio::test]
async fn what_breaks_after_its_protocols_end_is_complete() {
    let chat = role() + &delta("whole") + &finish();
    let whole = message(4);
    for (path, sent) in [(CHAT, &chat), (MESSAGES, &whole)] {
        for ending in [Ending::Cut, Ending::Reset, Ending::Stall] {
            let upstream = Upstream::always(Answer::sse([sent.clone()]).then(ending)).await;
            let yaml = chain_with(
                &[upstream.url()],
                ", protocol: [openai, anthropic], timeouts: { idle: 200ms }",
            );
            let gateway = Gateway::start(yaml).await;
            let response = gateway.post(path, chat_stream("m")).await;
            assert_eq!(
                (&response.text(), response.end.clone()),
                (sent, End::Clean),
                "{ending:?}"
            );
            assert_eq!(gateway.access(&response.id()).await["outcome"], "ok");
        }
    }
}

#[tokio::test]
async fn a_stream_is_whole_with_its_protocols_end_and_its_connection_is_kept() {
    let done = "data: [DONE]\n\n";
    let upstream = Manual::listen().await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut play = None;
    for _ in 0..3 {
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat_stream("m"))).await;
        let mut playing = match play.take() {
            None => upstream.accept().await,
            // The upstream ends its response when the client has long left.
            Some(playing) => playing,
        };
        playing.request().await;
        playing.begin_sse().await;
        playing.chunk(delta("all") + &finish()).await;
        playing.chunk(done).await;
        let head = client.head().await;
        assert_eq!(
            client.rest_of_stream().await,
            (delta("all") + &finish() + done, End::Clean)
        );
        drop(client);
        let line = gateway.access(head.all("x-gateway-request-id")[0]).await;
        assert_eq!(line["outcome"], "ok");
        playing.finish().await;
        // Time for the connection to return to the pool.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        play = Some(playing);
    }
}

#[tokio::test]
async fn what_follows_an_error_in_a_stream_still_passes() {
    let failed = "data: {\"error\":{\"message\":\"boom\"}}\n\n";
    let upstream = Upstream::always(Answer::sse([
        delta("hi"),
        failed.to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ]))
    .await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let response = gateway.post(CHAT, chat_stream("m")).await;
    assert_eq!(response.text(), delta("hi") + failed + "data: [DONE]\n\n");
}

#[tokio::test]
async fn silence_after_the_beginning_is_filled_between_events_only() {
    const MESSAGES: &str = "/v1/messages";
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let upstream = Manual::listen().await;
    let more = ", protocol: [openai, anthropic]";
    let policy = "policy: { keepalive: 200ms, timeouts: { idle: 1500ms } }";
    let gateway = Gateway::start(chain_with(&[upstream.url()], more) + policy).await;
    let begun = event(
        "content_block_delta",
        json!({ "delta": { "type": "text_delta", "text": "a" } }),
    );
    for (path, begun, filler) in [(CHAT, delta("a"), ": keep-alive\n\n"), (MESSAGES, begun, ping)] {
        let mut client = gateway.client().await;
        client.send(post(path, chat_stream("m"))).await;
        let (mut play, ..) = upstream.request().await;
        play.begin_sse().await;
        play.chunk(&begun).await;
        client.head().await;
        client.until(&filler.repeat(2)).await;
        // Nothing is put into the middle of an event.
        let (half, rest) = begun.split_at(begun.len() / 2);
        play.chunk(half).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        play.chunk(rest).await;
        // What the gateway itself sends does not keep a silent upstream alive.
        let begin = std::time::Instant::now();
        let (text, end) = client.rest_of_stream().await;
        assert!(text.contains(&begun), "{text}");
        assert!(text.contains(filler) && text.contains("upstream_broken"), "{text}");
        assert_ne!(end, End::Clean);
        assert!(begin.elapsed().as_secs() < 8, "{:?}", begin.elapsed());
    }
}
