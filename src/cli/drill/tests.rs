use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::demonstration::{Switches, chain};
use super::*;
use crate::config::*;
use crate::protocol::Protocol::{self, Anthropic, OpenAi};

fn upstream(name: &str, protocols: &[Protocol], path: &str) -> Upstream {
    let authority = format!("{name}.example");
    Upstream {
        name: name.into(),
        url: BaseUrl {
            https: true,
            host: authority.clone(),
            port: 443,
            path: path.into(),
            authority,
        },
        protocols: protocols.to_vec(),
        provider: Some(name.into()),
        key: Key::Passthrough,
        key_header: None,
        headers: vec![],
        remove_headers: vec![],
        forward_headers: vec![],
        query: vec![],
        http: HttpVersions::Http2,
        tls: UpstreamTls {
            insecure: true,
            ..UpstreamTls::default()
        },
        proxy: None,
        timeouts: TimeoutOverrides::default(),
        cooldown: CooldownOverrides::default(),
        prefill: false,
        body: BodyEdits::default(),
        max_inflight: None,
        balance: None,
    }
}

fn one(upstream: usize, model: Option<&str>) -> UpstreamTarget {
    UpstreamTarget {
        upstream,
        model: model.map(Arc::from),
        timeouts: TimeoutOverrides::default(),
        prefill: None,
        body: BodyEdits::default(),
    }
}

fn route(name: &str, targets: Vec<Target>) -> Route {
    Route {
        name: name.into(),
        targets,
        models: Default::default(),
        overrides: PolicyOverrides::default(),
    }
}

fn config(routes: Vec<Route>) -> Config {
    Config {
        file: "switchback.yaml".into(),
        hash: "".into(),
        listen: vec![Listener::plain(ListenAddress::Tcp("127.0.0.1:0".into()))],
        admin: None,
        upstreams: vec![
            upstream("openai", &[OpenAi], "/v1"),
            upstream("openrouter", &[OpenAi, Anthropic], "/api/v1"),
            upstream("anthropic", &[Anthropic], ""),
        ],
        routes,
        policy: Policy {
            keepalive: None,
            timeouts: TimeoutOverrides::default(),
            retry: Retry::default(),
            on: vec![],
            cooldown: Cooldown::default(),
            exhausted: Exhausted::Last,
        },
        server: Server {
            max_body_bytes: 1 << 20,
            memory_bytes: 8 << 20,
            drain: Duration::from_secs(1),
            ..Server::default()
        },
        log: Log::default(),
    }
}

fn switching() -> Config {
    config(vec![
        route("lonely", vec![Target::One(one(0, None))]),
        route(
            "gpt-4o",
            vec![Target::One(one(0, None)), Target::One(one(1, Some("openai/*")))],
        ),
    ])
}

fn args(once: bool, faults: &[&str]) -> DrillArgs {
    DrillArgs {
        config: None,
        faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
        once,
    }
}

/// A minimal gateway: it asks each upstream in turn until one does not answer 500. It serves until `requests` are
/// answered; connections without a request are not counted.
fn gateway(config: &Config, requests: usize) -> anyhow::Result<()> {
    let ListenAddress::Tcp(address) = &config.listen[0].address else {
        bail!("no TCP")
    };
    let listener = TcpListener::bind(address)?;
    let mut answered = 0;
    while answered < requests {
        let (mut client, _) = listener.accept()?;
        let mut request = vec![0; 4096];
        let Ok(read @ 1..) = client.read(&mut request) else {
            continue;
        };
        let mut answer = Vec::new();
        for upstream in &config.upstreams {
            assert!(!upstream.url.https && !upstream.tls.insecure);
            let path = format!("POST {}/", upstream.url.path);
            let request = String::from_utf8_lossy(&request[..read]).replacen("POST /v1/", &path, 1);
            let mut stream = TcpStream::connect((&*upstream.url.host, upstream.url.port))?;
            stream.write_all(request.as_bytes())?;
            answer.clear();
            stream.read_to_end(&mut answer)?;
            if !answer.starts_with(b"HTTP/1.1 500") {
                break;
            }
        }
        let answer = String::from_utf8(answer)?.replacen("\r\n", "\r\nX-Gateway-Attempts: \"a\";status=200\r\n", 1);
        client.write_all(answer.as_bytes())?;
        answered += 1;
    }
    Ok(())
}

fn play(config: Config, args: &DrillArgs) -> (anyhow::Result<ExitCode>, String) {
    let mut out = Vec::new();
    let ended = session(config, args, &mut out, Box::new(|_| 0), |config| gateway(&config, 1));
    (ended, String::from_utf8(out).unwrap())
}

