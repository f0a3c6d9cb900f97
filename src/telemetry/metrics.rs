//! What is counted and timed, for Prometheus (text format 0.0.4).
//!
//! The [names] are here and nowhere else. Handles are resolved when a configuration is compiled; what a request does to
//! them are a few atomic additions. A scrape walks the handles that the running configuration has, so that the series of
//! what is gone go with it. No label comes from a client.

mod cells;
mod exposition;
pub mod names;
mod route;
mod target;

pub use exposition::Exposition;
pub use prometheus::Histogram;
pub use route::{Request, RouteMeter};
pub use target::{Served, TargetMeter};

/// What the gateway itself adds: a tenth of a millisecond, not seconds.
pub(crate) const ADDED_BUCKETS_S: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
];
/// The buckets reach from a connection within a data centre to one around the world that nearly ran into its clock.
pub(crate) const CONNECT_BUCKETS_S: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// The buckets reach from a small model nearby to one that thinks for minutes.
pub(crate) const ANSWER_BUCKETS_S: [f64; 13] =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0];

#[cfg(test)]
mod tests;
