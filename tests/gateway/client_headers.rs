//! What is the client's own stays at the gateway: its credentials, its account, its browser, its network and its hop.

use crate::support::manual::Play;
use crate::support::upstream::Received;
use crate::support::*;

/// Of a browser, of what stands in front of the gateway, of the client's network.
const ITS_OWN: [&str; 36] = [
    "origin",
    "referer",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-ch-ua",
    "Sec-CH-UA-Platform",
    "dnt",
    "access-control-request-headers",
    "access-control-request-private-network",
    "forwarded",
    "via",
    "X-Forwarded-For",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
    "X-Real-IP",
    "true-client-ip",
    "x-client-ip",
    "cf-connecting-ip",
    "CF-RAY",
    "cf-access-jwt-assertion",
    "cdn-loop",
    "x-amz-cf-id",
    "x-amzn-trace-id",
    "cloudfront-viewer-country",
    "fly-client-ip",
    "x-vercel-id",
    "x-azure-clientip",
    "x-cloud-trace-context",
    "x-envoy-external-address",
    "ngrok-skip-browser-warning",
    "tailscale-user-login",
    "fastly-client-ip",
    "x-auth-request-email",
    "x-original-url",
    "x-http-method-override",
];

const ITS_CREDENTIALS: [&str; 12] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "x-auth-token",
    "x-access-token",
    "x-openrouter-api-key",
    "ocp-apim-subscription-key",
    "cf-aig-authorization",
    "OpenAI-Organization",
    "openai-project",
];

const FOR_THE_PROVIDER: [&str; 17] = [
    "anthropic-beta",
    "anthropic-version",
    "openai-beta",
    "http-referer",
    "x-title",
    "idempotency-key",
    "user-agent",
    "x-stainless-lang",
    "x-stainless-os",
    "traceparent",
    "tracestate",
    "accept-language",
    "x-request-id",
    "cf-aig-cache-ttl",
    "x-amzn-bedrock-trace",
    "x-ms-client-request-id",
    "x-nobody-knows",
];

/// Values that a page of a browser may have sent to a gateway on its own machine.
fn value(name: &str) -> &'static str {
    match name {
        "origin" => "app://theirs",
        "sec-fetch-site" => "none",
        _ => "theirs",
    }
}

fn lines(names: impl IntoIterator<Item = &'static str>) -> String {
    names
        .into_iter()
        .map(|name| format!("{name}: {}\r\n", value(name)))
        .collect()
}

fn all_lines() -> String {
    lines(ITS_OWN.into_iter().chain(ITS_CREDENTIALS).chain(FOR_THE_PROVIDER))
}

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// What an upstream that says `more` gets of a request with all these headers.
async fn received(more: &str) -> Received {
    let upstream = Upstream::always(well()).await;
    let gateway = Setup::new(chain_with(&[upstream.url()], more))
        .env("KEY", "sk-own")
        .start()
        .await;
    let response = gateway.exchange(post_with(CHAT, &all_lines(), chat("m"))).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    upstream.only_request()
}

#[tokio::test]
async fn what_is_the_clients_own_stays_and_what_is_for_the_provider_passes() {
    for more in ["", ", key: \"${KEY}\"", ", key: \"${KEY}\", key_header: x-key"] {
        let request = received(more).await;
        for name in ITS_OWN.into_iter().chain(ITS_CREDENTIALS) {
            assert!(!request.head.all(name).contains(&value(name)), "{name}");
        }
        for name in FOR_THE_PROVIDER {
            assert_eq!(request.head.all(name), ["theirs"], "{name}");
        }
    }
}

