//! SIGHUP: a changed configuration is taken whole or not at all, and what runs is left alone.

use std::time::{Duration, Instant};

use crate::support::reload::{UNWATCHED, applied};
use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// Two upstreams, `a` and `b`, and these routes.
fn routes(a: &str, b: &str, routes: &str) -> String {
    format!("upstreams:\n  a: {{ url: \"{a}/v1\" }}\n  b: {{ url: \"{b}/v1\" }}\nroutes: {{ {routes} }}\n{UNWATCHED}")
}

#[tokio::test]
async fn routes_come_go_and_change() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    let yaml = |of: &str| routes(&a.url(), &b.url(), of);
    let gateway = Gateway::start(yaml("stays: [a], goes: [a], changes: [a]")).await;
    assert_eq!(gateway.post(CHAT, chat("goes")).await.status(), 200);
    assert_eq!(gateway.post(CHAT, chat("comes")).await.status(), 404);

    let line = gateway.reload(&yaml("stays: [a], changes: [b, a], comes: [b]")).await;
    assert_eq!(line["msg"], "configuration reloaded");
    assert_eq!(
        (&line["routes_added"], &line["routes_removed"], &line["routes_changed"]),
        (&"comes".into(), &"goes".into(), &"changes".into()),
        "{line}"
    );
    assert_eq!((&line["generation"], &line["trigger"]), (&2.into(), &"signal".into()));
    assert_eq!(line["upstreams_changed"], serde_json::Value::Null);
    assert_eq!(gateway.post(CHAT, chat("goes")).await.status(), 404);
    for (model, upstream) in [("stays", "a"), ("changes", "b"), ("comes", "b")] {
        let response = gateway.post(CHAT, chat(model)).await;
        assert_eq!(response.header("x-gateway-upstream"), Some(upstream), "{model}");
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_every_fault_is_told() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    let good = routes(&a.url(), &b.url(), "m: [a]");
    let gateway = Gateway::start(good.clone()).await;
    let bad = "upstreams:\n  a: { url: ftp://x, kye: sk-secret }\nroutes: { m: [c] }\nserver: { watch: false }";
    for (text, codes) in [
        (bad, &["invalid-url", "unknown-key", "unknown-upstream"][..]),
        ("routes: { m: [a", &["syntax"]),
        ("", &["missing-key"]),
    ] {
        let line = gateway.reload(text).await;
        assert!(!applied(&line), "{text}: {line}");
        assert_eq!(line["level"], "error");
        for code in codes {
            gateway.log.line(code, |line| line["code"] == *code).await;
        }
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200, "{text}");
    }
    let fault = gateway.log.line("a fault", |line| line["code"] == "unknown-key").await;
    let at = format!("{}:4:22", gateway.file.display());
    assert_eq!(
        (&fault["at"], &fault["level"]),
        (&at.into(), &"error".into()),
        "{fault}"
    );
    assert!(
        fault["help"].as_str().is_some_and(|help| help.contains("`key`")),
        "{fault}"
    );
    assert!(!gateway.log.text().contains("sk-secret"));

    let line = gateway.reload(&good).await;
    assert!(applied(&line), "{line}");
    assert_eq!(line["generation"], 2, "what was rejected does not count");
}

#[tokio::test]
async fn a_file_that_is_gone_or_empty_changes_nothing() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[a.url()]) + UNWATCHED).await;
    std::fs::remove_file(&gateway.file).unwrap();
    gateway.hang_up();
    let line = gateway.attempt(0).await;
    assert!(!applied(&line), "{line}");
    gateway.log.says("there is no such file").await;
    std::fs::write(&gateway.file, "").unwrap();
    gateway.hang_up();
    let line = gateway.attempt(1).await;
    assert!(!applied(&line), "{line}");
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
}

