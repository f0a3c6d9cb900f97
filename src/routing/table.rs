//! The route table: the configuration in the shape that requests need. It never changes once built.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use crate::classify::{Action, Class};
use crate::config::{
    self, BodyEdits, Config, Cooldown, Exhausted, Keepalive, ListedModels, OnKey, PolicyOverrides, Retry,
    TimeoutOverrides, Timeouts,
};
use crate::notation::glob;
use crate::protocol::Protocol;
use crate::protocol::endpoint::endpoint;
use crate::protocol::path::segments_seen;
use crate::upstream::registry::SharedHealth;
use crate::upstream::{Standing, Upstream};

/// At most this many models of one upstream are examined; callers name a few of them and count the rest.
const ASKED_MAX: usize = 20;

#[derive(Debug)]
pub struct RouteTable {
    pub upstreams: Vec<Arc<Upstream>>,
    /// The routes in the order of the file.
    pub routes: Vec<Arc<Route>>,
    /// The route of requests that no model routes.
    pub passthrough: Option<Arc<Route>>,
    /// Globs of endpoints that administer an account and that the passthrough allows.
    opened: Vec<Arc<str>>,
    /// What is measured of each target, indexed by [`Target::measured`].
    pub measured: Vec<Measured>,
    exact: HashMap<Arc<str>, Arc<Route>>,
    /// Sorted by the number of literal characters, most first; ties in the order of the file.
    globs: Vec<Arc<Route>>,
}

/// What is measured together: the targets that the configuration writes the same way, whichever routes lead there.
#[derive(Debug)]
pub struct Measured {
    /// `upstream/model`, with the `*` of a model that is made from the requested name; `upstream` where requests name
    /// any model. It never contains what a client sent.
    pub label: Arc<str>,
    pub upstream: Arc<Upstream>,
    /// `None` for models that only requests name.
    health: Option<Arc<SharedHealth>>,
}

impl Measured {
    /// Returns its state: its upstream's, or that of the model there, whichever is worse.
    pub fn standing(&self, now: Instant) -> Standing {
        let upstream = self.upstream.registry.own().standing(now);
        let own = self.health.as_ref().map(|health| health.standing(now));
        own.map_or(upstream, |own| own.max(upstream))
    }
}

#[derive(Debug)]
pub struct Route {
    /// Its place in [`RouteTable::routes`]; that of the passthrough comes after them.
    pub index: usize,
    pub name: Arc<str>,
    pub groups: Vec<Group>,
    pub retry: Retry,
    pub timeouts: Timeouts,
    pub exhausted: Exhausted,
    pub keepalive: Option<Keepalive>,
    /// What the list of models has of it.
    pub models: ListedModels,
    on: Vec<(OnKey, Action)>,
}

/// One place in a chain: a single target, or equals of which one is drawn first.
#[derive(Debug)]
pub enum Group {
    One(Arc<Target>),
    /// The equals, with weights ≥ 1.
    Spread(Vec<(Arc<Target>, u32)>),
}

impl Group {
    /// The targets with their weights, in the order of the file.
    pub fn members(&self) -> impl Iterator<Item = (&Arc<Target>, u32)> {
        let (one, equals) = match self {
            Self::One(target) => (Some((target, 1)), &[][..]),
            Self::Spread(equals) => (None, &equals[..]),
        };
        one.into_iter()
            .chain(equals.iter().map(|(target, weight)| (target, *weight)))
    }
}

/// An upstream and the model's name there.
#[derive(Debug)]
pub struct Target {
    pub upstream: Arc<Upstream>,
    /// `None`: the requested name. `*` stands for it.
    pub model: Option<Arc<str>>,
    pub timeouts: Timeouts,
    pub cooldown: Cooldown,
    /// What is changed in each body that it is sent.
    pub body: BodyEdits,
    /// The configuration says that the target can continue an unfinished last message.
    prefill: bool,
    /// It has refused to do so.
    has_refused_prefill: AtomicBool,
    /// Its place in [`RouteTable::measured`].
    pub measured: usize,
    /// `None` for a model that only the request names.
    health: Option<Arc<SharedHealth>>,
}