#[tokio::test]
async fn where_the_credential_is_the_clients_its_account_goes_with_it() {
    let request = received(", key: passthrough").await;
    for name in ITS_CREDENTIALS.into_iter().chain(FOR_THE_PROVIDER) {
        assert_eq!(request.head.all(name), ["theirs"], "{name}");
    }
    for name in ITS_OWN {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_upstream_can_have_one_back() {
    let request = received(", key: \"${KEY}\", forward_headers: [OpenAI-Organization, cf-ray, authorization]").await;
    assert_eq!(request.head.all("openai-organization"), ["theirs"]);
    assert_eq!(request.head.all("cf-ray"), ["theirs"]);
    assert_eq!(
        request.head.all("authorization"),
        ["Bearer sk-own"],
        "its own key goes before the client's"
    );
    assert_eq!(
        (request.header("openai-project"), request.header("cf-connecting-ip")),
        (None, None)
    );
}

#[tokio::test]
async fn a_browser_among_the_clients_harms_nobody() {
    let upstream = Upstream::always(well()).await;
    let gateway = Gateway::start(chain(&[upstream.url()])).await;
    let lines = "referer: chrome-extension://x/page.html\r\nsec-fetch-mode: cors\r\n";
    for _ in 0..2 {
        let response = gateway.exchange(post_with(CHAT, lines, chat("m"))).await;
        assert_eq!(
            (response.status(), response.header("x-gateway-upstream")),
            (200, Some("a"))
        );
    }
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.header("referer").is_none())
    );
}

#[tokio::test]
async fn connection_takes_nothing_off_that_is_the_gateways() {
    let upstream = Upstream::always(well()).await;
    let yaml = chain_with(&[upstream.url()], ", key: \"${KEY}\", headers: { x-own: own }");
    let gateway = Setup::new(yaml + "server: { passthrough: a }")
        .env("KEY", "sk-own")
        .start()
        .await;
    let lines = "connection: authorization, x-own, x-gateway-request-id, content-length, x-hop\r\nx-hop: 1\r\n";
    let judged = post_with(CHAT, &lines.replace("x-own", "x-own, host"), chat("m"));
    let relayed = post_with("/v1/files", lines, "hi");
    let relayed = String::from_utf8(relayed)
        .unwrap()
        .replacen("application/json", "text/plain", 1);
    for request in [judged, relayed.into_bytes()] {
        assert_eq!(gateway.exchange(request).await.status(), 200);
        let got = upstream.requests().pop().unwrap();
        assert_eq!(got.head.all("authorization"), ["Bearer sk-own"]);
        assert_eq!(got.head.all("x-own"), ["own"]);
        assert_eq!(got.head.all("host"), [upstream.address.to_string()]);
        assert_eq!(got.head.all("x-gateway-request-id").len(), 1);
        assert_eq!((got.header("x-hop"), got.header("connection")), (None, None));
    }
}

#[tokio::test]
async fn credentials_in_the_query_stay_and_configured_pairs_win() {
    let upstream = Upstream::always(well()).await;
    let own = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: \"{}/v1\", key: sk-a, query: {{ api-version: \"1\", Beta: \"x y\" }} }}\n  \
         b: {{ url: \"{}/v1\", key: passthrough }}\nroutes: {{ m: [a], own: [b] }}",
        upstream.url(),
        own.url()
    );
    let gateway = Gateway::start(yaml).await;
    for (query, expected) in [
        ("?alt=sse&key=sk-1&x", "?alt=sse&x&api-version=1&Beta=x%20y"),
        ("?api_key=sk-1", "?api-version=1&Beta=x%20y"),
        (
            "?API-KEY=sk-1&access_token=t&%6bey=sk-1&x-api-key=s&auth_token=t&token=t&a=%zz",
            "?a=%zz&api-version=1&Beta=x%20y",
        ),
        (
            "?api-version=9&a=1&API%2dversion=8&beta=2",
            "?a=1&api-version=1&Beta=x%20y",
        ),
        ("?keys=1&monkey=2&&", "?keys=1&monkey=2&&&api-version=1&Beta=x%20y"),
    ] {
        assert_eq!(gateway.post(&format!("{CHAT}{query}"), chat("m")).await.status(), 200);
        let got = upstream.requests().pop().unwrap();
        assert_eq!(got.target(), format!("{CHAT}{expected}"), "{query}");
    }
    assert_eq!(
        gateway
            .post(&format!("{CHAT}?key=sk-1&a=1"), chat("own"))
            .await
            .status(),
        200
    );
    assert_eq!(own.only_request().target(), format!("{CHAT}?key=sk-1&a=1"));
}

/// A gateway that relays to an upstream played by hand.
async fn relaying(more: &str) -> (Manual, Gateway) {
    let upstream = Manual::listen().await;
    let yaml = chain_with(&[upstream.url()], more) + "server: { passthrough: a }";
    let gateway = Setup::new(yaml).env("KEY", "sk-own").start().await;
    (upstream, gateway)
}

