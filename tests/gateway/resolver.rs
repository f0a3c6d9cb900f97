//! Names whose lookup is slow, silent or wrong, and names with several addresses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::clocks::black_hole;
use crate::support::reload::{UNWATCHED, applied};
use crate::support::*;

const NAME: &str = "up.test";
/// Much less than the clocks that must not be the ones to fire.
const SOON: Duration = Duration::from_secs(8);

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// A chain with one upstream, at this port of `up.test`.
fn chain_at(port: u16, timeouts: &str) -> String {
    let retry = "retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms }";
    let policy = format!("policy: {{ {retry}, timeouts: {{ {timeouts} }} }}\n");
    format!("{}{policy}{UNWATCHED}", chain(&[format!("http://{NAME}:{port}")]))
}

/// Threads of the gateway's process that look a name up.
fn lookups(gateway: &Gateway) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.pid)).unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
    names
        .filter(|name| name.as_ref().is_ok_and(|name| name.trim() == "lookup"))
        .count()
}

#[tokio::test]
async fn addresses_that_are_known_are_used_when_the_resolver_falls_silent() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    let upstream = Upstream::always(well().header("connection", "close")).await;
    names.say(NAME, &["127.0.0.1"]);
    let yaml = chain_at(upstream.address.port(), "connect: 2s");
    let conf = Nameserver::conf(&[&names], "timeout:30");
    let gateway = Setup::new(yaml.clone()).names(conf).start().await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    names.fall_silent();
    let asked = names.questions();
    let reloaded = gateway.reload(&yaml.replace("same_target: 0", "same_target: 1")).await;
    assert!(applied(&reloaded), "{reloaded}");
    assert_eq!(
        gateway.post(CHAT, chat("m")).await.status(),
        200,
        "a reload forgets nothing"
    );
    // Addresses are renewed after half a minute.
    let begin = Instant::now();
    while names.questions() == asked {
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody renews the addresses");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..5 {
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    assert_eq!(lookups(&gateway), 1, "one lookup, though several have asked");
}

#[tokio::test]
async fn the_first_of_two_nameservers_is_dead() {
    let (Some(dead), Some(names)) = (Nameserver::silent().await, Nameserver::silent().await) else {
        return;
    };
    let upstream = Upstream::always(well()).await;
    names.say(NAME, &["127.0.0.1"]);
    let yaml = chain_at(upstream.address.port(), "connect: 300ms");
    let conf = Nameserver::conf(&[&dead, &names], "timeout:4 attempts:1");
    let gateway = Setup::new(yaml).names(conf).start().await;
    dead.asked(1).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 504, "{}", response.text());
    assert_eq!(response.ledger()[0].class.as_deref(), Some("connect"));
    gateway.log.says("the name did not resolve in time").await;
    // The lookup goes on without anybody waiting, and its result serves whoever comes.
    names.asked(2).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!((dead.questions(), names.questions()), (2, 2), "one lookup in all");
}

#[tokio::test]
async fn all_who_wait_share_a_slow_lookup() {
    let (Some(dead), Some(names)) = (Nameserver::silent().await, Nameserver::silent().await) else {
        return;
    };
    let upstream = Upstream::always(well()).await;
    names.say(NAME, &["127.0.0.1"]);
    let yaml = chain_at(upstream.address.port(), "connect: 15s");
    let conf = Nameserver::conf(&[&dead, &names], "timeout:1 attempts:1");
    let gateway = Setup::new(yaml).names(conf).start().await;
    let requests = (0..20).map(|_| gateway.post(CHAT, chat("m")));
    for response in futures_util::future::join_all(requests).await {
        assert_eq!(response.status(), 200, "{}", response.text());
    }
    assert_eq!((dead.questions(), names.questions()), (2, 2), "one lookup in all");
}

#[tokio::test]
async fn a_resolver_that_is_back_is_noticed_at_once_and_a_silent_one_takes_one_thread() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    let upstream = Upstream::always(well()).await;
    let yaml = chain_at(upstream.address.port(), "connect: 100ms");
    let conf = Nameserver::conf(&[&names], "timeout:3 attempts:1");
    let gateway = Setup::new(yaml.clone()).names(conf).start().await;
    for n in 0..5 {
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 504);
        let reloaded = gateway
            .reload(&yaml.replace("max_backoff: 2ms", &format!("max_backoff: {}ms", 3 + n)))
            .await;
        assert!(applied(&reloaded), "{reloaded}");
        assert!(lookups(&gateway) <= 1);
    }
    names.say(NAME, &["127.0.0.1"]);
    let begin = Instant::now();
    while gateway.post(CHAT, chat("m")).await.status() != 200 {
        assert!(begin.elapsed() < SOON, "the name resolves, and nobody looks");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_connect_failure_that_says_so() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    names.say("another.test", &["127.0.0.1"]);
    let conf = Nameserver::conf(&[&names], "timeout:5 attempts:1");
    let gateway = Setup::new(chain_at(80, "connect: 5s")).names(conf).start().await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 502, "{}", response.text());
    assert_eq!(response.ledger()[0].class.as_deref(), Some("connect"));
    assert!(!response.text().contains("127."), "{}", response.text());
    gateway
        .log
        .says("could not connect: no address: failed to lookup address information")
        .await;
}

#[tokio::test]
async fn the_second_address_serves_where_the_first_refuses() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    let port = refusing_port().await;
    let upstream = Upstream::always_at(SocketAddr::from(([127, 0, 0, 2], port)), well()).await;
    names.say(NAME, &["127.0.0.1", "127.0.0.2"]);
    let conf = Nameserver::conf(&[&names], "timeout:5");
    let gateway = Setup::new(chain_at(port, "connect: 15s")).names(conf).start().await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(
        (response.status(), response.ledger().len()),
        (200, 1),
        "{}",
        response.text()
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn the_second_address_does_not_wait_for_one_that_swallows_packets() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    let hole = black_hole().await;
    let _upstream = Upstream::always_at(
        SocketAddr::from(([127, 0, 0, 2], hole.address.port())),
        well().header("connection", "close"),
    )
    .await;
    names.say(NAME, &["127.0.0.1", "127.0.0.2"]);
    let conf = Nameserver::conf(&[&names], "timeout:5");
    let yaml = chain_at(hole.address.port(), "connect: 40s");
    let gateway = Setup::new(yaml).names(conf).start().await;
    let begin = Instant::now();
    for _ in 0..10 {
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(
            (response.status(), response.ledger().len()),
            (200, 1),
            "{}",
            response.text()
        );
    }
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_log_tells_what_became_of_each_address() {
    let Some(names) = Nameserver::silent().await else {
        return;
    };
    let hole = black_hole().await;
    let port = hole.address.port();
    names.say(NAME, &["127.0.0.1", "127.0.0.2"]);
    let conf = Nameserver::conf(&[&names], "timeout:5");
    let gateway = Setup::new(chain_at(port, "connect: 600ms")).names(conf).start().await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.status(), 504, "{}", response.text());
    assert!(!response.text().contains("127."), "{}", response.text());
    let both = format!("127.0.0.1:{port}: no answer; 127.0.0.2:{port}: connection refused");
    gateway.log.says(&both).await;
}
