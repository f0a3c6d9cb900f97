//! The differences between two configurations, by the names that an operator gave.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Admin, Config, Listener, Route, Server, Target, UpstreamTarget};
use crate::telemetry::fields;

/// Names that one log field lists.
const NAMES_MAX: usize = 20;

/// The log's fields: what was added, removed and changed. Empty fields are left out.
pub(super) fn between(before: &Config, after: &Config) -> Vec<(&'static str, String)> {
    let routes = |config| {
        let routes: &Vec<Route> = config;
        routes.iter().map(|route| (&*route.name, route)).collect::<Vec<_>>()
    };
    let routes = Difference::of(&routes(&before.routes), &routes(&after.routes), |old, new| {
        same_route(before, old, after, new)
    });
    let [old, new] = [before, after].map(|config| {
        let upstreams = config.upstreams.iter();
        upstreams
            .map(|upstream| (&*upstream.name, upstream))
            .collect::<Vec<_>>()
    });
    let upstreams = Difference::of(&old, &new, |old, new| old == new);
    let fields = [
        (fields::ROUTES_ADDED, routes.added),
        (fields::ROUTES_REMOVED, routes.removed),
        (fields::ROUTES_CHANGED, routes.changed),
        (fields::UPSTREAMS_ADDED, upstreams.added),
        (fields::UPSTREAMS_REMOVED, upstreams.removed),
        (fields::UPSTREAMS_CHANGED, upstreams.changed),
        (fields::SETTINGS_CHANGED, settings(before, after)),
        (fields::CERTIFICATES_CHANGED, certificates(before, after)),
    ];
    let fields = fields.into_iter().filter(|(_, names)| !names.is_empty());
    fields.map(|(field, names)| (field, list(&names))).collect()
}

#[derive(Default)]
struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Difference {
    fn of<T>(before: &[(&str, &T)], after: &[(&str, &T)], same: impl Fn(&T, &T) -> bool) -> Self {
        let old: HashMap<_, _> = before.iter().copied().collect();
        let new: HashMap<_, _> = after.iter().copied().collect();
        let mut difference = Self::default();
        for (name, now) in after {
            match old.get(name) {
                None => difference.added.push((*name).to_owned()),
                Some(was) if !same(was, now) => difference.changed.push((*name).to_owned()),
                Some(_) => {}
            }
        }
        let gone = before.iter().filter(|(name, _)| !new.contains_key(name));
        difference.removed.extend(gone.map(|(name, _)| (*name).to_owned()));
        difference
    }
}

fn same_route(before: &Config, old: &Route, after: &Config, new: &Route) -> bool {
    // Targets name their upstream by its place, which another upstream's coming or going moves.
    let same_one = |old: &UpstreamTarget, new: &UpstreamTarget| {
        before.upstreams[old.upstream].name == after.upstreams[new.upstream].name
            && (&old.model, old.timeouts, old.prefill, &old.body) == (&new.model, new.timeouts, new.prefill, &new.body)
    };
    let same_target = |(old, new): (&Target, &Target)| match (old, new) {
        (Target::One(old), Target::One(new)) => same_one(old, new),
        (Target::Spread(old), Target::Spread(new)) => {
            old.len() == new.len()
                && std::iter::zip(old, new).all(|(old, new)| old.1 == new.1 && same_one(&old.0, &new.0))
        }
        (Target::Route(old), Target::Route(new)) => old == new,
        _ => false,
    };
    old.overrides == new.overrides
        && old.models == new.models
        && old.targets.len() == new.targets.len()
        && std::iter::zip(&old.targets, &new.targets).all(same_target)
}

fn settings(before: &Config, after: &Config) -> Vec<String> {
    // The upstream that `passthrough` names by its place, as a name.
    let server = |config: &Config| {
        let passthrough = config.server.passthrough.as_ref();
        let server = Server {
            passthrough: None,
            ..config.server.clone()
        };
        let named = passthrough.map(|passthrough| (&config.upstreams[passthrough.upstream].name, &passthrough.paths));
        (server, named.map(|(name, paths)| (Arc::clone(name), paths.clone())))
    };
    let changed = [
        (
            "listen",
            !std::iter::zip(&before.listen, &after.listen)
                .all(|(old, new)| same_place(old, new) && (&old.cors, &old.hosts) == (&new.cors, &new.hosts))
                || before.listen.len() != after.listen.len(),
        ),
        ("policy", before.policy != after.policy),
        ("server", server(before) != server(after)),
        ("log", before.log != after.log),
    ];
    let changed = changed.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(name, _)| name.to_owned()).collect()
}

/// Returns whether the sockets are the same; certificates, and the rules for browsers, may differ.
fn same_place(old: &Listener, new: &Listener) -> bool {
    let place = |one: &Listener| (one.address.clone(), one.h2c, one.tls.is_some(), one.socket_mode);
    place(old) == place(new)
}

