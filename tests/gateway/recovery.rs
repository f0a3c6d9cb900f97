//! The way back from a cooldown, with many clients at once.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn broken() -> Answer {
    Answer::json(500, "{}")
}

const ONCE: &str = "retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms }";

async fn served(gateway: &Gateway) -> String {
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 200, "every client is served, whoever is down");
    response.header("x-gateway-upstream").unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_primary_that_was_down_is_used_again_soon_after_it_is_back() {
    let (max, downtime) = (Duration::from_millis(400), Duration::from_secs(2));
    let primary = Upstream::answering(std::iter::repeat_n(broken(), 1000)).await;
    let good = Upstream::always(well()).await;
    let address = primary.address;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 3, base: 100ms, max: 400ms }} }}");
    let gateway = Gateway::start(chain(&[primary.url(), good.url()]) + &policy).await;

    // Down: few requests find out about it. Three to begin with, then one a cooldown: 0.1, 0.2, 0.4, 0.4, … s.
    let down = Instant::now();
    while down.elapsed() < downtime {
        assert_eq!(served(&gateway).await, "b");
    }
    let probes = primary.requests().len();
    assert!(
        (4..=10).contains(&probes),
        "{probes} requests met a primary that was down for {downtime:?}"
    );

    // Back: one that listens in its place.
    drop(primary);
    let back = Upstream::always_at(address, well()).await;
    let since = Instant::now();
    while served(&gateway).await != "a" {
        assert!(since.elapsed() < PATIENCE, "traffic never switched back");
    }
    // How late it may be depends on the machine's load; that it was the first to be asked does not.
    let first = back.requests()[0].at;
    assert!(first.duration_since(since) < 2 * max + Duration::from_secs(1));
    for _ in 0..5 {
        assert_eq!(served(&gateway).await, "a");
    }
}

/// Sends `n` requests, each on a connection of its own, and returns the clients that wait for an answer.
async fn crowd(gateway: &Gateway, n: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(n);
    for _ in 0..n {
        clients.push(gateway.client().await);
    }
    for client in &mut clients {
        client.send(post(CHAT, chat("m"))).await;
    }
    clients
}

#[tokio::test]
async fn of_two_hundred_requests_one_tries() {
    let primary = Upstream::answering([broken(), Answer::hang()]).await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 1, base: 300ms, max: 300ms }} }}");
    let gateway = Gateway::start(chain(&[primary.url(), good.url()]) + &policy).await;
    assert_eq!(served(&gateway).await, "b");
    // One of these is the trial, or one of the next: whoever comes first after the cooldown.
    let begin = Instant::now();
    let trial = loop {
        assert!(begin.elapsed() < PATIENCE, "nobody tried");
        let waiting = crowd(&gateway, 200).await.into_iter();
        let mut answers: FuturesUnordered<_> = waiting.map(async |mut client| client.response().await).collect();
        for _ in 0..199 {
            let response = answers.next().await.expect("200 wait");
            assert_eq!(response.header("x-gateway-upstream"), Some("b"));
        }
        tokio::select! {
            _ = primary.request(1) => break answers,
            response = answers.next() => {
                assert_eq!(response.expect("one waits").header("x-gateway-upstream"), Some("b"));
            }
        }
    };
    // While it hangs, everybody else is served by the other.
    for mut client in crowd(&gateway, 200).await {
        assert_eq!(client.response().await.header("x-gateway-upstream"), Some("b"));
    }
    assert_eq!(primary.requests().len(), 2, "the failure, and one trial");
    drop(trial);
}

#[tokio::test]
async fn a_trial_whose_client_leaves_is_made_by_the_next() {
    let primary = Upstream::answering([broken(), Answer::hang(), Answer::hang(), well(), well()]).await;
    let good = Upstream::always(well()).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 1, base: 100ms, max: 100ms }} }}");
    let gateway = Gateway::start(chain(&[primary.url(), good.url()]) + &policy).await;
    assert_eq!(served(&gateway).await, "b");
    for n in [1, 2] {
        // Knocks until it is the one that tries.
        let client = soon("a trial", async {
            loop {
                let mut client = gateway.client().await;
                client.send(post(CHAT, chat("m"))).await;
                tokio::select! {
                    _ = primary.request(n) => return client,
                    response = client.response() => assert_eq!(response.header("x-gateway-upstream"), Some("b")),
                }
            }
        })
        .await;
        client.leave();
        primary.left_by(n).await;
    }
    let begin = Instant::now();
    while served(&gateway).await != "a" {
        assert!(begin.elapsed() < PATIENCE, "half-open for ever");
    }
    assert_eq!(served(&gateway).await, "a");
}

#[tokio::test]
async fn a_chain_that_cools_down_as_a_whole_is_asked_all_the_same() {
    let first = Upstream::always(broken()).await;
    let second = Upstream::answering(std::iter::repeat_n(broken(), 5).chain([well(), well()])).await;
    let policy = format!("policy: {{ {ONCE}, cooldown: {{ after: 1, base: 60s, max: 60s }} }}");
    let gateway = Gateway::start(chain(&[first.url(), second.url()]) + &policy).await;
    for _ in 0..5 {
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!((response.status(), response.ledger().len()), (500, 2));
    }
    assert_eq!(served(&gateway).await, "b");
    // That was proof enough: it is used, and the other is not.
    assert_eq!(served(&gateway).await, "b");
    assert_eq!(first.requests().len(), 6);
}
