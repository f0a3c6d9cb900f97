//! One scrape: what was counted, and the state of everything at this moment.

mod process;

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::clients::registry::Registry;
use crate::notation::date;
use crate::proxy::{InFlight, Snapshot};
use crate::telemetry;
use crate::telemetry::metrics::{Exposition, names};
use crate::upstream::{Standing, balance};

/// Everything that is measured, ready to be shown. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    snapshot: Arc<ArcSwap<Snapshot>>,
    in_flight: InFlight,
    clients: Arc<Registry>,
    last_reload: Arc<dyn Fn() -> LastReload + Send + Sync>,
    /// Unix seconds.
    started_at: f64,
}

/// How the last attempt to load a configuration went.
#[derive(Debug, Clone, Copy)]
pub struct LastReload {
    /// Configurations loaded so far, the first included.
    pub generation: u64,
    pub succeeded: bool,
    /// How many reloads were rejected since the start.
    pub rejected: u64,
    /// Unix seconds.
    pub attempted_at: u64,
}

impl Metrics {
    pub(super) fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        in_flight: InFlight,
        clients: Arc<Registry>,
        last_reload: impl Fn() -> LastReload + Send + Sync + 'static,
    ) -> Self {
        Self {
            snapshot,
            in_flight,
            clients,
            last_reload: Arc::new(last_reload),
            started_at: date::unix_ms(SystemTime::now()) as f64 / 1000.0,
        }
    }

    /// Writes the metrics in Prometheus' text format, version 0.0.4 (`text/plain; version=0.0.4`).
    pub fn render(&self) -> String {
        // A reload puts its snapshot in use before it is told of: in this order no generation comes with an older snapshot's series.
        let last = (self.last_reload)();
        let snapshot = self.snapshot.load_full();
        let exposition = Exposition::default();
        snapshot.meters.show(&exposition);
        standings(&snapshot, Instant::now(), &exposition);
        self.show_process(&snapshot, last, &exposition);
        exposition.render()
    }

    fn show_process(&self, snapshot: &Snapshot, last: LastReload, exposition: &Exposition) {
        exposition.set(&names::REQUESTS_IN_FLIGHT, &[], self.in_flight.running() as f64);
        self.clients.show(exposition);
        let memory = &snapshot.memory;
        exposition.set(&names::MEMORY_USED, &[], memory.used_bytes() as f64);
        exposition.set(&names::MEMORY_BOUND, &[], memory.bound_bytes() as f64);
        exposition.set_counter(&names::MEMORY_REFUSALS, &[], memory.refusals() as f64);
        exposition.set(&names::CONFIG_GENERATION, &[], last.generation as f64);
        exposition.set(&names::CONFIG_LOADED, &[], snapshot.loaded_at as f64);
        exposition.set(&names::RELOAD_TIME, &[], last.attempted_at as f64);
        exposition.set_counter(&names::RELOADS_REJECTED, &[], last.rejected as f64);
        exposition.set(&names::RELOAD_SUCCESSFUL, &[], f64::from(last.succeeded));
        let dropped = telemetry::dropped_records();
        exposition.set_counter(&names::LOG_RECORDS_DROPPED, &["queue_full"], dropped.queue_full as f64);
        exposition.set_counter(
            &names::LOG_RECORDS_DROPPED,
            &["write_failed"],
            dropped.write_failed as f64,
        );
        exposition.set(&names::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
        exposition.set(&names::START_TIME, &[], self.started_at);
        process::show(exposition);
    }
}

/// Adds the states of upstreams and targets. They are looked up at each scrape, so those of what is gone are gone too.
fn standings(snapshot: &Snapshot, now: Instant, exposition: &Exposition) {
    let table = &snapshot.table;
    for upstream in &table.upstreams {
        let labels: [&str; 1] = [&upstream.name];
        let standing = upstream.registry.own().standing(now);
        let in_flight = f64::from(upstream.registry.inflight());
        exposition.set(&names::ATTEMPTS_IN_FLIGHT, &labels, in_flight);
        exposition.set(&names::UPSTREAM_COOLDOWN, &labels, state(standing));
        exposition.set(&names::UPSTREAM_COOLDOWN_SECONDS, &labels, seconds_left(standing, now));
        if let Some(account) = upstream.balance() {
            show_account(&account, &upstream.name, exposition);
        }
    }
    for measured in &table.measured {
        let labels: [&str; 2] = [&measured.label, &measured.upstream.name];
        let standing = measured.standing(now);
        exposition.set(&names::TARGET_COOLDOWN, &labels, state(standing));
        exposition.set(&names::TARGET_COOLDOWN_SECONDS, &labels, seconds_left(standing, now));
    }
    for route in table.routes.iter().chain(&table.passthrough) {
        let skipped = |target: usize| table.measured[target].standing(now).is_skipped();
        let places = route.targets().count();
        let skipped = route.targets().filter(|target| skipped(target.measured)).count();
        exposition.set(&names::ROUTE_TARGETS, &[&route.name], places as f64);
        exposition.set(&names::ROUTE_TARGETS_SKIPPED, &[&route.name], skipped as f64);
    }
}

fn show_account(account: &balance::Status, upstream: &str, exposition: &Exposition) {
    if let Some(reading) = &account.reading {
        let remaining = &reading.remaining;
        if let Some(amount) = remaining.amount {
            let currency = remaining.currency.unwrap_or_default();
            exposition.set(&names::BALANCE, &[upstream, currency], amount);
        }
        exposition.set(&names::BALANCE_SPENT, &[upstream], f64::from(remaining.is_spent));
        let read_at_s = reading.read_at_unix_ms as f64 / 1000.0;
        exposition.set(&names::BALANCE_READ, &[upstream], read_at_s);
    }
    exposition.set(&names::BALANCE_LOW, &[upstream], account.low);
    exposition.set(
        &names::BALANCE_FAILING,
        &[upstream],
        f64::from(account.failing.is_some()),
    );
}

/// Numbers the states as docs/metrics.md does.
fn state(standing: Standing) -> f64 {
    match standing {
        Standing::Closed => 0.0,
        Standing::Open { .. } => 1.0,
        Standing::Due | Standing::OnTrial { .. } => 2.0,
    }
}

fn seconds_left(standing: Standing, now: Instant) -> f64 {
    standing.remaining(now).as_secs_f64()
}

#[cfg(test)]
mod tests;
