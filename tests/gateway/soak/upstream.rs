//! Upstreams that fail by lot, and count who asks them how often.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::fault::{Fate, Fault};
use super::prompt::Prompt;
use crate::support::h2_client::body_and_end;
use crate::support::http1::Http1;
use crate::support::pki::Pki;
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

    /// Forgets the requests so far; what runs and what is open stays.
    pub(super) fn clear(&self) {
        let mut seen = self.lock();
        seen.attempts.clear();
        seen.faults.clear();
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

/// How an upstream is spoken to.
#[derive(Clone)]
enum Protocol {
    Plain,
    /// HTTP/1.1 over TLS.
    Tls(TlsAcceptor),
    /// HTTP/2 over TLS.
    Http2(TlsAcceptor),
}

impl Protocol {
    /// The second upstream has TLS, the third HTTP/2.
    fn of(number: usize, pki: &Pki) -> Self {
        match number {
            1 => Self::Tls(pki.acceptor(&["http/1.1"])),
            2 => Self::Http2(pki.acceptor(&["h2"])),
            _ => Self::Plain,
        }
    }
}

/// Listens until it is dropped.
pub(super) struct Unreliable {
    pub(super) url: String,
    task: JoinHandle<()>,
}

impl Unreliable {
    pub(super) async fn start(number: usize, record: &Record, pki: &Pki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let protocol = Protocol::of(number, pki);
        let scheme = match protocol {
            Protocol::Plain => "http",
            Protocol::Tls(_) | Protocol::Http2(_) => "https",
        };
        Self {
            url: format!("{scheme}://{address}"),
            task: tokio::spawn(accept_all(listener, protocol, number, record.clone())),
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

async fn accept_all(listener: TcpListener, protocol: Protocol, upstream: usize, record: Record) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (socket, _) = accepted.expect("accept works");
                serving.spawn(serve(socket, protocol.clone(), upstream, record.clone()));
            }
            // A connection that breaks off is the gateway's own business; a panic is this test's.
            Some(served) = serving.join_next() => drop(served.expect("no upstream panics")),
        }
    }
}

async fn serve(socket: TcpStream, protocol: Protocol, upstream: usize, record: Record) -> io::Result<()> {
    let _open = Counted::new(&record, |seen| &mut seen.open);
    socket.set_nodelay(true)?;
    match protocol {
        Protocol::Plain => serve_http1(Http1::over(socket), upstream, record).await,
        Protocol::Tls(tls) => serve_http1(Http1::over(tls.accept(socket).await?), upstream, record).await,
        Protocol::Http2(tls) => serve_http2(tls.accept(socket).await?, upstream, record).await,
    }
}

async fn serve_http1(mut http: Http1, upstream: usize, record: Record) -> io::Result<()> {
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

async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin, upstream: usize, record: Record) -> io::Result<()> {
    let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => drop(answering.spawn(answer_http2(request, respond, upstream, record.clone()))),
                Some(Err(_)) | None => return Ok(()),
            },
            Some(answered) = answering.join_next() => drop(answered.expect("no upstream panics")),
        }
    }
}

/// A stream that breaks off is the gateway's own business.
async fn answer_http2(
    mut request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    upstream: usize,
    record: Record,
) -> Result<(), h2::Error> {
    let (body, reset) = body_and_end(request.body_mut()).await;
    if reset.is_some() {
        return Ok(());
    }
    let _running = Counted::new(&record, |seen| &mut seen.running);
    let id = request.headers().get("x-gateway-request-id");
    let id = id.and_then(|id| id.to_str().ok()).expect("every request has its id");
    let fate = record.fate(id, upstream, &Prompt::read(&body));
    sleep(Duration::from_millis(fate.latency_ms)).await;
    let Some(header) = fate.answer.h2_header() else {
        match fate.answer.ending {
            Ending::Stall => drop(poll_fn(|context| respond.poll_reset(context)).await),
            _ => respond.send_reset(Reason::INTERNAL_ERROR),
        }
        return Ok(());
    };
    let mut stream = respond.send_response(header, false)?;
    for part in fate.answer.parts() {
        stream.send_data(Bytes::copy_from_slice(part), false)?;
        sleep(Duration::from_millis(fate.pause_ms)).await;
    }
    match fate.answer.ending {
        Ending::Whole | Ending::Close => stream.send_data(Bytes::new(), true)?,
        Ending::Cut | Ending::Reset => stream.send_reset(Reason::INTERNAL_ERROR),
        Ending::Stall => drop(poll_fn(|context| stream.poll_reset(context)).await),
    }
    Ok(())
}
