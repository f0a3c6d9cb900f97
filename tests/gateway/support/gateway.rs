//! The real binary with a configuration of its own, on an address of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use super::client::{Client, Response, post};
use super::log::Log;
use super::names::with_names;
use super::pki::Pki;
use super::soon;

/// Where the gateway listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A configuration on its way to become a process.
pub(crate) struct Setup {
    yaml: String,
    dir: TempDir,
    listen: String,
    address: Address,
    level: &'static str,
    format: &'static str,
    environment: Vec<(String, String)>,
    file: Option<PathBuf>,
    program: PathBuf,
    stderr: Option<Stdio>,
    resolv_conf: Option<String>,
}

impl Setup {
    /// `yaml` without `listen` and `log`, which are the test's own.
    pub(crate) fn new(yaml: impl Into<String>) -> Self {
        let address = free_address();
        Self {
            yaml: yaml.into(),
            dir: TempDir::new().expect("the machine has a temporary directory"),
            listen: address.to_string(),
            address: Address::Tcp(address),
            level: "info",
            format: "json",
            environment: Vec::new(),
            file: None,
            program: PathBuf::from(env!("CARGO_BIN_EXE_switchback")),
            stderr: None,
            resolv_conf: None,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another place for the configuration than a directory of its own.
    pub(crate) fn file(mut self, file: PathBuf) -> Self {
        self.file = Some(file);
        self
    }

    /// Another file than the one that cargo has built.
    pub(crate) fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Names are looked up as this `resolv.conf` says.
    pub(crate) fn names(mut self, resolv_conf: String) -> Self {
        self.resolv_conf = Some(resolv_conf);
        self
    }

    pub(crate) fn level(mut self, level: &'static str) -> Self {
        self.level = level;
        self
    }

    /// Another format of the log than JSON.
    pub(crate) fn format(mut self, format: &'static str) -> Self {
        self.format = format;
        self
    }

    /// Standard error goes there; `Log` does not follow it.
    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    /// A unix socket in place of the port.
    pub(crate) fn unix(mut self) -> Self {
        let path = self.dir.path().join("gateway.sock");
        self.listen = format!("\"unix:{}\"", path.display());
        self.address = Address::Unix(path);
        self
    }

    /// The same with these permissions.
    pub(crate) fn unix_with_mode(self, mode: &str) -> Self {
        let mut setup = self.unix();
        setup.listen = format!("{{ address: {}, mode: {mode} }}", setup.listen);
        setup
    }

    /// TLS on the port.
    pub(crate) fn tls(mut self, pki: &Pki) -> Self {
        let (cert, key) = pki.server_files();
        self.listen = format!(
            "{{ address: \"{}\", tls: {{ cert: \"{}\", key: \"{}\" }} }}",
            self.listen,
            cert.display(),
            key.display()
        );
        self
    }

    /// More of the listener (YAML flow, such as `h2c: true`).
    pub(crate) fn listener(mut self, more: &str) -> Self {
        self.listen = format!("{{ address: {}, {more} }}", self.listen);
        self
    }

    /// Another listener beside those that there are already, with TLS.
    pub(crate) fn also_tls(mut self, address: SocketAddr, pki: &Pki) -> Self {
        let (cert, key) = pki.server_files();
        let (cert, key) = (cert.display(), key.display());
        self.listen += &format!(", {{ address: \"{address}\", tls: {{ cert: \"{cert}\", key: \"{key}\" }} }}");
        self
    }

    /// HTTP/2 in the clear beside HTTP/1.1.
    pub(crate) fn h2c(mut self) -> Self {
        self.listen = format!("{{ address: \"{}\", h2c: true }}", self.listen);
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        let file = self.file.unwrap_or_else(|| self.dir.path().join("switchback.yaml"));
        let top = format!(
            "listen: [{}]\nlog: {{ level: {}, format: {} }}\n",
            self.listen, self.level, self.format
        );
        let text = format!("{top}{}\n", self.yaml);
        std::fs::write(&file, &text).expect("the temporary directory takes a file");
        let (program, words) = match &self.resolv_conf {
            Some(resolv_conf) => with_names(&self.program, self.dir.path(), resolv_conf),
            None => (self.program.into_os_string(), Vec::new()),
        };
        let mut child = Command::new(program)
            .args(words)
            .arg("run")
            .arg("--config")
            .arg(&file)
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.stderr.unwrap_or_else(Stdio::piped))
            .spawn()
            .expect("cargo has built the binary");
        let log = Log::default();
        log.follow(child.stdout.take().expect("stdout is a pipe"));
        if let Some(stderr) = child.stderr.take() {
            log.follow(stderr);
        }
        let pid = child.id();
        let gateway = Gateway {
            address: self.address,
            pid,
            exit: await_exit(child),
            log,
            file,
            top,
            _dir: self.dir,
        };
        gateway.listening(&text).await;
        gateway
    }
}

/// A loopback address that no other gateway of this machine's tests is likely to have, with a port that is free on it:
/// outgoing connections leave from 127.0.0.1 and never take it.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let host = NEXT.fetch_add(1, Ordering::Relaxed).clamp(2, 254);
    let free = std::net::TcpListener::bind((std::net::Ipv4Addr::new(127, high, low, host), 0));
    free.and_then(|listener| listener.local_addr())
        .expect("all of 127.0.0.0/8 is loopback")
}

