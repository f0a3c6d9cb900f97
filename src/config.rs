//! The YAML file, read and validated: text → [`Config`]. Nothing of the YAML's shape leaves this module
//! but the types below.

mod admin;
mod balance;
mod base_url;
mod body_edits;
mod bounds;
mod browser;
mod chain;
mod clocks;
mod diagnostic;
mod document;
mod edits;
mod escaped_variables;
mod file;
mod files_read;
mod headers;
mod interpolate;
mod key_file;
mod keys;
mod listed;
mod listen;
mod literal_key;
mod load;
mod load_options;
mod masking;
mod names;
mod no_proxy;
mod outbound;
mod passthrough;
mod pem;
mod policy;
mod provider;
mod proxy;
mod quantity;
mod reader;
mod route;
mod schema;
mod scopes;
mod search;
mod secret;
mod section;
mod server;
mod smart_quotes;
mod socket_mode;
mod source;
mod tls;
mod unknown;
mod upstream;
mod url;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::classify::{Action, Class};
use crate::protocol::Protocol;

pub use admin::of_file as admin_of;
pub use bounds::ATTEMPTS_MAX;
pub use browser::ANY_ORIGIN;
pub use diagnostic::{Diagnostic, Severity};
pub use edits::BodyEdits;
pub use files_read::{Content, Read};
pub use load::{Loaded, load, load_text};
pub use load_options::{KeyPolicy, LoadOptions};
pub use outbound::{Login, Proxy, ProxyKind};
pub use provider::of_url as provider_of;
pub use schema::schema;
pub use scopes::{Cooldown, CooldownOverrides, Retry, RetryOverrides, TimeoutOverrides, Timeouts};
pub use search::{Found, find};
pub use socket_mode::OPEN_SOCKET_MODE;
pub use source::{Place, Source};

/// A valid configuration: every reference resolves, every value is in range, and every file was read.
#[derive(Debug, Clone)]
pub struct Config {
    pub file: PathBuf,
    /// The first 12 hex digits of the SHA-256 of the file's bytes, as `sha256sum` shows it.
    pub hash: Arc<str>,
    pub listen: Vec<Listener>,
    pub admin: Option<Admin>,
    /// The upstreams, in the file's order.
    pub upstreams: Vec<Upstream>,
    /// The routes, in the file's order; the table orders them by precedence.
    pub routes: Vec<Route>,
    pub policy: Policy,
    pub server: Server,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub address: ListenAddress,
    /// The certificate that a TLS listener presents.
    pub tls: Option<Identity>,
    pub h2c: bool,
    /// The permissions of a unix socket's file. `None` means [`OPEN_SOCKET_MODE`].
    pub socket_mode: Option<u32>,
    /// The origins, as browsers write them, whose pages may send requests here and read the answers; or [`ANY_ORIGIN`].
    pub cors: Vec<String>,
    /// The host names, in lower case and without ports, that are accepted besides those of loopback. Empty: any.
    pub hosts: Vec<String>,
}

impl Listener {
    /// A listener without TLS and with default settings.
    pub fn plain(address: ListenAddress) -> Self {
        Self {
            address,
            tls: None,
            h2c: false,
            socket_mode: None,
            cors: Vec::new(),
            hosts: Vec::new(),
        }
    }
}

/// The operator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub address: ListenAddress,
    /// The host names, in lower case and without ports, that are accepted besides those of loopback.
    pub hosts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `ADDRESS:PORT`, as written.
    Tcp(String),
    Unix(PathBuf),
}

#[derive(Clone, PartialEq)]
pub struct Upstream {
    pub name: Arc<str>,
    pub url: BaseUrl,
    /// The protocols that it speaks, not empty, in the order of the file; without one there, by its URL.
    pub protocols: Vec<Protocol>,
    /// The provider that `provider` names, else that of the URL's host (`openai`, `anthropic`, `openrouter`, …), else
    /// none.
    pub provider: Option<Arc<str>>,
    pub key: Key,
    /// Lower case; `None` means by protocol: `authorization: Bearer` for openai, `x-api-key` for anthropic.
    pub key_header: Option<HeaderName>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub remove_headers: Vec<HeaderName>,
    /// Headers of clients that are sent on although they would usually stay here.
    pub forward_headers: Vec<HeaderName>,
    pub query: Vec<(String, String)>,
    pub http: HttpVersions,
    pub tls: UpstreamTls,
    /// The proxy that leads to it: its own, or that of `server`.
    pub proxy: Option<Proxy>,
    pub timeouts: TimeoutOverrides,
    pub cooldown: CooldownOverrides,
    pub body: BodyEdits,
    pub prefill: bool,
    pub max_inflight: Option<u32>,
    pub balance: Option<Balance>,
}

/// `balance`: how an upstream's remaining credit is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    pub source: BalanceSource,
    /// The time from one reading to the next; at least a second.
    pub every: Duration,
    /// A lower amount is worth a warning. It is in whatever the provider counts, and not negative.
    pub low: f64,
}

