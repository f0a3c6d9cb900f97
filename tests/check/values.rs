//! What a valid file comes to.

use std::time::Duration;

use switchback::classify::{Action, Class};
use switchback::config::{
    self, Config, Exhausted, HttpVersions, Key, KeyPolicy, ListenAddress, LoadOptions, LogFormat, OnKey, Target,
};
use switchback::protocol::Protocol;

use crate::builder::{Check, pem};

fn env(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-env\n".to_owned()),
        "KEYWORD" => Some("passthrough".to_owned()),
        "INJECTION" => Some("x]\nroutes: {}".to_owned()),
        "PORT" => Some("8081".to_owned()),
        "HTTPS_PROXY" => Some("http://me:word@proxy.corp:3128".to_owned()),
        "NO_PROXY" => Some("inside.example,10.0.0.0/8".to_owned()),
        _ => None,
    }
}

fn load(check: &Check, keys: KeyPolicy) -> Config {
    let loaded = config::load(&check.path().join("c.yaml"), &LoadOptions { env: &env, keys });
    let rendered = loaded.render(false);
    loaded.config.unwrap_or_else(|| panic!("{rendered}"))
}

fn of(yaml: &str) -> Config {
    load(&Check::of(yaml), KeyPolicy::Required)
}

fn exposed(key: &Key) -> &str {
    match key {
        Key::Secret(secret) => secret.expose(),
        Key::None => "none",
        Key::Passthrough => "passthrough",
    }
}

#[test]
fn the_shortest_file_has_every_default() {
    let config = of("upstreams: { u: { url: https://api.openai.com/v1/ } }\nroutes: { gpt-4o: [u] }\n");
    assert_eq!(config.listen.len(), 1);
    assert_eq!(
        config.listen[0].address,
        ListenAddress::Tcp("127.0.0.1:8080".to_owned())
    );
    let upstream = &config.upstreams[0];
    assert_eq!(
        (upstream.url.host.as_str(), upstream.url.path.as_str()),
        ("api.openai.com", "/v1")
    );
    assert_eq!(upstream.protocols, [Protocol::OpenAi]);
    assert_eq!(upstream.provider.as_deref(), Some("openai"));
    assert_eq!(upstream.http, HttpVersions::Auto);
    assert!(matches!(upstream.key, Key::None));
    assert!(upstream.key_header.is_none() && upstream.max_inflight.is_none() && !upstream.prefill);
    assert_eq!(config.policy.timeouts(None), config::Timeouts::default());
    assert_eq!(config.policy.retry, config::Retry::default());
    assert_eq!(config.policy.exhausted, Exhausted::Last);
    assert_eq!(config.server.max_body_bytes, 32 << 20);
    assert_eq!(config.server.max_held_bytes, 1 << 20);
    assert_eq!(config.server.client_timeout, Duration::from_secs(60));
    assert_eq!(config.server.send_timeout, Duration::from_secs(300));
    assert_eq!(
        (config.server.idle, config.server.connections),
        (Duration::from_secs(75), None)
    );
    assert_eq!(config.server.drain, Duration::from_secs(600));
    assert!(config.server.threads.is_none() && config.server.passthrough.is_none() && config.server.attempt_header);
    assert!(config.server.watch);
    assert_eq!(
        (config.log.level, config.log.format),
        (log::LevelFilter::Info, LogFormat::Auto)
    );
}

