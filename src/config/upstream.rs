//! `upstreams`: the providers' endpoints.

use std::sync::Arc;

use super::bounds::INFLIGHT_MAX;
use super::diagnostic::Diagnostic;
use super::document::{Node, Value};
use super::interpolate::Origin;
use super::reader::{Entry, Fields, Reader, quotable, quote};
use super::source::Place;
use super::words::HTTP_VERSIONS;
use super::{
    BaseUrl, BodyEdits, CooldownOverrides, HttpVersions, Key, Policy, TimeoutOverrides, Upstream, UpstreamTls,
};
use super::{balance, base_url, body_edits, headers, keys, names, policy, provider, proxy, quantity, secret, tls, url};
use crate::notation::nearest::nearest;
use crate::protocol::Protocol;

/// Parameters may be credentials (Gemini's `?key=`): only their names are shown.
impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let query: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("protocols", &self.protocols)
            .field("provider", &self.provider)
            .field("key", &self.key)
            .field("headers", &self.headers)
            .field("query", &query)
            .finish_non_exhaustive()
    }
}

/// Reads every upstream in the file's order, including faulty ones, so that their names are known; and returns whether all
/// names are.
pub(super) fn upstreams(
    reader: &mut Reader<'_>,
    node: &Node,
    at: Place,
    policy: &Policy,
    proxy: &proxy::Choice,
) -> (Vec<Upstream>, bool) {
    if let Value::Sequence(_) = node.value {
        let message = "`upstreams` must be a mapping, found a list";
        let help = "write a name of your own before each: `openai: { url: https://api.openai.com/v1, key: ${OPENAI_API_KEY} }`";
        reader.report(Diagnostic::error("wrong-type", node.place, message).help(help));
        return (Vec::new(), false);
    }
    let Some(entries) = reader.entries(node, at, "`upstreams`") else {
        return (Vec::new(), false);
    };
    let places: Vec<Place> = entries.iter().map(|entry| entry.name.place).collect();
    if entries.is_empty() {
        reader.error("empty", node.place, "`upstreams` names no upstream");
    }
    let unindented = report_unindented(reader, &entries);
    let upstreams = entries
        .into_iter()
        .map(|entry| match entry.value.value {
            Value::Mapping(_) => upstream(reader, &entry, policy, proxy),
            _ if unindented => blank(&entry.name.value),
            _ => upstream(reader, &entry, policy, proxy),
        })
        .collect();
    (upstreams, names::is_whole(node, &places))
}

/// Reports the first key of an upstream that stands beside its name instead of below. Returns whether there is one: then
/// whatever else is no mapping belongs to the same fault.
fn report_unindented(reader: &mut Reader<'_>, entries: &[Entry<'_>]) -> bool {
    let is_value = |entry: &&Entry<'_>| !matches!(entry.value.value, Value::Mapping(_));
    let is_key = |entry: &&Entry<'_>| keys::UPSTREAM.key(&entry.name.value).is_some();
    let Some(entry) = entries.iter().filter(is_value).find(is_key) else {
        return false;
    };
    let message = format!(
        "{} is a key of an upstream, and stands where names of upstreams do",
        quote(entry.name.written)
    );
    let help = "indent it and what follows by two more spaces, below the upstream's name";
    reader.report(Diagnostic::error("bad-name", entry.name.place, message).help(help));
    true
}

fn upstream(reader: &mut Reader<'_>, entry: &Entry<'_>, policy: &Policy, proxy: &proxy::Choice) -> Upstream {
    let name = &entry.name;
    if !is_name(&name.value) {
        let diagnostic = Diagnostic::error(
            "bad-name",
            name.place,
            format!("{} can't name an upstream", quote(name.written)),
        );
        reader.report(diagnostic.help("a name has a-z, 0-9, `_` and `-`, and begins with a letter or a digit"));
    }
    let mut upstream = blank(&name.value);
    let what = format!("upstream {}", quote(name.written));
    if let Some(text) = entry.value.text().filter(|text| text.contains("://")) {
        let message = format!("{what} must be a mapping, found a single value");
        let help = format!("write `{{ url: {} }}`", quotable(text));
        reader.report(Diagnostic::error("wrong-type", entry.value.place, message).help(help));
        return upstream;
    }
    let Some(fields) = reader.fields(entry.value, name.place, what, &keys::UPSTREAM) else {
        return upstream;
    };

    let url_node = fields.required(reader, "url");
    if let Some(node) = url_node {
        upstream.url = written_url(reader, node);
    }
    upstream.protocols = match fields.get("protocol") {
        Some(node) => protocols(reader, node),
        None => base_url::protocols(&upstream.url),
    };
    upstream.provider = match fields.get("provider") {
        Some(node) => written_provider(reader, node),
        None => provider::of(&upstream.url).map(Into::into),
    };
    requests(reader, &fields, &mut upstream);
    if let Some(node) = fields.get("http") {
        upstream.http = reader
            .one_of(node, "`http`", &HTTP_VERSIONS)
            .unwrap_or(HttpVersions::Auto);
    }
    if let Some((node, at)) = fields.section("tls") {
        upstream.tls = tls::tls(reader, node, at, &upstream.url);
    }
    upstream.proxy = match fields.get("proxy") {
        Some(node) => proxy::choice(reader, node).to(reader, &upstream.url, true),
        None => proxy.to(reader, &upstream.url, false),
    };
    if let Some((node, at)) = fields.section("timeouts") {
        let wider = policy.timeouts(upstream.provider.as_deref());
        upstream.timeouts = policy::timeouts(reader, node, at, wider);
    }
    if let Some((node, at)) = fields.section("cooldown") {
        upstream.cooldown = policy::cooldown(reader, node, at);
    }
    if let Some(node) = fields.get("prefill") {
        upstream.prefill = reader.value(node, "`prefill`", quantity::boolean).unwrap_or(false);
    }
    upstream.max_inflight = fields.get("max_inflight").and_then(|node| {
        reader.value(node, "`max_inflight`", |text| {
            quantity::integer(text, &(1..=INFLIGHT_MAX))
        })
    });
    if let Some((node, at)) = fields.section("balance") {
        upstream.balance = balance::balance(reader, node, at, &upstream);
    }
    if let Some(node) = url_node {
        warn_of_open_key(reader, &upstream, node);
        base_url::advise(reader, &upstream, node, fields.get("protocol").is_some());
        if !fields.has("key") {
            base_url::warn_of_no_key(reader, &upstream, node);
        }
    }
    upstream
}

