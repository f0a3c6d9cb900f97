//! A request of the gateway's own: one GET whose short answer is read to its end.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use tokio::time::Instant;

use super::clock::before;
use super::clocks::{Beginning, Clocks};
use super::connection::Wanted;
use super::connector::JudgingConnector;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::turns::Turns;
use super::wire::Wire;
use crate::body::Segments;

/// What is asked, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    pub path_and_query: &'a str,
    pub connect: Duration,
    pub headers: Duration,
    /// Of the whole, the body included.
    pub deadline: Instant,
    /// A longer answer is none.
    pub body_bytes_max: usize,
}

/// An answer, whole, whatever its status.
#[derive(Debug)]
pub struct Found {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl JudgingConnector {
    /// Asks on a connection of its own. One of HTTP/1.1 is closed afterwards: no request ever meets what a lookup left
    /// behind.
    ///
    /// # Errors
    /// Where no whole answer came in time.
    pub async fn look_up<'h>(
        &self,
        endpoint: &Endpoint,
        lookup: Lookup<'_>,
        headers: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
    ) -> Result<Found, Failure> {
        let header = request(lookup.path_and_query, headers).map_err(|error| Failure::Invalid(error.to_string()))?;
        let connection = self
            .open(endpoint, Wanted::New, lookup.connect, lookup.deadline)
            .await?;
        let mut wire = connection
            .send(header, &Segments::from(Bytes::new()))
            .map_err(|_| Failure::Reset { reused: false })?;
        let found = read(&mut wire, lookup).await;
        wire.close();
        found
    }
}

fn request<'h>(
    path_and_query: &str,
    headers: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) -> pingora::Result<Box<RequestHeader>> {
    let mut header = RequestHeader::build("GET", path_and_query.as_bytes(), None)?;
    for (name, value) in headers {
        header.insert_header(name.clone(), value.clone())?;
    }
    Ok(Box::new(header))
}

async fn read(wire: &mut Wire, lookup: Lookup<'_>) -> Result<Found, Failure> {
    let clocks = Clocks {
        beginning: Beginning::Stream {
            headers: lookup.headers,
            first_token: lookup.headers,
        },
        idle: lookup.headers,
        deadline: lookup.deadline,
        makes_way: None,
    };
    wire.read_header(&clocks).await?;
    let header = wire
        .header()
        .ok_or_else(|| Failure::Invalid("no header".to_owned()))?
        .clone();
    let mut body = BytesMut::new();
    let mut turns = Turns::default();
    loop {
        turns
            .next()
            .await
            .map_err(|turned| Failure::Invalid(turned.to_string()))?;
        match before(lookup.deadline, wire.read_body()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > lookup.body_bytes_max => {
                let reason = format!("its body is longer than {} KiB", lookup.body_bytes_max >> 10);
                return Err(Failure::Invalid(reason));
            }
            Ok(Ok(Some(chunk))) => {
                body.extend_from_slice(&chunk);
                turns.moved_on();
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(Failure::broken_by(&error)),
            Err(_) => return Err(Failure::Deadline),
        }
    }
    Ok(Found {
        status: header.status.as_u16(),
        headers: header.headers.clone(),
        body: body.freeze(),
    })
}
