//! As much of HTTP/1.1 (RFC 9112) as the two ends speak.

use std::io::{Error, ErrorKind, Result};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// One side of a keep-alive connection. What has been read and not been asked for yet stays in `buffer`.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

/// A message without its body.
pub(crate) struct Head {
    /// The response's status; 0 for a request.
    pub(crate) status: u16,
    framing: Framing,
}

enum Framing {
    Length(usize),
    Chunked,
}

pub(crate) fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

impl Connection {
    pub(crate) fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            buffer: Vec::new(),
            start: 0,
        })
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads what is there; `false` at the end.
    async fn fill(&mut self) -> Result<bool> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.reserve(READ_BYTES);
        Ok(self.socket.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next message's head, or `None` when the peer closed before its first byte.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>> {
        loop {
            if let Some(length) = self.unread().windows(4).position(|four| four == b"\r\n\r\n") {
                let head = parse_head(&self.unread()[..length])?;
                self.start += length + 4;
                return Ok(Some(head));
            }
            if self.unread().len() > HEAD_BYTES_MAX {
                return Err(broken("a head without an end"));
            }
            if !self.fill().await? {
                return if self.unread().is_empty() {
                    Ok(None)
                } else {
                    Err(broken("closed inside a head"))
                };
            }
        }
    }

    /// The whole body that belongs to `head`, into `body`.
    pub(crate) async fn body(&mut self, head: &Head, body: &mut Vec<u8>) -> Result<()> {
        body.clear();
        match head.framing {
            Framing::Length(length) => self.take(length, body).await,
            Framing::Chunked => loop {
                let length = self.chunk_length().await?;
                self.take(length, body).await?;
                if self.line().await? != 0 {
                    return Err(broken("a chunk longer than it says, or a trailer"));
                }
                if length == 0 {
                    return Ok(());
                }
            },
        }
    }

    /// Reads a chunked body as far as `first`, which must be how it begins.
    pub(crate) async fn begin(&mut self, head: &Head, first: &[u8]) -> Result<()> {
        if !matches!(head.framing, Framing::Chunked) {
            return Err(broken("a stream that is not chunked"));
        }
        let mut body = Vec::new();
        while body.len() < first.len() {
            let length = self.chunk_length().await?;
            self.take(length, &mut body).await?;
            if self.line().await? != 0 || length == 0 {
                return Err(broken("a stream that ended"));
            }
        }
        if body == first {
            Ok(())
        } else {
            Err(broken("a stream that begins with something else"))
        }
    }

    async fn take(&mut self, mut length: usize, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let now = length.min(self.unread().len());
            body.extend_from_slice(&self.unread()[..now]);
            self.start += now;
            length -= now;
            if length == 0 {
                return Ok(());
            }
            if !self.fill().await? {
                return Err(broken("closed inside a body"));
            }
        }
    }

    async fn chunk_length(&mut self) -> Result<usize> {
        let length = self.line().await?;
        let line = &self.buffer[self.start - length - 2..self.start - 2];
        let digits = std::str::from_utf8(line).map_err(|_| broken("a chunk's length"))?;
        usize::from_str_radix(digits.trim(), 16).map_err(|_| broken("a chunk's length"))
    }

    /// Consumes a line; its length without the line break, before which it still stands in the buffer.
    async fn line(&mut self) -> Result<usize> {
        loop {
            if let Some(length) = self.unread().windows(2).position(|two| two == b"\r\n") {
                self.start += length + 2;
                return Ok(length);
            }
            if !self.fill().await? {
                return Err(broken("closed inside a chunked body"));
            }
        }
    }
}

fn parse_head(head: &[u8]) -> Result<Head> {
    let head = std::str::from_utf8(head).map_err(|_| broken("a head that is not UTF-8"))?;
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = match first.strip_prefix("HTTP/1.1 ") {
        Some(rest) => rest
            .get(..3)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| broken("a status line"))?,
        None => 0,
    };
    let mut framing = Framing::Length(0);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse().map_err(|_| broken("a content-length"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            framing = Framing::Chunked;
        }
    }
    Ok(Head { status, framing })
}
