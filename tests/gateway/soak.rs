//! Two hundred clients for a minute, over HTTP/1.1 and HTTP/2 with and without TLS, while upstreams fail at random and the
//! configuration is reloaded each second: everybody gets one answer or one error, nobody is asked more often than the
//! budget allows, what the gateway counts is what clients and upstreams count, and afterwards nothing is left over.
//!
//! `scripts/soak` makes it last: the same gateway, minute after minute, with no more memory in the end than after the first.

mod client;
mod connection;
mod counters;
mod fault;
mod process;
mod prompt;
mod upstream;

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::client::Tally;
use self::connection::Entrances;
use self::counters::Counters;
use self::fault::Fault;
use self::process::Open;
use self::prompt::{MARK, Prompt};
use self::upstream::{Record, Unreliable};
use crate::support::gateway::free_address;
use crate::support::pki::Pki;
use crate::support::reload::{APPLIED, REJECTED};
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
const MEMORY_MAX_BYTES: usize = 256 << 20;
/// What the end may have more than the first minute left: pages that the allocator has not given back yet.
const MEMORY_SLACK_BYTES: usize = 12 << 20;
const BETWEEN_RELOADS: Duration = Duration::from_secs(1);

const POLICY: &str = "
policy:
  timeouts: { connect: 2s, headers: 1500ms, answer: 1500ms, first_token: 1500ms, idle: 800ms, deadline: 10s }
  retry: { attempts: 4, same_target: 1, backoff: 20ms, max_backoff: 100ms, max_wait: 1s }
  cooldown: { after: 3, base: 100ms, max: 400ms, out_of_credits: 200ms }
";

/// The minute where it is judged; elsewhere what a developer has patience for.
fn length() -> Duration {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    Duration::from_secs(if in_ci { 60 } else { 15 })
}

/// How often the same is done to the same gateway.
fn rounds() -> usize {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    minutes.map_or(1, |minutes| minutes.parse().expect("SOAK_MINUTES is a number"))
}

fn model_of(client: usize) -> String {
    format!("m{}", client % MODELS)
}