#[test]
fn every_key_of_an_upstream() {
    let yaml = "
upstreams:
  u:
    url: http://127.0.0.1:8000/base
    protocol: [anthropic, openai]
    provider: vllm
    key: { env: KEY }
    key_header: Api-Key
    headers: { X-A: ' a ', x-b: 1.10 }
    remove_headers: [X-Stainless-Lang]
    forward_headers: [OpenAI-Organization]
    query: { api-version: 2024-10-21, flag: true }
    http: 2
    timeouts: { connect: 250ms, headers: 1.5s }
    cooldown: { after: 5, base: 1s }
    prefill: true
    max_inflight: 7
routes: { m: [u] }
";
    let upstream = of(yaml).upstreams.remove(0);
    assert_eq!(upstream.url.authority, "127.0.0.1:8000");
    assert_eq!(upstream.protocols, [Protocol::Anthropic, Protocol::OpenAi]);
    assert_eq!(upstream.provider.as_deref(), Some("vllm"));
    assert_eq!(exposed(&upstream.key), "sk-env");
    assert_eq!(upstream.key_header.unwrap(), "api-key");
    let headers: Vec<_> = upstream
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(headers, [("x-a", "a"), ("x-b", "1.10")]);
    assert_eq!(upstream.remove_headers, ["x-stainless-lang"]);
    assert_eq!(upstream.forward_headers, ["openai-organization"]);
    assert_eq!(
        upstream.query,
        [
            ("api-version".into(), "2024-10-21".into()),
            ("flag".to_owned(), "true".to_owned())
        ]
    );
    assert_eq!(upstream.http, HttpVersions::Http2);
    assert_eq!(upstream.timeouts.connect, Some(Duration::from_millis(250)));
    assert_eq!(upstream.timeouts.headers, Some(Duration::from_millis(1_500)));
    assert_eq!(upstream.timeouts.idle, None);
    assert_eq!((upstream.cooldown.after, upstream.cooldown.max), (Some(5), None));
    assert!(upstream.prefill);
    assert_eq!(upstream.max_inflight, Some(7));
}

