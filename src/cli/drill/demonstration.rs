//! One request through the gateway, its first upstream broken: what an operator should have seen once.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::config::{Config, Target, UpstreamTarget};
use crate::protocol::Protocol;

/// Longer than a gateway's default deadline of two minutes.
const READ_MAX: Duration = Duration::from_secs(150);
const RESPONSE_MAX_BYTES: u64 = 1024 * 1024;
const HEADERS_MAX: usize = 128;

/// A request that shows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    /// What the client asks for.
    pub(super) model: String,
    pub(super) protocol: Protocol,
    /// The first upstream of the chain.
    pub(super) first: String,
    /// The chain continues at another upstream, or (with this model there) at the same one.
    pub(super) switches: Switches,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Switches {
    ToAnotherUpstream,
    /// The name of the first target's model: only it must be broken.
    ToAnotherModel(String),
    No,
}

impl Case {
    /// Chooses the first route whose chain leads to two upstreams, else to two models of one, else any; routes with an
    /// exact name come before globs.
    pub(super) fn choose(config: &Config) -> Option<Self> {
        let cases: Vec<Self> = config
            .routes
            .iter()
            .filter_map(|route| Self::of(config, &route.name))
            .collect();
        let rank = |case: &Self| match &case.switches {
            Switches::ToAnotherUpstream => 0,
            Switches::ToAnotherModel(_) => 1,
            Switches::No => 2,
        };
        let globs = |case: &Self| !config.routes.iter().any(|route| *route.name == case.model);
        cases.into_iter().min_by_key(|case| (rank(case), globs(case)))
    }

    fn of(config: &Config, route: &str) -> Option<Self> {
        let model = route.replace('*', "drill");
        let chain = chain(config, route);
        let first = chain.first()?;
        let upstream = &config.upstreams[first.upstream];
        let name = |target: &UpstreamTarget| {
            target
                .model
                .as_ref()
                .map_or_else(|| model.clone(), |there| there.replace('*', &model))
        };
        let speaks =
            |target: &&UpstreamTarget, protocol| config.upstreams[target.upstream].protocols.contains(&protocol);
        let elsewhere = upstream.protocols.iter().copied().find(|protocol| {
            chain[1..]
                .iter()
                .any(|next| next.upstream != first.upstream && speaks(next, *protocol))
        });
        let (protocol, switches) = match elsewhere {
            Some(protocol) => (protocol, Switches::ToAnotherUpstream),
            None => {
                let other = chain[1..]
                    .iter()
                    .any(|next| next.upstream == first.upstream && name(next) != name(first));
                let switches = if other {
                    Switches::ToAnotherModel(name(first))
                } else {
                    Switches::No
                };
                (*upstream.protocols.first()?, switches)
            }
        };
        Some(Self {
            model,
            protocol,
            first: upstream.name.to_string(),
            switches,
        })
    }

    /// Returns the path and query that break the first upstream, for the control address.
    pub(super) fn fault(&self, fault: &str) -> String {
        let name = &self.first;
        match &self.switches {
            Switches::ToAnotherModel(model) => format!("/drill/{name}?fault={fault}&model={}", encoded(model)),
            _ => format!("/drill/{name}?fault={fault}"),
        }
    }

