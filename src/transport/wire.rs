//! One request and its response on one connection, HTTP/1.1 or HTTP/2.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use pingora_core::protocols::http::v1::client::{HttpSession as Http1Session, http_req_header_to_wire};
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::Instant;

use super::clock::before;
use super::connections::{Connection, ConnectionKind};
use super::failure::Failure;
use super::sending::SendingStream;
use crate::body::Segments;

/// Interim responses (1xx) before the final one; they are not passed on.
const INTERIM_RESPONSES_MAX: usize = 16;

pub(super) struct Wire {
    pub(super) exchange: Exchange,
    pub(super) peer: Arc<HttpPeer>,
    reused: bool,
    /// The response has no body, whatever length its header states (RFC 9110 §9.3.2).
    is_head: bool,
    sent_at: Instant,
}

pub(super) enum Exchange {
    H1(Box<Http1Session>),
    H2(Box<Http2Session>),
}

impl Connection {
    /// Starts sending; reading the response goes on with it.
    pub(super) fn send(self, mut header: Box<RequestHeader>, body: &Segments) -> Result<Wire> {
        let is_head = header.method == Method::HEAD;
        let exchange = match self.kind {
            ConnectionKind::H1(mut stream) => {
                header.set_version(http::Version::HTTP_11);
                let on_wire = http_req_header_to_wire(&header)
                    .ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "request line"))?;
                stream.queue(on_wire, body);
                Exchange::H1(Box::new(Http1Session::new_with_options(stream, &*self.peer)))
            }
            ConnectionKind::H2(mut session) => {
                send_h2(&mut session, header, body)?;
                Exchange::H2(session)
            }
        };
        Ok(Wire {
            exchange,
            peer: self.peer,
            reused: self.reused,
            is_head,
            sent_at: Instant::now(),
        })
    }
}

/// h2 sends as the upstream's window allows; the parts are shared with the request, not copied.
fn send_h2(session: &mut Http2Session, header: Box<RequestHeader>, body: &Segments) -> Result<()> {
    session.write_request_header(header, body.is_empty())?;
    if body.is_empty() {
        return Ok(());
    }
    let mut writer = session
        .take_request_body_writer()
        .ok_or_else(|| Error::explain(ErrorType::InternalError, "no body writer"))?;
    for part in body.iter().filter(|part| !part.is_empty()) {
        writer
            .send_data(part.clone(), false)
            .or_err(ErrorType::WriteError, "queueing the body")?;
    }
    writer
        .send_data(Bytes::new(), true)
        .or_err(ErrorType::WriteError, "queueing the body's end")
}

impl Wire {
    /// The final response header, within `clock` of the last byte of the request that the upstream took, and before
    /// `deadline`.
    pub(super) async fn read_header(&mut self, clock: Duration, deadline: Instant) -> Result<(), Failure> {
        for _ in 0..INTERIM_RESPONSES_MAX {
            let is_interim = loop {
                let until = (self.taken_at() + clock).min(deadline);
                match before(until, self.next_header()).await {
                    Ok(is_interim) => break is_interim,
                    Err(_) if Instant::now() >= deadline => return Err(Failure::Deadline),
                    Err(_) if self.taken_at() + clock <= Instant::now() => return Err(Failure::HeadersClock),
                    // The upstream took more of the request meanwhile.
                    Err(_) => {}
                }
            };
            let is_interim = is_interim.map_err(|error| match error.etype() {
                ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 => {
                    Failure::Invalid(error.etype().as_str().to_owned())
                }
                _ => Failure::Reset { reused: self.reused },
            })?;
            if !is_interim {
                return Ok(());
            }
        }
        Err(Failure::Invalid(format!(
            "more than {INTERIM_RESPONSES_MAX} interim responses"
        )))
    }

    /// Whether the next header is that of an interim response. Cancel-safe on both protocols.
    async fn next_header(&mut self) -> Result<bool> {
        match &mut self.exchange {
            Exchange::H1(session) => {
                session.read_response().await?;
            }
            Exchange::H2(session) => session.read_response_header().await?,
        }
        Ok(self.header().is_some_and(|header| header.status.is_informational()))
    }

    /// The header that was read last.
    pub(super) fn header(&self) -> Option<&ResponseHeader> {
        match &self.exchange {
            Exchange::H1(session) => session.resp_header(),
            Exchange::H2(session) => session.response_header(),
        }
    }

    /// How long ago the upstream took the request's last byte.
    pub(super) fn since_taken(&self) -> Duration {
        self.taken_at().elapsed()
    }

    /// When the upstream last took bytes of the request.
    fn taken_at(&self) -> Instant {
        match &self.exchange {
            Exchange::H1(session) => (**session.stream())
                .as_any()
                .downcast_ref::<SendingStream>()
                .map_or(self.sent_at, SendingStream::taken_at),
            Exchange::H2(_) => self.sent_at,
        }
    }

    /// The next bytes of the body; `None` at its end.
    pub(super) async fn read_body(&mut self) -> Result<Option<Bytes>> {
        match &mut self.exchange {
            _ if self.is_head => Ok(None),
            Exchange::H1(session) => session.read_body_bytes().await,
            Exchange::H2(session) => session.read_response_body().await,
        }
    }

    /// Whether the body was read to its proper end.
    ///
    /// # Errors
    /// Where an HTTP/2 stream was ended by a reset.
    pub(super) fn is_ended(&mut self) -> Result<bool> {
        match &mut self.exchange {
            // Pingora's session doesn't know; its connection is closed afterwards, as one whose body was never read.
            Exchange::H1(_) if self.is_head => Ok(true),
            Exchange::H1(session) => Ok(session.is_body_done()),
            Exchange::H2(session) => session.check_response_end_or_error(),
        }
    }

    pub(super) async fn close(&mut self) {
        match &mut self.exchange {
            Exchange::H1(session) => session.shutdown().await,
            Exchange::H2(session) => session.shutdown(),
        }
    }
}
