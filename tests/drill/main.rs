//! The stand-ins over real sockets: every endpoint, every fault, the control address.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod answers;
mod client;
mod control;
mod faults;
mod wire;

use std::net::SocketAddr;

use client::send;
use serde_json::{Value, json};
use switchback::drill::{FaultSpec, StandInSpec, StandIns};
use switchback::protocol::Protocol;

pub(crate) const OPENAI: &str = "Hello from openai (stand-in), model gpt-4o.";

pub(crate) fn spec(name: &str, protocols: &[Protocol]) -> StandInSpec {
    StandInSpec {
        name: name.into(),
        protocols: protocols.to_vec(),
        provider: Some(name.into()),
    }
}

pub(crate) fn start(faults: &[&str]) -> StandIns {
    let upstreams = vec![
        spec("openai", &[Protocol::OpenAi]),
        spec("anthropic", &[Protocol::Anthropic]),
        spec("openrouter", &[Protocol::OpenAi, Protocol::Anthropic]),
        spec("deepseek", &[Protocol::OpenAi]),
    ];
    let faults: Vec<FaultSpec> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    StandIns::start(upstreams, &faults).unwrap()
}

pub(crate) fn at(stand_ins: &StandIns, name: &str) -> SocketAddr {
    stand_ins.address(name).unwrap()
}

pub(crate) fn chat(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": "Hello" }] })
}

pub(crate) fn message(model: &str, stream: bool) -> Value {
    json!({ "model": model, "stream": stream, "max_tokens": 64, "messages": [{ "role": "user", "content": "Hello" }] })
}

pub(crate) fn control(stand_ins: &StandIns, method: &str, target: &str) -> Value {
    let reply = send(stand_ins.control(), method, target, "", "");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}
