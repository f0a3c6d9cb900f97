//! SIGUSR2: another process takes over the sockets, and no client notices; or it can't, and nothing has changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::gateway::Address;
use crate::support::h2_client::tls;
use crate::support::http1::Http1;
use crate::support::pki::Pki;
use crate::support::*;

/// The process that has taken over; nobody's child, so whoever starts it stops it.
pub(crate) struct Successor(pub(crate) u32);

impl Successor {
    /// As the log names the latest one.
    pub(crate) async fn of(gateway: &Gateway) -> Self {
        let line = gateway.log.line("the upgrade", |line| upgraded(line).is_some()).await;
        Self(upgraded(&line).unwrap())
    }

    fn runs(&self) -> bool {
        // A zombie would still have a directory, but no command line.
        fs::read(format!("/proc/{}/cmdline", self.0)).is_ok_and(|line| !line.is_empty())
    }

    fn signal(&self, name: &str) -> bool {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.0.to_string()])
            .status();
        sent.is_ok_and(|status| status.success())
    }

    async fn end(&self) {
        soon("the new process to end", async {
            while self.runs() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.runs() {
            self.signal("KILL");
        }
    }
}

fn upgraded(line: &serde_json::Value) -> Option<u32> {
    let text = line["msg"].as_str()?;
    let pid = text.starts_with("upgraded").then(|| line["pid"].as_u64())??;
    u32::try_from(pid).ok()
}

/// A copy of the program that can be replaced.
pub(crate) struct Installed {
    _directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Installed {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("switchback");
        write_executable(&path, &fs::read(env!("CARGO_BIN_EXE_switchback")).unwrap());
        Self {
            _directory: directory,
            path,
        }
    }

    /// Another file takes its place, as a package manager does it.
    pub(crate) fn replace(&self, script: &str) {
        let new = self.path.with_extension("new");
        write_executable(&new, script.as_bytes());
        fs::rename(new, &self.path).unwrap();
    }
}

fn upgrade_command(gateway: &Gateway) -> tokio::task::JoinHandle<std::process::Output> {
    let pid = gateway.pid.to_string();
    tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_switchback"))
            .args(["upgrade", "--pid", &pid])
            .output()
            .unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_request_fails_and_a_running_stream_ends_whole() {
    let well = Upstream::always(Answer::json(200, completion("well"))).await;
    let slow = Manual::listen().await;
    let yaml = format!(
        "upstreams:\n  well: {{ url: {}/v1 }}\n  slow: {{ url: {}/v1 }}\nroutes: {{ m: [well], s: [slow] }}\nserver: {{ drain: 5s }}",
        well.url(),
        slow.url()
    );
    let gateway = Arc::new(Gateway::start(yaml).await);
    let mut stream = gateway.client().await;
    stream.send(post(CHAT, chat_stream("s"))).await;
    let (mut play, ..) = slow.request().await;
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    stream.head().await;
    stream.until("one").await;
    // Connections on which something was asked before, and connections on which nothing was.
    let mut kept = gateway.client().await;
    kept.send(post(CHAT, chat("m"))).await;
    assert_eq!(kept.response().await.status(), 200);
    let mut fresh = gateway.client().await;

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, stop, answered) = (Arc::clone(&gateway), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let response = gateway.post(CHAT, chat("m")).await;
                    assert_eq!((response.status(), &response.end), (200, &End::Clean));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    let output = upgrade_command(&gateway).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}\n{}", gateway.log.text());
    let successor = Successor::of(&gateway).await;
    assert!(told.contains(&format!("serves as process {}", successor.0)), "{told}");

    let before = answered.load(Ordering::Relaxed);
    soon("requests to the new process", async {
        while answered.load(Ordering::Relaxed) < before + 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for client in [&mut kept, &mut fresh] {
        client.send(post(CHAT, chat("m"))).await;
        let response = client.response().await;
        assert_eq!((response.status(), response.header("connection")), (200, Some("close")));
    }
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    play.chunk(finish() + DONE).await;
    play.finish().await;
    assert_eq!(stream.rest_of_stream().await, (finish() + DONE, End::Clean));
    let mut gateway = Arc::into_inner(gateway).unwrap();
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert!(successor.runs());
}

#[tokio::test]
async fn a_unix_socket_is_handed_over_twice() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain(&[upstream.url()]) + "server: { drain: 1s }";
    let mut gateway = Setup::new(yaml).unix_with_mode("0660").start().await;
    let Address::Unix(path) = gateway.address.clone() else {
        panic!("not on a unix socket");
    };
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o660);
    // Other permissions take effect with an upgrade.
    let text = fs::read_to_string(&gateway.file).unwrap();
    fs::write(&gateway.file, text.replace("mode: 0660", "mode: 0600")).unwrap();
    gateway.signal("USR2");
    let first = Successor::of(&gateway).await;
    assert_eq!(gateway.end().await.code(), Some(0));
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert_eq!(mode(), 0o600);
    assert!(first.signal("USR2"));
    let second = gateway
        .log
        .line("the second upgrade", |line| {
            upgraded(line).is_some_and(|pid| pid != first.0)
        })
        .await;
    let second = Successor(upgraded(&second).unwrap());
    first.end().await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    assert!(second.signal("TERM"));
    second.end().await;
    assert!(Client::try_connect(&gateway.address).await.is_err());
}

#[tokio::test]
async fn a_listener_with_tls_is_handed_over() {
    let pki = Pki::new();
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain(&[upstream.url()]) + "server: { drain: 1s }";
    let mut gateway = Setup::new(yaml).tls(&pki).start().await;
    gateway.signal("USR2");
    let _successor = Successor::of(&gateway).await;
    assert_eq!(gateway.end().await.code(), Some(0));
    let mut client = Client {
        http: Http1::over(tls(&gateway, &pki, &["http/1.1"]).await),
    };
    client.send(post(CHAT, chat("m"))).await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn an_upgrade_takes_listeners_that_a_reload_could_not() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain(&[upstream.url()]) + "server: { drain: 1s, watch: false }";
    let mut gateway = Gateway::start(yaml.clone()).await;
    let Address::Tcp(before) = gateway.address else {
        panic!()
    };
    let socket = gateway.file.with_file_name("added.sock");
    let text = format!(
        "listen: [\"unix:{}\"]\nlog: {{ format: json }}\n{yaml}",
        socket.display()
    );
    fs::write(&gateway.file, text).unwrap();
    gateway.signal("USR2");
    let _successor = Successor::of(&gateway).await;
    assert_eq!(gateway.end().await.code(), Some(0));
    assert!(
        Client::try_connect(&Address::Tcp(before)).await.is_err(),
        "no `listen` names it any more"
    );
    gateway.address = Address::Unix(socket);
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
}

#[tokio::test]
async fn a_program_that_ends_at_once_changes_nothing() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let installed = Installed::new();
    let setup = Setup::new(chain(&[upstream.url()])).program(installed.path.clone());
    let gateway = setup.start().await;
    for (script, reason) in [
        ("#!/bin/sh\nexit 3\n", "ended before it was ready (exit status 3)"),
        ("#!/bin/sh\nkill -KILL $$\n", "ended before it was ready (signal 9)"),
        ("#!/bin/sh\necho hello >&0\n", "said something else"),
        ("#!/nonexistent\n", "can't be started"),
    ] {
        installed.replace(script);
        let output = upgrade_command(&gateway).await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            told.contains("not upgraded") && told.contains(reason),
            "{script}: {told}"
        );
        gateway.log.says(reason).await;
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    }
    assert!(gateway.exited().is_none());
}