#[tokio::test]
async fn a_running_stream_and_a_running_chain_stay_as_they_began() {
    let (streaming, failing) = (Manual::listen().await, Manual::listen().await);
    let second = Upstream::always(well()).await;
    let other = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  s: {{ url: \"{}/v1\" }}\n  f: {{ url: \"{}/v1\" }}\n  n: {{ url: \"{}/v1\" }}\n\
         routes: {{ stream: [s], chain: [f, n] }}\npolicy: {{ retry: {{ same_target: 0 }} }}\n{UNWATCHED}",
        streaming.url(),
        failing.url(),
        second.url()
    );
    let gateway = Gateway::start(yaml).await;
    let mut stream = gateway.client().await;
    stream.send(post(CHAT, chat_stream("stream"))).await;
    let (mut play, ..) = streaming.request().await;
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    stream.head().await;
    stream.until("one").await;
    let mut asking = gateway.client().await;
    asking.send(post(CHAT, chat("chain"))).await;
    let (mut fails, ..) = failing.request().await;

    let line = gateway.reload(&(chain(&[other.url()]) + UNWATCHED)).await;
    assert_eq!(line["upstreams_removed"], "s, f, n", "{line}");
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!(gateway.post(CHAT, chat_stream("stream")).await.status(), 404);

    fails.answer(&Answer::json(500, "{}")).await;
    assert_eq!(asking.response().await.header("x-gateway-upstream"), Some("n"));
    play.chunk(finish() + DONE).await;
    play.finish().await;
    assert_eq!(stream.rest_of_stream().await, (finish() + DONE, End::Clean));
}

#[tokio::test]
async fn a_target_that_stays_keeps_cooling() {
    let empty = Upstream::always(Answer::json(402, "{}")).await;
    let good = Upstream::always(well()).await;
    let yaml = chain(&[empty.url(), good.url()]) + UNWATCHED;
    let gateway = Gateway::start(yaml.clone()).await;
    let served = async || {
        let response = gateway.post(CHAT, chat("m")).await;
        response.header("x-gateway-upstream").map(str::to_owned)
    };
    assert_eq!(served().await.as_deref(), Some("b"));
    for generation in 2..5 {
        // Another route beside it, or nothing at all.
        let more = if generation % 2 == 0 { "  n: [b]\n" } else { "" };
        let line = gateway
            .reload(&yaml.replace(UNWATCHED, &format!("{more}{UNWATCHED}")))
            .await;
        assert_eq!(line["generation"], generation, "{line}");
        assert_eq!(served().await.as_deref(), Some("b"));
    }
    assert_eq!(empty.requests().len(), 1, "asked once, in all generations");
    // Another way there is another matter.
    let line = gateway
        .reload(&yaml.replace("/v1\"", "/v1\", query: { tag: new }"))
        .await;
    assert_eq!(line["upstreams_changed"], "a, b");
    assert_eq!(served().await.as_deref(), Some("b"));
    assert_eq!(empty.requests().len(), 2);
}

#[tokio::test]
async fn a_model_keeps_cooling_whether_its_route_names_it_or_a_glob_leads_to_it() {
    let missing = Upstream::always(Answer::json(404, error("no such model", "", Some("model_not_found")))).await;
    let good = Upstream::always(well()).await;
    let named = chain(&[missing.url(), good.url()]) + UNWATCHED;
    let behind_glob = named.replace("  m: [", "  \"m*\": [");
    let both = named.replace("  m: [a, b]\n", "  m: [a, b]\n  \"m*\": [a, b]\n");
    let gateway = Gateway::start(named.clone()).await;
    for yaml in [&named, &behind_glob, &named, &both, &behind_glob, &both, &named] {
        assert!(applied(&gateway.reload(yaml).await));
        let response = gateway.post(CHAT, chat("m")).await;
        assert_eq!(response.header("x-gateway-upstream"), Some("b"), "{yaml}");
        assert_eq!(missing.requests().len(), 1, "asked once, in all generations: {yaml}");
    }
}

#[tokio::test]
async fn an_account_that_stays_is_not_asked_anew() {
    const ACCOUNT: &str = "/user/balance";
    let empty = r#"{ "is_available": true, "balance_infos": [{ "currency": "USD", "total_balance": "0.00" }] }"#;
    let [a, c] = [Upstream::always(well()).await, Upstream::always(well()).await];
    for upstream in [&a, &c] {
        upstream.answer_at(ACCOUNT, Answer::json(200, empty));
    }
    let balance = "key: sk-a, balance: { from: deepseek, every: 1h }";
    let yaml = |more: &str| {
        let b = c.url();
        format!(
            "upstreams:\n  a: {{ url: \"{}/v1\", {balance} }}\n  b: {{ url: \"{b}/v1\" }}\n{more}\
             routes: {{ m: [a, b] }}\n{UNWATCHED}",
            a.url()
        )
    };
    let gateway = Gateway::start(yaml("")).await;
    gateway.log.says("cooling down").await;
    let more = format!("  c: {{ url: \"{}/v1\", {balance} }}\n", c.url());
    assert_eq!(gateway.reload(&yaml(&more)).await["upstreams_added"], "c");
    // That one is new, and asked with the next look at what is due.
    c.request(0).await;
    let response = gateway.post(CHAT, chat("m")).await;
    assert_eq!(response.header("x-gateway-upstream"), Some("b"), "`a` is still out");
    assert_eq!((a.requests_at(ACCOUNT).len(), c.requests_at(ACCOUNT).len()), (1, 1));
}

#[tokio::test]
async fn nothing_is_lost_while_it_reloads_fifty_times() {
    let (a, b) = (Upstream::always(well()).await, Upstream::always(well()).await);
    let yaml = |first: &str, second: &str| routes(&a.url(), &b.url(), &format!("m: [{first}, {second}]"));
    let gateway = Gateway::start(yaml("a", "b")).await;
    let stop = tokio::sync::watch::Sender::new(false);
    let clients = (0..4).map(|n| {
        let (address, stopped) = (gateway.address.clone(), stop.subscribe());
        tokio::spawn(async move {
            let mut answered = 0;
            let mut kept = Client::connect(&address).await;
            while !*stopped.borrow() {
                if n % 2 == 0 {
                    kept = Client::connect(&address).await;
                }
                kept.send(post(CHAT, chat("m"))).await;
                let response = kept.response().await;
                assert_eq!((response.status(), response.end), (200, End::Clean));
                answered += 1;
            }
            answered
        })
    });
    let clients: Vec<_> = clients.collect();
    for generation in 2..52 {
        let (first, second) = if generation % 2 == 0 { ("b", "a") } else { ("a", "b") };
        let line = gateway.reload(&yaml(first, second)).await;
        assert_eq!(line["generation"], generation, "{line}");
        assert_eq!(line["routes_changed"], "m");
    }
    stop.send_replace(true);
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("every request is answered");
    }
    assert_eq!(a.requests().len() + b.requests().len(), answered);
    assert!(
        !a.requests().is_empty() && !b.requests().is_empty(),
        "both configurations served"
    );
}

