//! Headers of a request on its way to an upstream, and of an answer on its way back.

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{ErrorType, OrErr, Result};

use super::asked::{Asked, RequestId};
use super::browser;
use crate::body::Outgoing;
use crate::protocol::Protocol;
use crate::routing::{Ledger, Step};
use crate::transport::{RelayedBody, Screening};
use crate::upstream::Upstream;
use crate::upstream::inbound::Screened;
use crate::upstream::outbound::{REQUEST_ID, UNCOMPRESSED};

static UPSTREAM: HeaderName = HeaderName::from_static("x-gateway-upstream");
static MODEL: HeaderName = HeaderName::from_static("x-gateway-model");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-gateway-attempts");
static ERROR_ORIGIN: HeaderName = HeaderName::from_static("x-gateway-error-origin");
/// The names by which SDKs look for the id of a request.
static OPENAI_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Several SDKs sleep through a longer `retry-after`, however long.
const RETRY_AFTER_PATIENCE_S: f64 = 60.0;

/// Connection-level headers besides those that `connection` names (RFC 9110 §7.6.1).
static HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    // For the gateway itself (RFC 9110 §11.7.1).
    PROXY_AUTHORIZATION,
];

/// Who an error answer comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Upstream,
    Gateway,
}

/// Who served: `upstream` and the model's name there.
pub(super) struct Served<'a> {
    pub upstream: &'a Upstream,
    pub model: Option<&'a str>,
}

/// How the body of a request goes to an upstream.
pub(super) enum Sending<'a> {
    /// Whole, and so with its length.
    Whole { body: &'a Outgoing, stream: bool },
    /// As it comes. Whatever frames one without a length is the transport's to add.
    Relayed(RelayedBody),
}

/// Turns the client's header into the one that the target of `step` is sent: its upstream's address, credential and own
/// headers, and of the client's what is meant for it.
pub(super) fn to_upstream(
    header: &mut RequestHeader,
    step: &Step,
    id: &RequestId,
    sending: &Sending<'_>,
) -> Result<()> {
    let (upstream, protocol) = (&*step.target.upstream, step.protocol);
    let target = upstream.path_and_query(protocol, header.uri.path(), header.uri.query());
    let uri = Uri::try_from(target).or_err(ErrorType::InvalidHTTPHeader, "path at the upstream")?;
    header.set_uri(uri);
    let switch = header.headers.get(UPGRADE).cloned();
    // Before the upstream's own headers come: `connection` can't take those away.
    remove_foreign(header, upstream, sending);
    let offered = header.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    if let Some(offered) = upstream.offered_subprotocols(offered) {
        header.remove_header(&SEC_WEBSOCKET_PROTOCOL);
        if !offered.is_empty() {
            header.insert_header(SEC_WEBSOCKET_PROTOCOL, offered)?;
        }
    }
    header.insert_header(REQUEST_ID.clone(), id.header())?;
    for (name, value) in upstream.own_headers(protocol) {
        header.insert_header(name.clone(), value.clone())?;
    }
    match (sending, switch) {
        (Sending::Whole { body, stream }, _) => {
            // A request that has no body, and is of a kind that needs none, says nothing of it (RFC 9110 §8.6).
            let expects_body = matches!(header.method, Method::POST | Method::PUT | Method::PATCH);
            if expects_body || !body.segments.is_empty() {
                header.insert_header(CONTENT_LENGTH, body.segments.len())?;
            }
            if *stream {
                let (name, value) = &UNCOMPRESSED;
                header.insert_header(name.clone(), value.clone())?;
            }
        }
        (Sending::Relayed(RelayedBody::Upgrade), Some(protocol)) => {
            header.insert_header(CONNECTION, HeaderValue::from_static("upgrade"))?;
            header.insert_header(UPGRADE, protocol)?;
        }
        (Sending::Relayed(_), _) => {}
    }
    Ok(())
}

/// Removes what is not meant for `upstream`, and what belongs to the client's connection.
fn remove_foreign(header: &mut RequestHeader, upstream: &Upstream, sending: &Sending<'_>) {
    let named = named_by_connection(&header.headers);
    let is_decoded = matches!(sending, Sending::Whole { body, .. } if body.is_decoded);
    let is_framing = |name: &HeaderName| *name == EXPECT || (*name == CONTENT_ENCODING && is_decoded);
    let is_foreign = |name: &&HeaderName| upstream.withholds(name) || is_framing(name) || is_hop_by_hop(&named, name);
    let foreign: Vec<HeaderName> = header.headers.keys().filter(is_foreign).cloned().collect();
    for name in &foreign {
        header.remove_header(name);
    }
}

/// Returns whether the request asks to switch to another protocol, as only HTTP/1.1 can.
pub(super) fn asks_to_switch(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && request.headers.contains_key(UPGRADE)
        && named_by_connection(&request.headers).contains(&UPGRADE)
}

/// The names that `connection` declares to belong to the connection.
pub(super) fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
        .collect()
}

/// Belongs to one connection: by its own nature, or because `connection` names it.
fn is_hop_by_hop(named: &[HeaderName], name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
        // What frames or addresses the message is not for `connection` to take away.
        || (*name != HOST && *name != CONTENT_LENGTH && named.contains(name))
}

