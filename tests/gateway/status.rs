//! The status document: how the gateway, its upstreams and its routes stand.

use switchback::status;

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

const COOL: &str = "policy: { retry: { same_target: 0, backoff: 1ms, max_backoff: 2ms }, cooldown: { after: 1, base: 60s, max: 60s } }";

#[tokio::test]
async fn it_tells_the_chains_as_they_are_written() {
    let upstream = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{url}/v1\", key: sk-of-a-secret, max_inflight: 7 }}\n  b: {{ url: \"{url}/v1\", protocol: [openai, anthropic] }}\n\
         server: {{ passthrough: a }}\n\
         routes:\n  z: [a, b/other]\n  gpt-*: [{{ spread: [{{ target: a, weight: 3 }}, {{ target: b/x-* }}] }}, {{ route: z }}]\n",
        url = upstream.url()
    );
    let watched = Watched::start(yaml).await;
    let status = watched
        .status_with("a running gateway", |s| s["process"]["phase"] == "running")
        .await;
    assert_eq!(status["version"], 1);
    assert_eq!(status["process"]["ready"], true);
    assert_eq!(status["process"]["version"], env!("CARGO_PKG_VERSION"));
    let Address::Tcp(address) = &watched.gateway.address else {
        unreachable!("it is a port")
    };
    assert_eq!(status["process"]["listeners"][0], format!("http://{address}"));
    assert_eq!(status["upstreams"][0]["max_inflight"], 7);
    assert_eq!(
        status["upstreams"][1]["protocols"],
        serde_json::json!(["openai", "anthropic"])
    );
    let shape: Vec<_> = status["routes"].as_array().unwrap().iter().map(chain_of).collect();
    assert_eq!(
        shape,
        [
            "z: 1 a, 2 b/other",
            "gpt-*: 1 a (3), 1 b/x-* (1), 2 a, 3 b/other",
            "passthrough: 1 a"
        ]
    );
    assert!(!status.to_string().contains("secret"), "{status}");
}

fn chain_of(route: &serde_json::Value) -> String {
    let targets = route["targets"].as_array().unwrap().iter().map(|target| {
        let weight = target["weight"].as_u64().map(|weight| format!(" ({weight})"));
        let (position, name) = (&target["position"], target["name"].as_str().unwrap());
        format!("{position} {name}{}", weight.unwrap_or_default())
    });
    let targets = targets.collect::<Vec<_>>().join(", ");
    format!("{}: {targets}", route["name"].as_str().unwrap())
}