fn certificates(before: &Config, after: &Config) -> Vec<String> {
    let changed = |new: &&Listener| {
        let old = before.listen.iter().find(|old| same_place(old, new));
        old.is_some_and(|old| old.tls != new.tls)
    };
    let listeners = after.listen.iter().filter(changed);
    listeners.map(|listener| listener.address.to_string()).collect()
}

/// Writes names as `a, b and 3 more`.
fn list(names: &[String]) -> String {
    let shown = names.len().min(NAMES_MAX);
    let mut out = names[..shown].join(", ");
    if names.len() > shown {
        out += &format!(" and {} more", names.len() - shown);
    }
    out
}

/// The settings that only a restart changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AtStart {
    listen: Vec<(String, bool, bool, Option<u32>)>,
    threads: Option<usize>,
    admin: Option<Admin>,
}

impl AtStart {
    pub(super) fn of(config: &Config) -> Self {
        let mut listen: Vec<_> = config
            .listen
            .iter()
            .map(|listener| {
                let address = listener.address.to_string();
                (address, listener.tls.is_some(), listener.h2c, listener.socket_mode)
            })
            .collect();
        listen.sort();
        Self {
            listen,
            threads: config.server.threads,
            admin: config.admin.clone(),
        }
    }

    /// The settings in which `config` differs, by their names.
    pub(super) fn differing(&self, config: &Config) -> Vec<&'static str> {
        let other = Self::of(config);
        let settings = [
            ("listen", self.listen != other.listen),
            ("server.threads", self.threads != other.threads),
            ("admin", self.admin != other.admin),
        ];
        let differing = settings.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(name, _)| name).collect()
    }

    /// Returns the listeners that are new in `config`, and those that are gone.
    pub(super) fn listeners(&self, config: &Config) -> [String; 2] {
        let other = Self::of(config);
        let only = |of: &Self, other: &Self| {
            let only = of.listen.iter().filter(|listener| !other.listen.contains(listener));
            list(&only.map(|(address, ..)| address.clone()).collect::<Vec<_>>())
        };
        [only(&other, self), only(self, &other)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, KeyPolicy, LoadOptions};

    const UPSTREAMS: &str = "upstreams: { a: { url: http://127.0.0.1:1 }, b: { url: http://127.0.0.1:2 } }\n";

    fn config(yaml: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.yaml");
        std::fs::write(&file, yaml).unwrap();
        let options = LoadOptions {
            env: &|_| None,
            keys: KeyPolicy::Required,
        };
        let loaded = config::load(&file, &options);
        let faults = loaded.render(false);
        loaded.config.unwrap_or_else(|| panic!("{faults}"))
    }

    fn changes(before: &str, after: &str) -> Vec<(&'static str, String)> {
        between(&config(before), &config(after))
    }

    #[test]
    fn nothing_changes_where_only_places_move() {
        let moved = "upstreams: { b: { url: http://127.0.0.1:2 }, a: { url: http://127.0.0.1:1 } }\n";
        let rest = "routes: { m: [a, b/x, { spread: [{ target: a, weight: 2 }, { target: b }] }] }\nserver: { passthrough: b }";
        assert_eq!(changes(&format!("{UPSTREAMS}{rest}"), &format!("{moved}{rest}")), []);
    }

    #[test]
    fn routes_and_upstreams_are_named() {
        let before = format!("{UPSTREAMS}routes: {{ m: [a], n: [a, b], o: [a] }}");
        let after = "upstreams: { a: { url: http://127.0.0.1:9 }, c: { url: http://127.0.0.1:2 } }\n\
                     routes: { m: [a], n: [a], p: [c], q: [a] }\nlog: { level: debug }";
        let changes = changes(&before, after);
        let changes: Vec<(&str, &str)> = changes.iter().map(|(field, names)| (*field, names.as_str())).collect();
        assert_eq!(
            changes,
            [
                ("routes_added", "p, q"),
                ("routes_removed", "o"),
                ("routes_changed", "n"),
                ("upstreams_added", "c"),
                ("upstreams_removed", "b"),
                ("upstreams_changed", "a"),
                ("settings_changed", "log"),
            ],
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..23).map(|n| n.to_string()).collect();
        assert!(list(&names).ends_with("18, 19 and 3 more"));
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let routes = format!("{UPSTREAMS}routes: {{ m: [a] }}\n");
        let at_start = AtStart::of(&config(&format!("{routes}listen: [127.0.0.1:1, 127.0.0.1:2]")));
        let differing = |listen: &str| at_start.differing(&config(&format!("{routes}{listen}")));
        assert!(differing("listen: [127.0.0.1:2, 127.0.0.1:1]").is_empty());
        assert_eq!(
            differing("listen: [127.0.0.1:2]\nserver: { threads: 3 }"),
            ["listen", "server.threads"]
        );
        assert_eq!(
            differing("listen: [127.0.0.1:1, { address: 127.0.0.1:2, h2c: true }]"),
            ["listen"]
        );
    }
}
