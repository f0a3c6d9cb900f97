//! The meters of a snapshot's requests. Those of routes and targets that a reload keeps are passed on from snapshot to
//! snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::routing::{Route, RouteTable, Target};
use crate::telemetry::metrics::names::ADDED_SECONDS;
use crate::telemetry::metrics::{ADDED_BUCKETS_S, Exposition, Histogram, RouteMeter, TargetMeter};

/// The route label of a request for a model that no route has.
const UNKNOWN: &str = "unknown";
/// The route label of a request for which no route was looked up: a list of models, a body that cannot be read.
const NONE: &str = "none";

#[derive(Debug)]
pub struct Meters {
    /// When the minutes of all histories began.
    epoch: Instant,
    /// Indexed by [`Route::index`].
    routes: Vec<Arc<RouteMeter>>,
    /// Indexed by [`Target::measured`].
    targets: Vec<Arc<TargetMeter>>,
    unknown: Arc<RouteMeter>,
    none: Arc<RouteMeter>,
    /// What the gateway itself has added to requests.
    pub added: Histogram,
}

impl Meters {
    /// Compiles the meters. `previous` are those of the snapshot that this one replaces; without it, the history begins
    /// `now`.
    pub fn compile(table: &RouteTable, previous: Option<&Self>, now: Instant) -> Self {
        let epoch = previous.map_or(now, |previous| previous.epoch);
        let known = previous.into_iter().flat_map(Self::all_routes);
        let mut known: HashMap<Arc<str>, Arc<RouteMeter>> = known
            .map(|meter| (Arc::clone(&meter.label), Arc::clone(meter)))
            .collect();
        // Two of one name share their meter: the passthrough, and a route that is called so.
        let mut route = |label: &Arc<str>| {
            let meter = known.entry(Arc::clone(label));
            Arc::clone(meter.or_insert_with(|| Arc::new(RouteMeter::new(label))))
        };
        let routes = table.routes.iter().chain(&table.passthrough);
        let before = previous.into_iter().flat_map(|previous| &previous.targets);
        let before: HashMap<&str, &Arc<TargetMeter>> = before.map(|meter| (&*meter.label, meter)).collect();
        let targets = table
            .measured
            .iter()
            .map(|measured| match before.get(&*measured.label) {
                Some(meter) => Arc::clone(meter),
                None => Arc::new(TargetMeter::new(&measured.label, &measured.upstream.name, epoch)),
            });
        Self {
            epoch,
            targets: targets.collect(),
            unknown: route(&Arc::from(UNKNOWN)),
            none: route(&Arc::from(NONE)),
            routes: routes.map(|compiled| route(&compiled.name)).collect(),
            added: previous.map_or_else(
                || ADDED_SECONDS.histogram(&[], &ADDED_BUCKETS_S),
                |previous| previous.added.clone(),
            ),
        }
    }

    /// Returns the meter of the requests for `route`; without one, that of requests for an unknown model, or for none.
    pub fn of_route(&self, route: Option<&Route>, has_model: bool) -> &RouteMeter {
        match (route, has_model) {
            (Some(route), _) => &self.routes[route.index],
            (None, true) => &self.unknown,
            (None, false) => &self.none,
        }
    }

    /// Returns the meter of the attempts at `target`, and at every target that the configuration writes the same way.
    pub fn of_target(&self, target: &Target) -> &Arc<TargetMeter> {
        &self.targets[target.measured]
    }

    /// Lists the meters, indexed by [`Target::measured`].
    pub fn targets(&self) -> &[Arc<TargetMeter>] {
        &self.targets
    }

    fn all_routes(&self) -> impl Iterator<Item = &Arc<RouteMeter>> {
        self.routes.iter().chain([&self.unknown, &self.none])
    }

    /// Adds everything that is counted. Series that two meters share are shown once.
    pub fn show(&self, exposition: &Exposition) {
        let mut shown: HashSet<&str> = HashSet::new();
        for meter in self.all_routes() {
            if shown.insert(&meter.label) {
                meter.show(exposition);
            }
        }
        self.targets.iter().for_each(|meter| meter.show(exposition));
        exposition.add(self.added.clone());
    }
}
