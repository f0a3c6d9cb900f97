//! What the service manager is told, on a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram as Datagrams;

use crate::support::*;

pub(crate) struct Manager {
    directory: TempDir,
    socket: Datagrams,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            directory,
            socket: Datagrams::from_std(socket).unwrap(),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.directory.path().join("notify").display().to_string()
    }

    /// From now on it takes no more messages: whoever sends one waits.
    pub(crate) fn stand_still(&self) {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        while sender.send_to(b"STATUS=of the test", self.address()).is_ok() {}
    }

    /// The next message with such a line; others are passed over.
    pub(crate) async fn hears(&self, begin: &str) -> String {
        soon(&format!("the message {begin}"), async {
            loop {
                let mut message = [0; 4096];
                let length = self.socket.recv(&mut message).await.unwrap();
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                if text.lines().any(|line| line.starts_with(begin)) {
                    return text;
                }
            }
        })
        .await
    }
}

pub(crate) fn setup(yaml: String, manager: &Manager) -> Setup {
    Setup::new(yaml).env("NOTIFY_SOCKET", &manager.address())
}

#[tokio::test]
async fn ready_with_a_status_and_stopping() {
    let manager = Manager::new();
    let mut gateway = setup(chain(&["http://127.0.0.1:9"]), &manager).start().await;
    let ready = manager.hears("READY=1").await;
    assert!(ready.contains("\nSTATUS=1 route"), "{ready}");
    gateway.terminate();
    manager.hears("STOPPING=1").await;
    assert_eq!(gateway.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_status_names_who_cools_down() {
    let manager = Manager::new();
    let refusing = format!("http://127.0.0.1:{}", refusing_port().await);
    let well = Upstream::always(Answer::json(200, completion("well"))).await;
    let gateway = setup(chain(&[refusing, well.url()]), &manager).start().await;
    for _ in 0..3 {
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    }
    soon("the cooldown in the status", async {
        while !manager.hears("STATUS=1 route").await.contains("; cooling down: a\n") {}
    })
    .await;
}

#[tokio::test]
async fn the_status_names_models_behind_a_glob_too() {
    let manager = Manager::new();
    let slow = Upstream::always(Answer::json(404, error("no such model", "", Some("model_not_found")))).await;
    let well = Upstream::always(Answer::json(200, completion("well"))).await;
    let yaml = chain(&[slow.url(), well.url()]).replace("  m:", "  \"m*\":");
    let gateway = setup(yaml, &manager).start().await;
    assert_eq!(gateway.post(CHAT, chat("m-1")).await.status(), 200);
    soon("the cooldown in the status", async {
        while !manager
            .hears("STATUS=1 route")
            .await
            .contains("; cooling down: a/m-1\n")
        {}
    })
    .await;
}

#[tokio::test]
async fn the_watchdog_is_fed_by_requests_that_leave_no_trace() {
    let manager = Manager::new();
    let gateway = setup(chain(&["http://127.0.0.1:9"]), &manager)
        .env("WATCHDOG_USEC", "200000")
        .start()
        .await;
    for _ in 0..5 {
        manager.hears("WATCHDOG=1").await;
    }
    let log = gateway.log.text();
    assert!(!log.contains("\"access\"") && !log.contains("/v1/models"), "{log}");
}

#[tokio::test]
async fn no_watchdog_is_fed_that_is_not_wanted() {
    let manager = Manager::new();
    let gateway = setup(chain(&["http://127.0.0.1:9"]), &manager)
        // Another process's.
        .env("WATCHDOG_USEC", "200000")
        .env("WATCHDOG_PID", "1")
        .start()
        .await;
    manager.hears("READY=1").await;
    let quiet = tokio::time::timeout(Duration::from_millis(500), manager.hears("WATCHDOG=1")).await;
    assert!(quiet.is_err(), "{quiet:?}\n{}", gateway.log.text());
}

#[tokio::test]
async fn after_an_upgrade_the_new_process_speaks_and_the_old_one_is_silent() {
    let manager = Manager::new();
    let gateway = setup(chain(&["http://127.0.0.1:9"]), &manager)
        .env("WATCHDOG_USEC", "200000")
        .start()
        .await;
    manager.hears("WATCHDOG=1").await;
    gateway.signal("USR2");
    let successor = manager.hears("MAINPID=").await;
    let successor: u32 = successor.trim().trim_start_matches("MAINPID=").parse().unwrap();
    assert_ne!(successor, gateway.pid);
    assert!(Path::new(&format!("/proc/{successor}")).exists());
    assert!(manager.hears("READY=1").await.contains("STATUS=1 route"));
    // What comes now comes from the new one: the old one does not say that it stops.
    manager.hears("WATCHDOG=1").await;
    gateway.log.says("upgraded").await;
    let _stopped = super::upgrade::Successor(successor);
}
