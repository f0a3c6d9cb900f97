//! The gateway through its real binary: every test starts its own process and its own scripted upstreams, on sockets
//! that nobody else has. One file a feature.
#![allow(clippy::unwrap_used)]

mod access_log;
mod admin;
mod answers;
mod backpressure;
mod bad_input;
mod balance;
mod body;
mod client_leaves;
mod clocks;
mod commit;
mod cooldown;
mod credentials;
mod encodings;
mod exhausted;
mod failover;
mod forms;
mod harness;
mod headers;
mod http2;
mod keep_alive;
mod max_inflight;
mod metrics;
mod models;
mod notify;
mod passthrough;
mod paths;
mod pinned;
mod recovery;
mod reload;
mod reload_files;
mod reload_secrets;
mod resume;
mod retries;
mod routing;
mod soak;
mod status;
mod status_command;
mod stop;
mod streaming;
mod support;
mod tls;
mod unix_socket;
mod upgrade;
mod upload;
