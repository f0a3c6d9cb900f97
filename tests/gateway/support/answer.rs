//! What a scripted upstream says to one request.

/// How the answer's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    Length,
    Chunked,
    /// HTTP/1.0: the close is the end.
    Close,
    Nothing,
}

/// What follows the last byte of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The body's proper end; the connection waits for the next request.
    Whole,
    /// The body's proper end, then the connection's.
    Close,
    /// An orderly close without the body's end.
    Cut,
    /// A reset without the body's end. The kernel drops what the peer's window had no room for yet.
    Reset,
    /// Nothing more, until the peer closes.
    Stall,
}

/// One answer: built like a sentence, `Answer::json(429, body).header("retry-after", "1")`.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    interim: Vec<u8>,
    status: u16,
    headers: Vec<(String, String)>,
    parts: Vec<Vec<u8>>,
    delimiter: Delimiter,
    pub(crate) ending: Ending,
    /// Answer as soon as the request's head is there, its body unread.
    pub(crate) early: bool,
    /// One byte a write.
    pub(crate) dribble: bool,
}

impl Answer {
    fn new(status: u16, delimiter: Delimiter, ending: Ending) -> Self {
        Self {
            interim: Vec::new(),
            status,
            headers: Vec::new(),
            parts: Vec::new(),
            delimiter,
            ending,
            early: false,
            dribble: false,
        }
    }

    /// A status and a body of a known length.
    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::new(status, Delimiter::Length, Ending::Whole);
        answer.parts.push(body.into());
        answer
    }

    /// A JSON body of a known length.
    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::status(status, body).header("content-type", "application/json")
    }

    /// A 200 event stream, chunked, a chunk for each part.
    pub(crate) fn sse<P: Into<Vec<u8>>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut answer = Self::new(200, Delimiter::Chunked, Ending::Whole).header("content-type", "text/event-stream");
        answer.parts = parts.into_iter().map(Into::into).collect();
        answer
    }

    /// Bytes that need not be HTTP, then a close.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::new(0, Delimiter::Nothing, Ending::Cut);
        answer.parts.push(bytes.into());
        answer
    }

    /// Not a byte, then an orderly close.
    pub(crate) fn close() -> Self {
        Self::new(0, Delimiter::Nothing, Ending::Cut)
    }

    /// Not a byte, then a reset.
    pub(crate) fn reset() -> Self {
        Self::new(0, Delimiter::Nothing, Ending::Reset)
    }

    /// Not a byte, until the peer leaves.
    pub(crate) fn hang() -> Self {
        Self::new(0, Delimiter::Nothing, Ending::Stall)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A 1xx before the answer.
    pub(crate) fn informational(mut self, status: u16, header: &str) -> Self {
        self.interim
            .extend_from_slice(format!("HTTP/1.1 {status} Interim\r\n{header}\r\n\r\n").as_bytes());
        self
    }

    /// The body in chunks.
    pub(crate) fn chunked(mut self) -> Self {
        self.delimiter = Delimiter::Chunked;
        self
    }

    /// The body as HTTP/1.0 has it: the close ends it.
    pub(crate) fn until_close(mut self) -> Self {
        self.delimiter = Delimiter::Close;
        self.ending = Ending::Close;
        self
    }

    pub(crate) fn early(mut self) -> Self {
        self.early = true;
        self
    }

    pub(crate) fn dribbled(mut self) -> Self {
        self.dribble = true;
        self
    }

    /// How it ends. But for `Whole` and `Close`, a `content-length` promises more than comes.
    pub(crate) fn then(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    fn whole(&self) -> bool {
        matches!(self.ending, Ending::Whole | Ending::Close)
    }

    /// The header without what HTTP/1.1 frames it with; `None` where the peer goes without a word.
    pub(crate) fn h2_header(&self) -> Option<http::Response<()>> {
        let header = http::Response::builder().status(self.status);
        let headers = self.headers.iter();
        let header = headers.fold(header, |header, (name, value)| header.header(name, value));
        (self.status > 0).then(|| header.body(()).expect("a valid header"))
    }

    pub(crate) fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }

    /// The writes that make up the answer, in order.
    pub(crate) fn writes(&self) -> Vec<Vec<u8>> {
        let mut writes = vec![self.interim.clone()];
        if self.status > 0 {
            writes.push(self.head());
        }
        for part in &self.parts {
            writes.push(match self.delimiter {
                Delimiter::Chunked => chunk(part),
                _ => part.clone(),
            });
        }
        if self.delimiter == Delimiter::Chunked && self.whole() {
            writes.push(b"0\r\n\r\n".to_vec());
        }
        writes.retain(|write| !write.is_empty());
        writes
    }

    fn head(&self) -> Vec<u8> {
        let version = if self.delimiter == Delimiter::Close {
            "1.0"
        } else {
            "1.1"
        };
        let mut head = format!("HTTP/{version} {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.delimiter {
            Delimiter::Length => {
                let promised: usize =
                    self.parts.iter().map(Vec::len).sum::<usize>() + if self.whole() { 0 } else { 1000 };
                head.push_str(&format!("content-length: {promised}\r\n"));
            }
            Delimiter::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Delimiter::Close | Delimiter::Nothing => {}
        }
        if self.ending == Ending::Close && self.delimiter != Delimiter::Close {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// `bytes` as one chunk.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed
}