impl RouteTable {
    /// Compiles the table. `previous` is the table before a reload: upstreams and targets that are still there keep
    /// their health.
    pub fn compile(config: &Config, previous: Option<&Self>) -> Self {
        let before = |name: &str| previous.and_then(|table| table.upstreams.iter().find(|known| &*known.name == name));
        let known = config.upstreams.iter().map(|from| before(&from.name).map(Arc::as_ref));
        let known: Vec<Option<&Upstream>> = known.collect();
        let upstreams: Vec<_> = std::iter::zip(&config.upstreams, &known)
            .enumerate()
            .map(|(index, (from, previous))| Arc::new(Upstream::compile(index, from, &config.policy, *previous)))
            .collect();
        let compiler = Compiler {
            config,
            upstreams: &upstreams,
            previous: &known,
            measured: RefCell::default(),
            measured_at: RefCell::default(),
        };
        let mut routes = Vec::new();
        let mut exact = HashMap::new();
        let mut globs = Vec::new();
        for (index, route) in config.routes.iter().enumerate() {
            let compiled = Arc::new(compiler.route(index, route, &route.name));
            routes.push(Arc::clone(&compiled));
            if route.name.contains('*') {
                globs.push(compiled);
            } else {
                exact.insert(Arc::clone(&route.name), compiled);
            }
        }
        globs.sort_by_key(|route| std::cmp::Reverse(glob::literal_chars(&route.name)));
        let passthrough = config.server.passthrough.as_ref();
        let opened = passthrough.map_or_else(Vec::new, |passthrough| passthrough.paths.clone());
        let passthrough = passthrough.map(|passthrough| Arc::new(compiler.passthrough(passthrough.upstream)));
        let measured = compiler.measured.into_inner();
        Self {
            exact,
            globs,
            routes,
            passthrough,
            opened,
            measured,
            upstreams,
        }
    }

    /// Returns whether the passthrough allows the normal path `path` although it administers an account.
    pub fn opens(&self, path: &str) -> bool {
        let seen: String = segments_seen(path).iter().flat_map(|segment| ["/", segment]).collect();
        self.opened.iter().any(|glob| glob::matches(glob, endpoint(&seen)))
    }

    /// The route of a model: the exact name, then the glob with most literal characters.
    pub fn route(&self, model: &str) -> Option<&Arc<Route>> {
        self.exact
            .get(model)
            .or_else(|| self.globs.iter().find(|route| glob::matches(&route.name, model)))
    }

    /// Returns a model that can be asked for in `protocol`, and the name of an upstream that serves it.
    pub fn target_speaking(&self, protocol: Protocol) -> Option<(Arc<str>, Arc<str>)> {
        self.routes
            .iter()
            .flat_map(|route| route.targets().map(move |target| (&route.name, &target.upstream)))
            .find(|(_, upstream)| upstream.speaks(protocol))
            .map(|(name, upstream)| (Arc::clone(name), Arc::clone(&upstream.name)))
    }

    /// Lists what is skipped at the moment, each once, in the order of the file: an upstream, or a target of one that
    /// is used. Then come the models, at most [`ASKED_MAX`] per upstream, that clients have asked for through a glob.
    pub fn cooling(&self, now: Instant) -> Vec<Arc<str>> {
        let mut cooling: Vec<Arc<str>> = Vec::new();
        for route in &self.routes {
            for target in route.targets() {
                let own = target.upstream.registry.own();
                let name = if own.standing(now).is_skipped() {
                    Arc::clone(&target.upstream.name)
                } else if target
                    .health
                    .as_ref()
                    .is_some_and(|health| health.standing(now).is_skipped())
                {
                    let model = target.model_for(&route.name);
                    target.name(Some(model.as_deref().unwrap_or(&route.name)))
                } else {
                    continue;
                };
                if !cooling.contains(&name) {
                    cooling.push(name);
                }
            }
        }
        for upstream in &self.upstreams {
            if !upstream.registry.own().standing(now).is_skipped() {
                let models = upstream.registry.resting(ASKED_MAX, now);
                cooling.extend(
                    models
                        .iter()
                        .map(|(model, _)| Arc::from(format!("{}/{model}", upstream.name))),
                );
            }
        }
        cooling
    }
}