/// Reads what each request to it carries.
fn requests(reader: &mut Reader<'_>, fields: &Fields<'_>, upstream: &mut Upstream) {
    upstream.key_header = fields
        .get("key_header")
        .and_then(|node| reader.value(node, "`key_header`", headers::header_name));
    if let Some((node, at)) = fields.section("key") {
        upstream.key = secret::key(reader, node, at, upstream);
    }
    if let Some((node, at)) = fields.section("headers") {
        upstream.headers = headers::added(reader, node, at);
    }
    if let Some((node, at)) = fields.section("remove_headers") {
        upstream.remove_headers = headers::removed(reader, node, at);
    }
    if let Some((node, at)) = fields.section("forward_headers") {
        upstream.forward_headers = headers::forwarded(reader, node, at, &upstream.remove_headers);
    }
    if let Some((node, at)) = fields.section("body") {
        upstream.body = body_edits::body(reader, node, at);
    }
    if let Some((node, at)) = fields.section("query") {
        upstream.query = headers::query(reader, node, at);
    }
}

/// An upstream for which nothing is written.
fn blank(name: &str) -> Upstream {
    Upstream {
        name: name.into(),
        url: BaseUrl::placeholder(),
        protocols: vec![Protocol::OpenAi],
        provider: None,
        key: Key::None,
        key_header: None,
        headers: Vec::new(),
        remove_headers: Vec::new(),
        forward_headers: Vec::new(),
        query: Vec::new(),
        http: HttpVersions::Auto,
        tls: UpstreamTls::default(),
        proxy: None,
        timeouts: TimeoutOverrides::default(),
        cooldown: CooldownOverrides::default(),
        body: BodyEdits::default(),
        prefill: false,
        max_inflight: None,
        balance: None,
    }
}

/// Checks for `[a-z0-9][a-z0-9_-]*`, at most 64 characters: the name becomes a header's value and a metric's label.
fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|byte| letter(byte) || matches!(byte, b'_' | b'-'))
}

fn written_url(reader: &mut Reader<'_>, node: &Node) -> BaseUrl {
    // A user name or a query may be a credential.
    let is_hidden = node.text().is_some_and(|text| text.contains(['@', '?']));
    let Some(text) = reader.text(node, "`url`") else {
        return BaseUrl::placeholder();
    };
    match url::parse(&text.value) {
        Ok(url) => url,
        Err(_) if text.origin == Origin::StandIn => BaseUrl::placeholder(),
        Err(complaint) if is_hidden => {
            let message = format!("this URL {}", complaint.reason);
            reader.report(Diagnostic {
                help: complaint.help,
                ..Diagnostic::error(complaint.code, text.place, message)
            });
            BaseUrl::placeholder()
        }
        Err(complaint) => {
            reader.complain(&text, complaint);
            BaseUrl::placeholder()
        }
    }
}

fn protocols(reader: &mut Reader<'_>, node: &Node) -> Vec<Protocol> {
    let Value::Sequence(items) = &node.value else {
        return reader
            .one_of(node, "`protocol`", &Protocol::NAMES)
            .into_iter()
            .collect();
    };
    if items.is_empty() {
        reader.error("empty", node.place, "`protocol` names no protocol");
    }
    let mut protocols = Vec::new();
    for item in items {
        match reader.one_of(item, "`protocol`", &Protocol::NAMES) {
            Some(protocol) if protocols.contains(&protocol) => {
                reader.error(
                    "duplicate-value",
                    item.place,
                    format!("{} is given twice", quote(item.text().unwrap_or_default())),
                );
            }
            Some(protocol) => protocols.push(protocol),
            None => {}
        }
    }
    protocols
}

fn written_provider(reader: &mut Reader<'_>, node: &Node) -> Option<Arc<str>> {
    let text = reader.text(node, "`provider`")?;
    let known = provider::names();
    if !known.contains(&text.value.as_str()) && text.origin != Origin::StandIn {
        let message = format!("no rule applies to a provider {}", quote(text.written));
        let warning = Diagnostic::warning("unknown-provider", text.place, message);
        let help = nearest(&text.value, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        reader.report(Diagnostic { help, ..warning });
    }
    Some(text.value.into())
}

fn warn_of_open_key(reader: &mut Reader<'_>, upstream: &Upstream, url: &Node) {
    let whose = match upstream.key {
        Key::None => return,
        Key::Passthrough => "the client's key",
        Key::Secret(_) => "the key",
    };
    if !upstream.url.https && !upstream.url.is_loopback() {
        let message = format!("{whose} is sent over plain http, where anyone on the network path can read it");
        reader.report(Diagnostic::warning("key-over-http", url.place, message).help("use `https://`"));
    }
}
