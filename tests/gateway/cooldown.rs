//! Who is left alone for a while, and how it comes back.

use std::time::{Duration, Instant};

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// The upstreams that served `n` requests, one after the other.
async fn served(gateway: &Gateway, n: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..n {
        let response = gateway.post(CHAT, chat("m")).await;
        names.push(response.header("x-gateway-upstream").unwrap_or("nobody").to_owned());
    }
    names
}

const ONCE: &str = "retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms }";

#[tokio::test]
async fn a_class_with_its_own_duration_cools_at_once() {
    for answer in [
        Answer::json(401, error("bad key", "", Some("invalid_api_key"))),
        Answer::json(402, "{}"),
        Answer::json(404, error("no such model", "", Some("model_not_found"))),
    ] {
        let bad = Upstream::always(answer).await;
        let good = Upstream::always(well()).await;
        let gateway = Gateway::start(chain(&[bad.url(), good.url()])).await;
        assert_eq!(served(&gateway, 3).await, ["b", "b", "b"]);
        assert_eq!(bad.requests().len(), 1, "asked once, then left alone");
    }
}

#[tokio::test]
async fn an_account_cools_for_all_its_models_and_a_missing_model_alone() {
    for (answer, asked) in [
        (Answer::json(402, "{}"), 1),
        (
            Answer::json(404, error("no such model", "", Some("model_not_found"))),
            2,
        ),
    ] {
        let bad = Upstream::always(answer).await;
        let good = Upstream::always(well()).await;
        let yaml = format!(
            "upstreams:\n  a: {{ url: \"{}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\nroutes: {{ m: [a, b], n: [a, b] }}",
            bad.url(),
            good.url()
        );
        let gateway = Gateway::start(yaml).await;
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
        assert_eq!(gateway.post(CHAT, chat("n")).await.status(), 200);
        assert_eq!(bad.requests().len(), asked);
    }
}

#[tokio::test]
async fn transient_failures_add_up() {
    let bad = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 3, base: 60s, max: 60s }} }}");
    let gateway = Gateway::start(chain(&[bad.url(), good.url()]) + &policy).await;
    served(&gateway, 5).await;
    assert_eq!(bad.requests().len(), 3);
}

#[tokio::test]
async fn a_success_between_failures_starts_the_count_anew() {
    let broken = || Answer::json(500, "{}");
    let flaky = Upstream::answering([broken(), broken(), well(), broken(), broken(), well()]).await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 3, base: 60s, max: 60s }} }}");
    let gateway = Gateway::start(chain(&[flaky.url(), good.url()]) + &policy).await;
    assert_eq!(served(&gateway, 6).await, ["b", "b", "a", "b", "b", "a"]);
}

#[tokio::test]
async fn a_cooled_target_is_tried_by_one_request_and_comes_back() {
    let healed = Upstream::answering([Answer::json(500, "{}"), well(), well()]).await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 1, base: 300ms, max: 300ms }} }}");
    let gateway = Gateway::start(chain(&[healed.url(), good.url()]) + &policy).await;
    assert_eq!(served(&gateway, 1).await, ["b"]);
    let failed = healed.requests()[0].at;
    let begin = Instant::now();
    while healed.requests().len() == 1 {
        assert!(begin.elapsed() < PATIENCE, "traffic never switched back");
        served(&gateway, 1).await;
    }
    let back = healed.requests()[1].at;
    assert!(
        back.duration_since(failed) >= Duration::from_millis(290),
        "not before its time"
    );
    assert_eq!(served(&gateway, 1).await, ["a"]);
}

#[tokio::test]
async fn while_one_request_tries_the_others_still_skip() {
    let upstream = Manual::listen().await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 1, base: 200ms, max: 200ms }} }}");
    let gateway = Gateway::start(chain(&[upstream.url(), good.url()]) + &policy).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.answer(&Answer::json(500, "{}").then(Ending::Close)).await;
    drop(play);
    assert_eq!(client.response().await.header("x-gateway-upstream"), Some("b"));
    // The first request to come after the cooldown hangs at the upstream; until then all go to `b`.
    let (address, ready) = (gateway.address.clone(), tokio::sync::Notify::new());
    let probing = async {
        let mut play = upstream.accept().await;
        play.request().await;
        ready.notify_one();
        play
    };
    let knocking = async {
        loop {
            let mut client = Client::connect(&address).await;
            client.send(post(CHAT, chat("m"))).await;
            tokio::select! {
                () = ready.notified() => return client,
                response = client.response() => assert_eq!(response.header("x-gateway-upstream"), Some("b")),
            }
        }
    };
    let (mut play, mut probe) = tokio::join!(probing, knocking);
    assert_eq!(served(&gateway, 2).await, ["b", "b"]);
    play.answer(&well()).await;
    assert_eq!(probe.response().await.header("x-gateway-upstream"), Some("a"));
}