    pub(super) fn path(&self) -> &'static str {
        self.protocol.chat_path()
    }

    pub(super) fn body(&self) -> String {
        let mut body = json!({ "model": self.model, "messages": [{ "role": "user", "content": "Hello" }] });
        if self.protocol == Protocol::Anthropic {
            body["max_tokens"] = json!(100);
        }
        body.to_string()
    }

    /// Breaks the first upstream, sends the request and heals the upstream. Returns whether the request was answered
    /// all the same.
    pub(super) fn switch(
        &self,
        out: &mut impl Write,
        gateway: SocketAddr,
        control: SocketAddr,
    ) -> anyhow::Result<bool> {
        if self.switches == Switches::No {
            writeln!(
                out,
                "No route leads to a second upstream, so nothing can switch. A plain request:\n"
            )?;
            return self.send(out, gateway);
        }
        let (name, fault) = (&self.first, self.fault("500"));
        writeln!(out, "What a client sees when {name} breaks\n")?;
        told(control, &fault)?;
        writeln!(out, "  {name} is broken now: it answers 500")?;
        let shown = self.send(out, gateway)?;
        told(control, &self.fault("ok"))?;
        writeln!(out, "  {name} is healed\n")?;
        Ok(shown)
    }

    /// Sends the request and prints the response. Returns whether it was an answer.
    pub(super) fn send(&self, out: &mut impl Write, gateway: SocketAddr) -> anyhow::Result<bool> {
        writeln!(out, "  POST http://{gateway}{} for model {}", self.path(), self.model)?;
        let response = exchange(gateway, self.path(), &self.body()).context("the drill's request to the gateway")?;
        writeln!(out, "  -> {}", response.status)?;
        for (name, value) in response
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-gateway-"))
        {
            writeln!(out, "     {name}: {value}")?;
        }
        writeln!(out, "     {}", response.words())?;
        Ok(response.status == 200)
    }
}

/// A route's targets in order, other routes' chains and spreads laid out flat. Circles were refused at loading.
pub(super) fn chain<'a>(config: &'a Config, route: &str) -> Vec<&'a UpstreamTarget> {
    let of = |name: &str| {
        config
            .routes
            .iter()
            .find(|route| *route.name == *name)
            .map(|route| route.targets.iter())
    };
    let mut chain = Vec::new();
    let mut open: Vec<_> = of(route).into_iter().collect();
    while let Some(targets) = open.last_mut() {
        match targets.next() {
            None => drop(open.pop()),
            Some(Target::One(target)) => chain.push(target),
            Some(Target::Spread(equals)) => chain.extend(equals.iter().map(|(target, _)| target)),
            Some(Target::Route(name)) => open.extend(of(name)),
        }
    }
    chain
}

fn told(control: SocketAddr, target: &str) -> anyhow::Result<()> {
    let response = exchange(control, target, "").context("the drill's request to its control address")?;
    match response.status {
        200 => Ok(()),
        status => bail!(
            "the control address refused {target} with {status}: {}",
            response.words()
        ),
    }
}

struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// The text of the answer, where one is found; else the start of the body.
    fn words(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let words = [
            "/choices/0/message/content",
            "/content/0/text",
            "/error/message",
            "/error",
        ];
        let found = words
            .iter()
            .find_map(|pointer| json.pointer(pointer).and_then(Value::as_str));
        found.map_or_else(
            || String::from_utf8_lossy(&self.body).chars().take(400).collect(),
            str::to_owned,
        )
    }
}

/// One POST over a connection of its own.
fn exchange(address: SocketAddr, target: &str, body: &str) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(READ_MAX))?;
    stream.set_nodelay(true)?;
    let length = body.len();
    stream.write_all(
        format!(
            "POST {target} HTTP/1.1\r\nhost: {address}\r\nuser-agent: switchback-drill\r\nconnection: close\r\n\
            accept-encoding: identity\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .as_bytes(),
    )?;
    let mut bytes = Vec::new();
    stream.take(RESPONSE_MAX_BYTES).read_to_end(&mut bytes)?;
    response(&bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not whole, or no HTTP/1.1"))
}

fn response(bytes: &[u8]) -> Option<Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = parsed.parse(bytes).ok()? else {
        return None;
    };
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
    let rest = &bytes[length..];
    let find = |wanted: &str| {
        headers
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let body = if find("transfer-encoding").is_some() {
        dechunked(rest)?
    } else if let Some(length) = find("content-length") {
        rest.get(..length.parse().ok()?)?.to_vec()
    } else {
        rest.to_vec()
    };
    Some(Response {
        status: parsed.code?,
        headers,
        body,
    })
}

fn dechunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest) {
        if size == 0 {
            return Some(body);
        }
        let end = line.checked_add(usize::try_from(size).ok()?)?;
        body.extend_from_slice(rest.get(line..end)?);
        rest = rest.get(end + 2..)?;
    }
    None
}

/// A model's name as a query's value.
fn encoded(text: &str) -> String {
    let letters = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    letters.collect()
}