impl Route {
    /// Returns what the route does about a failure: its own `on` for the status, then for the class, then the default.
    pub fn action(&self, class: Class, status: Option<u16>) -> Action {
        let find = |key| self.on.iter().find(|(on, _)| *on == key).map(|&(_, action)| action);
        status
            .and_then(|status| find(OnKey::Status(status)))
            .or_else(|| find(OnKey::Class(class)))
            .unwrap_or_else(|| class.default_action())
    }

    /// Returns the configured actions, of which the first for a key applies.
    pub fn on(&self) -> &[(OnKey, Action)] {
        &self.on
    }

    /// Every target, in the order of the file.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.groups.iter().flat_map(Group::members).map(|(target, _)| target)
    }
}

impl Target {
    /// Returns whether it can be asked to continue an unfinished last message.
    pub fn can_resume(&self) -> bool {
        self.prefill && !self.has_refused_prefill.load(Ordering::Relaxed)
    }

    /// Remembers, until the next reload, that it refuses to continue an unfinished last message. Returns whether that is
    /// news.
    pub fn refused_prefill(&self) -> bool {
        !self.has_refused_prefill.swap(true, Ordering::Relaxed)
    }

    /// Returns `upstream/model` with the model's name there, or `upstream` where a request carries no model.
    pub fn name(&self, model: Option<&str>) -> Arc<str> {
        match model {
            Some(model) => format!("{}/{model}", self.upstream.name).into(),
            None => Arc::clone(&self.upstream.name),
        }
    }

    /// Returns the model's name at the upstream for a requested name; `None` where it is the requested one.
    pub fn model_for(&self, requested: &str) -> Option<Arc<str>> {
        let model = self.model.as_ref()?;
        let resolved: Arc<str> = if model.contains('*') {
            model.replace('*', requested).into()
        } else {
            Arc::clone(model)
        };
        (&*resolved != requested).then_some(resolved)
    }

    /// Returns the name by which clients ask for what is called `model` at the upstream, if there is such a name.
    pub fn requested_for<'m>(&self, model: &'m str) -> Option<&'m str> {
        let Some(pattern) = &self.model else {
            return Some(model);
        };
        let (before, after) = pattern.split_once('*')?;
        let requested = model.strip_prefix(before)?.strip_suffix(after)?;
        (!requested.is_empty() && !after.contains('*')).then_some(requested)
    }

    /// Returns the state of its model; `Closed` where only requests name models, each of which has a state of its own.
    pub fn standing(&self, now: Instant) -> Standing {
        let health = self.health.as_ref();
        health.map_or(Standing::Closed, |health| health.standing(now))
    }

    /// Returns whether only requests name its models, so that each has a state of its own.
    pub fn is_for_any_model(&self) -> bool {
        self.health.is_none()
    }

    /// Returns the health of the model that this target is asked for.
    pub(super) fn health_of(&self, model: &str, now: Instant) -> Arc<SharedHealth> {
        match &self.health {
            Some(health) => Arc::clone(health),
            None => self.upstream.registry.asked(model, now),
        }
    }
}

struct Compiler<'a> {
    config: &'a Config,
    upstreams: &'a [Arc<Upstream>],
    /// The upstreams of the same names before a reload, for each of them.
    previous: &'a [Option<&'a Upstream>],
    /// Collected while targets are compiled.
    measured: RefCell<Vec<Measured>>,
    /// The place of each label among them.
    measured_at: RefCell<HashMap<Arc<str>, usize>>,
}

