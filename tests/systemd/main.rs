//! The unit file, as systemd reads it: no warning, and a sandbox that scores 1.5 or less.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Output};

const INSTALLED: &str = "/usr/bin/switchback";
/// `systemd-analyze security` counts in tenths here.
const EXPOSURE_MAX_TENTHS: &str = "15";
/// `server.drain`.
const DRAIN_DEFAULT_MINUTES: u64 = 10;

/// The shipped unit, running the binary that was built: `verify` wants programs that exist.
struct Unit {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Unit {
    fn with_built_binary() -> Self {
        let shipped = shipped();
        assert!(shipped.contains(INSTALLED), "the unit does not run {INSTALLED}");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("switchback.service");
        fs::write(&path, shipped.replace(INSTALLED, env!("CARGO_BIN_EXE_switchback"))).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }
}

fn shipped() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/switchback.service")).unwrap()
}

/// `None` where systemd-analyze is not installed and need not be.
#[allow(clippy::explicit_write, reason = "eprintln! is swallowed by the test harness")]
fn systemd_analyze(arguments: &[&str], unit: &Unit) -> Option<Output> {
    match Command::new("systemd-analyze")
        .args(arguments)
        .arg(&unit.path)
        .env("LC_ALL", "C")
        .output()
    {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            // Past the harness, which would swallow it: a test that did not look must say so.
            writeln!(
                std::io::stderr(),
                "not checked: systemd-analyze is not installed (apt-get install systemd)"
            )
            .unwrap();
            None
        }
        Err(error) => panic!("systemd-analyze: {error} (Debian: apt-get install systemd)"),
    }
}

#[test]
fn systemd_finds_nothing_to_say_about_the_unit() {
    let Some(output) = systemd_analyze(&["verify", "--man=no"], &Unit::with_built_binary()) else {
        return;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{}: {stderr}",
        output.status
    );
}

#[test]
fn the_sandbox_scores_well() {
    let threshold = format!("--threshold={EXPOSURE_MAX_TENTHS}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold];
    let Some(output) = systemd_analyze(&arguments, &Unit::with_built_binary()) else {
        return;
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(stdout.contains("Overall exposure level"), "{stdout}");
}

#[test]
fn systemd_waits_longer_than_running_responses_may_take() {
    let wait = shipped()
        .lines()
        .find_map(|line| {
            line.strip_prefix("TimeoutStopSec=")?
                .strip_suffix("min")?
                .parse::<u64>()
                .ok()
        })
        .expect("TimeoutStopSec= in whole minutes");
    assert!(
        wait > DRAIN_DEFAULT_MINUTES,
        "TimeoutStopSec={wait}min cuts responses that server.drain lets run"
    );
}