#[tokio::test]
async fn a_configuration_that_the_new_process_rejects_changes_nothing() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let directory = TempDir::new().unwrap();
    let key = directory.path().join("key");
    fs::write(&key, "secret").unwrap();
    let yaml = format!(
        "upstreams:\n  u0: {{ url: {}/v1, key: {{ file: {} }} }}\nroutes: {{ m: [u0] }}\n",
        upstream.url(),
        key.display()
    );
    let gateway = Gateway::start(yaml).await;
    fs::remove_file(&key).unwrap();
    let output = upgrade_command(&gateway).await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // The new process has said what is wrong, the old one that it carries on.
    gateway.log.says("error[").await;
    gateway.log.says("the upgrade failed: this process carries on").await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    fs::write(&key, "secret").unwrap();
    assert!(upgrade_command(&gateway).await.unwrap().status.success());
    let successor = Successor::of(&gateway).await;
    assert!(successor.runs());
}

#[tokio::test]
async fn the_new_process_stops_after_the_old_one() {
    let upstream = Manual::listen().await;
    let mut gateway = Gateway::start(chain(&[upstream.url()])).await;
    let mut client = gateway.client().await;
    client.send(post(CHAT, chat_stream("m"))).await;
    let (mut play, ..) = upstream.request().await;
    play.begin_sse().await;
    play.chunk(delta("one")).await;
    client.head().await;
    client.until("one").await;
    gateway.signal("USR2");
    let successor = Successor::of(&gateway).await;
    assert!(successor.signal("TERM"));
    soon("new connections to be refused", async {
        while Client::try_connect(&gateway.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(successor.runs() && gateway.exited().is_none(), "a stream still runs");
    play.chunk(finish() + DONE).await;
    play.finish().await;
    assert_eq!(client.rest_of_stream().await, (finish() + DONE, End::Clean));
    // Both end now, without waiting for idle connections.
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    successor.end().await;
}

#[tokio::test]
async fn a_stop_hurries_every_process_before_it() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let mut gateway = Gateway::start(chain(&[upstream.url()])).await;
    gateway.signal("USR2");
    let first = Successor::of(&gateway).await;
    assert!(first.signal("USR2"));
    let upgraded_again = |line: &serde_json::Value| upgraded(line).is_some_and(|pid| pid != first.0);
    let second = gateway.log.line("the second upgrade", upgraded_again).await;
    let second = Successor(upgraded(&second).unwrap());
    // Both would wait a minute for idle connections.
    assert!(gateway.exited().is_none() && first.runs());
    assert!(second.signal("TERM"));
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn a_process_that_handles_no_upgrades_is_left_alone() {
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_switchback"))
        .args(["upgrade", "--pid", &other.id().to_string()])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("does not handle upgrades"), "{told}");
    assert!(other.try_wait().unwrap().is_none(), "it still runs");
    other.kill().unwrap();
    other.wait().unwrap();
}
