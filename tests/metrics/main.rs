//! What is said about the metrics: docs/metrics.md lists them, the dashboard and the alerts ask for no others, and
//! Prometheus' own tool takes them all.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod promql;
mod promtool;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use switchback::telemetry::metrics::names::ALL;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// Every expression that the dashboard asks with, and those that fill its menus.
fn dashboard_expressions() -> Vec<String> {
    fn gather(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                let asked = ["expr", "definition"]
                    .iter()
                    .filter_map(|key| members.get(*key)?.as_str());
                found.extend(asked.map(str::to_owned));
                members.values().for_each(|value| gather(value, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| gather(value, found)),
            _ => {}
        }
    }
    let dashboard = serde_json::from_str(&read("docs/grafana/switchback.json")).unwrap();
    let mut found = Vec::new();
    gather(&dashboard, &mut found);
    found
}

/// The lines of an `expr` in the rules: what is indented below `expr: |`, or stands behind `expr:`.
fn alert_expressions() -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut indent = None;
    for line in read("docs/alerts.yml").lines() {
        let depth = line.len() - line.trim_start().len();
        if let Some(rest) = line.trim_start().strip_prefix("expr:") {
            found.push(rest.trim().trim_matches('|').to_owned());
            indent = Some(depth);
        } else if let Some(last) = found.last_mut().filter(|_| indent.is_some_and(|indent| depth > indent)) {
            last.push('\n');
            last.push_str(line.trim());
        } else {
            indent = None;
        }
    }
    found
}

#[test]
fn the_list_is_what_is_measured() {
    let text = read("docs/metrics.md");
    let listed: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `switchback_") || line.starts_with("| `process_"))
        .collect();
    let rows = ALL.iter().map(|metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() {
            "–".to_owned()
        } else {
            labels.join(", ")
        };
        format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help)
    });
    let rows: BTreeSet<String> = rows.collect();
    let rows: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    let missing: Vec<_> = rows.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&rows).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "add {missing:#?}\nremove {unknown:#?}"
    );
}

#[test]
fn every_label_is_explained() {
    let text = read("docs/metrics.md");
    for label in ALL
        .iter()
        .flat_map(|metric| metric.labels)
        .filter(|label| **label != "version")
    {
        assert!(
            text.contains(&format!("\n| `{label}` | ")),
            "`{label}` is not in the table of labels"
        );
    }
}

#[test]
fn dashboard_and_alerts_ask_for_what_there_is() {
    let expressions = [dashboard_expressions(), alert_expressions()].concat();
    assert!(expressions.len() > 40, "only {} were found", expressions.len());
    let mut faults = Vec::new();
    let mut asked = BTreeSet::new();
    for expression in &expressions {
        for selector in promql::selectors(expression) {
            let known = ALL.iter().find(|metric| promql::is_series_of(&selector.name, metric));
            let Some(metric) = known else {
                faults.push(format!("no metric `{}`, in {expression}", selector.name));
                continue;
            };
            asked.insert(metric.name);
            for label in &selector.labels {
                if !metric.labels.contains(&label.as_str()) && !["job", "instance", "le"].contains(&label.as_str()) {
                    faults.push(format!("`{}` has no label `{label}`, in {expression}", selector.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    // What an operator would look for is there.
    for name in [
        "switchback_requests_total",
        "switchback_attempts_total",
        "switchback_fallbacks_total",
        "switchback_target_cooldown_state",
        "switchback_upstream_balance",
        "switchback_requests_in_flight",
        "switchback_config_last_reload_successful",
        "switchback_added_latency_seconds",
    ] {
        assert!(asked.contains(name), "nobody asks for {name}");
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/grafana/switchback.json")).unwrap();
    assert!(dashboard["title"].is_string() && dashboard["uid"].is_string() && dashboard.get("id").is_none());
    assert!(dashboard["schemaVersion"].as_u64() >= Some(36));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        variables[0]["type"], "datasource",
        "whoever imports it chooses the data source"
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        let place = &panel["gridPos"];
        assert!(
            place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24,
            "{title}"
        );
    }
}
