//! Whoever reads the log stands still, or is gone: requests are served as ever, and what is missing in the log is counted.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::notify::{self, Manager};
use super::upgrade::Successor;
use crate::support::gateway::free_address;
use crate::support::reload::UNWATCHED;
use crate::support::*;

const CLIENTS: usize = 4;

/// Paths of this length make lines of which some hundred fill all that may wait to be written.
fn long_path() -> String {
    format!("/nothing/{}", "x".repeat(4000))
}

/// Asks so often, on a few connections, and expects `status` each time.
async fn ask(gateway: &Gateway, path: &str, status: u16, times: usize) {
    let connections = (0..CLIENTS).map(|_| async {
        let mut client = gateway.client().await;
        for _ in 0..times / CLIENTS {
            client
                .send(format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n"))
                .await;
            assert_eq!(client.response().await.status(), status);
        }
    });
    futures_util::future::join_all(connections).await;
}

/// What the metrics say of records that were dropped for this reason.
async fn dropped(watched: &Watched, reason: &str) -> u64 {
    let text = watched.ask("/metrics").await.text();
    let series = format!("switchback_log_records_dropped_total{{reason=\"{reason}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value
        .unwrap_or_else(|| panic!("no {series} in {text}"))
        .parse()
        .unwrap()
}

/// How many records the log says are missing.
fn told(lines: &[Value]) -> u64 {
    let gaps = lines
        .iter()
        .filter(|line| line["msg"].as_str().is_some_and(|text| text.contains("dropped while")));
    gaps.map(|gap| {
        assert!(gap["since"].as_str() <= gap["until"].as_str(), "{gap}");
        assert_eq!(gap["level"], "warn");
        gap["records"].as_u64().unwrap()
    })
    .sum()
}

/// What the log has before any request: the configuration, and the address.
const START_RECORDS: usize = 2;

/// Returns when the records that are there and those that are told as missing are so many: all that were made. A request's
/// own may come after its answer.
async fn add_up(read: impl Fn() -> Vec<Value>, all: usize) {
    soon(&format!("{all} records, written or told as missing"), async {
        loop {
            let lines = read();
            let written = lines.iter().filter(|line| line["level"] == "info").count() as u64;
            match (written + told(&lines)).cmp(&(all as u64)) {
                Ordering::Less => tokio::time::sleep(Duration::from_millis(10)).await,
                Ordering::Equal => return,
                Ordering::Greater => panic!("{written} and {} are more than {all}", told(&lines)),
            }
        }
    })
    .await;
}

async fn watched(setup: Setup, admin: std::net::SocketAddr) -> Watched {
    Watched::of(setup.start().await, Address::Tcp(admin)).await
}

fn with_admin(url: &str, admin: std::net::SocketAddr) -> String {
    format!("{}admin: \"{admin}\"\n", chain(&[url]))
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_slows_no_request() {
    const REQUESTS: usize = 1200;
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let admin = free_address();
    let (reader, writer) = std::io::pipe().unwrap();
    let setup = Setup::new(with_admin(&upstream.url(), admin)).stderr(writer);
    let watched = watched(setup, admin).await;
    let gateway = &watched.gateway;
    soon("answers", ask(gateway, &long_path(), 404, REQUESTS)).await;
    let lost = dropped(&watched, "queue_full").await;
    assert!(lost > 0, "the queue is smaller than {REQUESTS} such lines");
    // Everything else goes on as well.
    for path in ["/healthz", "/readyz"] {
        assert_eq!(soon(path, watched.ask(path)).await.status(), 200);
    }
    let failing = soon("an answer", gateway.post(CHAT, "{}")).await;
    assert_eq!(failing.status(), 400);
    assert_eq!(soon("an answer", gateway.post(CHAT, chat("m"))).await.status(), 200);

    // The reader moves again, and is told what it has missed.
    gateway.log.follow(reader);
    gateway.log.says("dropped while the log could not be written").await;
    // The admin listener's address is one more.
    add_up(|| gateway.log.json(), START_RECORDS + 1 + REQUESTS + 2).await;
    assert_eq!(told(&gateway.log.json()), dropped(&watched, "queue_full").await);
    assert_eq!(dropped(&watched, "write_failed").await, 0);
}

#[tokio::test]
async fn warnings_find_room_that_requests_have_not() {
    let broken = Upstream::always(Answer::json(402, "{}")).await;
    let (reader, writer) = std::io::pipe().unwrap();
    let gateway = Setup::new(chain(&[broken.url()])).stderr(writer).start().await;
    soon("answers", ask(&gateway, &long_path(), 404, 1200)).await;
    let failed = soon("an answer", gateway.post(CHAT, chat("m"))).await;
    assert_eq!(failed.status(), 402);
    gateway.log.follow(reader);
    let id = failed.id();
    let is_attempt = |line: &Value| line["id"] == id && line["level"] == "warn";
    gateway.log.line("the failed attempt", is_attempt).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_reader() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    for signal in ["TERM", "INT"] {
        let (_reader, writer) = std::io::pipe().unwrap();
        let setup = Setup::new(chain(&[upstream.url()])).stderr(writer);
        let mut gateway = setup.start().await;
        soon("answers", ask(&gateway, &long_path(), 404, 100)).await;
        gateway.signal(signal);
        assert_eq!(gateway.end().await.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn lines_that_cannot_be_written_are_counted() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let full_disk = Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let closed_pipe = Stdio::from(std::io::pipe().unwrap().1);
    for stderr in [full_disk, closed_pipe] {
        let admin = free_address();
        let setup = Setup::new(with_admin(&upstream.url(), admin)).stderr(stderr);
        let watched = watched(setup, admin).await;
        soon("answers", ask(&watched.gateway, "/v1/models", 200, 40)).await;
        soon("the count", async {
            // And those of the start.
            while dropped(&watched, "write_failed").await < 41 {}
        })
        .await;
        assert_eq!(dropped(&watched, "queue_full").await, 0);
    }
}

#[tokio::test]
async fn a_disk_with_room_again_has_whole_lines_and_the_count() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("log");
    // A file of limited size stands in for a disk that is full: the line at the limit is torn.
    let program = script(
        &directory,
        "trap '' XFSZ\nulimit -S -f 8\nexec \"$SWITCHBACK\" \"$@\" 2>>\"$LOG\"",
    );
    let setup = Setup::new(chain(&[upstream.url()]))
        .program(program)
        .env("LOG", &log.display().to_string());
    let gateway = setup.start().await;
    soon("answers", ask(&gateway, "/v1/models", 200, 80)).await;
    let written = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    soon("a full disk", async {
        while written(&log).len() < 8192 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    soon("answers", ask(&gateway, "/v1/models", 200, 4)).await;
    let pid = gateway.pid.to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=unlimited"])
        .status();
    assert!(raised.unwrap().success());
    let last = gateway.get("/v1/models").await.id();
    soon("the count", async {
        while !(written(&log).contains("dropped while") && written(&log).contains(&last)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let text = written(&log);
    let whole = |text: &str| -> Vec<Value> {
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    let torn = text.lines().count() - whole(&text).len();
    assert!(torn <= 1, "one line is torn at most: {text}");
    add_up(|| whole(&written(&log)), START_RECORDS + 85).await;
}

#[tokio::test]
async fn a_descriptor_that_somebody_made_non_blocking_loses_nothing() {
    const REQUESTS: usize = 800;
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let (reader, writer) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let setup = Setup::new(chain(&[upstream.url()])).stderr(OwnedFd::from(writer));
    let gateway = setup.start().await;
    // Far more than the socket holds.
    soon("answers", ask(&gateway, "/v1/models", 200, REQUESTS)).await;
    gateway.log.follow(reader);
    add_up(|| gateway.log.json(), START_RECORDS + REQUESTS).await;
    assert_eq!(told(&gateway.log.json()), 0);
}

#[tokio::test]
async fn the_start_waits_for_no_reader_and_its_fault_is_the_last_line() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let fill = writer.try_clone().unwrap();
    rustix::fs::fcntl_setfl(&fill, rustix::fs::OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    rustix::fs::fcntl_setfl(&fill, rustix::fs::OFlags::empty()).unwrap();
    drop(fill);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("switchback.yaml");
    let listen = format!("listen: [{}]\n", taken.local_addr().unwrap());
    fs::write(&file, listen + &chain(&["http://127.0.0.1:9"])).unwrap();
    let run = |stderr: Stdio| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_switchback"));
        run.args(["run", "--config"]).arg(&file).stderr(stderr);
        tokio::task::spawn_blocking(move || run.spawn().unwrap().wait_with_output().unwrap())
    };
    let output = soon("the end of the start", run(writer.into())).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.trim(), "", "nothing found room");

    let output = soon("the end of the start", run(Stdio::piped())).await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.lines().last().unwrap().starts_with("error: cannot listen on"),
        "{text}"
    );
}

#[tokio::test]
async fn nothing_is_lost_when_another_process_takes_over() {
    const REQUESTS: usize = 400;
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let mut gateway = Gateway::start(chain(&[upstream.url()]) + "server: { drain: 1s }").await;
    ask(&gateway, "/v1/models", 200, REQUESTS).await;
    gateway.signal("USR2");
    let _successor = Successor::of(&gateway).await;
    ask(&gateway, "/v1/models", 200, REQUESTS).await;
    assert_eq!(gateway.end().await.code(), Some(0), "{}", gateway.log.text());
    let accesses = || {
        let lines = gateway.log.json();
        assert_eq!(told(&lines), 0);
        lines.into_iter().filter(|line| line["msg"] == "access").collect()
    };
    add_up(accesses, 2 * REQUESTS).await;
}

/// A program that runs the gateway in its own way.
fn script(directory: &TempDir, lines: &str) -> PathBuf {
    let path = directory.path().join("switchback");
    let binary = env!("CARGO_BIN_EXE_switchback");
    let text = format!("#!/bin/bash\nSWITCHBACK={binary}\n{lines}\n");
    write_executable(&path, text.as_bytes());
    path
}

/// Has `/run/systemd/journal/socket` lead to a socket of the test's own, in a mount namespace of the gateway's own.
const IN_NAMESPACE: &str = r#"exec unshare --user --map-root-user --mount bash -c '
    mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal && ln -s "$JOURNAL" /run/systemd/journal/socket &&
    exec "$@"' bash "$SWITCHBACK" "$@""#;

/// Where this is not allowed the test can't look, and says so; with `CI=true` that is a failure.
#[allow(clippy::explicit_write, reason = "eprintln! is swallowed by the test harness")]
fn may_have_namespaces() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .stderr(Stdio::null())
        .status();
    let may = tried.is_ok_and(|status| status.success());
    assert!(
        may || std::env::var_os("CI").is_none(),
        "mount namespaces are not allowed here"
    );
    if !may {
        writeln!(std::io::stderr(), "not checked: mount namespaces are not allowed here").unwrap();
    }
    may
}

/// Reads records until those of requests, and those that are told as missing, are so many. How many are missing.
async fn add_up_in(journal: &tokio::net::UnixDatagram, all: usize) -> usize {
    let (mut written, mut lost) = (0, 0);
    let mut datagram = vec![0; 256 * 1024];
    soon(&format!("{all} records, written or told as missing"), async {
        while written + lost < all {
            let length = journal.recv(&mut datagram).await.unwrap();
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let message = text.lines().next().unwrap().strip_prefix("MESSAGE=").unwrap();
            if message.starts_with("access ") {
                written += 1;
            } else if let Some((records, _)) = message.split_once(" log record") {
                lost += records.parse::<usize>().unwrap();
            }
        }
    })
    .await;
    assert_eq!(written + lost, all);
    lost
}

#[tokio::test]
async fn a_journald_that_stands_still_slows_no_request_and_gets_the_rest_later() {
    if !may_have_namespaces() {
        return;
    }
    const REQUESTS: usize = 800;
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("journal");
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_nonblocking(true).unwrap();
    let journal = tokio::net::UnixDatagram::from_std(journal).unwrap();
    let manager = Manager::new();
    let setup = notify::setup(chain(&[upstream.url()]), &manager)
        .program(script(&directory, IN_NAMESPACE))
        .format("journald")
        .env("JOURNAL", &path.display().to_string())
        .env("WATCHDOG_USEC", "200000");
    let mut gateway = setup.start().await;
    soon("answers", ask(&gateway, &long_path(), 404, REQUESTS)).await;
    soon("an answer", gateway.post(CHAT, chat("m"))).await;
    for _ in 0..5 {
        manager.hears("WATCHDOG=1").await;
    }
    assert!(add_up_in(&journal, REQUESTS + 1).await > 0);
    assert_eq!(gateway.log.text(), "", "nothing went to standard error instead");

    // It stands still again, and nobody waits for it at the end either.
    soon("answers", ask(&gateway, &long_path(), 404, 100)).await;
    gateway.terminate();
    assert_eq!(gateway.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_reload_takes_the_log_away_from_a_journald_that_stands_still() {
    if !may_have_namespaces() {
        return;
    }
    const REQUESTS: usize = 100;
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("journal");
    let _never_reads = UnixDatagram::bind(&path).unwrap();
    let yaml = chain(&[upstream.url()]) + UNWATCHED;
    let setup = Setup::new(yaml.clone())
        .program(script(&directory, IN_NAMESPACE))
        .format("journald")
        .env("JOURNAL", &path.display().to_string());
    let gateway = setup.start().await;
    soon("answers", ask(&gateway, "/v1/models", 200, REQUESTS)).await;
    let top = gateway.top.replace("journald", "json");
    fs::write(&gateway.file, format!("{top}{yaml}")).unwrap();
    gateway.signal("HUP");
    // What waits for journald comes as text, then the new lines as JSON.
    gateway.log.says("<6>configuration reloaded").await;
    let last = gateway.get("/v1/models").await.id();
    gateway.access(&last).await;
    let text = gateway.log.lines();
    let as_text = text.iter().filter(|line| line.starts_with("<6>access ")).count();
    assert!(as_text > 0 && as_text < REQUESTS, "{text:#?}");
}