/// The head of a relayed request that has `more` lines.
async fn relayed(upstream: &Manual, gateway: &Gateway, method: &str, more: &str) -> http1::Head {
    let request = format!(
        "{method} /v1/relayed?key=sk-1&model=m HTTP/1.1\r\nhost: g\r\nproxy-authorization: Basic theirs\r\nte: trailers\r\n{}{more}\r\n",
        all_lines()
    );
    let playing = async {
        let mut play: Play = upstream.accept().await;
        let head = play.head().await;
        play.answer(&Answer::json(404, "{}").header("connection", "close"))
            .await;
        head
    };
    let (response, head) = tokio::join!(gateway.exchange(request), playing);
    assert_eq!(response.status(), 404, "{}", response.text());
    head
}

#[tokio::test]
async fn relayed_requests_are_no_exception() {
    let (upstream, gateway) = relaying(", key: \"${KEY}\"").await;
    let upload = "content-type: text/plain\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n";
    let upload = upload.replace("content-length: 0\r\n", "");
    let websocket = "connection: Upgrade, x-hop\r\nx-hop: 1\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     sec-websocket-version: 13\r\n\
                     sec-websocket-protocol: realtime, openai-insecure-api-key.sk-theirs\r\n\
                     sec-websocket-protocol: openai-organization.org-1,openai-beta.realtime-v1\r\n";
    for (method, more) in [("POST", format!("{upload}\r\n0\r\n")), ("GET", websocket.to_owned())] {
        let head = relayed(&upstream, &gateway, method, &more).await;
        let raw = String::from_utf8_lossy(&head.raw).into_owned();
        for name in ITS_OWN.into_iter().chain([
            "proxy-authorization",
            "te",
            "x-hop",
            "x-api-key",
            "openai-project",
            "cookie",
        ]) {
            assert_eq!(head.all(name), [""; 0], "{method} {name}");
        }
        for name in FOR_THE_PROVIDER {
            assert_eq!(head.all(name), ["theirs"], "{method} {name}");
        }
        assert_eq!(head.all("authorization"), ["Bearer sk-own"], "{raw}");
        assert!(raw.contains("/v1/relayed?model=m "), "{raw}");
        assert!(!raw.contains("sk-theirs") && !raw.contains("org-1"), "{raw}");
        if method == "GET" {
            assert_eq!(
                head.all("sec-websocket-protocol"),
                ["realtime, openai-beta.realtime-v1"]
            );
            assert_eq!(head.header("upgrade"), Some("websocket"));
            assert!(
                head.header("connection")
                    .unwrap()
                    .to_ascii_lowercase()
                    .contains("upgrade"),
                "{raw}"
            );
            assert_eq!(head.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        }
    }
}

#[tokio::test]
async fn a_clients_own_credential_may_come_as_a_subprotocol() {
    let (upstream, gateway) = relaying(", key: passthrough").await;
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-protocol: realtime, openai-insecure-api-key.sk-theirs\r\n";
    let head = relayed(&upstream, &gateway, "GET", websocket).await;
    assert_eq!(
        head.all("sec-websocket-protocol"),
        ["realtime, openai-insecure-api-key.sk-theirs"]
    );
}

#[tokio::test]
async fn an_attempt_that_goes_on_with_a_stream_is_no_exception() {
    let first = Upstream::always(Answer::sse([role(), delta("one "), delta("two ")]).then(Ending::Reset)).await;
    let second = Upstream::always(Answer::sse(stream_of("three"))).await;
    let gateway = Gateway::start(chain_with(&[first.url(), second.url()], ", prefill: true")).await;
    let lines = all_lines() + "connection: x-hop\r\nx-hop: 1\r\n";
    let response = gateway.exchange(post_with(CHAT, &lines, chat_stream("m"))).await;
    assert!(response.text().contains("three"), "{}", response.text());
    for request in first.requests().into_iter().chain(second.requests()) {
        for name in ITS_OWN
            .into_iter()
            .chain(ITS_CREDENTIALS)
            .chain(["x-hop", "connection"])
        {
            assert_eq!(request.header(name), None, "{name}");
        }
        for name in FOR_THE_PROVIDER {
            assert_eq!(request.head.all(name), ["theirs"], "{name}");
        }
    }
    assert_eq!(second.requests().len(), 1);
}
