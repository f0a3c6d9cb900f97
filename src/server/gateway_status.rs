//! The status document, put together from all that is known of the running gateway.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::clients::registry::Registry;
use super::metrics::{LastReload, Metrics};
use super::phase::Phase;
use super::reload::{self, Reloads};
use crate::config::Severity;
use crate::notation::date::{unix_ms, unix_seconds};
use crate::proxy::meters::Meters;
use crate::proxy::{InFlight, Snapshot};
use crate::routing::{Group, Route, RouteTable, Target};
use crate::status::{self, Status};
use crate::telemetry::history::{self, FailureNote, History};
use crate::upstream::{self, Standing, Upstream};

/// The most models of a glob that an upstream lists.
const RESTING_MODELS_MAX: usize = 20;
/// The lengths of the windows in minutes.
const WINDOWS: [u32; 3] = [1, 15, 60];

pub(super) struct GatewayStatus {
    snapshot: Arc<ArcSwap<Snapshot>>,
    reloads: Reloads,
    in_flight: InFlight,
    phase: Phase,
    metrics: Metrics,
    listeners: Vec<String>,
    started: Instant,
    started_at: SystemTime,
}

impl GatewayStatus {
    /// `listeners`: where clients connect.
    pub(super) fn new(
        snapshot: &Arc<ArcSwap<Snapshot>>,
        reloads: &Reloads,
        in_flight: InFlight,
        clients: Arc<Registry>,
        phase: Phase,
        listeners: Vec<String>,
    ) -> Self {
        let watched = reloads.clone();
        let last_reload = move || {
            let state = watched.state();
            LastReload {
                generation: state.generation,
                succeeded: state.last.ok,
                attempted_at: unix_seconds(state.last.at),
                rejected: state.rejected,
            }
        };
        Self {
            metrics: Metrics::new(Arc::clone(snapshot), in_flight.clone(), clients, last_reload),
            snapshot: Arc::clone(snapshot),
            reloads: reloads.clone(),
            in_flight,
            phase,
            listeners,
            started: Instant::now(),
            started_at: SystemTime::now(),
        }
    }

    /// The metrics in Prometheus' text format.
    pub(super) fn metrics(&self) -> String {
        self.metrics.render()
    }

    /// Returns why new requests should go elsewhere, if they should.
    pub(super) fn unready(&self) -> Option<String> {
        match self.phase.now() {
            status::Phase::Starting => Some("starting: the listeners are not open yet".to_owned()),
            status::Phase::Running => None,
            status::Phase::Draining => Some(format!(
                "draining: told to stop, {} requests are still running",
                self.in_flight.running()
            )),
        }
    }

    pub(super) fn status(&self, now: Instant) -> Status {
        // Before the snapshot, which a reload puts in use before it is told of.
        let configuration = configuration(&self.reloads.state());
        let snapshot = self.snapshot.load_full();
        let table = &snapshot.table;
        Status {
            version: status::VERSION,
            at_unix_ms: unix_ms(SystemTime::now()),
            process: self.process(now),
            configuration,
            upstreams: table.upstreams.iter().map(|each| upstream(each, now)).collect(),
            routes: routes(table).map(|each| route(each, &snapshot.meters, now)).collect(),
        }
    }

    fn process(&self, now: Instant) -> status::Process {
        let reason = self.unready();
        status::Process {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_unix_ms: unix_ms(self.started_at),
            uptime_seconds: (now - self.started).as_secs(),
            phase: self.phase.now(),
            ready: reason.is_none(),
            reason,
            listeners: self.listeners.clone(),
            in_flight: self.in_flight.running(),
        }
    }
}

fn configuration(state: &reload::State) -> status::Configuration {
    status::Configuration {
        file: state.file.display().to_string(),
        hash: state.hash.to_string(),
        generation: state.generation,
        loaded_unix_ms: unix_ms(state.loaded_at),
        last_load: load(&state.last),
        rejected: state.rejected,
        restart_needed: state.restart_needed.iter().map(ToString::to_string).collect(),
    }
}

fn load(attempt: &reload::Attempt) -> status::Load {
    let faults = attempt.faults.iter().map(|fault| status::Fault {
        severity: match fault.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
        .to_owned(),
        code: fault.code.to_owned(),
        message: fault.message.clone(),
        line: fault.line,
        column: fault.column,
        help: fault.help.clone(),
    });
    status::Load {
        at_unix_ms: unix_ms(attempt.at),
        trigger: attempt.trigger.name().to_owned(),
        ok: attempt.ok,
        hash: attempt.hash.as_deref().map(str::to_owned),
        faults: faults.collect(),
        more_faults: attempt.more_faults,
    }
}

fn routes(table: &RouteTable) -> impl Iterator<Item = &Arc<Route>> {
    table.routes.iter().chain(&table.passthrough)
}

