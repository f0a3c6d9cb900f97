//! Two hundred clients for a minute, while upstreams fail at random: everybody gets one answer or one error, nobody is
//! asked more often than the budget allows, and afterwards nothing is left over.

mod client;
mod fault;
mod process;
mod prompt;
mod upstream;

use std::collections::HashSet;
use std::fmt::Write;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::client::Tally;
use self::fault::Fault;
use self::process::Open;
use self::prompt::{MARK, Prompt};
use self::upstream::{Record, Unreliable};
use crate::support::gateway::Address;
use crate::support::*;

const CLIENTS: usize = 200;
/// Spread over models, so that a model's cooldown at one upstream does not keep everybody away.
const MODELS: usize = 25;
const UPSTREAMS: [&str; 4] = ["a", "b", "c", "d"];
/// `retry.attempts` below.
const ATTEMPTS: usize = 4;
/// `max_inflight` of `d` below.
const PLACES: usize = 40;
/// Never more than a connection for each client is in use, but not always to the same upstreams.
const POOLED_MAX: usize = 2 * CLIENTS;
/// Much less than the default `drain` of ten minutes.
const STOP_MAX: Duration = Duration::from_secs(8);
/// Near twice what it takes at its peak, however long it lasts.
const MEMORY_MAX_BYTES: usize = 128 << 20;

const POLICY: &str = "
policy:
  timeouts: { connect: 2s, headers: 1500ms, first_token: 1500ms, idle: 800ms, deadline: 10s }
  retry: { attempts: 4, same_target: 1, backoff: 20ms, max_backoff: 100ms, max_wait: 1s }
  cooldown: { after: 3, base: 100ms, max: 400ms, out_of_credits: 200ms }
";

/// The minute where it is judged; elsewhere what a developer has patience for.
fn length() -> Duration {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    Duration::from_secs(if in_ci { 60 } else { 15 })
}

fn model_of(client: usize) -> String {
    format!("m{}", client % MODELS)
}

/// Each model has three equals, two of which go on with broken streams, and a last one that takes few requests. `probe-U-M` asks upstream U for model M, unless it
/// is skipped, and `only-d` asks nobody else.
fn configuration(upstreams: &[Unreliable], spare: &Upstream) -> String {
    let mut yaml = "upstreams:\n".to_owned();
    for (name, upstream) in UPSTREAMS.iter().zip(upstreams) {
        let more = match *name {
            "a" | "b" => ", prefill: true",
            "d" => ", max_inflight: 40",
            _ => "",
        };
        let _ = writeln!(yaml, "  {name}: {{ url: \"{}/v1\"{more} }}", upstream.url);
    }
    let _ = writeln!(
        yaml,
        "  spare: {{ url: \"{}/v1\" }}\nroutes:\n  only-d: [d/m0]",
        spare.url()
    );
    for model in 0..MODELS {
        let equals = ["a", "b", "c"]
            .map(|name| format!("{{ target: {name}, weight: 1 }}"))
            .join(", ");
        let _ = writeln!(yaml, "  m{model}: [{{ spread: [{equals}] }}, d]");
        for name in UPSTREAMS {
            let _ = writeln!(yaml, "  probe-{name}-m{model}: [{name}/m{model}, spare]");
        }
    }
    yaml + POLICY
}

fn tcp(gateway: &Gateway) -> SocketAddrV4 {
    match gateway.address {
        Address::Tcp(SocketAddr::V4(address)) => address,
        _ => panic!("the gateway listens on IPv4"),
    }
}

#[tokio::test]
async fn two_hundred_clients_while_upstreams_fail_at_random() {
    let record = Record::default();
    let upstreams = join_all((0..UPSTREAMS.len()).map(|number| Unreliable::start(number, &record))).await;
    let spare = Upstream::always(Answer::json(200, completion("spare"))).await;
    let mut gateway = Gateway::start(configuration(&upstreams, &spare)).await;
    // Some of what it needs it makes when it is first needed.
    assert_eq!(ask(&gateway, "only-d").await, "d");
    let before = Open::of(gateway.pid, tcp(&gateway));

    record.stormy(true);
    let tally = everybody(&gateway).await;
    upstreams.iter().for_each(Unreliable::check);
    check_lines(&tally, &gateway, &record).await;
    record.stormy(false);
    nothing_is_open(&gateway, &record, &before).await;
    everything_works(&gateway).await;
    assert!(
        gateway.memory_bytes("VmRSS") < MEMORY_MAX_BYTES,
        "{}",
        gateway.memory_bytes("VmRSS")
    );

    let begin = Instant::now();
    gateway.terminate();
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    assert!(begin.elapsed() < STOP_MAX, "{:?}", begin.elapsed());
    let is_stopping = |line: &Value| line["msg"].as_str().is_some_and(|said| said.starts_with("stopping"));
    let stopping = gateway.log.line("the stop", is_stopping).await;
    assert_eq!(stopping["requests"], 0, "{stopping}");
}

