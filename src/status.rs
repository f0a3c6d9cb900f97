//! The status document: the state of the gateway, its upstreams and its routes. The admin listener writes it,
//! `switchback status` and the page read it; docs/status.md describes it for everybody else.
//!
//! Within one `version` fields are only ever added: readers skip those that they do not know. Times are Unix
//! milliseconds, durations are in the unit that their name ends with. Nothing in it is a secret, a prompt or a
//! completion.

use serde::{Deserialize, Serialize};

/// The shape that this module describes.
pub const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`]: another number means that a field has changed its meaning or was removed.
    pub version: u32,
    /// When this was written.
    pub at_unix_ms: u64,
    pub process: Process,
    pub configuration: Configuration,
    /// The upstreams, in the file's order.
    pub upstreams: Vec<Upstream>,
    /// The routes, in the file's order; that of `server.passthrough`, which carries no model, is last and has no state
    /// of its own.
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// The program's: `0.1.0`.
    pub version: String,
    pub pid: u32,
    pub started_unix_ms: u64,
    pub uptime_seconds: u64,
    pub phase: Phase,
    /// Whether it is ready, as `/readyz` says it.
    pub ready: bool,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// Where clients connect: `http://127.0.0.1:8080`, `unix:/run/switchback/http.sock`.
    pub listeners: Vec<String>,
    /// Requests of clients that are not completely answered.
    pub in_flight: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The listeners are not open yet.
    Starting,
    Running,
    /// Told to stop: running requests are finished, and new ones are not accepted.
    Draining,
}

/// The configuration that requests get, and what became of the last attempt to load another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    pub file: String,
    /// The first 12 hexadecimal digits of the SHA-256 of the file's bytes.
    pub hash: String,
    /// 1 at start, incremented by each successful reload.
    pub generation: u64,
    pub loaded_unix_ms: u64,
    /// The last attempt to load the file: that of the start, or a reload.
    pub last_load: Load,
    /// How many reloads were rejected since the start.
    pub rejected: u64,
    /// Settings of the file that only a restart applies: `listen`.
    pub restart_needed: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub at_unix_ms: u64,
    /// `start`, `signal` (SIGHUP) or `change` (of a file).
    pub trigger: String,
    /// `false`: the file has errors, and what ran before still runs.
    pub ok: bool,
    /// The hash of the file that was tried; `None` if it could not be read.
    pub hash: Option<String>,
    /// Errors and warnings, in the file's order. At most 100.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub more_faults: usize,
}

/// A fault of the configuration, as `switchback check` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// `error` or `warning`.
    pub severity: String,
    /// `unknown-key`.
    pub code: String,
    pub message: String,
    /// The line, from 1. `None` where the file as a whole is meant.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    pub help: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    pub name: String,
    /// `openai`, `anthropic`, or both.
    pub protocols: Vec<String>,
    /// The state of the upstream with all its models: connections, account, credential.
    pub state: State,
    pub in_flight: u32,
    pub max_inflight: Option<u32>,
    /// `None` where no `balance` is configured.
    pub balance: Option<Balance>,
    /// Models that clients asked for through a glob and that are not used now. At most 20.
    pub resting_models: Vec<RestingModel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestingModel {
    pub model: String,
    pub state: State,
}

/// Where a cooldown stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub standing: Standing,
    /// The class that began the cooldown: `rate_limited`. Present while it is `open`, or a request tries.
    pub class: Option<String>,
    /// How much longer it is `open`.
    pub seconds_left: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Used.
    Closed,
    /// Cooling down: skipped.
    Open,
    /// The cooldown is over: one request tries, or the next one will.
    HalfOpen,
}

/// What is left on an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// `None`: not read yet, or `is_unlimited`.
    pub remaining: Option<f64>,
    /// The account has no limit.
    pub is_unlimited: bool,
    /// `USD`, where it is known.
    pub unit: Option<String>,
    /// A warning is due below this.
    pub low: f64,
    pub is_low: bool,
    /// Nothing is left: the upstream is skipped.
    pub is_empty: bool,
    pub read_unix_ms: Option<u64>,
    pub next_read_unix_ms: Option<u64>,
    /// Why the last reading failed.
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// A model's name, or a glob.
    pub name: String,
    /// Whether a request would find a target that is not skipped.
    pub usable: bool,
    /// The targets, in the order in which they are asked.
    pub targets: Vec<Target>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The name as the chain writes it: `openrouter/openai/gpt-4o`, or `openai` for the requested name.
    pub name: String,
    pub upstream: String,
    /// `None`: the requested name.
    pub model: Option<String>,
    /// Its place in the chain, from 1. Equals of a `spread` share one.
    pub position: usize,
    /// Its share among equals.
    pub weight: Option<u32>,
    /// Neither the target nor its upstream is skipped.
    pub usable: bool,
    /// The state of the target alone; its upstream's is there.
    pub state: State,
    /// How many of the upstream's models are not used now; behind a glob each model has a state of its own. At most 20
    /// are counted.
    pub resting_models: usize,
    /// The last 1, 15 and 60 minutes.
    pub windows: Vec<Window>,
    /// What charts show: the minutes of the last hour that saw an attempt, oldest first.
    pub minutes: Vec<Minute>,
    /// The last ones, newest first. At most 10.
    pub last_failures: Vec<Failure>,
}

/// How attempts fared in the last minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub minutes: u32,
    pub attempts: u64,
    pub succeeded: u64,
    /// The share that succeeded, from 0 to 1; `None` without attempts.
    pub success_rate: Option<f64>,
    /// The time to open the connection; kept connections do not count.
    pub connect: Latency,
    /// The time from the request sent to the response's header.
    pub headers: Latency,
    /// The time from the header to the first meaningful event.
    pub first_token: Latency,
    /// The time from the attempt's begin to the response's end.
    pub total: Latency,
}

/// Milliseconds; `None` where nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    /// 0 is the current minute.
    pub minutes_ago: usize,
    pub attempts: u64,
    pub succeeded: u64,
    pub total: Latency,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub at_unix_ms: u64,
    /// `rate_limited`.
    pub class: String,
    /// `None` where there was no answer.
    pub status: Option<u16>,
    /// What the provider said, at most 200 characters, without anything that looks like a key or quotes the request.
    pub message: Option<String>,
    /// The gateway's, as in `x-gateway-request-id` and the log.
    pub request_id: String,
    /// The provider's own, where it gave one.
    pub upstream_request_id: Option<String>,
}

impl Status {
    /// Lists the routes whose requests would find every target skipped.
    pub fn unusable_routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| !route.usable)
    }

    /// Returns whether there is nothing for an operator to do: it is ready, and no route has every target skipped.
    pub fn is_well(&self) -> bool {
        self.process.ready && self.unusable_routes().next().is_none()
    }

    /// Returns whether both say the same, apart from the time at which they say it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self {
            version,
            at_unix_ms: _,
            process,
            configuration,
            upstreams,
            routes,
        } = self;
        let uptime_seconds = other.process.uptime_seconds;
        *version == other.version
            && Process {
                uptime_seconds,
                ..process.clone()
            } == other.process
            && *configuration == other.configuration
            && *upstreams == other.upstreams
            && *routes == other.routes
    }
}