#[tokio::test]
async fn a_target_that_cools_down_says_why_and_for_how_long() {
    let bad = Upstream::always(Answer::json(500, "{}")).await;
    let good = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[bad.url(), good.url()]) + COOL).await;
    let before = watched.status().await;
    assert_eq!(before["routes"][0]["targets"][0]["state"]["standing"], "closed");
    assert_eq!(watched.gateway.post(CHAT, chat("m")).await.status(), 200);
    let status = watched.status().await;
    let target = &status["routes"][0]["targets"][0];
    assert_eq!(target["state"]["standing"], "open");
    assert_eq!(target["state"]["class"], "server_error");
    let left = target["state"]["seconds_left"].as_f64().unwrap();
    assert!(left > 0.0 && left <= 60.0, "{left}");
    assert_eq!(
        (&target["usable"], &status["routes"][0]["usable"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        status["upstreams"][0]["state"]["standing"], "closed",
        "the upstream is not to blame"
    );
}

#[tokio::test]
async fn an_upstream_that_cools_down_takes_its_targets_along() {
    let broke = Upstream::always(Answer::json(402, "{}")).await;
    let watched = Watched::start(chain(&[broke.url()])).await;
    assert_eq!(watched.gateway.post(CHAT, chat("m")).await.status(), 402);
    let status = watched.status().await;
    assert_eq!(status["upstreams"][0]["state"]["standing"], "open");
    assert_eq!(status["upstreams"][0]["state"]["class"], "out_of_credits");
    let route = &status["routes"][0];
    assert_eq!(route["targets"][0]["state"]["standing"], "closed");
    assert_eq!(
        (&route["targets"][0]["usable"], &route["usable"]),
        (&false.into(), &false.into())
    );
}

#[tokio::test]
async fn while_a_request_tries_it_is_half_open() {
    let upstream = Manual::listen().await;
    let yaml = chain(&[upstream.url()])
        + "policy: { retry: { same_target: 0 }, cooldown: { after: 1, base: 50ms, max: 50ms } }";
    let watched = Watched::start(yaml).await;
    let mut client = watched.gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.answer(&Answer::json(500, "{}").then(Ending::Close)).await;
    drop(play);
    assert_eq!(client.response().await.status(), 500);
    let half_open = |s: &serde_json::Value| s["routes"][0]["targets"][0]["state"]["standing"] == "half_open";
    watched.status_with("the cooldown's end", half_open).await;
    client.send(post(CHAT, chat("m"))).await;
    let (mut play, ..) = upstream.request().await;
    let status = watched.status().await;
    let target = &status["routes"][0]["targets"][0];
    assert_eq!(
        (&target["state"]["standing"], &target["state"]["class"]),
        (&"half_open".into(), &"server_error".into())
    );
    assert_eq!(status["upstreams"][0]["in_flight"], 1);
    play.answer(&well()).await;
    client.response().await;
    let closed = |s: &serde_json::Value| s["routes"][0]["targets"][0]["state"]["standing"] == "closed";
    watched.status_with("its end", closed).await;
}

#[tokio::test]
async fn models_behind_a_glob_are_told_at_their_upstream() {
    let missing = Answer::json(404, error("no such model", "", Some("model_not_found")));
    let upstream = Upstream::always(missing).await;
    let yaml = format!(
        "upstreams: {{ a: {{ url: \"{}/v1\" }} }}\nroutes: {{ \"*\": [a] }}",
        upstream.url()
    );
    let watched = Watched::start(yaml).await;
    watched.gateway.post(CHAT, chat("mistyped")).await;
    let status = watched.status().await;
    assert_eq!(status["routes"][0]["targets"][0]["resting_models"], 1);
    let resting = &status["upstreams"][0]["resting_models"][0];
    assert_eq!(
        (&resting["model"], &resting["state"]["class"]),
        (&"mistyped".into(), &"model_not_found".into())
    );
    assert_eq!(status["routes"][0]["targets"][0]["state"]["standing"], "closed");
}

#[tokio::test]
async fn changes_come_as_events_and_sameness_does_not() {
    let bad = Upstream::always(Answer::json(402, "{}")).await;
    let good = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[bad.url(), good.url()])).await;
    watched
        .status_with("a running gateway", |s| s["process"]["phase"] == "running")
        .await;
    let mut page = watched.events().await;
    let begin = String::from_utf8(page.until("\n\n").await).unwrap();
    assert!(begin.starts_with("retry: "), "{begin}");
    let first = event(&mut page).await;
    assert_eq!(first["upstreams"][0]["state"]["standing"], "closed");
    watched.gateway.post(CHAT, chat("m")).await;
    let second = loop {
        let next = event(&mut page).await;
        if next["upstreams"][0]["state"]["standing"] == "open" {
            break next;
        }
    };
    assert_eq!(second["upstreams"][0]["state"]["class"], "out_of_credits");
    assert!(second["at_unix_ms"].as_u64() > first["at_unix_ms"].as_u64());
}

/// The next event's document.
async fn event(page: &mut Client) -> serde_json::Value {
    let text = String::from_utf8(page.until("\n\n").await).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.unwrap_or_else(|| panic!("no data in {text}"))).unwrap()
}

#[tokio::test]
async fn every_field_is_documented() {
    let bad = Upstream::always(Answer::json(429, error("slow down", "", Some("rate_limit_exceeded")))).await;
    let yaml = format!(
        "upstreams: {{ a: {{ url: \"{url}/v1\", balance: {{ url: \"{url}/left\", pointer: /left }} }} }}\nroutes: {{ m: [a], \"*\": [a] }}\n{COOL}",
        url = bad.url()
    );
    let watched = Watched::start(yaml).await;
    watched.gateway.post(CHAT, chat("m")).await;
    watched.gateway.post(CHAT, chat("another")).await;
    let whole = |s: &serde_json::Value| {
        let measured = &s["routes"][0]["targets"][0];
        !measured["last_failures"][0].is_null()
            && !measured["minutes"][0].is_null()
            && !s["upstreams"][0]["resting_models"][0].is_null()
    };
    let mut status = watched.status_with("a document with everything in it", whole).await;
    // One that a reload would bring.
    let fault = status::Fault {
        severity: String::new(),
        code: String::new(),
        message: String::new(),
        line: None,
        column: None,
        help: None,
    };
    status["configuration"]["last_load"]["faults"] = serde_json::json!([fault]);
    let text = include_str!("../../docs/status.md");
    let mut fields = std::collections::BTreeSet::new();
    collect(&status, &mut fields);
    assert!(fields.len() > 60, "{fields:?}");
    let missing: Vec<_> = fields
        .iter()
        .filter(|field| !text.contains(&format!("`{field}`")) && !text.contains(&format!("`{field}[]`")))
        .collect();
    assert!(missing.is_empty(), "docs/status.md does not name {missing:?}");
}

