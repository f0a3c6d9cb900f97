//! The logger as a whole, in a process of its own: what arrives on standard error, and how a reload changes it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::{Command, Stdio};
use std::thread;

use log::LevelFilter;
use switchback::telemetry::access::{Access, Outcome};
use switchback::telemetry::{self, Format, LogSettings};

const IN_CHILD: &str = "SWITCHBACK_TEST_LOGS";
const THREADS: usize = 8;
const LINES_A_THREAD: usize = 200;

/// Runs the test of this name again in a child, and returns the child's standard error. In the child: `None`.
fn stderr_of_child(test: &str) -> Option<String> {
    if std::env::var_os(IN_CHILD).is_some() {
        return None;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(IN_CHILD, "1")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stderr).unwrap())
}

fn access(id: &str) -> Access<'_> {
    Access {
        id,
        client: Some("127.0.0.1:5000"),
        method: "POST",
        path: "/v1/chat/completions",
        http_version: "HTTP/1.1",
        protocol: "openai",
        stream: false,
        model: Some("gpt-4o"),
        route: Some("gpt-4o"),
        target: Some("openai/gpt-4o"),
        status: Some(200),
        outcome: Outcome::Ok,
        refused: None,
        attempts: 1,
        resumed: 0,
        ledger: "",
        ms: 5,
        first_byte_ms: Some(4),
        bytes_in: 10,
        bytes_out: 20,
    }
}

#[test]
fn level_and_format_follow_the_settings() {
    let Some(stderr) = stderr_of_child("level_and_format_follow_the_settings") else {
        telemetry::init(LogSettings {
            level: LevelFilter::Info,
            format: Format::Auto,
        });
        access("json").emit();
        log::debug!(target: "switchback", "unseen: the level is info");
        log::info!(target: "pingora_core::server", "unseen: a library's info");
        telemetry::set_format(Format::Text);
        access("text").emit();
        telemetry::set_level(LevelFilter::Warn);
        access("unseen: the level is warn").emit();
        log::warn!(target: "pingora_core::server", "a library's warning");
        log::logger().flush();
        return;
    };
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{stderr}");
    let json: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(
        (json["id"].as_str(), json["status"].as_u64()),
        (Some("json"), Some(200)),
        "{stderr}"
    );
    assert!(lines[1].contains("Z INFO  access id=text model=gpt-4o "), "{stderr}");
    assert!(
        lines[2].ends_with("Z WARN  pingora_core::server: a library's warning"),
        "{stderr}"
    );
}

#[test]
fn lines_of_many_threads_never_mix() {
    let Some(stderr) = stderr_of_child("lines_of_many_threads_never_mix") else {
        telemetry::init(LogSettings {
            level: LevelFilter::Info,
            format: Format::Json,
        });
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    for line in 0..LINES_A_THREAD {
                        access(&format!("{thread}-{line}")).emit();
                    }
                });
            }
        });
        log::logger().flush();
        return;
    };
    let mut seen = std::collections::BTreeSet::new();
    for line in stderr.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        seen.insert(json["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), THREADS * LINES_A_THREAD);
}

#[test]
fn a_panic_is_a_record() {
    let Some(stderr) = stderr_of_child("a_panic_is_a_record") else {
        telemetry::log_panics();
        telemetry::init(LogSettings {
            level: LevelFilter::Info,
            format: Format::Json,
        });
        let worker = thread::Builder::new().name("worker".to_owned());
        let ended = worker.spawn(|| panic!("nothing {}", "left")).unwrap().join();
        assert!(ended.is_err());
        log::logger().flush();
        return;
    };
    let record: serde_json::Value =
        serde_json::from_str(stderr.trim()).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let message = record["msg"].as_str().unwrap();
    assert_eq!(record["level"], "error");
    assert!(
        message.starts_with("thread worker panicked at tests/telemetry/main.rs:"),
        "{message}"
    );
    assert!(message.contains(": nothing left"), "{message}");
}