fn upstream(upstream: &Upstream, now: Instant) -> status::Upstream {
    let resting = upstream.registry.resting(RESTING_MODELS_MAX, now);
    status::Upstream {
        name: upstream.name.to_string(),
        protocols: upstream.protocols.iter().map(|each| each.name().to_owned()).collect(),
        state: state(upstream.registry.own().standing(now), now),
        in_flight: upstream.registry.inflight(),
        max_inflight: upstream.max_inflight,
        balance: upstream.balance().as_ref().map(balance),
        resting_models: resting
            .into_iter()
            .map(|(model, standing)| status::RestingModel {
                model: model.to_string(),
                state: state(standing, now),
            })
            .collect(),
    }
}

fn balance(status: &upstream::balance::Status) -> status::Balance {
    let remaining = status.reading.map(|reading| reading.remaining);
    status::Balance {
        remaining: remaining.and_then(|remaining| remaining.amount),
        is_unlimited: remaining.is_some_and(|remaining| remaining.amount.is_none() && !remaining.is_spent),
        unit: remaining.and_then(|remaining| remaining.currency).map(str::to_owned),
        low: status.low,
        is_low: status.is_low,
        is_empty: remaining.is_some_and(|remaining| remaining.is_spent),
        read_unix_ms: status.reading.map(|reading| reading.read_at_unix_ms),
        next_read_unix_ms: status.next_poll_unix_ms,
        error: status.failing.as_deref().map(str::to_owned),
    }
}

/// `meters`: what was measured of the snapshot's targets.
fn route(route: &Route, meters: &Meters, now: Instant) -> status::Route {
    let places = route.groups.iter().enumerate();
    let targets: Vec<_> = places
        .flat_map(|(place, group)| {
            let of_spread = matches!(group, Group::Spread(_));
            group.members().map(move |(each, weight)| {
                let history = &meters.of_target(each).history;
                status::Target {
                    position: place + 1,
                    weight: of_spread.then_some(weight),
                    ..target(each, history, now)
                }
            })
        })
        .collect();
    status::Route {
        name: route.name.to_string(),
        usable: targets.iter().any(|target| target.usable),
        targets,
    }
}

fn target(target: &Target, history: &History, now: Instant) -> status::Target {
    let own = target.standing(now);
    status::Target {
        name: target.name(target.model.as_deref()).to_string(),
        upstream: target.upstream.name.to_string(),
        model: target.model.as_deref().map(str::to_owned),
        position: 1,
        weight: None,
        usable: !own.is_skipped() && !target.upstream.registry.own().standing(now).is_skipped(),
        state: state(own, now),
        resting_models: match target.is_for_any_model() {
            true => target.upstream.registry.resting(RESTING_MODELS_MAX, now).len(),
            false => 0,
        },
        windows: WINDOWS
            .iter()
            .map(|&minutes| window(minutes, &history.window(now, minutes as usize)))
            .collect(),
        minutes: minutes(&history.minutes(now)),
        last_failures: history.last_failures().into_iter().map(failure).collect(),
    }
}

fn state(standing: Standing, now: Instant) -> status::State {
    let (named, class, seconds_left) = match standing {
        Standing::Closed => (status::Standing::Closed, None, None),
        Standing::Due => (status::Standing::HalfOpen, None, None),
        Standing::OnTrial { class } => (status::Standing::HalfOpen, Some(class), None),
        Standing::Open { class, .. } => {
            let millis = standing.remaining(now).as_millis();
            // Whole tenths: more would only look exact.
            let tenths = u32::try_from(millis.div_ceil(100)).unwrap_or(u32::MAX);
            (status::Standing::Open, Some(class), Some(f64::from(tenths) / 10.0))
        }
    };
    status::State {
        standing: named,
        class: class.map(|class| class.name().to_owned()),
        seconds_left,
    }
}

fn window(minutes: u32, window: &history::Window) -> status::Window {
    status::Window {
        minutes,
        attempts: window.attempts,
        succeeded: window.succeeded,
        success_rate: (window.attempts > 0).then(|| {
            // To hundredths of a percent, downwards: what has failed never looks like 1.
            let parts = u128::from(window.succeeded) * 10_000 / u128::from(window.attempts);
            f64::from(u32::try_from(parts).unwrap_or(10_000)) / 10_000.0
        }),
        connect: latency(&window.connect),
        headers: latency(&window.headers),
        first_token: latency(&window.first_token),
        total: latency(&window.total),
    }
}

/// Leaves out the minutes without an attempt. The last minute is still running.
fn minutes(all: &[history::Minute]) -> Vec<status::Minute> {
    std::iter::zip((0..all.len()).rev(), all)
        .filter(|(_, minute)| minute.attempts > 0)
        .map(|(minutes_ago, minute)| status::Minute {
            minutes_ago,
            attempts: minute.attempts,
            succeeded: minute.succeeded,
            total: latency(&minute.total),
        })
        .collect()
}

fn latency(quantiles: &history::Quantiles) -> status::Latency {
    status::Latency {
        p50_ms: quantiles.p50_ms,
        p95_ms: quantiles.p95_ms,
    }
}

fn failure(note: FailureNote) -> status::Failure {
    status::Failure {
        at_unix_ms: note.unix_ms,
        class: note.class.to_owned(),
        status: note.status,
        message: note.message,
        request_id: note.request_id,
        upstream_request_id: note.upstream_request_id,
    }
}
