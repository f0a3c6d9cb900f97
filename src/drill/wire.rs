//! HTTP/1.1 as a stand-in speaks it. Written by hand, because the faults are made here: an answer that ends
//! short of its length, a chunked body without an end, a client watched for its leaving.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::protocol::percent;

const HEAD_MAX_BYTES: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;
const CHUNK_LINE_MAX_BYTES: usize = 4 * 1024;
/// How much a client may send ahead while its answer is still being sent.
const AHEAD_MAX_BYTES: usize = 64 * 1024;
/// Longest silence within a request.
const READ_MAX: Duration = Duration::from_secs(60);
/// Longest life of an idle connection: longer than any client's pool keeps one, so that the client decides.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// A request, whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without `?`; empty where there is none.
    pub query: String,
    headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The client wants no other request on this connection.
    pub last: bool,
}

impl Request {
    /// The first header of that name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// Why no request arrived.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The client closed, reset or fell silent.
    Gone,
    /// The client's fault: this status and text, then the connection closes.
    Refused(u16, &'static str),
}

impl From<io::Error> for WireError {
    fn from(_: io::Error) -> Self {
        WireError::Gone
    }
}

/// One client's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    body_max_bytes: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, body_max_bytes: usize) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            body_max_bytes,
        }
    }

    /// The next request, its body read to the end.
    pub(crate) async fn request(&mut self) -> Result<Request, WireError> {
        let mut request = loop {
            if let Some(request) = self.head()? {
                break request;
            }
            let wait = if self.buffer.is_empty() { IDLE_MAX } else { READ_MAX };
            self.read_more(wait).await?;
        };
        let chunked = request
            .header("transfer-encoding")
            .map(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
        let length = request.header("content-length").map(str::parse::<usize>);
        let bytes = match (chunked, length) {
            (None, None) => return Ok(request),
            (None, Some(Ok(bytes))) => Some(bytes),
            (Some(true), None) => None,
            (Some(false), _) => return Err(WireError::Refused(501, "transfer-encoding must be chunked")),
            (Some(true), Some(_)) => return Err(WireError::Refused(400, "both transfer-encoding and content-length")),
            (None, Some(Err(_))) => return Err(WireError::Refused(400, "content-length is no number")),
        };
        if bytes.is_some_and(|bytes| bytes > self.body_max_bytes) {
            return Err(WireError::Refused(413, "the request body is too large"));
        }
        if self.buffer.is_empty()
            && request
                .header("expect")
                .is_some_and(|it| it.eq_ignore_ascii_case("100-continue"))
        {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        request.body = match bytes {
            Some(bytes) => {
                self.fill(bytes).await?;
                self.buffer.split_to(bytes).freeze()
            }
            None => self.chunked_body().await?,
        };
        Ok(request)
    }

    fn head(&mut self) -> Result<Option<Request>, WireError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(&self.buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.buffer.len() < HEAD_MAX_BYTES => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(WireError::Refused(431, "the request header is too large"));
            }
            Err(_) => return Err(WireError::Refused(400, "this is no HTTP/1.1 request")),
        };
        if parsed.version != Some(1) {
            return Err(WireError::Refused(505, "only HTTP/1.1 is spoken here"));
        }
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|header| {
                (
                    header.name.to_ascii_lowercase(),
                    String::from_utf8_lossy(header.value).into_owned(),
                )
            })
            .collect();
        let target = parsed.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            last: find(&headers, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close")),
            headers,
            body: Bytes::new(),
        };
        self.buffer.advance(length);
        Ok(Some(request))
    }

    async fn chunked_body(&mut self) -> Result<Bytes, WireError> {
        let mut body = BytesMut::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) if self.buffer.len() < CHUNK_LINE_MAX_BYTES => {
                        self.read_more(READ_MAX).await?;
                    }
                    _ => return Err(WireError::Refused(400, "the chunked body is malformed")),
                }
            };
            self.buffer.advance(line);
            if size == 0 {
                return self.trailers().await.map(|()| body.freeze());
            }
            let size = usize::try_from(size)
                .ok()
                .filter(|size| *size <= self.body_max_bytes - body.len())
                .ok_or(WireError::Refused(413, "the request body is too large"))?;
            self.fill(size + 2).await?;
            body.extend_from_slice(&self.buffer[..size]);
            if &self.buffer[size..size + 2] != b"\r\n" {
                return Err(WireError::Refused(400, "the chunked body is malformed"));
            }
            self.buffer.advance(size + 2);
        }
    }

    async fn trailers(&mut self) -> Result<(), WireError> {
        loop {
            if self.buffer.starts_with(b"\r\n") {
                self.buffer.advance(2);
                return Ok(());
            }
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                self.buffer.advance(end + 4);
                return Ok(());
            }
            if self.buffer.len() >= HEAD_MAX_BYTES {
                return Err(WireError::Refused(431, "the trailers are too large"));
            }
            self.read_more(READ_MAX).await?;
        }
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), WireError> {
        while self.buffer.len() < bytes {
            self.read_more(READ_MAX).await?;
        }
        Ok(())
    }

    async fn read_more(&mut self, wait: Duration) -> Result<(), WireError> {
        match tokio::time::timeout(wait, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(read)) if read > 0 => Ok(()),
            _ => Err(WireError::Gone),
        }
    }

    /// Returns when the client has left; what it sends ahead is kept for the next request.
    pub(crate) async fn left(&mut self) {
        while self.buffer.len() < AHEAD_MAX_BYTES {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Reads and discards input for at most `wait`.
    pub(crate) async fn drain(&mut self, wait: Duration) {
        let forget = async {
            while self.read_more(wait).await.is_ok() {
                self.buffer.clear();
            }
        };
        // The time being over is as good an end as the client's leaving.
        let _ = tokio::time::timeout(wait, forget).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::time::timeout(READ_MAX, self.stream.write_all(bytes))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// The header of a response, ready to be sent. `length_bytes: None` announces a chunked body.
pub(crate) fn head(status: u16, headers: &[(&str, String)], length_bytes: Option<usize>) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason())
        .unwrap_or("Failure");
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for (name, value) in headers {
        // A header's value holds no line break, whatever the text was made of (RFC 9110 §5.5).
        head.extend([*name, ": "]);
        head.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
        head.push_str("\r\n");
    }
    head.push_str(&match length_bytes {
        Some(bytes) => format!("content-length: {bytes}\r\n\r\n"),
        None => "transfer-encoding: chunked\r\n\r\n".to_owned(),
    });
    head.into_bytes()
}

/// One chunk of a chunked body (RFC 9112 §7.1).
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The value of `name` in a query string, percent-decoded; `None` where it is missing or not UTF-8.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| {
            let value = value.replace('+', " ");
            let bytes = percent::decoded(&value).ok()?.into_owned();
            String::from_utf8(bytes).ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded() {
        assert_eq!(
            query_value("fault=429&model=openai%2Fgpt-4o", "model").as_deref(),
            Some("openai/gpt-4o")
        );
        assert_eq!(query_value("fault=429", "model"), None);
        assert_eq!(query_value("model=%f", "model"), None);
        assert_eq!(query_value("model=%ff", "model"), None);
    }

    #[test]
    fn a_header_value_cannot_split_the_header() {
        let head = head(200, &[("x-model", "a\r\nset-cookie: b".to_owned())], Some(0));
        assert_eq!(
            head,
            b"HTTP/1.1 200 OK\r\nx-model: a  set-cookie: b\r\ncontent-length: 0\r\n\r\n"
        );
    }
}
