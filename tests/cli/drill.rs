//! `switchback drill` as a person runs it: where there is no configuration, with log and output on one terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const END: &str = "Ctrl-C ends the drill.\n";

struct Drill {
    process: Child,
    output: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

impl Drill {
    /// Standard output and standard error are one file, as they are one terminal.
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("output");
        let file = File::create(&output).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_switchback"))
            .arg("drill")
            .args(arguments)
            .current_dir(directory.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self {
            process,
            output,
            _directory: directory,
        }
    }

    fn wait_for(&self, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let output = std::fs::read_to_string(&self.output).unwrap();
            if output.contains(words) {
                return output;
            }
            assert!(begun.elapsed() < PATIENCE, "no `{words}` in\n{output}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn address(output: &str, name: &str) -> String {
    let line = output.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    let url = line.split_whitespace().nth(1).unwrap();
    url.trim_start_matches("http://").trim_end_matches("/drill").to_owned()
}

fn post(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn has_configuration() -> bool {
    Path::new("/etc/switchback/switchback.yaml").exists()
}

#[test]
fn without_a_configuration_it_has_its_own_and_the_log_follows() {
    if has_configuration() {
        return;
    }
    let drill = Drill::start(&[]);
    let told = drill.wait_for(END);
    for part in [
        "the built-in configuration with a stand-in for every upstream",
        "`--config FILE` names one",
        "openai is broken now: it answers 500",
        "x-gateway-upstream: openrouter",
        "ANTHROPIC_BASE_URL=http://127.0.0.1:",
        "ANTHROPIC_AUTH_TOKEN=unused claude --model claude-sonnet-4-6",
        "model_provider = \"switchback\"",
        "wire_api = \"responses\"",
    ] {
        assert!(told.contains(part), "{part} in\n{told}");
    }
    // What the demonstration's request left in the log comes after all that.
    let whole = drill.wait_for("/v1/chat/completions\"");
    let (before, after) = whole.split_once(END).unwrap();
    assert!(!before.contains("\"listening\""), "{before}");
    assert!(
        after.contains("\"listening\"") && after.contains("server_error"),
        "{after}"
    );
}

#[test]
fn healing_ends_the_cooldown() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/switchback.yaml");
    let drill = Drill::start(&["--config", path.to_str().unwrap()]);
    let told = drill.wait_for(END);
    let (gateway, control) = (address(&told, "gateway"), address(&told, "control"));
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}"#;
    let served_by = || {
        let answer = post(&gateway, "POST", "/v1/chat/completions", body);
        let header = answer
            .lines()
            .find_map(|line| line.strip_prefix("x-gateway-upstream: "));
        header.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(served_by(), "openai");
    let broken = post(&control, "POST", "/drill/openai?fault=401", "");
    assert!(!broken.contains("cooldowns_ended"), "{broken}");
    assert_eq!(served_by(), "openrouter");
    assert_eq!(served_by(), "openrouter");
    let healed = post(&control, "DELETE", "/drill/openai", "");
    assert!(healed.contains("\"cooldowns_ended\": 1"), "{healed}");
    assert_eq!(served_by(), "openai");
    let again = post(&control, "POST", "/drill/openai?fault=ok", "");
    assert!(again.contains("\"cooldowns_ended\": 0"), "{again}");
}
