//! The judging connector: an upstream session that holds an answer back until it can be judged.
//!
//! Pingora's own upstream path shows a header, then delivers it. Here the body's start is seen first, and the request
//! body can be replayed whatever its size. This uses Pingora's custom connector (`#[doc(hidden)]`, so the lock file pins
//! it); every use of it is in this module.
//!
//! One [`Assignment`] is one attempt. It rides in the request header's extensions to [`session::JudgedSession`], which
//! opens the connection, sends, waits and judges inside `read_response_header`: there Pingora watches the client too, so
//! a client that leaves cancels the attempt in any of these phases.

mod answer;
pub mod assignment;
pub mod clock;
mod clocks;
mod connection;
mod connections;
pub mod connector;
pub mod descriptors;
mod dial;
pub mod endpoint;
pub mod failure;
mod feed;
mod gathered;
mod h2_exchange;
mod http_tunnel;
mod idle_pool;
pub mod lookup;
pub mod origin;
mod outgoing;
mod outlet;
pub mod relay;
pub mod resolver;
mod resume;
mod search;
mod sending;
mod session;
mod socks;
mod swallow;
mod timings;
mod trailers;
pub mod tunnel;
mod tunnel_fault;
mod turns;
mod unreachable;
mod wire;

pub use assignment::{Assignment, Evidence, Heard, Keepalive, Resumable, Resume, Spoken};
pub use clocks::{Beginning, Clocks};
pub use connection::{Connection, Wanted};
pub use connector::JudgingConnector;
pub use endpoint::Endpoint;
pub use failure::Failure;
pub use feed::Feed;
pub use origin::Origin;
pub use outgoing::RelayedBody;
pub use resolver::Resolver;
pub use search::Early;
pub use timings::Timings;
pub use trailers::Screening;
