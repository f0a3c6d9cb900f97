use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::names::ALL;
use super::*;
use crate::telemetry::access::Outcome;
use crate::telemetry::history::FailureNote;

fn note(class: &'static str) -> FailureNote {
    FailureNote {
        unix_ms: 1,
        class,
        status: Some(500),
        message: None,
        request_id: "id".to_owned(),
        upstream_request_id: None,
    }
}

#[test]
fn names_follow_the_conventions() {
    for metric in ALL {
        let name = metric.name;
        assert!(
            name.starts_with("switchback_") || name.starts_with("process_"),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), metric.kind == "counter", "{name}");
        assert!(!name.contains("_ms") && !name.contains("millis"), "{name}: base units");
        assert!(metric.help.ends_with('.'), "{name}");
        let labels: Vec<&str> = metric.labels.iter().map(|_| "x").collect();
        match metric.kind {
            "counter" => drop(metric.counter(&labels)),
            "gauge" => drop(metric.gauge(&labels)),
            "histogram" => drop(metric.histogram(&labels, &ADDED_BUCKETS_S)),
            other => panic!("{name}: {other}"),
        }
    }
    let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn a_request_is_counted_once_and_by_its_end() {
    let meter = RouteMeter::new(&Arc::from("gpt-*"));
    for (outcome, status) in [
        (Outcome::Ok, Some(200)),
        (Outcome::Ok, Some(204)),
        (Outcome::ClientGone, None),
        (Outcome::Exhausted, Some(599)),
    ] {
        meter.ended(&Request {
            outcome,
            status,
            duration: Duration::from_millis(300),
            bytes_in: 10,
            bytes_out: 100,
        });
    }
    meter.fell_back();
    let exposition = Exposition::default();
    meter.show(&exposition);
    let text = exposition.render();
    for line in [
        r#"switchback_requests_total{outcome="ok",route="gpt-*",status="2xx"} 2"#,
        r#"switchback_requests_total{outcome="client_gone",route="gpt-*",status="none"} 1"#,
        r#"switchback_requests_total{outcome="exhausted",route="gpt-*",status="5xx"} 1"#,
        r#"switchback_request_duration_seconds_bucket{route="gpt-*",le="0.25"} 0"#,
        r#"switchback_request_duration_seconds_bucket{route="gpt-*",le="0.5"} 4"#,
        r#"switchback_request_body_bytes_total{route="gpt-*"} 40"#,
        r#"switchback_response_body_bytes_total{route="gpt-*"} 400"#,
        r#"switchback_fallbacks_total{route="gpt-*"} 1"#,
        r#"switchback_resumes_total{result="resumed",route="gpt-*"} 0"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nis not in\n{text}");
    }
    assert_eq!(
        text.matches("\nswitchback_requests_total{").count(),
        3,
        "what never happened is not shown"
    );
}

#[test]
fn attempts_are_counted_by_class_and_action_and_remembered() {
    let epoch = Instant::now();
    let meter = TargetMeter::new(&Arc::from("a/m"), &Arc::from("a"), epoch);
    let ms = Duration::from_millis;
    meter.connected(Some(ms(20)));
    meter.connected(None);
    meter.failed(note("server_error"), "retry", Some(ms(20)), epoch);
    meter.failed(note("server_error"), "fallback", None, epoch);
    meter.failed(note("server_error"), "fallback", None, epoch);
    meter.abandoned();
    let served = Served {
        connect: None,
        headers: Some(ms(300)),
        first_token: Some(ms(3)),
        total: Some(ms(900)),
    };
    meter.served(&served, epoch);
    let exposition = Exposition::default();
    meter.show(&exposition);
    let text = exposition.render();
    for line in [
        r#"switchback_attempts_total{action="deliver",class="ok",target="a/m",upstream="a"} 1"#,
        r#"switchback_attempts_total{action="retry",class="server_error",target="a/m",upstream="a"} 1"#,
        r#"switchback_attempts_total{action="fallback",class="server_error",target="a/m",upstream="a"} 2"#,
        r#"switchback_attempts_total{action="none",class="client_gone",target="a/m",upstream="a"} 1"#,
        r#"switchback_attempt_connections_total{source="pool",target="a/m",upstream="a"} 1"#,
        r#"switchback_attempt_connect_seconds_count{target="a/m",upstream="a"} 1"#,
        r#"switchback_attempt_headers_seconds_sum{target="a/m",upstream="a"} 0.3"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\nis not in\n{text}");
    }
    let window = meter.history.window(epoch, 1);
    assert_eq!((window.attempts, window.succeeded), (4, 1), "who left says nothing");
    assert_eq!((window.connect.count, window.total.mean_ms), (1, Some(900.0)));
    assert_eq!(meter.history.last_failures().len(), 3);
}

#[test]
fn labels_can_not_break_out() {
    let exposition = Exposition::default();
    exposition.set(&names::ROUTE_TARGETS, &["a\"} 1\nevil 2\\"], 3.0);
    let text = exposition.render();
    assert!(
        text.ends_with("switchback_route_targets{route=\"a\\\"} 1\\nevil 2\\\\\"} 3\n"),
        "{text}"
    );
}