impl Compiler<'_> {
    /// Compiles a route. `requested` is the model's name in requests for it; empty where they carry none.
    fn route(&self, index: usize, route: &config::Route, requested: &Arc<str>) -> Route {
        let policy = &self.config.policy;
        let mut groups = Vec::new();
        self.append_groups(route, requested, &mut groups);
        Route {
            index,
            name: Arc::clone(&route.name),
            groups,
            retry: policy.retry.with(&route.overrides.retry),
            timeouts: policy.timeouts(None).with(&route.overrides.timeouts),
            exhausted: route.overrides.exhausted.unwrap_or(policy.exhausted),
            keepalive: route.overrides.keepalive.or(policy.keepalive),
            models: route.models.clone(),
            // The route's own come first, so they are found first.
            on: route.overrides.on.iter().chain(&policy.on).copied().collect(),
        }
    }

    /// Appends the groups of a chain. A `{ route: NAME }` is replaced by that route's chain, whose targets keep their
    /// own route's clocks and cooldowns. The configuration has no circles. `requested`: as in [`Self::route`].
    fn append_groups(&self, route: &config::Route, requested: &Arc<str>, groups: &mut Vec<Group>) {
        let compile = |one| self.target(one, &route.overrides, requested);
        for target in &route.targets {
            match target {
                config::Target::One(one) => groups.push(Group::One(compile(one))),
                config::Target::Spread(equals) => groups.push(Group::Spread(
                    equals.iter().map(|(one, weight)| (compile(one), *weight)).collect(),
                )),
                config::Target::Route(name) => {
                    let other = self.config.routes.iter().find(|route| route.name == *name);
                    let other = other.expect("a valid configuration names only routes it has");
                    self.append_groups(other, requested, groups);
                }
            }
        }
    }

    /// Compiles a target. Its cooldown is the route's over its upstream's, over the policy's.
    fn target(&self, target: &config::UpstreamTarget, route: &PolicyOverrides, requested: &Arc<str>) -> Arc<Target> {
        let (policy, upstream) = (&self.config.policy, &self.config.upstreams[target.upstream]);
        let (health, measured) = self.health(target, requested);
        Arc::new(Target {
            upstream: Arc::clone(&self.upstreams[target.upstream]),
            model: target.model.clone(),
            timeouts: policy.target_timeouts(upstream, &route.timeouts, &target.timeouts),
            cooldown: policy.cooldown.with(&upstream.cooldown).with(&route.cooldown),
            body: upstream.body.with(&target.body),
            prefill: target.prefill.unwrap_or(upstream.prefill),
            has_refused_prefill: AtomicBool::new(false),
            measured,
            health,
        })
    }

    /// Returns where the target's health is kept, if its model is known before a request names it; and its index among
    /// what is measured.
    fn health(&self, target: &config::UpstreamTarget, requested: &Arc<str>) -> (Option<Arc<SharedHealth>>, usize) {
        let upstream = &self.upstreams[target.upstream];
        let previous = upstream.same(self.previous[target.upstream]);
        let previous = previous.map(|previous| &previous.registry);
        let model = match &target.model {
            None => Arc::clone(requested),
            Some(model) => model.replace('*', requested).into(),
        };
        if model.contains('*') {
            upstream.registry.allow_any(previous);
            return (None, self.measure(target, target.model.as_deref(), None));
        }
        let health = upstream.registry.name(&model, previous);
        let measured = match model.is_empty() {
            true => self.measure(target, None, None),
            false => self.measure(target, Some(&model), Some(&health)),
        };
        (Some(health), measured)
    }

    fn measure(
        &self,
        target: &config::UpstreamTarget,
        model: Option<&str>,
        health: Option<&Arc<SharedHealth>>,
    ) -> usize {
        let upstream = &self.upstreams[target.upstream];
        let label: Arc<str> = match model {
            Some(model) => format!("{}/{model}", upstream.name).into(),
            None => Arc::clone(&upstream.name),
        };
        let mut measured = self.measured.borrow_mut();
        let mut places = self.measured_at.borrow_mut();
        *places.entry(label).or_insert_with_key(|label| {
            measured.push(Measured {
                label: Arc::clone(label),
                upstream: Arc::clone(upstream),
                health: health.cloned(),
            });
            measured.len() - 1
        })
    }

    fn passthrough(&self, upstream: usize) -> Route {
        let target = config::UpstreamTarget {
            upstream,
            model: None,
            timeouts: TimeoutOverrides::default(),
            prefill: None,
            body: BodyEdits::default(),
        };
        let index = self.config.routes.len();
        let route = config::Route {
            name: Arc::from("passthrough"),
            targets: vec![config::Target::One(target)],
            models: ListedModels::Own,
            overrides: config::PolicyOverrides::default(),
        };
        self.route(index, &route, &Arc::from(""))
    }
}