#[tokio::test]
async fn retry_after_keeps_a_target_out() {
    let limited = Answer::json(429, error("slow down", "", Some("rate_limit_exceeded"))).header("retry-after", "60");
    let bad = Upstream::always(limited).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[bad.url(), good.url()])).await;
    assert_eq!(served(&gateway, 3).await, ["b", "b", "b"]);
    assert_eq!(bad.requests().len(), 1);
}

#[tokio::test]
async fn asking_beats_refusing_when_all_are_cooling() {
    let first = Upstream::answering([Answer::json(402, "{}"), well()]).await;
    let second = Upstream::always(Answer::json(401, "{\"error\":\"bad key\"}")).await;
    let policy = "policy: { cooldown: { out_of_credits: 60s, auth: 120s } }";
    let gateway = Gateway::start(chain(&[first.url(), second.url()]) + policy).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 401);
    assert_eq!(served(&gateway, 1).await, ["a"], "the one that ends soonest first");
    assert_eq!(second.requests().len(), 1);
}

#[tokio::test]
async fn what_the_client_did_wrong_never_counts() {
    let upstream = Upstream::always(Answer::json(422, "{}")).await;
    let good = Upstream::always(well()).await;
    let policy = "policy: { cooldown: { after: 1 } }";
    let gateway = Gateway::start(chain(&[upstream.url(), good.url()]) + policy).await;
    assert_eq!(served(&gateway, 3).await, ["a", "a", "a"]);
}

#[tokio::test]
async fn a_policy_that_delivers_does_not_change_what_is_known() {
    let bad = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::always(well()).await;
    let policy = "policy: { on: { server_error: deliver }, cooldown: { after: 1 } }";
    let gateway = Gateway::start(chain(&[bad.url(), good.url()]) + policy).await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 500);
    assert_eq!(served(&gateway, 2).await, ["b", "b"]);
}

#[tokio::test]
async fn a_target_that_has_begun_to_cool_is_not_tried_again_by_the_same_request() {
    let bad = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::always(well()).await;
    let policy = "policy: { retry: { same_target: 5, backoff: 1ms, max_backoff: 2ms }, cooldown: { after: 2 } }";
    let gateway = Gateway::start(chain(&[bad.url(), good.url()]) + policy).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!((response.ledger().len(), bad.requests().len()), (3, 2));
    // Alone, it is: there is nobody else to ask.
    let gateway = Gateway::start(chain(&[bad.url()]) + policy).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!((response.status(), response.ledger().len()), (500, 6));
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_left_alone_with_all_its_models() {
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let good = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{refusing}/v1\" }}\n  b: {{ url: \"{}/v1\" }}\nroutes: {{ \"*\": [a, b] }}",
        good.url()
    );
    let gateway = Gateway::start(yaml + "\npolicy: { cooldown: { base: 60s, max: 60s } }").await;
    let mut ledgers = Vec::new();
    for model in ["one", "two", "three", "four", "five"] {
        ledgers.push(gateway.post(CHAT, chat(model)).await.ledger().len());
    }
    assert_eq!(ledgers, [2, 2, 2, 1, 1]);
}

#[tokio::test]
async fn answers_that_break_off_count_too() {
    let cut = Answer::sse([role(), delta("half")]).then(Ending::Cut);
    let breaking = Upstream::always(cut).await;
    let good = Upstream::always(Answer::sse(stream_of("well"))).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 2, base: 60s, max: 60s }} }}");
    let gateway = Gateway::start(chain(&[breaking.url(), good.url()]) + &policy).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        let response = gateway.post(CHAT, chat_stream("m")).await;
        names.push(response.header("x-gateway-upstream").unwrap().to_owned());
    }
    assert_eq!(names, ["a", "a", "b", "b"]);
}