#[tokio::test]
async fn a_storm_of_signals_is_weathered() {
    let a = Upstream::always(well()).await;
    let yaml = chain(&[a.url()]) + UNWATCHED;
    let gateway = Gateway::start(yaml.clone()).await;
    gateway.write(&(yaml + "  # the same, and a note\n"));
    for _ in 0..50 {
        gateway.hang_up();
    }
    gateway.write("");
    gateway.hang_up();
    gateway.log.says("reload failed").await;
    let attempts = gateway.attempts();
    assert!(attempts.len() <= 51 && applied(&attempts[0]), "{attempts:?}");
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_the_rest_applied() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[a.url()]) + UNWATCHED).await;
    let yaml = chain(&[a.url()]) + "  n: [a]\nserver: { watch: false, threads: 7 }\n";
    let text = gateway.whole(&yaml).replace("listen: [", "listen: [127.0.0.1:0, ");
    std::fs::write(&gateway.file, text).unwrap();
    gateway.hang_up();
    assert!(applied(&gateway.attempt(0).await));
    let warning = gateway.log.line("a warning", |line| line["settings"].is_string()).await;
    assert_eq!(
        (&warning["settings"], &warning["level"]),
        (&"listen, server.threads".into(), &"warn".into())
    );
    assert_eq!(
        (&warning["listen_waits"], &warning["listen_stays"]),
        (&"127.0.0.1:0".into(), &"".into())
    );
    assert_eq!(gateway.post(CHAT, chat("n")).await.status(), 200);
}