/// An answer that was held: its length is known, unless it was cut.
pub(super) fn frame_kept(header: &mut ResponseHeader, body_bytes: Option<usize>) -> Result<()> {
    match body_bytes {
        Some(body_bytes) => header.insert_header(CONTENT_LENGTH, body_bytes),
        None => {
            header.remove_header(&CONTENT_LENGTH);
            header.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
        }
    }
}

/// Makes an upstream's answer the client's: connection-level headers go, ours come.
pub(super) fn to_client(
    header: &mut ResponseHeader,
    asked: &Asked,
    ledger: &Ledger,
    served: &Served<'_>,
) -> Result<()> {
    screen(header, served.upstream)?;
    browser::remove_upstreams(header);
    if header.status == 101 {
        // A switch of protocols lives on its connection-level headers.
        return add_gateway_headers(header, asked, ledger, Some(served), None);
    }
    remove_hop_by_hop(header);
    // The upstream's version is its own connection's; HTTP/2 has no use for one.
    header.set_version(Version::HTTP_11);
    let is_error = header.status.as_u16() >= 400;
    if is_error {
        discourage_long_wait(header)?;
    }
    add_gateway_headers(
        header,
        asked,
        ledger,
        Some(served),
        is_error.then_some(Origin::Upstream),
    )
}

/// What belongs to the upstream's connection alone goes.
pub(super) fn remove_hop_by_hop(header: &mut ResponseHeader) {
    let named = named_by_connection(&header.headers);
    let names: Vec<_> = header
        .headers
        .keys()
        .filter(|name| is_hop_by_hop(&named, name))
        .cloned()
        .collect();
    for name in &names {
        header.remove_header(name);
    }
}

/// Leaves what is not for clients to see of an upstream's header out.
pub(super) fn screen(header: &mut ResponseHeader, upstream: &Upstream) -> Result<()> {
    let passes = |(name, value): (&HeaderName, &HeaderValue)| upstream.screen(name, value) == Screened::Passes;
    if header.headers.iter().all(passes) {
        return Ok(());
    }
    let mut names: Vec<_> = header.headers.keys().cloned().collect();
    names.retain(|name| !header.headers.get_all(name).iter().all(|value| passes((name, value))));
    for name in names {
        let values: Vec<_> = header.headers.get_all(&name).iter().cloned().collect();
        header.remove_header(&name);
        for value in values {
            if let Some(value) = upstream.screened(&name, &value) {
                header.append_header(name.clone(), value)?;
            }
        }
    }
    Ok(())
}

/// The same of its trailers.
impl Screening for Upstream {
    fn screened(&self, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
        match self.screen(name, value) {
            Screened::Passes => Some(value.clone()),
            Screened::Changed(changed) => Some(changed),
            Screened::Dropped => None,
        }
    }
}

/// Keeps SDKs from sleeping through a long `retry-after`.
pub(super) fn discourage_long_wait(header: &mut ResponseHeader) -> Result<()> {
    if asks_for_long_wait(&header.headers) && !header.headers.contains_key(&SHOULD_RETRY) {
        header.insert_header(SHOULD_RETRY.clone(), HeaderValue::from_static("false"))?;
    }
    Ok(())
}

fn asks_for_long_wait(headers: &HeaderMap) -> bool {
    crate::classify::hint::in_headers(headers, std::time::SystemTime::now())
        .is_some_and(|wait| wait.as_secs_f64() > RETRY_AFTER_PATIENCE_S)
}

/// The `x-gateway-*` headers (docs: behaviour, "headers on every response"), and what a browser must know to show the answer
/// to a page.
pub(super) fn add_gateway_headers(
    header: &mut ResponseHeader,
    asked: &Asked,
    ledger: &Ledger,
    served: Option<&Served<'_>>,
    error_origin: Option<Origin>,
) -> Result<()> {
    add_own(header, asked, ledger, served, error_origin)?;
    match &asked.cors {
        Some(cors) => cors.add_to(header),
        None => Ok(()),
    }
}

fn add_own(
    header: &mut ResponseHeader,
    asked: &Asked,
    ledger: &Ledger,
    served: Option<&Served<'_>>,
    error_origin: Option<Origin>,
) -> Result<()> {
    header.insert_header(REQUEST_ID.clone(), asked.id.header())?;
    if served.is_none() {
        // No provider has given the answer an id, and this is the one that an SDK's exception shows.
        let name = match asked.protocol {
            Protocol::OpenAi => &OPENAI_REQUEST_ID,
            Protocol::Anthropic => &ANTHROPIC_REQUEST_ID,
        };
        header.insert_header(name.clone(), asked.id.header())?;
    }
    if !asked.snapshot.attempt_header {
        return Ok(());
    }
    if let Some(served) = served {
        header.insert_header(UPSTREAM.clone(), &*served.upstream.name)?;
        // Names beyond ASCII go as UTF-8 (RFC 9110 §5.5: obs-text).
        if let Some(model) = served
            .model
            .and_then(|model| HeaderValue::from_bytes(model.as_bytes()).ok())
        {
            header.insert_header(MODEL.clone(), model)?;
        }
    }
    let ledger = ledger.to_header();
    if !ledger.is_empty() {
        header.insert_header(ATTEMPTS.clone(), ledger)?;
    }
    if let Some(origin) = error_origin {
        header.insert_header(
            ERROR_ORIGIN.clone(),
            match origin {
                Origin::Upstream => "upstream",
                Origin::Gateway => "gateway",
            },
        )?;
    }
    Ok(())
}
