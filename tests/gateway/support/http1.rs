//! HTTP/1.1 framing by hand, so that every byte can be seen and every rule broken.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::wire::Wire;

/// A message's start line and header fields, in the order and case in which they came.
#[derive(Clone, Default)]
pub(crate) struct Head {
    /// The bytes up to and with the empty line.
    pub(crate) raw: Vec<u8>,
    pub(crate) start_line: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw))
    }
}

impl Head {
    fn parse(raw: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n");
        let start_line = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self {
            raw,
            start_line,
            fields,
        }
    }

    /// The first value of a field, its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every value of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// How the message's body is delimited.
    fn framing(&self) -> Option<Framing> {
        if self
            .header("transfer-encoding")
            .is_some_and(|v| v.to_ascii_lowercase().contains("chunked"))
        {
            return Some(Framing::Chunked);
        }
        self.header("content-length")
            .and_then(|v| v.parse().ok())
            .map(Framing::Length)
    }

    /// A request without `content-length` or chunks has no body.
    pub(crate) fn request_framing(&self) -> Framing {
        self.framing().unwrap_or(Framing::Length(0))
    }

    /// A response's framing: 204 and 304 have no body; without any delimiter it lasts until the close.
    pub(crate) fn response_framing(&self) -> Framing {
        match self.status() {
            204 | 304 => Framing::Length(0),
            _ => self.framing().unwrap_or(Framing::UntilClose),
        }
    }

    /// A response's status; 0 where the start line is none.
    pub(crate) fn status(&self) -> u16 {
        self.start_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// One HTTP/1.1 connection, seen from either end.
pub(crate) struct Http1 {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
}

impl Http1 {
    pub(crate) fn over(wire: impl Wire + 'static) -> Self {
        Self {
            wire: Box::new(wire),
            buffer: Vec::new(),
        }
    }

    /// More bytes into the buffer; `false` at the peer's end.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut piece = [0u8; 16 * 1024];
        let read = self.wire.read(&mut piece).await?;
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read > 0)
    }

    async fn fill_or_cut(&mut self, what: &str) -> io::Result<()> {
        if self.fill().await? {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("closed within {what}"),
        ))
    }

    /// The next head; `None` if the peer closed before its first byte.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Ok(Some(Head::parse(self.take(end + 4))));
            }
            if self.buffer.is_empty() {
                if !self.fill().await? {
                    return Ok(None);
                }
            } else {
                self.fill_or_cut("a head").await?;
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Exactly so many bytes.
    pub(crate) async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill_or_cut("a body").await?;
        }
        Ok(self.take(count))
    }

    /// Whatever has come, at least one byte; empty at the peer's end.
    pub(crate) async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.take(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill_or_cut("a chunk's head").await?;
        }
    }

    /// The next chunk's bytes; `None` after the last chunk (trailers are read and dropped).
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line().await?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("not a chunk size: {line:?}")))?;
        if size == 0 {
            while !self.line().await?.is_empty() {}
            return Ok(None);
        }
        let bytes = self.exactly(size).await?;
        match self.exactly(2).await?.as_slice() {
            b"\r\n" => Ok(Some(bytes)),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a chunk ends with {other:?}"),
            )),
        }
    }

    /// A whole body, appended to `into` as it comes, so that what came before a failure is kept.
    pub(crate) async fn body(&mut self, framing: Framing, into: &mut Vec<u8>) -> io::Result<()> {
        match framing {
            Framing::Length(mut left) => {
                while left > 0 {
                    if self.buffer.is_empty() {
                        self.fill_or_cut("a body").await?;
                    }
                    let piece = self.take(left.min(self.buffer.len()));
                    left -= piece.len();
                    into.extend_from_slice(&piece);
                }
            }
            Framing::Chunked => {
                while let Some(bytes) = self.chunk().await? {
                    into.extend_from_slice(&bytes);
                }
            }
            Framing::UntilClose => loop {
                let piece = self.some().await?;
                if piece.is_empty() {
                    break;
                }
                into.extend_from_slice(&piece);
            },
        }
        Ok(())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await
    }

    /// One write of at most these bytes: how many were taken.
    pub(crate) async fn send_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wire.write(bytes).await
    }

    /// Ends this side's half of the connection; the peer can still be read.
    pub(crate) async fn end_of_sending(&mut self) -> io::Result<()> {
        self.wire.shutdown().await
    }

    /// Waits until the peer closes or resets; what it still sends is dropped.
    pub(crate) async fn closed(&mut self) {
        while let Ok(true) = self.fill().await {
            self.buffer.clear();
        }
    }

    /// Closes with a reset instead of an orderly end.
    pub(crate) fn reset(self) {
        self.wire.reset_on_close();
    }
}

/// Where `needle` begins in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
