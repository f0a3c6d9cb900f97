//! What `explain --if` tells is what the gateway does: the same attempts, classes and clocks, and the same answer in the end.

use std::fs;

use switchback::drill::{StandInSpec, StandIns};
use switchback::protocol::Protocol;

use crate::gateway::{Gateway, closing_address, free_address};
use crate::program::switchback;

/// A failure, as the stand-ins are told it and as `explain` is.
type Broken = (&'static str, &'static str);

struct Scenario {
    /// Of model `m`, on the upstreams a, b and c (stand-ins) and x (which closes every connection).
    route: &'static str,
    broken: &'static [Broken],
    /// What only `explain` needs to be told.
    also: &'static [&'static str],
    path: &'static str,
}

const CHAT: &str = "/v1/chat/completions";

fn scenarios() -> Vec<Scenario> {
    let on_chat = |route, broken| Scenario {
        route,
        broken,
        also: &[],
        path: CHAT,
    };
    vec![
        on_chat("[a, b, c]", &[]),
        on_chat("[a, b/other, c]", &[("a=429", "a=429:5s"), ("b=500", "b=500")]),
        on_chat("[a, b]", &[("a=429:1s", "a=429:1s"), ("b=overloaded", "b=503")]),
        on_chat("[a, b]", &[("a=refuse", "a=refused"), ("b=refuse", "b=refused")]),
        on_chat("[a, b]", &[("a=refuse", "a=refused"), ("b=hang", "b=timeout")]),
        on_chat("[a, b]", &[("a=503", "a=503"), ("b=hang", "b=headers")]),
        on_chat(
            "{ targets: [a, b, c], exhausted: first }",
            &[
                ("a=402", "a=402"),
                ("b=503", "b=503"),
                ("c=out-of-credits", "c=out_of_credits"),
            ],
        ),
        on_chat("[a, b]", &[("a=400", "a=400")]),
        on_chat(
            "{ targets: [a, b], on: { 400: fallback, auth: deliver } }",
            &[("a=400", "a=400"), ("b=401", "b=401")],
        ),
        on_chat(
            "{ targets: [a, b, c], on: { timeout: retry }, retry: { attempts: 3 } }",
            &[("a=500", "a=500"), ("b=hang", "b=timeout")],
        ),
        on_chat(
            "{ targets: [a, b, c], timeouts: { headers: 400ms, answer: 400ms, deadline: 600ms } }",
            &[("a=hang", "a=timeout"), ("b=hang", "b=timeout")],
        ),
        on_chat(
            "[{ spread: [{ target: a/one, weight: 1 }] }, b]",
            &[("a=500,model=one", "a/one=500")],
        ),
        // A whole upstream cools down, or one model of it; the last one is asked however it stands.
        on_chat("[a/one, a/two, b]", &[("a=401", "a=401")]),
        on_chat("[a/one, b, a/two]", &[("a=401", "a=401"), ("b=500", "b=500")]),
        on_chat("[a/one, a/two, b]", &[("a=404,model=one", "a/one=model_not_found")]),
        on_chat("{ targets: [a, b], cooldown: { after: 1 } }", &[("a=500", "a=500")]),
        Scenario {
            also: &["x=reset"],
            ..on_chat("[x, a]", &[("a=404", "a=model_not_found")])
        },
        Scenario {
            route: "[a, c, b]",
            broken: &[("c=overloaded", "c=529")],
            also: &[],
            path: "/v1/messages",
        },
    ]
}

fn stand_ins(broken: &[Broken]) -> StandIns {
    let spec = |name: &str, protocols: &[Protocol]| StandInSpec {
        name: name.to_owned(),
        protocols: protocols.to_vec(),
        provider: Some("openrouter".to_owned()),
    };
    let specs = vec![
        spec("a", &[Protocol::OpenAi]),
        spec("b", &[Protocol::OpenAi, Protocol::Anthropic]),
        spec("c", &[Protocol::OpenAi, Protocol::Anthropic]),
    ];
    let faults: Vec<_> = broken.iter().map(|(fault, _)| fault.parse().unwrap()).collect();
    StandIns::start(specs, &faults).unwrap()
}

/// The ledger without its times.
fn timeless(ledger: &str) -> String {
    let entries = ledger.split(", ").map(|entry| {
        entry
            .rsplit_once(";ms=")
            .unwrap_or_else(|| panic!("no time in {ledger}"))
            .0
    });
    entries.collect::<Vec<_>>().join(", ")
}

fn check(scenario: &Scenario) {
    let directory = tempfile::tempdir().unwrap();
    let stand_ins = stand_ins(scenario.broken);
    let address = free_address();
    let url = |name| format!("http://{}/v1", stand_ins.address(name).unwrap());
    let yaml = format!(
        "listen: [\"{address}\"]\n\
         upstreams:\n\
         \x20 a: {{ url: \"{}\", provider: openrouter }}\n\
         \x20 b: {{ url: \"{}\", provider: openrouter, protocol: [openai, anthropic] }}\n\
         \x20 c: {{ url: \"{}\", provider: openrouter, protocol: [openai, anthropic] }}\n\
         \x20 x: {{ url: \"http://{}/v1\" }}\n\
         policy: {{ timeouts: {{ headers: 300ms, answer: 300ms }}, retry: {{ backoff: 5ms }} }}\n\
         routes: {{ m: {} }}\n",
        url("a"),
        url("b"),
        url("c"),
        closing_address(),
        scenario.route
    );
    fs::write(directory.path().join("c.yaml"), &yaml).unwrap();

    let mut arguments = vec!["explain", "m", "--json", "--config", "c.yaml", "--path", scenario.path];
    let fates = scenario
        .broken
        .iter()
        .map(|(_, fate)| *fate)
        .chain(scenario.also.iter().copied());
    for fate in fates {
        arguments.extend(["--if", fate]);
    }
    let told = switchback(directory.path(), &arguments, "").json();
    let told = &told["client"];

    let gateway = Gateway::start(directory.path(), address);
    let seen = gateway.post(scenario.path, r#"{"model":"m","max_tokens":9,"messages":[]}"#);
    let ledger = seen.header("x-gateway-attempts").unwrap();
    let context = format!("{yaml}\n{arguments:?}\nthe gateway: {ledger}\nexplain: {told}");
    assert_eq!(
        timeless(told["ledger"].as_str().unwrap()),
        timeless(ledger),
        "{context}"
    );
    assert_eq!(told["status"], seen.status, "{context}");
    assert_eq!(
        told["error_origin"].as_str(),
        seen.header("x-gateway-error-origin"),
        "{context}"
    );
    let served = seen
        .header("x-gateway-upstream")
        .map(|upstream| format!("{upstream}/{}", seen.header("x-gateway-model").unwrap_or_default()));
    assert_eq!(told["answer_of"].as_str(), served.as_deref(), "{context}");
}

#[test]
fn explain_tells_what_the_gateway_does() {
    for scenario in scenarios() {
        check(&scenario);
    }
}
