//! Switchback: a declarative reverse proxy for LLM traffic.
//!
//! The modules in reading order, from the YAML to the client: see ARCHITECTURE.md.

pub mod body;
pub mod classify;
pub mod config;
pub mod protocol;