/// A thread that reaps the process and says how it ended.
fn await_exit(mut child: Child) -> watch::Receiver<Option<ExitStatus>> {
    let (ended, exit) = watch::channel(None);
    std::thread::spawn(move || {
        let status = child.wait().ok();
        ended.send_replace(status);
    });
    exit
}

/// A running gateway. Dropping it checks that it was still alive and never panicked, and stops it.
pub(crate) struct Gateway {
    pub(crate) address: Address,
    pub(crate) pid: u32,
    exit: watch::Receiver<Option<ExitStatus>>,
    pub(crate) log: Log,
    /// Its configuration.
    pub(crate) file: PathBuf,
    /// The test's own `listen` and `log`, with which the configuration begins.
    pub(crate) top: String,
    /// Removed with the gateway.
    _dir: TempDir,
}

impl Gateway {
    /// A gateway with a plain listener.
    pub(crate) async fn start(yaml: impl Into<String>) -> Self {
        Setup::new(yaml).start().await
    }

    /// Connects until a connection is taken, or the process is gone.
    async fn listening(&self, configuration: &str) {
        soon("the gateway to listen", async {
            while Client::try_connect(&self.address).await.is_err() {
                assert!(
                    self.exited().is_none(),
                    "the gateway ended:\n{}\nwith\n{configuration}",
                    self.log.text()
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    pub(crate) fn exited(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address).await
    }

    /// One POST on a connection of its own.
    pub(crate) async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Response {
        self.exchange(post(path, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.exchange(format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n"))
            .await
    }

    /// Sends these bytes on a connection of their own, and reads the response.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = self.client().await;
        client.send(request).await;
        client.response().await
    }

    /// The access log's line of a request.
    pub(crate) async fn access(&self, id: &str) -> Value {
        self.log
            .line(&format!("the access of {id}"), |line| {
                line["msg"] == "access" && line["id"] == id
            })
            .await
    }

    /// The access log's line of a request whose client left before it saw an id.
    pub(crate) async fn client_gone(&self) -> Value {
        self.log
            .line("a client that left", |line| {
                line["msg"] == "access" && line["outcome"] == "client_gone"
            })
            .await
    }

    /// Resident memory, bytes: now (`VmRSS`) or at its peak (`VmHWM`).
    pub(crate) fn memory_bytes(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the process lives");
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .expect("Linux tells it");
        let kilobytes: usize = line
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("a number of kB");
        kilobytes * 1024
    }

    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        if self.exited().is_none() {
            let sent = Command::new("kill")
                .arg(format!("-{name}"))
                .arg(self.pid.to_string())
                .status();
            assert!(
                sent.is_ok_and(|status| status.success()),
                "kill -{name} {} works",
                self.pid
            );
        }
    }

    /// Waits until the process has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let ended = soon("the gateway to end", self.exit.wait_for(Option::is_some)).await;
        ended
            .expect("the reaping thread sends before it ends")
            .expect("wait_for looked")
    }

    fn check_no_panic(&self) {
        let text = self.log.text();
        assert!(!text.contains("panicked at"), "the gateway panicked:\n{text}");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let ended = self.exited();
        // Its own thread reaps it; a process that still has something in flight is not waited for.
        self.signal("TERM");
        if !std::thread::panicking() {
            self.check_no_panic();
            assert!(
                ended.is_none_or(|status| status.success()),
                "the gateway ended on its own: {ended:?}\n{}",
                self.log.text()
            );
        } else {
            self.log.show();
        }
    }
}
