//! `server` and `log`.

use std::time::Duration;

use log::LevelFilter;

use super::bounds::{CONNECTIONS_MAX, THREADS_MAX};
use super::diagnostic::Complaint;
use super::document::Node;
use super::names::Names;
use super::reader::Reader;
use super::source::Place;
use super::words::{LOG_FORMATS, LOG_LEVELS};
use super::{Diagnostic, Log, LogFormat, Server};
use super::{keys, passthrough, quantity};
use crate::memory;

const BODY_BYTES_MAX: u64 = 1 << 30;
const MEMORY_BYTES_MIN: usize = 1 << 20;
/// 64 TiB.
const MEMORY_BYTES_MAX: u64 = 1 << 46;

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: None,
            watch: true,
            max_body_bytes: 32 << 20,
            memory_bytes: memory::default_bound_bytes(),
            max_held_bytes: 1 << 20,
            client_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(300),
            idle: Duration::from_secs(75),
            connections: None,
            drain: Duration::from_secs(600),
            passthrough: None,
            attempt_header: true,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LevelFilter::Info,
            format: LogFormat::Auto,
        }
    }
}

pub(super) fn server(reader: &mut Reader<'_>, node: Option<(&Node, Place)>, upstreams: &Names<'_>) -> Server {
    let mut server = Server::default();
    let Some(fields) = node.and_then(|(node, at)| reader.fields(node, at, "`server`", &keys::SERVER)) else {
        check_fit(reader, &server, None);
        return server;
    };
    if let Some(node) = fields.get("threads") {
        server.threads = reader
            .value(node, "`threads`", |text| match text {
                "auto" => Ok(None),
                text => quantity::integer(text, &(1..=THREADS_MAX)).map(|threads| Some(threads as usize)),
            })
            .flatten();
    }
    if let Some(node) = fields.get("max_body") {
        let bytes = reader.value(node, "`max_body`", |text| quantity::size_bytes(text, BODY_BYTES_MAX));
        server.max_body_bytes = bytes.unwrap_or(server.max_body_bytes);
    }
    if let Some(node) = fields.get("memory") {
        server.memory_bytes = reader.value(node, "`memory`", memory).unwrap_or(server.memory_bytes);
    }
    let written = fields.get("max_body").or_else(|| fields.get("memory"));
    check_fit(reader, &server, written.map(|node| node.place));
    if let Some(node) = fields.get("max_held") {
        let bytes = reader.value(node, "`max_held`", |text| quantity::size_bytes(text, BODY_BYTES_MAX));
        server.max_held_bytes = bytes.unwrap_or(server.max_held_bytes);
    }
    if let Some(node) = fields.get("client_timeout") {
        let time = reader.value(node, "`client_timeout`", quantity::duration);
        server.client_timeout = time.unwrap_or(server.client_timeout);
    }
    if let Some(node) = fields.get("send_timeout") {
        let time = reader.value(node, "`send_timeout`", quantity::duration);
        server.send_timeout = time.unwrap_or(server.send_timeout);
    }
    if let Some(node) = fields.get("idle") {
        server.idle = reader.value(node, "`idle`", quantity::duration).unwrap_or(server.idle);
    }
    if let Some(node) = fields.get("connections") {
        server.connections = reader
            .value(node, "`connections`", |text| match text {
                "auto" => Ok(None),
                text => quantity::integer(text, &(1..=CONNECTIONS_MAX)).map(|most| Some(most as usize)),
            })
            .flatten();
    }
    if let Some(node) = fields.get("drain") {
        server.drain = reader
            .value(node, "`drain`", quantity::duration)
            .unwrap_or(server.drain);
    }
    server.passthrough = fields
        .section("passthrough")
        .and_then(|(node, at)| passthrough::passthrough(reader, node, at, upstreams));
    if let Some(node) = fields.get("watch") {
        server.watch = reader.value(node, "`watch`", quantity::boolean).unwrap_or(true);
    }
    if let Some(node) = fields.get("attempt_header") {
        server.attempt_header = reader
            .value(node, "`attempt_header`", quantity::boolean)
            .unwrap_or(true);
    }
    server
}

fn memory(text: &str) -> Result<usize, Complaint> {
    let bytes = quantity::size_bytes(text, MEMORY_BYTES_MAX)?;
    if bytes < MEMORY_BYTES_MIN {
        let help = "an eighth of it is kept for small requests, and the rest has to hold a body";
        return Err(Complaint::new("bad-size", "is less than 1MiB", help));
    }
    Ok(bytes)
}

/// Warns where a body within `max_body` could never find room in memory.
fn check_fit(reader: &mut Reader<'_>, server: &Server, place: Option<Place>) {
    let most_bytes = memory::most_alone_bytes(server.memory_bytes);
    if server.max_body_bytes > most_bytes {
        let message = format!(
            "`max_body` ({} bytes) is more than one request can use of `memory` ({most_bytes} bytes, seven eighths of it)",
            server.max_body_bytes
        );
        let help = "larger bodies get a 413; raise `server.memory` or lower `server.max_body`";
        let warning = Diagnostic::warning("body-beyond-memory", place.unwrap_or(Place::START), message).help(help);
        reader.report(Diagnostic { place, ..warning });
    }
}

pub(super) fn log(reader: &mut Reader<'_>, node: Option<(&Node, Place)>) -> Log {
    let mut log = Log::default();
    let Some(fields) = node.and_then(|(node, at)| reader.fields(node, at, "`log`", &keys::LOG)) else {
        return log;
    };
    if let Some(node) = fields.get("level") {
        log.level = reader.one_of(node, "`level`", &LOG_LEVELS).unwrap_or(log.level);
    }
    if let Some(node) = fields.get("format") {
        log.format = reader.one_of(node, "`format`", &LOG_FORMATS).unwrap_or(log.format);
    }
    log
}