#[derive(Clone, PartialEq, Eq)]
pub enum BalanceSource {
    Preset(BalancePreset),
    At {
        /// The path at the upstream's own address, from its root.
        path_and_query: String,
        /// An RFC 6901 pointer to the remaining amount in the answer.
        pointer: String,
    },
}

/// A provider whose endpoint and answer are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalancePreset {
    OpenRouter,
    DeepSeek,
    Moonshot,
    OneApi,
}

/// `https://host:port/path`, split once. The path has no trailing slash and may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    pub https: bool,
    /// The host, without brackets for IPv6.
    pub host: String,
    pub port: u16,
    pub path: String,
    /// The value of the `host` header: the port only where it is not the scheme's default.
    pub authority: String,
}

/// The credential that an upstream's requests carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    None,
    /// The client's own credential is forwarded.
    Passthrough,
    Secret(Secret),
}

/// A value that no `Debug`, log or error may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersions {
    /// ALPN decides where TLS allows it; otherwise it is HTTP/1.1.
    Auto,
    Http1,
    Http2,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM bytes, read when the configuration is loaded, so that a reload reads them again.
    pub ca: Option<Arc<[u8]>>,
    pub client_cert: Option<Identity>,
    pub server_name: Option<String>,
    /// `verify: false`.
    pub insecure: bool,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A query may hold a credential.
impl std::fmt::Debug for BalanceSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Preset(preset) => f.write_str(preset.name()),
            Self::At { pointer, .. } => f.debug_struct("At").field("pointer", pointer).finish_non_exhaustive(),
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// PEM bytes of a certificate chain and its private key, read when the configuration is loaded.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pub cert: Arc<[u8]>,
    pub key: Arc<[u8]>,
}

#[derive(Debug, Clone)]
pub struct Route {
    /// An exact model name, or a glob with `*`.
    pub name: Arc<str>,
    /// The chain, not empty.
    pub targets: Vec<Target>,
    pub models: ListedModels,
    pub overrides: PolicyOverrides,
}

/// What the list of models has of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListedModels {
    /// The route's name, unless it is a glob.
    #[default]
    Own,
    Names(Vec<Arc<str>>),
    /// What its upstreams list.
    Asked,
}

#[derive(Debug, Clone)]
pub enum Target {
    One(UpstreamTarget),
    /// Equals: one drawn by weight for each request, then the others. Not empty, weights ≥ 1.
    Spread(Vec<(UpstreamTarget, u32)>),
    /// That route's chain continues here. The route exists and there is no circle.
    Route(Arc<str>),
}

#[derive(Debug, Clone)]
pub struct UpstreamTarget {
    /// An index into [`Config::upstreams`].
    pub upstream: usize,
    /// `None`: the requested name. `*` in it stands for the requested name.
    pub model: Option<Arc<str>>,
    pub timeouts: TimeoutOverrides,
    pub prefill: Option<bool>,
    pub body: BodyEdits,
}

/// How a stream's client is kept while nothing comes for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// After so long a silence it is sent a comment.
    pub every: Duration,
    /// The first silence answers it, though no upstream has begun to answer.
    pub before_first_token: bool,
}

/// `policy`: the defaults of every route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// As it is written; [`Policy::timeouts`] lays it over the defaults.
    pub timeouts: TimeoutOverrides,
    pub retry: Retry,
    pub on: Vec<(OnKey, Action)>,
    pub cooldown: Cooldown,
    pub exhausted: Exhausted,
    /// `None`: a client hears nothing while nothing comes for it.
    pub keepalive: Option<Keepalive>,
}

/// A route's own `policy` keys, where it has any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyOverrides {
    pub timeouts: TimeoutOverrides,
    pub retry: RetryOverrides,
    pub on: Vec<(OnKey, Action)>,
    pub cooldown: CooldownOverrides,
    pub exhausted: Option<Exhausted>,
    pub keepalive: Option<Keepalive>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnKey {
    Class(Class),
    Status(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    Last,
    First,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `None` is `auto`: one a core.
    pub threads: Option<usize>,
    /// Whether a changed file is taken without a signal.
    pub watch: bool,
    pub max_body_bytes: usize,
    /// The bound on what all requests together keep in memory.
    pub memory_bytes: usize,
    /// The most that is kept of the text of one stream that may be resumed.
    pub max_held_bytes: usize,
    /// Bounds receiving the whole request, its header included.
    pub client_timeout: Duration,
    /// Bounds how long a client may take none of its answer.
    pub send_timeout: Duration,
    /// How long a client's connection may be open without a request.
    pub idle: Duration,
    /// The most client connections; `None` is `auto`: by the limit on open files.
    pub connections: Option<usize>,
    pub drain: Duration,
    pub passthrough: Option<Passthrough>,
    pub attempt_header: bool,
}

/// Where requests go that no model routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passthrough {
    /// An index into [`Config::upstreams`].
    pub upstream: usize,
    /// Globs of endpoints (without `/v1`) that administer the account and are open all the same.
    pub paths: Vec<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    pub level: log::LevelFilter,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Auto,
    Text,
    Json,
    Journald,
}