#[tokio::test]
async fn a_failure_that_is_delivered_whole_makes_no_broken_answer_good() {
    let cut = || Answer::sse([role(), delta("half")]).then(Ending::Cut);
    let refusal = Answer::json(400, error("no such thing", "invalid_request_error", None));
    let breaking = Upstream::answering([cut(), refusal, cut(), cut()]).await;
    let good = Upstream::always(Answer::sse(stream_of("well"))).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 2, base: 60s, max: 60s }} }}");
    let gateway = Gateway::start(chain(&[breaking.url(), good.url()]) + &policy).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        let response = gateway.post(CHAT, chat_stream("m")).await;
        names.push(response.header("x-gateway-upstream").unwrap().to_owned());
    }
    assert_eq!(names, ["a", "a", "a", "b"]);
}

#[tokio::test]
async fn a_dead_connection_of_the_pool_counts_nothing() {
    let closing = Upstream::always(well().then(Ending::Close)).await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 1, base: 60s, max: 60s }} }}");
    let gateway = Gateway::start(chain(&[closing.url(), good.url()]) + &policy).await;
    assert_eq!(served(&gateway, 10).await, ["a"; 10]);
}

#[tokio::test]
async fn the_log_tells_once_when_it_begins_and_when_it_ends() {
    let limited = |ms| Answer::json(429, error("slow down", "requests", None)).header("retry-after-ms", ms);
    let upstream = Upstream::answering([limited("200"), limited("300"), well(), well(), well()]).await;
    let good = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url(), good.url()]) + &format!("policy: {{ {ONCE} }}")).await;
    let last = loop {
        let response = gateway.post(CHAT, chat("m")).await;
        if upstream.requests().len() == 5 {
            break response;
        }
    };
    // Its own line comes after all others.
    gateway.access(&last.id()).await;
    let lines = gateway.log.json();
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line["module"] == "switchback::cooldown")
        .map(|line| {
            assert_eq!(
                (&line["target"], &line["class"]),
                (&"a/m".into(), &"rate_limited".into())
            );
            (
                line["level"].as_str().unwrap(),
                line["msg"].as_str().unwrap(),
                line["seconds"].as_f64(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("warn", "cooling down", Some(0.2)),
            // Twice as long.
            ("info", "still cooling down", Some(0.4)),
            ("info", "in use again", None)
        ]
    );
}

#[tokio::test]
async fn the_gateways_own_error_says_when_to_come_back() {
    let limited = Answer::json(429, error("slow down", "requests", None));
    for (seconds, should_retry) in [("30", None), ("300", Some("false"))] {
        let limited = Upstream::always(limited.clone().header("retry-after", seconds)).await;
        let reset = Upstream::answering([well(), Answer::reset(), Answer::reset()]).await;
        let gone = Upstream::always(Answer::reset()).await;
        // No attempt is left for the one that cools down.
        let policy = "policy: { retry: { attempts: 2, same_target: 0 } }";
        let gateway = Gateway::start(chain(&[limited.url(), reset.url(), gone.url()]) + policy).await;
        assert_eq!(served(&gateway, 1).await, ["b"]);
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 502);
        let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
        let asked: u64 = seconds.parse().unwrap();
        assert!((asked - 20..=asked).contains(&wait), "{wait} of {asked}");
        assert_eq!(response.header("x-should-retry"), should_retry);
        let text = response.text();
        assert!(text.contains("cooling down: a/m (rate_limited, "), "{text}");
    }
}

#[tokio::test]
async fn without_a_cooldown_nothing_says_when_to_come_back() {
    let reset = Upstream::always(Answer::reset()).await;
    let gateway = Gateway::start(chain(&[reset.url()]) + &format!("policy: {{ {ONCE} }}")).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!((response.status(), response.header("retry-after")), (502, None));
}

#[tokio::test]
async fn what_is_wrong_with_a_clients_own_account_is_wrong_for_nobody_else() {
    for answer in [
        Answer::json(401, error("bad key", "", Some("invalid_api_key"))),
        Answer::json(402, "{}"),
        Answer::json(429, error("slow down", "requests", None)).header("retry-after", "60"),
    ] {
        let upstream = Upstream::answering([answer.clone(), answer.clone(), answer, well()]).await;
        let good = Upstream::always(well()).await;
        let policy = "policy: { cooldown: { after: 1 } }";
        let gateway = Gateway::start(chain_with(&[upstream.url(), good.url()], ", key: passthrough") + policy).await;
        assert_eq!(served(&gateway, 4).await, ["b", "b", "b", "a"]);
    }
}
