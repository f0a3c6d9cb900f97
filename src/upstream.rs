//! A provider's endpoint: who it is, what it speaks, what is added to a request to it, and how it has fared lately.

pub mod admission;
pub mod balance;
pub mod credential;
pub mod health;
pub mod inbound;
pub mod listing;
pub mod outbound;
pub mod path;
pub mod registry;
pub mod setback;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::classify::Class;
use crate::config::{self, BaseUrl, HttpVersions, Policy, Proxy, UpstreamTls};
use crate::protocol::Protocol;

pub use admission::{Admission, Refused};
pub use balance::Balance;
pub use credential::Credential;
pub use health::Standing;
pub use registry::Registry;

use balance::{Failed, Moment, News, Remaining, Turn};
use listing::Listing;
use setback::Setback;

/// Shorter values of headers and parameters are assumed to be settings.
const SECRET_MIN_BYTES: usize = 12;

/// An upstream as requests see it: compiled once from the configuration, shared by every target on it.
#[derive(Debug)]
pub struct Upstream {
    /// Its place in the snapshot's list of upstreams.
    pub index: usize,
    pub name: Arc<str>,
    pub url: BaseUrl,
    /// `url.authority` as a header value.
    pub host: HeaderValue,
    pub protocols: Vec<Protocol>,
    pub provider: Option<Arc<str>>,
    pub credential: Credential,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub remove_headers: Vec<HeaderName>,
    /// Headers of the client's that are sent here although they would usually stay.
    pub forward_headers: Vec<HeaderName>,
    /// The names in `query`, as they are compared.
    pub parameters: Vec<String>,
    /// `a=b&c=d`, percent-encoded; empty if there is none.
    pub query: String,
    pub http: HttpVersions,
    pub tls: UpstreamTls,
    /// The proxy that leads to it.
    pub proxy: Option<Proxy>,
    pub max_inflight: Option<u32>,
    pub balance: Option<Balance>,
    pub registry: Registry,
    /// The models that it lists, where a route asks for them.
    pub listing: Listing,
}

impl Upstream {
    /// Compiles an upstream. `previous` is the upstream of this name before a reload: its health is kept if it is still
    /// the same, as is what is known of its account.
    pub fn compile(index: usize, from: &config::Upstream, policy: &Policy, previous: Option<&Self>) -> Self {
        let mut upstream = Self {
            index,
            name: Arc::clone(&from.name),
            host: HeaderValue::from_str(&from.url.authority).expect("a valid URL's authority is a valid header value"),
            url: from.url.clone(),
            protocols: from.protocols.clone(),
            provider: from.provider.clone(),
            credential: Credential::compile(from),
            headers: from.headers.clone(),
            remove_headers: from.remove_headers.clone(),
            forward_headers: from.forward_headers.clone(),
            parameters: from.query.iter().map(|(name, _)| name.to_lowercase()).collect(),
            query: path::encode_query(&from.query),
            http: from.http,
            tls: from.tls.clone(),
            proxy: from.proxy.clone(),
            max_inflight: from.max_inflight,
            balance: None,
            registry: Registry::default(),
            listing: Listing::default(),
        };
        let previous = upstream.same(previous);
        let known = previous.and_then(|previous| previous.balance.as_ref());
        upstream.balance = Balance::compile(from, policy, known);
        if let Some(previous) = previous {
            upstream.registry = Registry::succeeding(&previous.registry);
            upstream.listing = previous.listing.clone();
        }
        upstream
    }

    /// Returns `previous`, unless it is reached in another way or with another credential: then what was wrong with it
    /// may have been fixed.
    pub fn same<'a>(&self, previous: Option<&'a Self>) -> Option<&'a Self> {
        previous.filter(|previous| {
            previous.name == self.name
                && previous.url == self.url
                && previous.http == self.http
                && previous.tls == self.tls
                && previous.proxy == self.proxy
                && previous.credential == self.credential
                && previous.headers == self.headers
                && previous.query == self.query
        })
    }

    /// A place among the requests to this upstream, of which there are at most `max_inflight`.
    pub fn enter(&self) -> Option<registry::Slot> {
        self.registry.enter(self.max_inflight)
    }

    /// Lists what no log and no page may show: the key, and everything else that is sent to this upstream alone.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let sent = self.headers.iter().filter_map(|(_, value)| value.to_str().ok());
        let login = self.proxy.iter().filter_map(|proxy| proxy.login.as_ref());
        let password = login.map(|login| login.password.as_str());
        let query = self.query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
        // What is shorter than a key is the value of a switch, and a word like any other.
        let others = sent
            .chain(query)
            .chain(password)
            .filter(|value| value.len() >= SECRET_MIN_BYTES);
        self.credential.secret().into_iter().chain(others)
    }

    /// Adjusts what a failure of its upstream or a model there means by what is known of the account: an empty one
    /// confirms what the answer says in words.
    pub fn weigh(&self, setback: Setback) -> Setback {
        let is_spent = || self.balance.as_ref().is_some_and(Balance::is_spent);
        if setback.class == Class::OutOfCredits && is_spent() {
            setback.borne_out()
        } else {
            setback
        }
    }

    /// Returns the state of its account; `None` if no `balance` is configured.
    pub fn balance(&self) -> Option<balance::Status> {
        self.balance.as_ref().map(Balance::status)
    }

    /// Records what a poll reported about its account.
    pub fn learn_balance(&self, turn: Turn, told: Result<Remaining, Failed>, now: Moment, draw: f64) -> News {
        self.balance.as_ref().map_or_else(News::default, |balance| {
            balance.learn(turn, told, &self.registry, now, draw)
        })
    }

    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }
}
