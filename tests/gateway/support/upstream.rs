//! A scripted upstream: the n-th request that reaches it gets the n-th answer, and everything is written down.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::answer::{Answer, Ending};
use super::http1::{Head, Http1};
use super::soon;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Which connection brought it, from 0 in the order of their acceptance.
    pub(crate) connection: usize,
    pub(crate) head: Head,
    /// Empty where the answer was given early.
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        self.head.start_line.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.head.start_line.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body's `model`.
    pub(crate) fn model(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("the upstream got JSON");
        body["model"].as_str().expect("with a model").to_owned()
    }
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<Received>,
    left: Vec<Instant>,
    /// Handshakes that failed, and requests that broke off.
    broken: Vec<String>,
}

struct Script {
    answers: Mutex<std::vec::IntoIter<Answer>>,
    /// By path and query; before the script.
    at: Mutex<HashMap<String, Answer>>,
    always: Option<Answer>,
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Script {
    fn next(&self, target: &str) -> Answer {
        let fixed = self.at.lock().expect("no test panics with the paths locked");
        if let Some(answer) = fixed.get(target) {
            return answer.clone();
        }
        drop(fixed);
        let scripted = self
            .answers
            .lock()
            .expect("no test panics with the script locked")
            .next();
        scripted
            .or_else(|| self.always.clone())
            .unwrap_or_else(|| Answer::status(501, "the script of this upstream has no further answer"))
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("no test panics with the record locked"));
        self.changed.notify_waiters();
    }
}

/// Listens on a port of its own until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    script: Arc<Script>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// One answer for each request, in order; a request too many gets a 501.
    pub(crate) async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start(answers.into_iter().collect(), None, None).await
    }

    /// The same answer for every request.
    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(Vec::new(), Some(answer), None).await
    }

    /// The same where another upstream has listened before.
    pub(crate) async fn always_at(address: SocketAddr, answer: Answer) -> Self {
        let listener = soon("the address to be free", async {
            loop {
                if let Ok(listener) = TcpListener::bind(address).await {
                    return listener;
                }
                tokio::task::yield_now().await;
            }
        });
        Self::serve(listener.await, Vec::new(), Some(answer), None)
    }

    /// The same over TLS.
    pub(crate) async fn always_over_tls(answer: Answer, tls: TlsAcceptor) -> Self {
        Self::start(Vec::new(), Some(answer), Some(tls)).await
    }

    async fn start(answers: Vec<Answer>, always: Option<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        Self::serve(listener, answers, always, tls)
    }

    fn serve(listener: TcpListener, answers: Vec<Answer>, always: Option<Answer>, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let script = Arc::new(Script {
            answers: Mutex::new(answers.into_iter()),
            at: Mutex::default(),
            always,
            seen: Mutex::default(),
            changed: Notify::new(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(accept_all(listener, tls, Arc::clone(&script)));
        Self {
            address,
            scheme,
            script,
            task,
        }
    }

    /// From now on this answer for this path and query, whatever the script says.
    pub(crate) fn answer_at(&self, target: &str, answer: Answer) {
        let mut fixed = self.script.at.lock().expect("no test panics with the paths locked");
        fixed.insert(target.to_owned(), answer);
    }

    /// The requests for this path and query, so far.
    pub(crate) fn requests_at(&self, target: &str) -> Vec<Received> {
        let mut requests = self.requests();
        requests.retain(|request| request.target() == target);
        requests
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    fn read<T>(&self, of: impl FnOnce(&Seen) -> T) -> T {
        of(&self.script.seen.lock().expect("no test panics with the record locked"))
    }

    /// Every whole request so far.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.read(|seen| seen.requests.clone())
    }

    /// The only request that came.
    pub(crate) fn only_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "one request and no other: {requests:#?}");
        requests.remove(0)
    }

    pub(crate) fn connections(&self) -> usize {
        self.read(|seen| seen.connections)
    }

    /// What went wrong on the way in: failed handshakes, requests that broke off.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.read(|seen| seen.broken.clone())
    }

    async fn until<T>(&self, what: &str, of: impl Fn(&Seen) -> Option<T>) -> T {
        soon(what, async {
            loop {
                let changed = self.script.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = self.read(&of) {
                    return found;
                }
                changed.await;
            }
        })
        .await
    }

    /// The n-th whole request (from 0), once it is there.
    pub(crate) async fn request(&self, n: usize) -> Received {
        self.until("a request at the upstream", |seen| seen.requests.get(n).cloned())
            .await
    }

    /// When the peer left an answer that was still owed (`Ending::Stall`).
    pub(crate) async fn left(&self) -> Instant {
        self.left_by(1).await
    }

    /// When the n-th peer (from 1) did.
    pub(crate) async fn left_by(&self, n: usize) -> Instant {
        self.until("the gateway to leave the upstream", |seen| {
            seen.left.get(n - 1).copied()
        })
        .await
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port of loopback that refuses connections: taken, noted, given back.
pub(crate) async fn refusing_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

async fn accept_all(listener: TcpListener, tls: Option<TlsAcceptor>, script: Arc<Script>) {
    // Dropping the set with this task ends every connection.
    let mut serving = tokio::task::JoinSet::new();
    let mut number = 0;
    while let Ok((socket, _)) = listener.accept().await {
        script.note(|seen| seen.connections += 1);
        serving.spawn(serve(socket, tls.clone(), number, Arc::clone(&script)));
        number += 1;
    }
}

async fn serve(socket: TcpStream, tls: Option<TlsAcceptor>, number: usize, script: Arc<Script>) {
    let _ = socket.set_nodelay(true);
    let http = match tls {
        None => Http1::over(socket),
        Some(acceptor) => match acceptor.accept(socket).await {
            Ok(stream) => Http1::over(stream),
            Err(error) => return script.note(|seen| seen.broken.push(format!("handshake: {error}"))),
        },
    };
    if let Err(error) = converse(http, number, &script).await {
        script.note(|seen| seen.broken.push(error.to_string()));
    }
}

async fn converse(mut http: Http1, number: usize, script: &Script) -> std::io::Result<()> {
    while let Some(head) = http.head().await? {
        let target = head.start_line.split(' ').nth(1).unwrap_or_default();
        let answer = script.next(target);
        let mut body = Vec::new();
        if !answer.early {
            if head.header("expect").is_some() {
                http.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            http.body(head.request_framing(), &mut body).await?;
        }
        let request = Received {
            connection: number,
            head,
            body,
            at: Instant::now(),
        };
        script.note(|seen| seen.requests.push(request));
        for write in answer.writes() {
            if answer.dribble {
                for byte in write {
                    http.send(&[byte]).await?;
                }
            } else {
                http.send(&write).await?;
            }
        }
        match answer.ending {
            Ending::Whole => {}
            Ending::Close | Ending::Cut => return http.end_of_sending().await,
            Ending::Reset => {
                http.reset();
                return Ok(());
            }
            Ending::Stall => {
                http.closed().await;
                script.note(|seen| seen.left.push(Instant::now()));
                return Ok(());
            }
        }
    }
    Ok(())
}
