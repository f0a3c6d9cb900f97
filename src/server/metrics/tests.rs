use std::collections::BTreeSet;

use super::*;
use crate::classify::{Basis, Class};
use crate::config::{self, Config, KeyPolicy, LoadOptions};
use crate::protocol::Protocol;
use crate::routing::plan;
use crate::telemetry::access::Outcome;
use crate::telemetry::metrics::{Request, Served};
use crate::upstream::setback::Setback;

fn config(routes: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    let yaml = format!(
        "upstreams:\n  a: {{ url: http://127.0.0.1:1/v1, key: k, balance: {{ from: deepseek, low: 5 }} }}\n  b: {{ url: http://127.0.0.1:2/v1 }}\n\
         routes: {{ {routes} }}\nserver: {{ passthrough: b }}\n"
    );
    std::fs::write(file.path(), yaml).unwrap();
    let options = LoadOptions {
        env: &|_| None,
        keys: KeyPolicy::Required,
    };
    let loaded = config::load(file.path(), &options);
    loaded
        .config
        .as_ref()
        .cloned()
        .unwrap_or_else(|| panic!("{}", loaded.render(false)))
}

fn compiled(routes: &str, previous: Option<&Snapshot>) -> Snapshot {
    Snapshot::compile(&config(routes), 1_700_000_000, previous).unwrap()
}

fn metrics(snapshot: Snapshot) -> Metrics {
    let last = || LastReload {
        generation: 3,
        succeeded: false,
        rejected: 2,
        attempted_at: 1_700_000_100,
    };
    Metrics::new(
        Arc::new(ArcSwap::from_pointee(snapshot)),
        InFlight::default(),
        Arc::default(),
        last,
    )
}

/// What the series `name{labels}` says.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map(|value| value.parse().unwrap())
}

fn request(outcome: Outcome) -> Request {
    Request {
        outcome,
        status: Some(200),
        duration: std::time::Duration::from_millis(10),
        bytes_in: 1,
        bytes_out: 1,
    }
}

/// An attempt at the first target of the route fails, and it cools down.
fn cool(snapshot: &Snapshot, route: &str, class: Class) {
    let now = Instant::now();
    let route = snapshot.table.route(route).unwrap();
    let plan = plan(route, &route.name, Protocol::OpenAi, now, |_| 0);
    let step = &plan.steps[0];
    let admission = step.admit(false, now).unwrap();
    admission
        .failed(Setback::of(class, Basis::Status, None), &step.target.cooldown, now)
        .unwrap();
}

#[test]
fn every_metric_is_shown_as_it_is_named() {
    let snapshot = compiled("m: [a]", None);
    learn(&snapshot, 2.5, false);
    let target = &snapshot.meters.targets()[0];
    let took = Some(std::time::Duration::from_millis(1));
    target.connected(took);
    let served = Served {
        headers: took,
        first_token: took,
        ..Served::default()
    };
    target.served(&served, Instant::now());
    snapshot
        .meters
        .of_route(snapshot.table.route("m").map(|route| &**route), true)
        .ended(&request(Outcome::Ok));
    let text = metrics(snapshot).render();
    let shown: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let expected = names::ALL.iter().map(|metric| (metric.name, metric.kind));
    assert_eq!(shown, expected.collect());
}

/// What is left on the account of `a` is told.
fn learn(snapshot: &Snapshot, amount: f64, is_spent: bool) {
    let upstream = &snapshot.table.upstreams[0];
    let now = balance::Moment {
        instant: Instant::now(),
        unix_ms: 1_700_000_200_500,
    };
    let account = upstream.balance.as_ref().unwrap();
    // Drawn so, the first poll is due at once.
    let turn = account.begin(now, 0.0).unwrap();
    let remaining = balance::Remaining {
        amount: Some(amount),
        currency: Some("USD"),
        is_spent,
    };
    upstream.learn_balance(turn, Ok(remaining), now, 0.0);
}

