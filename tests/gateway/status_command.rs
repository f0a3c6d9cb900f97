//! `switchback status`: the same for a terminal.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

fn status(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_switchback"))
        .arg("status")
        .args(arguments)
        .env_remove("SWITCHBACK_CONFIG")
        .stdin(Stdio::null())
        .output()
        .expect("cargo has built the binary")
}

/// Its exit status and what it printed.
async fn told(watched: &Watched, more: &[&str]) -> (i32, String) {
    let Address::Tcp(address) = &watched.admin else {
        unreachable!("it is a port")
    };
    let mut arguments = vec!["--admin".to_owned(), address.to_string()];
    arguments.extend(more.iter().map(ToString::to_string));
    let run = move || status(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

async fn until_ready(watched: &Watched) {
    watched
        .status_with("readiness", |s| s["process"]["ready"] == true)
        .await;
}

#[tokio::test]
async fn a_table_of_how_things_stand() {
    let bad = Upstream::always(Answer::json(429, error("slow down", "", Some("rate_limit_exceeded")))).await;
    let good = Upstream::always(well()).await;
    let cooling = "policy: { retry: { same_target: 0, backoff: 1ms }, cooldown: { after: 1, base: 60s, max: 60s } }";
    let watched = Watched::start(chain(&[bad.url(), good.url()]) + cooling).await;
    until_ready(&watched).await;
    assert_eq!(watched.gateway.post(CHAT, chat("m")).await.status(), 200);
    let (code, text) = told(&watched, &[]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("● ready switchback "), "{text}");
    let line = |start: &str| {
        let found = text.lines().find(|line| line.trim_start().starts_with(start));
        found.unwrap_or_else(|| panic!("{start} in\n{text}"))
    };
    for part in ["○ cooling down", "s: rate_limited", "0.0 % of 1", "rate_limited 429,"] {
        assert!(line("1 a").contains(part), "{part} in\n{text}");
    }
    for part in ["● in use", "100.0 % of 1", " ms"] {
        assert!(line("2 b").contains(part), "{part} in\n{text}");
    }
    assert!(line("configuration").contains(", generation 1, since 20"), "{text}");
    assert!(!text.contains('\x1b'), "no colour where nobody sees it: {text}");
}

#[tokio::test]
async fn a_model_behind_a_glob_that_cools_down_is_named() {
    let bad = Upstream::always(Answer::json(429, error("slow down", "", Some("rate_limit_exceeded")))).await;
    let good = Upstream::always(well()).await;
    let yaml = format!(
        "upstreams:\n  a: {{ url: {}/v1 }}\n  b: {{ url: {}/v1 }}\nroutes: {{ \"gpt-*\": [a, b] }}\n\
         policy: {{ retry: {{ same_target: 0 }}, cooldown: {{ after: 1, base: 60s, max: 60s }} }}",
        bad.url(),
        good.url()
    );
    let watched = Watched::start(yaml).await;
    until_ready(&watched).await;
    assert_eq!(watched.gateway.post(CHAT, chat("gpt-x")).await.status(), 200);
    let (_, text) = told(&watched, &[]).await;
    let line = text.lines().find(|line| line.starts_with("  gpt-x "));
    let line = line.unwrap_or_else(|| panic!("gpt-x in\n{text}"));
    assert!(
        line.contains("○ cooling down") && line.contains("s: rate_limited"),
        "{text}"
    );
}

#[tokio::test]
async fn a_route_without_a_target_to_use_is_a_failure() {
    let broke = Upstream::always(Answer::json(402, "{}")).await;
    let watched = Watched::start(chain(&[broke.url()])).await;
    until_ready(&watched).await;
    assert_eq!(told(&watched, &[]).await.0, 0);
    watched.gateway.post(CHAT, chat("m")).await;
    let (code, text) = told(&watched, &[]).await;
    assert_eq!(code, 1);
    assert!(text.contains("m ✗ every target is cooling down"), "{text}");
    assert!(text.contains("out_of_credits"), "{text}");
    assert_eq!(told(&watched, &["--json"]).await.0, 1);
}

#[tokio::test]
async fn the_document_for_scripts() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    until_ready(&watched).await;
    let (code, text) = told(&watched, &["--json"]).await;
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&document["version"], &document["routes"][0]["name"]),
        (&1.into(), &"m".into())
    );
}

#[tokio::test]
async fn the_configuration_says_where_even_while_it_is_broken() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    until_ready(&watched).await;
    let Address::Tcp(address) = &watched.admin else {
        unreachable!("it is a port")
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.yaml");
    let ask = || {
        let file = file.clone();
        tokio::task::spawn_blocking(move || status(&["--config", file.to_str().unwrap()]))
    };
    std::fs::write(
        &file,
        format!("routes: {{ m: [nobody] }}\nadmin: \"{address}\"\nupstreams: 7\n"),
    )
    .unwrap();
    assert_eq!(ask().await.unwrap().status.code(), Some(0));
    // Half a file, which is no YAML at all.
    std::fs::write(&file, format!("admin: \"{address}\"\nupstreams:\n  a: {{ url: http\n")).unwrap();
    assert_eq!(ask().await.unwrap().status.code(), Some(0));
    std::fs::write(&file, "routes: { m: [a] }\n").unwrap();
    let output = ask().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("add `admin: 127.0.0.1:9091`") && told.contains("--admin ADDRESS"),
        "{told}"
    );
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_well() {
    let upstream = Upstream::always(well()).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let place = format!("unix:{}", path.display());
    let gateway = Gateway::start(chain(&[upstream.url()]) + &format!("\nadmin: \"{place}\"")).await;
    let _watched = Watched::of(gateway, Address::Unix(path)).await;
    let run = move || status(&["--admin", &place]);
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("switchback "));
}

#[test]
fn nobody_there_and_wrong_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}", directory.path().join("none.sock").display());
    let output = status(&["--admin", &nobody]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("does the gateway run"), "{told}");
    for wrong in [&["--admin", "9091"][..], &["--window", "7"], &["--colour"]] {
        assert_eq!(status(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn clients_listener_is_no_admin_listener() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    let listener = Watched {
        admin: watched.gateway.address.clone(),
        ..watched
    };
    let (code, text) = told(&listener, &[]).await;
    assert_eq!(code, 1);
    assert!(text.contains("refuses: 404"), "{text}");
}

#[tokio::test]
async fn whoever_watches_is_told_again_and_again() {
    let upstream = Upstream::always(well()).await;
    let watched = Watched::start(chain(&[upstream.url()])).await;
    until_ready(&watched).await;
    let Address::Tcp(address) = &watched.admin else {
        unreachable!("it is a port")
    };
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_switchback"))
        .args(["status", "--watch", "--json", "--admin", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo has built the binary");
    let lines = BufReader::new(watcher.stdout.take().expect("stdout is a pipe")).lines();
    let two = tokio::task::spawn_blocking(move || lines.take(2).collect::<Result<Vec<_>, _>>());
    let two = soon("two documents", two).await;
    watcher.kill().expect("it watches still");
    watcher.wait().expect("it was killed");
    let told = two.unwrap().unwrap().into_iter().map(|line| {
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        document["at_unix_ms"].as_u64()
    });
    let told: Vec<_> = told.collect();
    assert!(told[0] < told[1], "{told:?}");
}
