//! Prometheus' own tool, from Debian's package `prometheus`.

use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use crate::{dashboard_expressions, path};

/// What `promtool` says, or `None` where it is not installed and need not be.
#[allow(clippy::explicit_write, reason = "eprintln! is swallowed by the test harness")]
fn promtool(arguments: &[&OsStr], input: &str) -> Option<Output> {
    let child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(mut child) => {
            let mut stdin = child.stdin.take().expect("it is a pipe");
            let written = stdin.write_all(input.as_bytes());
            // What reads nothing may be gone by now.
            assert!(written.is_ok() || input.is_empty(), "promtool read nothing");
            drop(stdin);
            Some(child.wait_with_output().unwrap())
        }
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            // Past the harness, which would swallow it: a test that did not look must say so.
            writeln!(
                std::io::stderr(),
                "not checked: promtool is not here (./scripts/test gets it)"
            )
            .unwrap();
            None
        }
        Err(error) => panic!("promtool: {error} (Debian: it is in the package prometheus; ./scripts/test gets it)"),
    }
}

fn expect_silence(arguments: &[&OsStr], input: &str) {
    let Some(output) = promtool(arguments, input) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[test]
fn the_alerts_are_rules() {
    expect_silence(
        &["check".as_ref(), "rules".as_ref(), path("docs/alerts.yml").as_os_str()],
        "",
    );
}

#[test]
fn the_alerts_fire_when_they_should() {
    expect_silence(
        &[
            "test".as_ref(),
            "rules".as_ref(),
            path("docs/alerts_test.yml").as_os_str(),
        ],
        "",
    );
}

#[test]
fn the_dashboard_asks_in_promql() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let expressions = dashboard_expressions();
    // Menus ask with a function of Grafana's own.
    let asked = expressions
        .iter()
        .filter(|expression| !expression.starts_with("label_values"));
    let rules: Vec<_> = asked
        .enumerate()
        .map(|(number, expression)| {
            let expr = expression.replace("$__rate_interval", "5m");
            serde_json::json!({ "record": format!("panel:{number}"), "expr": expr })
        })
        .collect();
    let rules = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(file.path(), rules.to_string()).unwrap();
    expect_silence(&["check".as_ref(), "rules".as_ref(), file.path().as_os_str()], "");
}