#[test]
fn accounts_are_shown_as_they_were_last_told() {
    let snapshot = compiled("m: [a]", None);
    let text = metrics(compiled("m: [a]", None)).render();
    let low = r#"switchback_upstream_balance_low{upstream="a"}"#;
    assert_eq!(value(&text, low), Some(5.0));
    for untold in [
        "switchback_upstream_balance{",
        "switchback_upstream_balance_spent{",
        "balance_read",
    ] {
        assert!(!text.contains(untold), "{untold}\n{text}");
    }
    learn(&snapshot, 0.0, true);
    let text = metrics(snapshot).render();
    for (series, expected) in [
        (r#"switchback_upstream_balance{currency="USD",upstream="a"}"#, 0.0),
        (r#"switchback_upstream_balance_spent{upstream="a"}"#, 1.0),
        (r#"switchback_upstream_balance_failing{upstream="a"}"#, 0.0),
        (
            r#"switchback_upstream_balance_read_timestamp_seconds{upstream="a"}"#,
            1_700_000_200.5,
        ),
        (r#"switchback_upstream_cooldown_state{upstream="a"}"#, 1.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
}

#[test]
fn states_are_those_of_this_moment() {
    let snapshot = compiled("m: [a, b/x], n: [a], \"o-*\": [a, b/*]", None);
    cool(&snapshot, "m", Class::ModelNotFound);
    cool(&snapshot, "o-1", Class::Auth);
    let text = metrics(snapshot).render();
    for (series, expected) in [
        // Its upstream cools down for all of them.
        (r#"switchback_target_cooldown_state{target="a/m",upstream="a"}"#, 1.0),
        (r#"switchback_target_cooldown_state{target="a/n",upstream="a"}"#, 1.0),
        (r#"switchback_target_cooldown_state{target="a",upstream="a"}"#, 1.0),
        (r#"switchback_target_cooldown_state{target="b/x",upstream="b"}"#, 0.0),
        (r#"switchback_target_cooldown_state{target="b/*",upstream="b"}"#, 0.0),
        // The passthrough's.
        (r#"switchback_target_cooldown_state{target="b",upstream="b"}"#, 0.0),
        (r#"switchback_upstream_cooldown_state{upstream="a"}"#, 1.0),
        (r#"switchback_upstream_cooldown_state{upstream="b"}"#, 0.0),
        (r#"switchback_upstream_cooldown_remaining_seconds{upstream="b"}"#, 0.0),
        (r#"switchback_route_targets{route="m"}"#, 2.0),
        (r#"switchback_route_targets_skipped{route="m"}"#, 1.0),
        (r#"switchback_route_targets_skipped{route="n"}"#, 1.0),
        (r#"switchback_route_targets{route="o-*"}"#, 2.0),
        (r#"switchback_route_targets{route="passthrough"}"#, 1.0),
        ("switchback_config_generation", 3.0),
        ("switchback_config_last_reload_successful", 0.0),
        ("switchback_config_rejected_total", 2.0),
        ("switchback_config_last_reload_timestamp_seconds", 1_700_000_100.0),
        ("switchback_config_loaded_timestamp_seconds", 1_700_000_000.0),
        ("switchback_requests_in_flight", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    let left = value(&text, r#"switchback_upstream_cooldown_remaining_seconds{upstream="a"}"#);
    assert!(left.is_some_and(|seconds| seconds > 1.0), "{left:?}");
    assert!(!text.contains("o-1"), "what a client asked for is no label:\n{text}");
}

#[test]
fn a_reload_keeps_what_remains_and_forgets_the_rest() {
    let first = compiled("m: [a, b], n: [a]", None);
    let now = Instant::now();
    for target in first.meters.targets() {
        target.served(&Served::default(), now);
    }
    for name in ["m", "n"] {
        let route = first.table.route(name).map(|route| &**route);
        first.meters.of_route(route, true).ended(&request(Outcome::Ok));
    }
    let second = compiled("\"x-*\": [a], m: [b, a/other]", Some(&first));
    let kept = &second.meters.targets()[second.table.route("m").unwrap().targets().next().unwrap().measured];
    assert_eq!((&*kept.label, kept.history.window(now, 60).succeeded), ("b/m", 1));
    // A request that began before the reload ends after it.
    let route = first.table.route("m").map(|route| &**route);
    first.meters.of_route(route, true).ended(&request(Outcome::Ok));
    let text = metrics(second).render();
    let requests = |route| format!(r#"switchback_requests_total{{outcome="ok",route="{route}",status="2xx"}}"#);
    let attempts = |target, upstream| {
        format!(r#"switchback_attempts_total{{action="deliver",class="ok",target="{target}",upstream="{upstream}"}}"#)
    };
    assert_eq!(value(&text, &requests("m")), Some(2.0));
    assert_eq!(value(&text, &requests("n")), None);
    assert_eq!(value(&text, &attempts("b/m", "b")), Some(1.0));
    assert_eq!(value(&text, &attempts("a/other", "a")), Some(0.0));
    assert_eq!(value(&text, &attempts("a/m", "a")), None);
    assert!(!text.contains(r#"target="a/m""#), "{text}");
}

#[test]
fn a_route_called_like_ours_is_counted_with_it() {
    let snapshot = compiled("passthrough: [a], unknown: [a], none: [b]", None);
    let of_route = |route, has_model| snapshot.meters.of_route(route, has_model);
    for route in snapshot.table.routes.iter().chain(&snapshot.table.passthrough) {
        of_route(Some(route), true).ended(&request(Outcome::Ok));
    }
    for has_model in [true, false] {
        of_route(None, has_model).ended(&request(Outcome::Ok));
    }
    let text = metrics(snapshot).render();
    for route in ["passthrough", "unknown", "none"] {
        let series = format!(r#"switchback_fallbacks_total{{route="{route}"}}"#);
        assert_eq!(text.matches(&series).count(), 1, "{series}");
    }
}

/// A large configuration has many routes and targets that nobody asks for.
#[test]
fn what_nobody_has_asked_for_has_its_states_and_little_else() {
    let snapshot = compiled("m: [a, b], n: [b]", None);
    let target = &snapshot.meters.targets()[0];
    target.connected(None);
    let route = snapshot.table.route("m").map(|route| &**route);
    snapshot.meters.of_route(route, true).ended(&request(Outcome::Ok));
    let text = metrics(snapshot).render();
    let of = |label: &str| {
        let lines = text.lines().filter(|line| line.contains(label));
        lines.filter_map(|line| line.split('{').next()).collect::<Vec<_>>()
    };
    assert_eq!(
        of(r#"route="n""#),
        ["switchback_route_targets", "switchback_route_targets_skipped"]
    );
    assert_eq!(
        of(r#"target="b/n""#),
        [
            // Zero: a rate needs to know where it began.
            "switchback_attempts_total",
            "switchback_target_cooldown_remaining_seconds",
            "switchback_target_cooldown_state",
        ]
    );
    let unused = [
        r#"switchback_attempt_connections_total{source="new",target="a/m""#,
        r#"switchback_attempt_headers_seconds_count{target="a/m""#,
        r#"route="unknown""#,
        r#"route="none""#,
    ];
    for series in unused {
        assert!(!text.contains(series), "{series}\n{text}");
    }
    for series in [
        r#"switchback_attempt_connections_total{source="pool",target="a/m",upstream="a"} 1"#,
        r#"switchback_attempts_total{action="deliver",class="ok",target="a/m",upstream="a"} 0"#,
        r#"switchback_fallbacks_total{route="m"} 0"#,
        r#"switchback_resumes_total{result="failed",route="m"} 0"#,
    ] {
        assert!(text.contains(series), "{series}\n{text}");
    }
}
