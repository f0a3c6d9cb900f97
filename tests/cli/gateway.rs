//! The gateway itself, for one request.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Longer than any clock in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The client's view of an answer.
pub(crate) struct Response {
    pub(crate) status: u64,
    head: String,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Stopped when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// Runs `c.yaml` of `directory`, which listens at `address`, and waits until it does.
    pub(crate) fn start(directory: &Path, address: SocketAddr) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_switchback"))
            .args(["run", "--config", "c.yaml"])
            .current_dir(directory)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut gateway = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(gateway.child.try_wait().unwrap().is_none(), "the gateway ended");
            assert!(begun.elapsed() < PATIENCE, "the gateway does not listen");
            std::thread::yield_now();
        }
        gateway
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Response {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        Response {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself; then the test has failed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that nothing else in these tests has, with a port that is free on it: outgoing connections leave
/// from 127.0.0.1 and never take it.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let host = NEXT.fetch_add(1, Ordering::Relaxed).clamp(2, 254);
    let listener = TcpListener::bind((Ipv4Addr::new(127, high, low, host), 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Where connections are accepted and closed without an answer.
pub(crate) fn closing_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut some = [0; 16];
            // What it sent does not matter, nor whether it did.
            let _ = stream.and_then(|mut stream| stream.read(&mut some));
        }
    });
    address
}
