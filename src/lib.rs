//! Switchback: a declarative reverse proxy for LLM traffic.
//!
//! The modules and how a request passes through them: see ARCHITECTURE.md.

pub mod body;
pub mod classify;
pub mod cli;
pub mod config;
pub mod drill;
pub mod memory;
pub mod notation;
pub mod protocol;
pub mod proxy;
pub mod routing;
pub mod server;
pub mod status;
pub mod telemetry;
pub mod transport;
pub mod upstream;
