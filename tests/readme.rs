//! What README.md and docs/operating.md show is true: their YAML checks clean, their commands do what they say or at least
//! exist. The links of every page lead somewhere, and docs/behaviour.md names no file that is not there.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
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

/// The first configuration that README.md shows, as its reader saves it, but for the port: others may listen there.
fn readers_file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("switchback.yaml");
    let shortest = blocks("README.md", "yaml").remove(0);
    fs::write(&file, format!("listen: [127.0.0.1:0]\n{shortest}")).unwrap();
    (directory, file)
}

#[test]
fn every_command_does_what_it_says() {
    let commands = blocks("README.md", "sh").concat();
    let (_directory, file) = readers_file();
    let file = file.to_str().unwrap();
    for line in commands.lines() {
        match line {
            "switchback drill" => the_drill_switches(),
            "switchback check switchback.yaml" => {
                let output = switchback(&["check", file]).output().unwrap();
                assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            }
            "switchback explain gpt-4o --config switchback.yaml --if openai=429 --if openrouter=timeout" => {
                let arguments = [
                    "explain",
                    "gpt-4o",
                    "--config",
                    file,
                    "--if",
                    "openai=429",
                    "--if",
                    "openrouter=timeout",
                ];
                let output = switchback(&arguments).output().unwrap();
                let shown = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{output:?}");
                assert!(shown.contains("rate_limited") && shown.contains("timeout"), "{shown}");
            }
            "switchback run --config switchback.yaml" => it_runs(file),
            "export OPENAI_API_KEY=sk-... OPENROUTER_API_KEY=sk-or-..." => {}
            line if line.starts_with("curl ") => it_is_answered(line, file),
            // CI runs it, and this test with it.
            "./scripts/test" => assert!(
                fs::read_to_string(root().join(".ci/run"))
                    .unwrap()
                    .contains("./scripts/test")
            ),
            "cargo install --locked --path ." => {}
            // CI builds, installs and upgrades it: tests/package/install, with the version that is written here.
            "./scripts/package" => {}
            "apt-get install ./target/debian/switchback_0.1.0-1_amd64.deb" => {
                assert_eq!(env!("CARGO_PKG_VERSION"), "0.1.0", "README.md names another version");
            }
            other => panic!("README.md shows `{other}`: say here how it is tried"),
        }
    }
}

/// Sends what the line says to a drill with that configuration.
fn it_is_answered(line: &str, file: &str) {
    let path = line.split("127.0.0.1:8080").nth(1).unwrap().split(' ').next().unwrap();
    let header = line.split("-H '").nth(1).unwrap().split('\'').next().unwrap();
    let body = line.split("-d '").nth(1).unwrap().split('\'').next().unwrap();
    let mut drill = switchback(&["drill", "--config", file])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(drill.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let gateway = told.find(|line| line.contains("gateway  http://")).unwrap();
    assert!(told.any(|line| line.contains("Ctrl-C ends the drill")));
    let address = gateway.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\n{header}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    drill.kill().unwrap();
    drill.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("x-gateway-attempts: \"openai/gpt-4o\";status=200"),
        "{answer}"
    );
}

#[test]
fn what_check_is_shown_to_say_it_says() {
    let shown = blocks("README.md", "text");
    let written =
        "upstreams:\n  openai: { url: https://api.openai.com/v1, key: $OPENAI_API_KEY }\nroutes:\n  gpt-4o: [openai]\n";
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("switchback.yaml"), written).unwrap();
    let output = switchback(&["check", "switchback.yaml"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with(&shown[0]), "{said}\n{}", shown[0]);
}

#[test]
fn the_settings_of_clients_are_well_formed_and_lead_to_the_gateway() {
    for block in blocks("README.md", "json") {
        let settings: serde_json::Value = serde_json::from_str(&block).unwrap();
        assert!(settings.is_object());
    }
    let text = text("README.md");
    let addresses: Vec<&str> = text.split("http://127.0.0.1:8080").skip(1).collect();
    assert!(addresses.len() > 10);
    for after in addresses {
        let path = after
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '/'))
            .next()
            .unwrap();
        assert!(matches!(path, "" | "/v1" | "/v1/chat/completions"), "{path}");
    }
}

#[test]
fn the_picture_is_small() {
    let picture = fs::metadata(root().join("docs/page.png")).unwrap();
    assert!(picture.len() < 150 << 10, "{} bytes", picture.len());
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

fn it_runs(file: &str) {
    let mut process = switchback(&["run", "--config", file])
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
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    let pages = docs
        .filter(|page| page.ends_with(".md"))
        .chain(["README.md".to_owned()]);
    let mut local = 0;
    for page in pages {
        let text = text(&page);
        let beside = Path::new(&page).parent().unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            assert!(root().join(beside).join(file).exists(), "{page} links to {link}");
            local += 1;
        }
    }
    assert!(local > 30);
}

#[test]
fn the_page_of_behaviour_names_no_file_that_is_not_there() {
    let text = text("docs/behaviour.md");
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '-' | '_');
    let words = text.split(|c: char| !is_part(c));
    let names = words.filter(|word| {
        [".md", ".json", ".yaml", ".yml", ".rs"]
            .iter()
            .any(|end| word.ends_with(end))
    });
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 3, "{names:?}");
    for name in names {
        let there = ["", "docs"].iter().any(|from| root().join(from).join(name).exists());
        assert!(there, "docs/behaviour.md names {name}");
    }
}