#[test]
fn every_form_of_a_key() {
    let yaml = "
upstreams:
  a: { url: https://a.example, key: ${KEY} }
  b: { url: https://b.example, key: { file: keys/b } }
  c: { url: https://c.example, key: passthrough }
  d: { url: https://d.example, key: none }
  e: { url: https://e.example, key: ${KEYWORD} }
  f: { url: https://f.example, key: \"${NONE:-written}\" }
routes: { m: [a] }
";
    let check = Check::of(yaml).file("keys/b", "sk-file\r\n");
    let config = load(&check, KeyPolicy::Required);
    let keys: Vec<&str> = config.upstreams.iter().map(|upstream| exposed(&upstream.key)).collect();
    assert_eq!(
        keys,
        ["sk-env", "sk-file", "passthrough", "none", "passthrough", "written"]
    );
    assert!(
        matches!(config.upstreams[4].key, Key::Secret(_)),
        "what a variable holds is no keyword"
    );
}

#[test]
fn every_form_of_a_target() {
    let yaml = "
upstreams: { a: { url: https://a.example }, b: { url: https://b.example } }
routes:
  m:
    - b
    - a/openai/gpt-4o
    - { upstream: a, model: 'x-*', timeouts: { idle: 9s }, prefill: true }
    - { spread: [ { target: a/one, weight: 3 }, { target: { upstream: b, model: two } }, b/three ] }
    - { route: '*' }
  '*': { targets: [a], exhausted: first, on: { rate_limited: deliver, 503: retry }, retry: { attempts: 2 } }
";
    let config = of(yaml);
    let [first, second, third, fourth, fifth] = <[Target; 5]>::try_from(config.routes[0].targets.clone()).unwrap();
    let model = |target: &Target| match target {
        Target::One(one) => (one.upstream, one.model.clone().unwrap_or_default().to_string()),
        _ => panic!("{target:?}"),
    };
    assert_eq!(model(&first), (1, String::new()));
    assert_eq!(model(&second), (0, "openai/gpt-4o".to_owned()));
    assert_eq!(model(&third), (0, "x-*".to_owned()));
    assert!(
        matches!(&third, Target::One(one) if one.prefill == Some(true) && one.timeouts.idle == Some(Duration::from_secs(9)))
    );
    let Target::Spread(members) = fourth else { panic!() };
    let members: Vec<_> = members
        .iter()
        .map(|(one, weight)| (one.upstream, one.model.as_deref().unwrap(), *weight))
        .collect();
    assert_eq!(members, [(0, "one", 3), (1, "two", 1), (1, "three", 1)]);
    assert!(matches!(fifth, Target::Route(name) if &*name == "*"));
    let overrides = &config.routes[1].overrides;
    assert_eq!(overrides.exhausted, Some(Exhausted::First));
    assert_eq!(overrides.retry.attempts, Some(2));
    assert_eq!(
        overrides.on,
        [
            (OnKey::Class(Class::RateLimited), Action::Deliver),
            (OnKey::Status(503), Action::Retry)
        ]
    );
}

#[test]
fn the_other_sections() {
    let yaml = "
listen: [127.0.0.1:${PORT}, { address: unix:/run/s.sock, h2c: true }, { address: '[::1]:8443', tls: { cert: c.pem, key: k.pem } }]
admin: { address: 0.0.0.0:9091, hosts: [Status.Example, '[::1]'], open: true }
upstreams: { a: { url: https://a.example, tls: { ca: c.pem, cert: c.pem, key: k.pem, server_name: b.example } } }
routes: { m: [a] }
policy:
  timeouts: { deadline: 1h }
  retry: { same_target: 0, max_wait: 10s }
  exhausted: first
server: { threads: 4, watch: false, max_body: 64KiB, max_held: 2KiB, client_timeout: 5s, send_timeout: 7s, idle: 8s, connections: 9, drain: 1m, passthrough: { upstream: a, paths: [/v1/organization/usage/*, /api/v1/KEYS] }, attempt_header: false }
log: { level: debug, format: json }
";
    let check = Check::of(yaml)
        .file("c.pem", pem("CERTIFICATE"))
        .file("k.pem", pem("PRIVATE KEY"));
    let config = load(&check, KeyPolicy::Required);
    assert_eq!(
        config.listen[0].address,
        ListenAddress::Tcp("127.0.0.1:8081".to_owned())
    );
    assert_eq!(config.listen[1].address, ListenAddress::Unix("/run/s.sock".into()));
    assert!(config.listen[1].h2c && !config.listen[2].h2c);
    let admin = config.admin.as_ref().unwrap();
    assert_eq!(admin.address, ListenAddress::Tcp("0.0.0.0:9091".to_owned()));
    assert_eq!(admin.hosts, ["status.example", "::1"]);
    let shown = config.listen[2].tls.as_ref().unwrap();
    assert_eq!(&*shown.cert, pem("CERTIFICATE").as_bytes());
    assert_eq!(&*shown.key, pem("PRIVATE KEY").as_bytes());
    let tls = &config.upstreams[0].tls;
    assert_eq!(tls.ca.as_deref(), Some(pem("CERTIFICATE").as_bytes()));
    assert_eq!(&*tls.client_cert.as_ref().unwrap().key, pem("PRIVATE KEY").as_bytes());
    assert_eq!(tls.server_name.as_deref(), Some("b.example"));
    assert_eq!(config.policy.timeouts(None).deadline, Duration::from_secs(3_600));
    assert_eq!(config.policy.timeouts(None).connect, Duration::from_secs(3));
    assert_eq!((config.policy.retry.same_target, config.policy.retry.attempts), (0, 6));
    assert_eq!(config.policy.exhausted, Exhausted::First);
    let server = &config.server;
    assert!(!server.watch);
    assert_eq!(
        (server.threads, server.max_body_bytes, server.max_held_bytes),
        (Some(4), 65_536, 2_048)
    );
    let passthrough = server.passthrough.as_ref().unwrap();
    assert_eq!(passthrough.upstream, 0);
    assert_eq!(
        passthrough.paths.iter().map(|path| &**path).collect::<Vec<_>>(),
        ["/organization/usage/*", "/api/v1/keys"]
    );
    assert!(!server.attempt_header);
    assert_eq!(
        (server.send_timeout, server.idle),
        (Duration::from_secs(7), Duration::from_secs(8))
    );
    assert_eq!(server.connections, Some(9));
    assert_eq!(
        (config.log.level, config.log.format),
        (log::LevelFilter::Debug, LogFormat::Json)
    );
}

#[test]
fn aliases_and_merges() {
    let yaml = "
upstreams:
  a: &a { url: https://a.example, http: 1, timeouts: &t { idle: 5s } }
  b: { <<: *a, url: https://b.example }
routes:
  m: &chain [a, b]
  n: { targets: *chain, timeouts: *t }
";
    let config = of(yaml);
    assert_eq!(config.upstreams[1].url.host, "b.example");
    assert_eq!(config.upstreams[1].http, HttpVersions::Http1);
    assert_eq!(config.upstreams[1].timeouts.idle, Some(Duration::from_secs(5)));
    assert_eq!(config.routes[1].targets.len(), 2);
    assert_eq!(config.routes[1].overrides.timeouts.idle, Some(Duration::from_secs(5)));
}

#[test]
fn a_variable_is_never_yaml() {
    let config = of("upstreams: { a: { url: https://a.example } }\nroutes: { m: [a/${INJECTION}] }\n");
    let Target::One(one) = &config.routes[0].targets[0] else {
        panic!()
    };
    assert_eq!(one.model.as_deref(), Some("x]\nroutes: {}"));
}

#[test]
fn without_keys_there_are_stand_ins() {
    let yaml = "
listen: [{ address: 127.0.0.1:0, tls: { cert: c.pem, key: k.pem } }]
upstreams:
  a: { url: https://${RESOURCE}.example/${NONE}, key: ${NONE}, headers: { x-a: ${NONE} } }
  b: { url: ${NONE}, key: { file: none }, timeouts: { idle: ${NONE} }, tls: { ca: none.pem } }
  c: { url: https://c.example, key: { credential: none }, http: ${NONE} }
  d: { url: https://d.example, key: { env: NONE }, max_inflight: ${NONE} }
routes: { m: [a/${NONE}] }
";
    let config = load(&Check::of(yaml), KeyPolicy::Optional);
    assert!(
        config
            .upstreams
            .iter()
            .all(|upstream| exposed(&upstream.key) == "placeholder")
    );
    assert_eq!(config.upstreams[0].url.host, "placeholder.example");
    assert_eq!(config.upstreams[1].url.host, "placeholder.invalid");
    assert_eq!(config.upstreams[1].timeouts.idle, None);
    assert_eq!(config.upstreams[2].http, HttpVersions::Auto);
    assert!(config.listen[0].tls.is_none());
}

#[test]
fn without_keys_other_faults_are_faults_still() {
    let check = Check::of("upstreams: { a: { url: nowhere, key: ${NONE} } }\nroutes: { m: [b] }\n");
    let loaded = config::load(
        &check.path().join("c.yaml"),
        &LoadOptions {
            env: &env,
            keys: KeyPolicy::Optional,
        },
    );
    let codes: Vec<_> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["invalid-url", "unknown-upstream"]);
    assert!(loaded.config.is_none());
}

#[test]
fn a_single_target_and_a_single_listener_are_lists_of_one() {
    let config =
        of("listen: 127.0.0.1:0\nupstreams: { u: { url: 'http://a' } }\nroutes: { m: u/x, n: { targets: u } }\n");
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.listen[0].address, ListenAddress::Tcp("127.0.0.1:0".to_owned()));
    let models: Vec<_> = config
        .routes
        .iter()
        .map(|route| match route.targets.as_slice() {
            [Target::One(one)] => one.model.as_deref(),
            targets => panic!("{targets:?}"),
        })
        .collect();
    assert_eq!(models, [Some("x"), None]);
}

#[test]
fn the_protocol_of_anthropics_own_address_is_known() {
    let config = of(
        "upstreams: { a: { url: 'https://api.anthropic.com', key: x }, b: { url: 'https://api.anthropic.com/v1', key: x } }\n\
                     routes: { m: a, n: b }\n",
    );
    let protocols: Vec<_> = config.upstreams.iter().map(|upstream| &*upstream.protocols).collect();
    assert_eq!(protocols, [[Protocol::Anthropic], [Protocol::OpenAi]]);
}

#[test]
fn a_proxy_is_the_upstreams_own_or_that_of_the_server() {
    let proxies = |server: &str| {
        let config = of(&format!(
            "server: {{ proxy: {server} }}\nupstreams:\n  plain: {{ url: 'http://a.example' }}\n  tls: {{ url: 'https://a.example' }}\n  \
             inside: {{ url: 'https://b.inside.example' }}\n  local: {{ url: 'http://127.0.0.1:8000' }}\n  \
             none: {{ url: 'https://a.example', proxy: none }}\n  own: {{ url: 'http://localhost', proxy: 'socks5h://x' }}\n\
             routes: {{ m: [plain] }}\n"
        ));
        let shown = config.upstreams.iter().map(|upstream| {
            let proxy = upstream.proxy.as_ref();
            proxy.map_or_else(
                || "-".to_owned(),
                |proxy| format!("{:?} {}:{}", proxy.kind, proxy.host, proxy.port),
            )
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(proxies("none"), "-, -, -, -, -, Socks5 x:1080");
    assert_eq!(proxies("env"), "-, Http proxy.corp:3128, -, -, -, Socks5 x:1080");
    let all = "Https p:443, Https p:443, Https p:443, -, -, Socks5 x:1080";
    assert_eq!(proxies("'https://p'"), all);
}
