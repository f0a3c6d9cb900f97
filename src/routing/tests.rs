//! Plans for targets in various states, and which state a reload keeps.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::classify::{Basis, Class};
use crate::config::{Config, KeyPolicy, LoadOptions, load};
use crate::protocol::Protocol;
use crate::upstream::setback::Setback;

const UPSTREAMS: &str = "upstreams:
  a: { url: http://a.test/v1, key: secret-a }
  b: { url: http://b.test/v1 }
  c: { url: http://c.test/v1 }
";

fn config(routes: &str) -> Config {
    config_of(&format!("{UPSTREAMS}{routes}"))
}

fn config_of(yaml: &str) -> Config {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let options = LoadOptions {
        env: &|_| None,
        keys: KeyPolicy::Required,
    };
    let loaded = load(file.path(), &options);
    loaded
        .config
        .as_ref()
        .cloned()
        .unwrap_or_else(|| panic!("{}", loaded.render(false)))
}

fn table(routes: &str) -> RouteTable {
    RouteTable::compile(&config(routes), None)
}

/// The first draw always falls on the first.
fn planned(table: &RouteTable, model: &str, now: Instant) -> Plan {
    let route = table.route(model).expect("there is such a route");
    plan(route, model, Protocol::OpenAi, now, |_| 0)
}

fn names(steps: &[Step]) -> Vec<String> {
    let name = |step: &Step| match &step.model {
        Some(model) => format!("{}/{model}", step.target.upstream.name),
        None => step.target.upstream.name.to_string(),
    };
    steps.iter().map(name).collect()
}

/// An attempt at the step of this upstream fails in this way.
fn fail(plan: &Plan, upstream: &str, class: Class, retry_after_s: Option<u64>, now: Instant) {
    let mut steps = plan.steps.iter().chain(&plan.resting);
    let step = steps
        .find(|step| &*step.target.upstream.name == upstream)
        .expect("it is planned");
    let admission = step.admit(true, now).expect("there is room");
    let setback = Setback::of(class, Basis::Status, retry_after_s.map(Duration::from_secs));
    admission.failed(setback, &step.target.cooldown, now);
}

#[test]
fn what_cools_down_is_left_out_until_its_time_is_over() {
    let table = table("routes: { m: [a, b, c] }");
    let now = Instant::now();
    fail(&planned(&table, "m", now), "b", Class::RateLimited, Some(60), now);
    let plan = planned(&table, "m", now);
    assert_eq!(
        (names(&plan.steps), names(&plan.resting)),
        (vec!["a".into(), "c".into()], vec!["b".into()])
    );
    assert_eq!(LeftOut::of(&plan, None, now).retry_after_s(), Some(60));
    assert!(!plan.anyway);
    let then = now + Duration::from_secs(60);
    let plan = planned(&table, "m", then);
    assert_eq!(names(&plan.steps), ["a", "b", "c"]);
    // While a request tries it, the others leave it out.
    let trial = plan.steps[1].admit(false, then).expect("it is due");
    assert_eq!(names(&planned(&table, "m", then).steps), ["a", "c"]);
    drop(trial);
    assert_eq!(names(&planned(&table, "m", then).steps), ["a", "b", "c"]);
}

#[test]
fn all_are_tried_when_all_cool_down_and_the_soonest_to_end_is_first() {
    let table = table("routes: { m: [a, b, c] }");
    let now = Instant::now();
    let plan = planned(&table, "m", now);
    for (upstream, seconds) in [("a", 60), ("b", 20), ("c", 40)] {
        fail(&plan, upstream, Class::RateLimited, Some(seconds), now);
    }
    let plan = planned(&table, "m", now);
    assert_eq!(names(&plan.steps), ["b", "c", "a"]);
    assert!(plan.anyway && plan.resting.is_empty());
    assert!(plan.steps.iter().all(|step| step.admit(plan.anyway, now).is_ok()));
}

#[test]
fn a_pinned_request_stays_where_it_belongs_however_that_stands() {
    let table = table("routes: { m: [a, b] }");
    let now = Instant::now();
    fail(&planned(&table, "m", now), "a", Class::Auth, None, now);
    let plan = pinned_plan(table.route("m").unwrap(), "m", Protocol::OpenAi, true, now);
    assert_eq!((names(&plan.steps), plan.anyway), (vec!["a".to_owned()], true));
    assert!(plan.steps[0].admit(plan.anyway, now).is_ok());
}

#[test]
fn an_upstream_rests_with_all_its_models_and_a_model_alone() {
    for (class, left) in [
        (Class::Auth, &["b"][..]),
        (Class::OutOfCredits, &["b"]),
        (Class::ModelNotFound, &["a/two", "b"]),
        (Class::RateLimited, &["a/two", "b"]),
    ] {
        let table = table("routes: { m: [a/one, a/two, b] }");
        let now = Instant::now();
        fail(&planned(&table, "m", now), "a", class, Some(60), now);
        assert_eq!(names(&planned(&table, "m", now).steps), left, "{class:?}");
    }
}

#[test]
fn routes_share_what_they_know_of_a_target() {
    let routes = "routes: { m: [a/x, b], n: [a/x, b], x: [a, b], \"x*\": [a, b], other: [a, b], all: [{ route: m }] }";
    let table = table(routes);
    let now = Instant::now();
    fail(&planned(&table, "x", now), "a", Class::ModelNotFound, None, now);
    for (model, left) in [
        ("m", &["b"][..]),
        ("n", &["b"]),
        ("x", &["b"]),
        ("all", &["b"]),
        ("other", &["a", "b"]),
        ("xy", &["a", "b"]),
    ] {
        assert_eq!(names(&planned(&table, model, now).steps), left, "{model}");
    }
}

#[test]
fn models_behind_a_glob_have_each_their_own_health() {
    let table = table("routes: { \"*\": [a, b], \"v-*\": [a/vendor/*, b] }");
    let now = Instant::now();
    fail(&planned(&table, "typo", now), "a", Class::ModelNotFound, None, now);
    fail(&planned(&table, "v-1", now), "a", Class::ModelNotFound, None, now);
    for (model, left) in [
        ("typo", &["b"][..]),
        ("gpt-4o", &["a", "b"]),
        ("v-1", &["b"]),
        ("v-2", &["a/vendor/v-2", "b"]),
        ("vendor/v-1", &["b"]),
    ] {
        assert_eq!(names(&planned(&table, model, now).steps), left, "{model}");
    }
}

#[test]
fn a_spread_draws_among_those_that_are_used() {
    let table = table("routes: { m: [{ spread: [{ target: a, weight: 8 }, b, c] }] }");
    let now = Instant::now();
    fail(&planned(&table, "m", now), "a", Class::RateLimited, Some(60), now);
    let route = table.route("m").unwrap();
    for (drawn, expected) in [(0, ["b", "c"]), (1, ["c", "b"])] {
        let plan = plan(route, "m", Protocol::OpenAi, now, |below| {
            assert_eq!(below, 2, "the weights of b and c");
            drawn
        });
        assert_eq!(names(&plan.steps), expected);
    }
}

#[test]
fn a_route_overrides_its_upstreams_that_override_the_policy() {
    let yaml = "upstreams:
  a: { url: http://a.test/v1, cooldown: { base: 2s, auth: 20s } }
routes:
  plain: [a]
  special: { targets: [a], cooldown: { auth: 30s } }
policy: { cooldown: { base: 1s, auth: 10s, max: 7s } }
";
    let table = RouteTable::compile(&config_of(yaml), None);
    let cooldown = |model| planned(&table, model, Instant::now()).steps[0].target.cooldown;
    let seconds = |model| [cooldown(model).base, cooldown(model).auth, cooldown(model).max].map(|time| time.as_secs());
    assert_eq!((seconds("plain"), seconds("special")), ([2, 20, 7], [2, 30, 7]));
}

#[test]
fn a_reload_keeps_the_health_of_what_is_still_there() {
    let now = Instant::now();
    let before = table("routes: { m: [a/x, b], \"g-*\": [c, b] }");
    fail(&planned(&before, "m", now), "a", Class::ModelNotFound, None, now);
    fail(&planned(&before, "g-1", now), "c", Class::ModelNotFound, None, now);
    let slot = before.upstreams[1].enter();

    // Other routes, the same targets; one of a glob is now named.
    let after = RouteTable::compile(
        &config("routes: { n: [a/x, b], g-1: [c, b], \"g*\": [c, b] }"),
        Some(&before),
    );
    assert_eq!(names(&planned(&after, "n", now).steps), ["b"]);
    assert_eq!(names(&planned(&after, "g-1", now).steps), ["b"]);
    assert_eq!(after.upstreams[1].registry.inflight(), 1);
    drop(slot);
    assert_eq!(after.upstreams[1].registry.inflight(), 0);

    // A request that began before the reload reports to the same place.
    fail(&planned(&before, "m", now), "b", Class::Auth, None, now);
    assert!(planned(&after, "n", now).anyway, "a and b cool down");

    // What the configuration has dropped is forgotten, also if it comes back.
    let dropped = RouteTable::compile(&config("routes: { n: [a/y] }"), Some(&after));
    let again = RouteTable::compile(&config("routes: { n: [a/x, c] }"), Some(&dropped));
    assert_eq!(names(&planned(&again, "n", now).steps), ["a/x", "c"]);
}

#[test]
fn an_upstream_with_another_key_or_address_is_another() {
    let now = Instant::now();
    let yaml = format!("{UPSTREAMS}routes: {{ m: [a, b] }}");
    for (changed, left) in [
        ("remove_headers: [x-other]", &["b"][..]),
        ("headers: { x-key: new }", &["a", "b"]),
        ("query: { key: new }", &["a", "b"]),
    ]
    .map(|(more, left)| (yaml.replace("key: secret-a", &format!("key: secret-a, {more}")), left))
    .into_iter()
    .chain([
        (yaml.replace("secret-a", "secret-new"), &["a", "b"][..]),
        (yaml.replace("a.test", "new.test"), &["a", "b"]),
    ]) {
        let before = RouteTable::compile(&config_of(&yaml), None);
        fail(&planned(&before, "m", now), "a", Class::Auth, None, now);
        let after = RouteTable::compile(&config_of(&changed), Some(&before));
        assert_eq!(names(&planned(&after, "m", now).steps), left, "{changed}");
    }
}

#[test]
fn a_full_upstream_has_no_room() {
    let yaml = "upstreams: { a: { url: http://a.test/v1, max_inflight: 2 } }\nroutes: { m: [a], n: [a/x] }";
    let table = RouteTable::compile(&config_of(yaml), None);
    let now = Instant::now();
    let (m, n) = (planned(&table, "m", now), planned(&table, "n", now));
    let held = [
        m.steps[0].admit(false, now).unwrap(),
        n.steps[0].admit(true, now).unwrap(),
    ];
    for anyway in [false, true] {
        assert!(matches!(
            m.steps[0].admit(anyway, now),
            Err(crate::upstream::Refused::Full)
        ));
    }
    drop(held);
    assert!(m.steps[0].admit(false, now).is_ok());
    assert_eq!(table.upstreams[0].registry.inflight(), 0);
}

#[test]
fn of_a_thousand_models_that_clients_make_up_not_all_are_remembered() {
    let table = table("routes: { \"*\": [a, b] }");
    let now = Instant::now();
    for n in 0..2000 {
        fail(
            &planned(&table, &format!("made-up-{n}"), now),
            "a",
            Class::ModelNotFound,
            None,
            now,
        );
    }
    let is_left_out = |n: usize, at| planned(&table, &format!("made-up-{n}"), at).resting.len() == 1;
    assert!(is_left_out(0, now) && is_left_out(1023, now) && !is_left_out(1999, now));
    // Once their time is over they make room.
    let later = now + Duration::from_secs(601);
    fail(&planned(&table, "new", later), "a", Class::ModelNotFound, None, later);
    assert_eq!(names(&planned(&table, "new", later).steps), ["b"]);
}