/// Each model has three equals, two of which go on with broken streams, and a last one that takes few requests. `probe-U-M` asks upstream U for model M, unless it
/// is skipped, and `only-d` asks nobody else.
fn configuration(upstreams: &[Unreliable], spare: &Upstream, pki: &Pki) -> String {
    let mut yaml = "upstreams:\n".to_owned();
    let tls = format!(", tls: {{ ca: \"{}\" }}", pki.ca_file().display());
    for (name, upstream) in UPSTREAMS.iter().zip(upstreams) {
        let more = match *name {
            "a" => ", prefill: true".to_owned(),
            "b" => format!("{tls}, prefill: true"),
            "c" => tls.clone(),
            _ => ", max_inflight: 40".to_owned(),
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

/// A gateway in a storm, and all that watches it.
struct Soak {
    watched: Watched,
    entrances: Entrances,
    /// Its configuration, which the reloads vary.
    yaml: String,
    record: Record,
    upstreams: Vec<Unreliable>,
    _spare: Upstream,
}

impl Soak {
    async fn start() -> Self {
        let (pki, record) = (Arc::new(Pki::new()), Record::default());
        let upstreams = join_all((0..UPSTREAMS.len()).map(|number| Unreliable::start(number, &record, &pki))).await;
        let spare = Upstream::always(Answer::json(200, completion("spare"))).await;
        let (tls, admin) = (free_address(), free_address());
        let yaml = format!("{}admin: \"{admin}\"\n", configuration(&upstreams, &spare, &pki));
        let gateway = Setup::new(format!("{yaml}{}", varied(0)))
            .h2c()
            .also_tls(tls, &pki)
            .start()
            .await;
        let Address::Tcp(plain) = gateway.address else {
            panic!("the gateway listens on a port")
        };
        Self {
            watched: Watched::of(gateway, Address::Tcp(admin)).await,
            entrances: Entrances { plain, tls, pki },
            yaml,
            record,
            upstreams,
            _spare: spare,
        }
    }

    fn gateway(&self) -> &Gateway {
        &self.watched.gateway
    }

    fn open(&self) -> Open {
        let Address::Tcp(admin) = self.watched.admin else {
            panic!("the admin listener is on a port")
        };
        Open::of(self.gateway().pid, &[self.entrances.plain, self.entrances.tls, admin])
    }
}

/// A setting that a reload changes, and nothing notices.
fn varied(reload: usize) -> String {
    format!("server: {{ watch: false, max_held: {}MiB }}\n", 1 + reload % 2)
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "scripts/soak shows how far it is")]
async fn two_hundred_clients_while_upstreams_fail_at_random() {
    let mut soak = Soak::start().await;
    // Some of what it needs it makes when it is first needed.
    assert_eq!(ask(soak.gateway(), "only-d").await, "d");
    let before = soak.open();
    let mut memory_bytes = None;
    for round in 0..rounds() {
        soak.gateway().log.clear();
        soak.record.clear();
        let counted = Counters::of(&soak.watched).await;
        soak.record.stormy(true);
        let tally = everybody(&soak, round).await;
        soak.upstreams.iter().for_each(Unreliable::check);
        let attempts = check_lines(&tally, soak.gateway(), &soak.record).await;
        soak.record.stormy(false);
        nothing_is_open(&soak, &before).await;
        counted.check(&soak.watched, &tally, attempts).await;
        everything_works(soak.gateway()).await;
        let now_bytes = soak.gateway().memory_bytes("VmRSS");
        println!(
            "round {round}: {} requests, then {} KiB resident",
            tally.sent,
            now_bytes / 1024
        );
        assert!(now_bytes < MEMORY_MAX_BYTES, "{now_bytes}");
        let first_bytes = *memory_bytes.get_or_insert(now_bytes);
        assert!(
            now_bytes <= first_bytes + MEMORY_SLACK_BYTES,
            "{now_bytes} bytes after round {round}, {first_bytes} after the first"
        );
    }

    let begin = Instant::now();
    let gateway = &mut soak.watched.gateway;
    gateway.terminate();
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    assert!(begin.elapsed() < STOP_MAX, "{:?}", begin.elapsed());
    let is_stopping = |line: &Value| line["msg"].as_str().is_some_and(|said| said.starts_with("stopping"));
    let stopping = gateway.log.line("the stop", is_stopping).await;
    assert_eq!(stopping["requests"], 0, "{stopping}");
}

/// All clients, until all are done, and a reload each second.
async fn everybody(soak: &Soak, round: usize) -> Tally {
    let end = Instant::now() + length();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let seed = u64::try_from(round * CLIENTS + client).unwrap_or(u64::MAX);
            tokio::spawn(client::ask_until(end, client, seed, soak.entrances.clone()))
        })
        .collect();
    reload_until(end, soak).await;
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

/// Each change is applied, and none is rejected.
async fn reload_until(end: Instant, soak: &Soak) {
    let mut reloads = 0;
    while Instant::now() < end {
        sleep(BETWEEN_RELOADS).await;
        reloads += 1;
        soak.gateway().write(&format!("{}{}", soak.yaml, varied(reloads)));
        soak.gateway().hang_up();
    }
    soon("the reloads to be applied", async {
        while said(soak.gateway(), APPLIED) < reloads {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(said(soak.gateway(), REJECTED), 0);
}

fn said(gateway: &Gateway, message: &str) -> usize {
    let lines = gateway.log.lines();
    lines.iter().filter(|line| line.contains(message)).count()
}

/// Every request has one line in the log, and an id of its own; the line tells of all its attempts, which are no more than
/// the budget allows; nobody reads its prompt there. How many attempts they tell of.
async fn check_lines(tally: &Tally, gateway: &Gateway, record: &Record) -> Attempts {
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
    let mut attempts_of_all = Attempts::default();
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
        attempts_of_all.told += told.unwrap_or_default();
        attempts_of_all.seen += attempts;
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
    attempts_of_all
}

/// Attempts of one round's requests.
#[derive(Debug, Clone, Copy, Default)]
struct Attempts {
    /// By the log.
    told: usize,
    /// By the upstreams.
    seen: usize,
}

/// Upstreams have nothing to do, and but for its listener and the idle connections of its pool the gateway holds no more
/// than it did.
async fn nothing_is_open(soak: &Soak, before: &Open) {
    let begin = Instant::now();
    loop {
        let open = soak.open();
        let (running, at_upstreams) = {
            let seen = soak.record.lock();
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
