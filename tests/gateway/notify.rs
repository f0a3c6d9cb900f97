//! What the service manager is told, on a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram as Datagrams;

use super::upgrade::Installed;
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

/// The manager's messages up to one that contains `end`.
async fn messages(manager: &Manager, end: &str) -> String {
    let mut all = String::new();
    while !all.contains(end) {
        all.push_str(&manager.hears("").await);
    }
    all
}

#[tokio::test]
async fn a_new_process_that_does_not_serve_is_never_made_the_main_one() {
    let manager = Manager::new();
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let installed = Installed::new();
    let gateway = setup(chain(&[upstream.url()]), &manager)
        .program(installed.path.clone())
        .start()
        .await;
    manager.hears("READY=1").await;
    let told = installed.path.with_extension("told");
    let record = format!("while read -r line; do echo \"$line\" >>{}; done", told.display());
    let gone = "the conversation with the new process failed: Broken pipe";
    // The first process of an upgrade ends when it has started the second, which serves.
    for (script, reason) in [
        // Gone once it has said that it is ready, whatever its version.
        ("echo ready $$ 9.9 confirms >&0", gone),
        // Another program.
        (
            "echo ready $$ 9.9 confirms >&0; { read -r line; echo what >&0; read -r line; } <&0 &",
            "said something else",
        ),
        ("echo ready $$ 9.9 >&0", gone),
        // It is there and says nothing.
        (
            &format!("echo ready $$ 9.9 confirms >&0; {{ {record}; }} <&0 &"),
            "did not answer within 5 s",
        ),
    ] {
        installed.replace(&format!("#!/bin/bash\n{script}\n"));
        gateway.signal("USR2");
        let said = messages(&manager, "upgrade failed").await;
        assert!(said.contains(reason), "{script}: {said}");
        assert!(!said.contains("MAINPID="), "{script}: {said}");
        assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    }
    soon("the word that it is not needed", async {
        while std::fs::read_to_string(&told).unwrap() != "listen\nconfirm\ncancel\n" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_older_version_is_put_in_charge_by_the_words_it_knows() {
    let manager = Manager::new();
    let installed = Installed::new();
    let yaml = chain(&["http://127.0.0.1:9"]) + "server: { drain: 1s }";
    let mut gateway = setup(yaml, &manager).program(installed.path.clone()).start().await;
    manager.hears("READY=1").await;
    let told = installed.path.with_extension("told");
    installed.replace(&format!(
        "#!/bin/bash\necho ready 12345 0.0.9 >&0\n{{ read -r list; read -r line; echo \"$list $line\" >{}; }} <&0 &\n",
        told.display()
    ));
    gateway.signal("USR2");
    assert_eq!(manager.hears("MAINPID=").await, "MAINPID=12345\n");
    assert_eq!(gateway.end().await.code(), Some(0));
    assert_eq!(std::fs::read_to_string(told).unwrap(), "listen serve\n");
}