#[tokio::test]
async fn the_log_changes_its_level_and_its_format() {
    let a = Upstream::always(well()).await;
    let yaml = chain(&[a.url()]) + UNWATCHED;
    let gateway = Setup::new(yaml.clone()).level("warn").start().await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    let set = |log: &str| {
        let (listen, _) = gateway.top.split_once("log:").unwrap();
        std::fs::write(&gateway.file, format!("{listen}log: {log}\n{yaml}")).unwrap();
        gateway.hang_up();
    };
    set("{ level: info, format: json }");
    let line = gateway.attempt(0).await;
    assert_eq!(line["settings_changed"], "log");
    assert!(!gateway.log.text().contains("\"access\""), "so far only warnings");
    let response = gateway.post(CHAT, chat("m")).await;
    gateway.access(response.header("x-gateway-request-id").unwrap()).await;
    set("{ level: info, format: text }");
    gateway.attempt(1).await;
    gateway.post(CHAT, chat("m")).await;
    gateway.log.says(" INFO  access id=").await;
}

#[tokio::test]
async fn a_budget_may_grow_beyond_that_of_the_start() {
    let a = Upstream::always(Answer::json(500, "{}")).await;
    let yaml = |attempts: u32| {
        let retry = format!("attempts: {attempts}, same_target: {attempts}, backoff: 1ms, max_backoff: 1ms");
        chain(&[a.url()]) + &format!("policy: {{ retry: {{ {retry} }}, cooldown: {{ after: 0 }} }}\n{UNWATCHED}")
    };
    let gateway = Gateway::start(yaml(1)).await;
    gateway.post(CHAT, chat("m")).await;
    assert_eq!(a.requests().len(), 1);
    gateway.reload(&yaml(20)).await;
    gateway.post(CHAT, chat("m")).await;
    assert_eq!(a.requests().len(), 1 + 20);
}

#[tokio::test]
async fn the_drain_time_is_that_of_the_last_reload() {
    let a = Upstream::always(Answer::sse([delta("one")]).then(Ending::Stall)).await;
    let gateway = Gateway::start(chain(&[a.url()]) + UNWATCHED).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    client.head().await;
    client.until("one").await;
    gateway
        .reload(&(chain(&[a.url()]) + "server: { watch: false, drain: 1s }"))
        .await;
    let begin = Instant::now();
    let mut gateway = gateway;
    gateway.terminate();
    gateway.log.says("stopping: running requests").await;
    // Whoever drains is not reloaded, and lives on.
    gateway.hang_up();
    assert_eq!(gateway.end().await.code(), Some(0));
    assert_eq!(gateway.attempts().len(), 1);
    assert!(begin.elapsed() < Duration::from_secs(30), "the default is ten minutes");
}

#[tokio::test]
async fn the_service_manager_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let hear = async |last: &str| {
        let mut heard = String::new();
        while !heard.contains(last) {
            let mut datagram = [0; 4096];
            let len = soon(last, manager.recv(&mut datagram)).await.unwrap();
            heard += std::str::from_utf8(&datagram[..len]).unwrap();
        }
        heard
    };
    let a = Upstream::always(well()).await;
    let gateway = Setup::new(chain(&[a.url()]) + UNWATCHED)
        .env("NOTIFY_SOCKET", &path.display().to_string())
        .start()
        .await;
    let heard = hear("STATUS=1 route; configuration ").await;
    assert!(heard.contains("READY=1\n"), "{heard}");

    gateway.reload(&format!("roots: {{}}\n{}", chain(&[a.url()]))).await;
    let heard = hear("STATUS=reload failed: ").await;
    let (begin, end) = heard.split_once("READY=1\n").unwrap();
    assert!(begin.contains("RELOADING=1\nMONOTONIC_USEC="), "{heard}");
    let at = format!(" ({}:3:1)", gateway.file.display());
    assert!(
        end.contains(&at) && end.contains("; still running the configuration of 20"),
        "{heard}"
    );

    gateway.reload(&(chain(&[a.url()]) + "  n: [a]\n" + UNWATCHED)).await;
    let heard = hear("STATUS=2 routes; configuration ").await;
    assert!(heard.contains("RELOADING=1\nMONOTONIC_USEC="), "{heard}");
    assert!(heard.contains("READY=1\n"), "{heard}");
}