#[test]
fn a_plain_drill_shows_a_switch_and_serves_on() {
    let (ended, out) = play(switching(), &args(false, &[]));
    assert_eq!(ended.unwrap(), ExitCode::SUCCESS, "when the gateway ended");
    for words in [
        "openai is broken now: it answers 500",
        "-> 200",
        "x-gateway-attempts: \"a\";status=200",
        "Hello from openrouter (stand-in), model gpt-4o.",
        "openai is healed",
        "gpt-4o  openai -> openrouter/openai/*",
        "curl -X POST 'http://127.0.0.1:",
        "/drill/openai?fault=500'",
        "from openai import OpenAI",
        "model_provider = \"switchback\"",
        "wire_api = \"responses\"",
    ] {
        assert!(out.contains(words), "{words} is missing in:\n{out}");
    }
}

#[test]
fn once_ends_with_what_became_of_the_request() {
    let (ended, out) = play(switching(), &args(true, &[]));
    assert_eq!(ended.unwrap(), ExitCode::SUCCESS);
    assert!(!out.contains("Ctrl-C"));
    let (ended, out) = play(switching(), &args(true, &["openai=500", "openrouter=429"]));
    assert_eq!(ended.unwrap(), ExitCode::FAILURE);
    assert!(out.contains("-> 429") && out.contains("fault 429"), "{out}");
}

#[test]
fn a_gateway_that_does_not_start_is_reported() {
    let mut out = Vec::new();
    let error = session(switching(), &args(true, &[]), &mut out, Box::new(|_| 0), |_| {
        bail!("no such luck")
    })
    .unwrap_err();
    assert_eq!(format!("{error:#}"), "the gateway did not start: no such luck");
    let error = session(
        switching(),
        &args(true, &["opnai=429"]),
        &mut out,
        Box::new(|_| 0),
        |_| Ok(()),
    )
    .unwrap_err();
    assert!(format!("{error:#}").contains("did you mean openai?"), "{error:#}");
}

#[test]
fn a_taken_port_is_replaced_and_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let written = taken.local_addr().unwrap().to_string();
    let mut config = switching();
    config.listen[0].address = ListenAddress::Tcp(written.clone());
    let (ended, out) = play(config, &args(true, &[]));
    assert_eq!(ended.unwrap(), ExitCode::SUCCESS);
    assert!(out.contains(&format!("({written}: taken)")), "{out}");
}

#[test]
fn the_drills_request_finds_a_plain_listener() {
    let mut config = switching();
    config.listen[0].address = ListenAddress::Unix("socket".into());
    let place = rehearsal::listen(&mut config).unwrap();
    assert_eq!(config.listen[1].address, ListenAddress::Tcp(place.address.to_string()));
    config.listen[0].address = ListenAddress::Tcp("0.0.0.0:0".into());
    let place = rehearsal::listen(&mut config).unwrap();
    assert!(place.address.ip().is_loopback() && place.address.port() != 0);
    let ListenAddress::Tcp(written) = &config.listen[0].address else {
        unreachable!()
    };
    assert_eq!(written.parse::<SocketAddr>().unwrap().port(), place.address.port());
}

#[test]
fn every_upstream_leads_to_its_stand_in() {
    let mut config = switching();
    let stand_ins = StandIns::start(rehearsal::specs(&config), &[]).unwrap();
    rehearsal::redirect(&mut config, &stand_ins);
    for upstream in &config.upstreams {
        assert_eq!(
            upstream.url.authority,
            stand_ins.address(&upstream.name).unwrap().to_string()
        );
        assert!(!upstream.url.https && upstream.http == HttpVersions::Auto);
    }
    assert_eq!(config.upstreams[1].url.path, "/api/v1");
}

#[test]
fn the_case_that_shows_most_is_chosen() {
    let choose = |routes| Case::choose(&config(routes)).unwrap();
    let of = |name: &str, targets: &[UpstreamTarget]| route(name, targets.iter().cloned().map(Target::One).collect());

    let case = choose(vec![
        of("*", &[one(0, None), one(1, None)]),
        of("m", &[one(0, None), one(1, None)]),
    ]);
    assert_eq!(
        (&*case.model, &case.switches),
        ("m", &Switches::ToAnotherUpstream),
        "an exact name before a glob"
    );
    let case = choose(vec![of("x-*", &[one(1, None), one(2, None)]), of("m", &[one(0, None)])]);
    assert_eq!(
        (&*case.model, case.protocol, case.path()),
        ("x-drill", Anthropic, "/v1/messages")
    );
    let case = choose(vec![of("m", &[one(0, Some("a/*")), one(2, None), one(0, None)])]);
    assert_eq!(
        case.switches,
        Switches::ToAnotherModel("a/m".into()),
        "anthropic does not speak what openai does"
    );
    assert_eq!(case.fault("500"), "/drill/openai?fault=500&model=a%2Fm");
    assert_eq!(choose(vec![of("m", &[one(0, None)])]).switches, Switches::No);
    assert_eq!(Case::choose(&config(vec![])), None);

    let spread = Target::Spread(vec![(one(0, None), 1), (one(1, None), 2)]);
    let config = config(vec![
        route("a", vec![Target::Route("b".into()), Target::One(one(2, None))]),
        route("b", vec![spread]),
    ]);
    let order: Vec<usize> = chain(&config, "a").iter().map(|target| target.upstream).collect();
    assert_eq!(order, [0, 1, 2]);
}
