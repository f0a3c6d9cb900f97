//! The admin listener: what it answers, whom it refuses, how much it bears.

use crate::support::*;

const LOCAL: &str = "host: localhost\r\n";

async fn watched() -> (Upstream, Watched) {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    (upstream, watched)
}

#[tokio::test]
async fn probes_tell_of_the_process_and_of_its_readiness() {
    let (_upstream, watched) = watched().await;
    let healthy = watched.ask("/healthz").await;
    assert_eq!(
        (healthy.status(), healthy.json()["healthy"].as_bool()),
        (200, Some(true))
    );
    soon("readiness", async {
        while watched.ask("/readyz").await.status() != 200 {}
    })
    .await;
    assert_eq!(watched.ask("/readyz").await.json()["ready"], true);
}

#[tokio::test]
async fn while_the_gateway_drains_it_goes_on_and_says_so() {
    let upstream = Manual::listen().await;
    let mut watched = Watched::start(chain(&[upstream.url()])).await;
    let mut client = watched.gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    client.head().await;
    client.until("one").await;
    assert_eq!(watched.status().await["process"]["in_flight"], 1);
    watched.gateway.terminate();
    soon("unreadiness", async {
        while watched.ask("/readyz").await.status() != 503 {}
    })
    .await;
    let unready = watched.ask("/readyz").await.json();
    assert_eq!(unready["ready"], false);
    assert!(unready["reason"].as_str().unwrap().contains("draining"), "{unready}");
    assert_eq!(watched.ask("/healthz").await.status(), 200);
    let status = watched.status().await;
    assert_eq!(status["process"]["phase"], "draining");
    assert_eq!(status["process"]["ready"], false);
    // An open page does not hold the process up.
    let _page = watched.events().await;
    play.chunk(finish() + DONE).await;
    play.finish().await;
    assert_eq!(watched.gateway.end().await.code(), Some(0));
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_told_in_json() {
    let (_upstream, watched) = watched().await;
    let missing = watched.ask("/admin?x=y").await;
    assert_eq!(
        (missing.status(), missing.header("content-type")),
        (404, Some("application/json"))
    );
    let message = missing.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("/status") && message.contains("/readyz"), "{message}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} /status HTTP/1.1\r\n{LOCAL}content-length: 2\r\n\r\n{{}}");
        let refused = watched.exchange(request).await;
        assert_eq!((refused.status(), refused.header("allow")), (405, Some("GET, HEAD")));
        assert_eq!(refused.json()["error"]["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (_upstream, watched) = watched().await;
    for path in ["/", "/healthz", "/status"] {
        let mut client = Client::connect(&watched.admin).await;
        client.send(format!("HEAD {path} HTTP/1.1\r\n{LOCAL}\r\n")).await;
        let head = client.head().await;
        assert_eq!(head.status(), 200);
        assert_ne!(head.header("content-length"), Some("0"));
        // On the same connection: had a body come, this would be no response.
        client.send(format!("GET /healthz HTTP/1.1\r\n{LOCAL}\r\n")).await;
        assert_eq!(client.response().await.json()["healthy"], true);
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_careful() {
    let (_upstream, watched) = watched().await;
    for path in ["/", "/status", "/healthz", "/nowhere"] {
        let response = watched.ask(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{path}");
        }
        let policy = response.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_foreign_name_is_refused_everywhere() {
    let (_upstream, watched) = watched().await;
    for path in [
        "/",
        "/status",
        "/status/events",
        "/healthz",
        "/readyz",
        "/metrics",
        "/nowhere",
    ] {
        let refused = watched.ask_with(path, "host: evil.example:9091\r\n").await;
        assert_eq!(
            (refused.status(), refused.json()["error"]["code"].as_str()),
            (421, Some("foreign_host")),
            "{path}"
        );
        assert!(refused.text().contains("hosts: [NAME]"), "it says what to do");
    }
    let Address::Tcp(address) = &watched.admin else {
        unreachable!("it is a port")
    };
    let own = watched.ask_with("/status", &format!("host: {address}\r\n")).await;
    assert_eq!(own.status(), 200);
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_and_a_link_may_lead_to_ours() {
    let (_upstream, watched) = watched().await;
    for lines in [
        "origin: http://evil.example\r\n",
        "origin: null\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\nsec-fetch-mode: cors\r\n",
    ] {
        let refused = watched.ask_with("/status", &format!("{LOCAL}{lines}")).await;
        assert_eq!(
            (refused.status(), refused.json()["error"]["code"].as_str()),
            (403, Some("foreign_origin"))
        );
    }
    let own = format!("{LOCAL}origin: http://localhost\r\nsec-fetch-site: same-origin\r\n");
    assert_eq!(watched.ask_with("/status", &own).await.status(), 200);
    let link = format!("{LOCAL}sec-fetch-site: cross-site\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n");
    assert_eq!(watched.ask_with("/", &link).await.status(), 200);
    assert_eq!(watched.ask_with("/status", &link).await.status(), 403);
}

#[tokio::test]
async fn configured_names_are_its_own() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let address = gateway::free_address();
    let yaml = chain(&[upstream.url()]) + &format!("\nadmin: {{ address: \"{address}\", hosts: [Status.Example] }}");
    let watched = Watched::of(Gateway::start(yaml).await, Address::Tcp(address)).await;
    assert_eq!(
        watched.ask_with("/status", "host: status.example\r\n").await.status(),
        200
    );
    assert_eq!(
        watched.ask_with("/status", "host: other.example\r\n").await.status(),
        421
    );
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let yaml = chain(&[upstream.url()]) + &format!("\nadmin: \"unix:{}\"", path.display());
    let watched = Watched::of(Gateway::start(yaml).await, Address::Unix(path)).await;
    assert_eq!(watched.status().await["version"], 1);
    assert_eq!(
        watched.ask_with("/status", "host: evil.example\r\n").await.status(),
        421
    );
}

#[tokio::test]
async fn clients_do_not_reach_it() {
    let (_upstream, watched) = watched().await;
    for path in ["/status", "/metrics", "/healthz", "/readyz"] {
        let response = watched.gateway.get(path).await;
        assert_eq!(response.status(), 404, "{path} is none of the gateway's");
    }
    // Nor is the page there.
    let root = watched.gateway.get("/").await;
    assert_eq!(root.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn there_is_none_unless_it_is_asked_for() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    assert!(!gateway.log.text().contains("admin listener"));
}

#[tokio::test]
async fn subscribers_are_bounded() {
    let (_upstream, watched) = watched().await;
    let mut pages = Vec::new();
    for _ in 0..16 {
        let mut page = watched.events().await;
        page.until("event: status").await;
        pages.push(page);
    }
    let refused = watched.ask("/status/events").await;
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("10")));
    assert_eq!(
        watched.ask("/status").await.status(),
        200,
        "questions are still answered"
    );
    // Who leaves makes room.
    pages.pop().unwrap().leave();
    soon("room for another page", async {
        loop {
            let mut client = Client::connect(&watched.admin).await;
            client.send(format!("GET /status/events HTTP/1.1\r\n{LOCAL}\r\n")).await;
            if client.head().await.status() == 200 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_http_ends_the_connection_and_nothing_else() {
    let (_upstream, watched) = watched().await;
    for rubbish in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "SSH-2.0-x\r\n"] {
        let mut client = Client::connect(&watched.admin).await;
        client.send(rubbish).await;
        drop(client);
    }
    assert_eq!(watched.ask("/healthz").await.status(), 200);
}