/// All clients, until all are done.
async fn everybody(gateway: &Gateway) -> Tally {
    let end = Instant::now() + length();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(client::ask_until(end, client, gateway.address.clone())))
        .collect();
    let mut tally = Tally::default();
    for client in clients {
        match client.await {
            Ok(one) => tally.add(one),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    assert_eq!(tally.whole + tally.failed + tally.broken + tally.left, tally.sent);
    let each = [tally.whole, tally.failed, tally.broken, tally.left];
    assert!(
        each.iter().all(|count| *count > 0),
        "a minute that proves little: {each:?}"
    );
    tally
}

/// Every request has one line in the log, and an id of its own; the line tells of all its attempts, which are no more than
/// the budget allows; nobody reads its prompt there.
async fn check_lines(tally: &Tally, gateway: &Gateway, record: &Record) {
    let is_access = |line: &Value| line["msg"] == "access" && line["model"] != "only-d";
    let lines = soon("a line for every request", async {
        loop {
            let lines: Vec<_> = gateway.log.json().into_iter().filter(is_access).collect();
            if lines.len() >= tally.sent {
                return lines;
            }
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    assert_eq!(lines.len(), tally.sent);
    let seen = record.lock();
    let mut ids: HashSet<_> = tally.ids.iter().map(String::as_str).collect();
    assert_eq!(ids.len(), tally.ids.len(), "an id was given twice");
    for line in &lines {
        let id = line["id"].as_str().expect("every line has it");
        ids.remove(id);
        let attempts = seen.attempts.get(id).copied().unwrap_or_default();
        let told = line["attempts"].as_u64().and_then(|told| usize::try_from(told).ok());
        assert!(
            told.is_some_and(|told| attempts <= told && told <= ATTEMPTS),
            "{attempts} attempts at upstreams: {line}"
        );
    }
    assert!(ids.is_empty(), "without a line: {ids:?}");
    assert!(
        lines.iter().any(|line| line["attempts"] == ATTEMPTS),
        "nobody needed all attempts"
    );
    assert!(
        lines.iter().any(|line| line["resumed"] == 1),
        "no stream was gone on with"
    );
    assert!(!gateway.log.text().contains(MARK), "a prompt is in the log");
    for fault in Fault::all() {
        assert!(
            seen.faults.contains_key(&fault),
            "{fault:?} never came about: {:?}",
            seen.faults
        );
    }
}

/// Upstreams have nothing to do, and but for its listener and the idle connections of its pool the gateway holds no more
/// than it did.
async fn nothing_is_open(gateway: &Gateway, record: &Record, before: &Open) {
    let begin = Instant::now();
    loop {
        let open = Open::of(gateway.pid, tcp(gateway));
        let (running, at_upstreams) = {
            let seen = record.lock();
            (seen.running, seen.open)
        };
        let expected = Open {
            from_clients: 0,
            to_upstreams: at_upstreams,
            closing: 0,
            ..*before
        };
        if open == expected && running == 0 && at_upstreams <= POOLED_MAX {
            return;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{open:?} is open, where {expected:?} is expected; {running} requests run at the upstreams"
        );
        sleep(Duration::from_millis(50)).await;
    }
}

/// Who answers a request that must be answered.
async fn ask(gateway: &Gateway, model: &str) -> String {
    let prompt = Prompt::new(0, 0, false);
    let response = gateway.post(CHAT, prompt.body(model)).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    response.header("x-gateway-upstream").unwrap_or_default().to_owned()
}

/// Every target is used again, and every place in flight has been given back.
async fn everything_works(gateway: &Gateway) {
    let models = (0..MODELS).flat_map(|model| UPSTREAMS.map(|name| (name, format!("probe-{name}-m{model}"))));
    join_all(models.map(async |(name, model)| {
        soon(&format!("{model} to be used again"), async {
            while ask(gateway, &model).await != name {
                sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }))
    .await;
    let served = join_all((0..PLACES).map(|_| ask(gateway, "only-d"))).await;
    assert!(served.iter().all(|name| name == "d"));
}
