//! Upstreams that fail by lot, and count who asks them how often.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::fault::{Fate, Fault};
use super::prompt::Prompt;
use crate::support::http1::Http1;
use crate::support::*;

/// Enough for requests that are sent together to run together.
const CALM_LATENCY_MS: u64 = 300;

/// What all upstreams have seen.
#[derive(Default)]
pub(super) struct Seen {
    /// Requests by `x-gateway-request-id`.
    pub(super) attempts: HashMap<String, usize>,
    pub(super) faults: HashMap<Fault, usize>,
    /// Requests that are being answered now.
    pub(super) running: usize,
    /// Connections that are open now.
    pub(super) open: usize,
    /// Faults come about.
    stormy: bool,
}

#[derive(Clone, Default)]
pub(super) struct Record(Arc<Mutex<Seen>>);

impl Record {
    pub(super) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no test panics with the record locked")
    }

    /// From here on everybody is well, or not.
    pub(super) fn stormy(&self, stormy: bool) {
        self.lock().stormy = stormy;
    }

    fn fate(&self, id: &str, upstream: usize, prompt: &Prompt) -> Fate {
        let mut seen = self.lock();
        let attempts = seen.attempts.entry(id.to_owned()).or_default();
        *attempts += 1;
        let fate = match (*attempts, seen.stormy) {
            (_, false) => Fate::none(prompt, CALM_LATENCY_MS),
            (attempt, true) => Fate::draw(prompt, upstream, attempt),
        };
        *seen.faults.entry(fate.fault).or_default() += 1;
        fate
    }
}

/// Counts down again when it is dropped, however the work ends.
struct Counted {
    record: Record,
    of: fn(&mut Seen) -> &mut usize,
}

impl Counted {
    fn new(record: &Record, of: fn(&mut Seen) -> &mut usize) -> Self {
        *of(&mut record.lock()) += 1;
        Self {
            record: record.clone(),
            of,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *(self.of)(&mut self.record.lock()) -= 1;
    }
}

/// Listens until it is dropped.
pub(super) struct Unreliable {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Unreliable {
    pub(super) async fn start(number: usize, record: &Record) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        Self {
            url: format!("http://{address}"),
            task: tokio::spawn(accept_all(listener, number, record.clone())),
        }
    }
}

impl Unreliable {
    /// Nothing that a test should know of went wrong in it.
    pub(super) fn check(&self) {
        assert!(!self.task.is_finished(), "an upstream panicked");
    }
}

impl Drop for Unreliable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, upstream: usize, record: Record) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted.expect("accept works");
                serving.spawn(serve(socket, upstream, record.clone()));
            }
            // A connection that breaks off is the gateway's own business; a panic is this test's.
            Some(served) = serving.join_next() => drop(served.expect("no upstream panics")),
        }
    }
}

async fn serve(socket: TcpStream, upstream: usize, record: Record) -> io::Result<()> {
    let _open = Counted::new(&record, |seen| &mut seen.open);
    socket.set_nodelay(true)?;
    let mut http = Http1::over(socket);
    while let Some(head) = http.head().await? {
        let mut body = Vec::new();
        http.body(head.request_framing(), &mut body).await?;
        let _running = Counted::new(&record, |seen| &mut seen.running);
        let id = head.header("x-gateway-request-id").expect("every request has its id");
        let fate = record.fate(id, upstream, &Prompt::read(&body));
        sleep(Duration::from_millis(fate.latency_ms)).await;
        for write in fate.answer.writes() {
            http.send(&write).await?;
            sleep(Duration::from_millis(fate.pause_ms)).await;
        }
        match fate.answer.ending {
            Ending::Whole => {}
            Ending::Close | Ending::Cut => return http.end_of_sending().await,
            Ending::Reset => {
                http.reset();
                return Ok(());
            }
            Ending::Stall => {
                http.closed().await;
                return Ok(());
            }
        }
    }
    Ok(())
}
