//! What README.md and docs/operating.md show is true: their YAML checks clean, their commands do what they say or at least
//! exist, their links lead somewhere.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_switchback");
const KEYS: [&str; 3] = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const PAGES: [&str; 2] = ["README.md", "docs/operating.md"];

fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// The text of each fenced block of that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = text(page);
    let fences = text.split("```").skip(1).step_by(2);
    let of_language = fences.filter_map(|fence| fence.strip_prefix(language)?.strip_prefix('\n'));
    of_language.map(str::to_owned).collect()
}

fn switchback(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .current_dir(root())
        .env_remove("SWITCHBACK_CONFIG")
        .stdin(Stdio::null());
    for key in KEYS {
        command.env(key, "sk-readme");
    }
    command
}

#[test]
fn every_yaml_block_checks_clean() {
    let blocks: Vec<String> = PAGES.iter().flat_map(|page| blocks(page, "yaml")).collect();
    assert!(blocks.len() >= 3);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("keys_openai"), "sk-readme\n").unwrap();
    for (number, block) in blocks.iter().enumerate() {
        let file = directory.path().join(format!("{number}.yaml"));
        fs::write(&file, block).unwrap();
        let output = switchback(&["check", file.to_str().unwrap()])
            .env("CREDENTIALS_DIRECTORY", directory.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{block}\n{told}");
    }
}

#[test]
fn every_command_does_what_it_says() {
    let commands = blocks("README.md", "sh").concat();
    for line in commands.lines() {
        match line {
            "cargo run --release -- drill" => the_drill_switches(),
            "cargo run --release -- check --config conf/switchback.yaml" => {
                let output = switchback(&["check", "--config", "conf/switchback.yaml"])
                    .output()
                    .unwrap();
                assert!(output.status.success(), "{output:?}");
            }
            "cargo run --release -- explain gpt-4o --if openai=429 --if openrouter=timeout" => {
                let arguments = ["explain", "gpt-4o", "--if", "openai=429", "--if", "openrouter=timeout"];
                let output = switchback(&arguments).output().unwrap();
                let shown = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{output:?}");
                assert!(shown.contains("rate_limited") && shown.contains("timeout"), "{shown}");
            }
            "./target/release/switchback run --config conf/switchback.yaml" => it_runs(),
            // CI runs it, and this test with it.
            "./scripts/test" => assert!(
                fs::read_to_string(root().join(".ci/run"))
                    .unwrap()
                    .contains("./scripts/test")
            ),
            "cargo build --release" => {}
            // CI builds, installs and upgrades it: tests/package/install, with the version that is written here.
            "./scripts/package" => {}
            "apt-get install ./target/debian/switchback_0.1.0-1_amd64.deb" => {
                assert_eq!(env!("CARGO_PKG_VERSION"), "0.1.0", "README.md names another version");
            }
            other => panic!("README.md shows `{other}`: say here how it is tried"),
        }
    }
}

fn the_drill_switches() {
    // `--once` ends it after what the plain command shows first.
    let output = switchback(&["drill", "--once"])
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in [
        "openai is broken now",
        "-> 200",
        "x-gateway-upstream: openrouter",
        "status=500;class=server_error",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
}

fn it_runs() {
    // On a port of its own: others may listen on the documented one.
    let shipped = fs::read_to_string(root().join("conf/switchback.yaml")).unwrap();
    let text = shipped.replace("127.0.0.1:8080", "127.0.0.1:0");
    assert_ne!(text, shipped, "the file listens on the port that README.md names");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("switchback.yaml");
    fs::write(&file, text).unwrap();
    let mut process = switchback(&["run", "--config", file.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(process.stderr.take().unwrap());
    let listening = log
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("\"listening\""));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(listening);
}

/// What a machine's operator runs can't be run here: but each `switchback` command must be one, with options that it has.
#[test]
fn every_command_of_the_operators_page_exists() {
    let commands = blocks("docs/operating.md", "sh").concat().replace("\\\n", " ");
    let mut found = 0;
    for line in commands.lines() {
        let line = line.split(" #").next().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "switchback") else {
            continue;
        };
        // `systemctl reload switchback` names the unit.
        if matches!(words[0], "systemctl" | "journalctl") {
            continue;
        }
        let subcommand = words[at + 1];
        let help = switchback(&[subcommand, "--help"]).output().unwrap();
        let shown = String::from_utf8_lossy(&help.stdout);
        assert!(help.status.success(), "`{line}`: there is no such command");
        for option in words[at + 2..].iter().filter(|word| word.starts_with("--")) {
            assert!(shown.contains(option), "`{line}`: {subcommand} has no {option}");
        }
        found += 1;
    }
    assert!(found >= 3, "the page is written otherwise now");
}

#[test]
fn every_link_leads_somewhere() {
    let mut local = 0;
    for page in PAGES {
        let text = text(page);
        let beside = Path::new(page).parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            assert!(root().join(beside).join(link).exists(), "{page} links to {link}");
            local += 1;
        }
    }
    assert!(local > 7);
}
