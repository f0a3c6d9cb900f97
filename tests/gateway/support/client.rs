//! An HTTP/1.1 client that sends what it is told to, byte for byte, and sees how an answer ends.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::gateway::Address;
use super::http1::{Framing, Head, Http1};
use super::soon;

/// How a response's body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// As its framing says: a last chunk, or all of its `content-length`.
    Clean,
    /// Closed or reset before that.
    Aborted(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) head: Head,
    /// 1xx responses that came before.
    pub(crate) interim: Vec<Head>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The gateway's id of the request: on every response, once, a UUIDv7 (RFC 9562, section 5.7).
    pub(crate) fn id(&self) -> String {
        let ids = self.head.all("x-gateway-request-id");
        assert_eq!(ids.len(), 1, "one x-gateway-request-id in {:#?}", self.head);
        let id = uuid::Uuid::parse_str(ids[0]).expect("the id is a UUID");
        assert_eq!(id.get_version_num(), 7, "{id} is a UUIDv7");
        ids[0].to_owned()
    }

    /// `x-gateway-attempts`, in short.
    pub(crate) fn ledger(&self) -> Vec<Attempt> {
        ledger(
            self.header("x-gateway-attempts")
                .unwrap_or_else(|| panic!("no ledger in {:#?}", self.head)),
        )
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?} {:?}", self.head, self.text()))
    }
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) target: String,
    pub(crate) status: Option<i64>,
    pub(crate) class: Option<String>,
    pub(crate) ms: i64,
}

/// A ledger, parsed as the RFC 9651 list that it is.
pub(crate) fn ledger(field: &str) -> Vec<Attempt> {
    let list: sfv::List = sfv::Parser::new(field)
        .parse()
        .unwrap_or_else(|e| panic!("{e} in {field:?}"));
    list.iter()
        .map(|entry| {
            let sfv::ListEntry::Item(item) = entry else {
                panic!("an inner list in {field:?}")
            };
            let integer = |key| {
                item.params
                    .get(key)
                    .map(|value| value.as_integer().expect("an integer").into())
            };
            let class = item
                .params
                .get("class")
                .map(|value| value.as_token().expect("a token").as_str().to_owned());
            Attempt {
                target: item.bare_item.as_string().expect("a string").as_str().to_owned(),
                status: integer("status"),
                class,
                ms: integer("ms").expect("every attempt has its time"),
            }
        })
        .collect()
}

/// A `POST` of a JSON body, with its `content-length`.
pub(crate) fn post(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    post_with(path, "", body)
}

/// The same with more header lines, each ended by `\r\n`.
pub(crate) fn post_with(path: &str, lines: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n{lines}content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// One connection to the gateway.
pub(crate) struct Client {
    pub(crate) http: Http1,
}

impl Client {
    pub(crate) async fn try_connect(address: &Address) -> io::Result<Self> {
        let http = match address {
            Address::Tcp(address) => {
                let socket = TcpStream::connect(address).await?;
                socket.set_nodelay(true)?;
                Http1::over(socket)
            }
            Address::Unix(path) => Http1::over(UnixStream::connect(path).await?),
        };
        Ok(Self { http })
    }

    pub(crate) async fn connect(address: &Address) -> Self {
        soon("a connection", Self::try_connect(address))
            .await
            .expect("somebody listens")
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("the peer to read", self.http.send(bytes.as_ref()))
            .await
            .expect("the peer is still there");
    }

    /// The next head, 1xx or final.
    pub(crate) async fn head(&mut self) -> Head {
        soon("a response's head", self.http.head())
            .await
            .expect("a whole head")
            .expect("a response before the close")
    }

    /// The next final response, read to its end, clean or not.
    pub(crate) async fn response(&mut self) -> Response {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head().await;
            if head.status() >= 200 || head.status() == 101 {
                break head;
            }
            interim.push(head);
        };
        self.rest(head, interim).await
    }

    /// The body that belongs to `head`.
    pub(crate) async fn rest(&mut self, head: Head, interim: Vec<Head>) -> Response {
        let mut body = Vec::new();
        let read = soon("a response's body", self.http.body(head.response_framing(), &mut body)).await;
        let end = match read {
            Ok(()) => End::Clean,
            Err(error) => End::Aborted(error.to_string()),
        };
        Response {
            head,
            interim,
            body,
            end,
        }
    }

    /// Body bytes of a chunked response until they contain `text`.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(text) {
            let chunk = soon(&format!("{text:?} in the body"), self.http.chunk()).await;
            let chunk =
                chunk.unwrap_or_else(|e| panic!("{e} before {text:?}, after {}", String::from_utf8_lossy(&bytes)));
            bytes.extend(chunk.unwrap_or_else(|| panic!("the end before {text:?}")));
        }
        bytes
    }

    /// What is left of a chunked response, and how it ended.
    pub(crate) async fn rest_of_stream(&mut self) -> (String, End) {
        let mut body = Vec::new();
        let read = soon("the stream's end", self.http.body(Framing::Chunked, &mut body)).await;
        let end = read.map_or_else(|e| End::Aborted(e.to_string()), |()| End::Clean);
        (String::from_utf8_lossy(&body).into_owned(), end)
    }

    /// Waits until the gateway closes this connection.
    pub(crate) async fn closed(&mut self) {
        soon("the gateway to close the connection", self.http.closed()).await;
    }

    /// Leaves: an orderly close of both directions.
    pub(crate) fn leave(self) {
        drop(self);
    }
}