/// Every key in `value`.
fn collect(value: &serde_json::Value, keys: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                keys.insert(key.clone());
                collect(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        _ => {}
    }
}

#[tokio::test]
async fn what_was_measured_and_what_failed() {
    let flaky = Upstream::answering([
        well(),
        Answer::json(
            500,
            error("it burns: sk-abcdefghijklmnopqrstuvwxyz0123456789", "", None),
        )
        .header("x-request-id", "req_7"),
    ])
    .await;
    let good = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[flaky.url(), good.url()]) + COOL).await;
    watched.gateway.post(CHAT, chat("m")).await;
    let failed = watched.gateway.post(CHAT, chat("m")).await;
    let two = |s: &serde_json::Value| s["routes"][0]["targets"][0]["windows"][0]["attempts"] == 2;
    let status = watched.status_with("both attempts", two).await;
    let target = &status["routes"][0]["targets"][0];
    for (window, minutes) in [(0, 1), (1, 15), (2, 60)] {
        let window = &target["windows"][window];
        assert_eq!(
            (&window["minutes"], &window["succeeded"], &window["success_rate"]),
            (&minutes.into(), &1.into(), &0.5.into())
        );
        assert!(
            window["total"]["p95_ms"].as_f64() >= window["total"]["p50_ms"].as_f64(),
            "{window}"
        );
        assert!(
            window["connect"]["p50_ms"].is_number() && window["headers"]["p50_ms"].is_number(),
            "{window}"
        );
    }
    assert_eq!(
        target["minutes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|minute| minute["attempts"].as_u64().unwrap())
            .sum::<u64>(),
        2
    );
    let failure = &target["last_failures"][0];
    assert_eq!(
        (&failure["class"], &failure["status"]),
        (&"server_error".into(), &500.into())
    );
    assert_eq!(
        (failure["request_id"].as_str(), failure["upstream_request_id"].as_str()),
        (Some(&*failed.id()), Some("req_7"))
    );
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.contains("it burns") && !message.contains("abcdefghij"),
        "{message}"
    );
}

#[tokio::test]
async fn a_rejected_reload_keeps_its_faults() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    let status = watched
        .status_with("a running gateway", |s| s["process"]["ready"] == true)
        .await;
    let before = &status["configuration"];
    assert_eq!(
        (
            &before["generation"],
            &before["last_load"]["ok"],
            &before["last_load"]["trigger"]
        ),
        (&1.into(), &true.into(), &"start".into())
    );
    let file = before["file"].as_str().unwrap();
    let good = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, good.replace("routes:", "rooutes:")).unwrap();
    let rejected = watched
        .status_with("the rejection", |s| s["configuration"]["last_load"]["ok"] == false)
        .await;
    let after = &rejected["configuration"];
    assert_eq!(
        (&after["generation"], &after["hash"], &after["rejected"]),
        (&before["generation"], &before["hash"], &1.into())
    );
    let faults = after["last_load"]["faults"].as_array().unwrap();
    let unknown = faults.iter().find(|fault| fault["code"] == "unknown-key").unwrap();
    assert!(
        unknown["line"].is_u64() && unknown["help"].as_str().unwrap().contains("`routes`"),
        "{unknown}"
    );
    std::fs::write(file, good.replace("admin: \"", "admin: \"localhost:1\" #\"")).unwrap();
    let applied = watched
        .status_with("the next one", |s| s["configuration"]["generation"] == 2)
        .await;
    assert_eq!(applied["configuration"]["restart_needed"], serde_json::json!(["admin"]));
    assert_eq!(
        watched.ask("/metrics").await.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(
        watched
            .ask("/metrics")
            .await
            .text()
            .contains("switchback_config_generation 2")
    );
}
