//! Running out of file descriptors: nobody else is blamed for it, and what an operator needs goes on.

use crate::support::gateway::free_address;
use crate::support::reload::{APPLIED, UNWATCHED};
use crate::support::*;

/// So few that the clients of this test reach the limit.
const LIMIT: u32 = 160;

/// The gateway with a hard limit on open files, as a service manager sets it.
fn limited(directory: &std::path::Path, setup: Setup) -> Setup {
    let script = directory.join("limited");
    let program = env!("CARGO_BIN_EXE_switchback");
    let text = format!("#!/bin/sh\nulimit -n {LIMIT}\nexec {program} \"$@\"\n");
    write_executable(&script, text.as_bytes());
    setup.program(script)
}

#[tokio::test]
async fn running_out_of_descriptors_blames_no_upstream() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::always(Answer::hang()).await;
    let admin = free_address();
    // So many clients that what their requests need for upstreams is not there.
    let yaml = format!(
        "{}{UNWATCHED}admin: \"{admin}\"\npolicy: {{ cooldown: {{ after: 1, base: 60s, max: 60s }}, timeouts: {{ headers: 60s }} }}\n",
        chain(&[upstream.url()])
    )
    .replace(UNWATCHED.trim_end(), "server: { watch: false, connections: 1000 }");
    let gateway = limited(directory.path(), Setup::new(yaml.clone())).start().await;
    let watched = Watched::of(gateway, Address::Tcp(admin)).await;
    let gateway = &watched.gateway;
    let mut clients = Vec::new();
    let mut bystander = None;
    let refused = loop {
        let mut client = gateway.client().await;
        client.send(post(CHAT, chat("m"))).await;
        let asked = upstream.requests().len();
        let (answer, asked) = tokio::select! {
            response = client.response() => (Some(response), asked),
            _ = upstream.request(asked) => (None, asked + 1),
        };
        match answer {
            // Here the last descriptor was wanted for a client. One that asks nothing of an upstream in place of one that does, and
            // the last is wanted for an upstream.
            Some(response) if response.header("x-gateway-attempts").is_none() && bystander.is_none() => {
                clients.pop();
                upstream.left().await;
                let mut client = gateway.client().await;
                client.send("GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
                assert_eq!(client.response().await.status(), 200);
                bystander = Some(client);
            }
            Some(response) => break response,
            None => clients.push(client),
        }
        assert!(asked < LIMIT as usize, "the limit is never reached");
    };
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert_eq!(
        refused.json()["error"]["code"],
        "too_many_open_files",
        "{}",
        refused.text()
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.ledger()[0].class.as_deref(), Some("no_descriptors"));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(watched.ask(path).await.status(), 200, "{path}");
    }
    let reloaded = gateway.reload(&yaml.replace("after: 1", "after: 2")).await;
    assert!(
        reloaded["msg"].as_str().is_some_and(|msg| msg.starts_with(APPLIED)),
        "{reloaded}"
    );
    let cooling = gateway.log.text().contains("cooling down");
    assert!(!cooling, "no upstream is to blame:\n{}", gateway.log.text());
    // As soon as there are descriptors again, the upstream is asked.
    let asked = upstream.requests().len();
    clients.truncate(1);
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat("m"))).await;
    upstream.left().await;
    soon("the upstream to be asked again", async {
        loop {
            tokio::select! {
                _ = upstream.request(asked) => break,
                response = client.response() => {
                    assert_eq!(response.status(), 503);
                    client = gateway.client().await;
                    client.send(post(CHAT, chat("m"))).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_limit_is_raised_to_its_hard_limit() {
    let gateway = Gateway::start(chain(&["http://127.0.0.1:9"])).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid)).expect("Linux tells it");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("a line");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "{line}");
}
