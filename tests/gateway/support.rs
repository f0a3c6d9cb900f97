//! What the tests stand on: scripted upstreams, the gateway's process, and clients that may be as rude as they like.

use std::future::Future;
use std::time::Duration;

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod executable;
pub(crate) mod gateway;
pub(crate) mod h2_client;
pub(crate) mod h2_upstream;
pub(crate) mod http1;
pub(crate) mod log;
pub(crate) mod manual;
pub(crate) mod names;
pub(crate) mod payload;
pub(crate) mod pki;
pub(crate) mod proxy;
pub(crate) mod recorded;
pub(crate) mod reload;
pub(crate) mod upstream;
pub(crate) mod watched;
pub(crate) mod wire;

pub(crate) use answer::{Answer, Ending, chunk};
pub(crate) use client::{Client, End, Response, post, post_with};
pub(crate) use executable::write_executable;
pub(crate) use gateway::{Address, Gateway, Setup};
pub(crate) use manual::Manual;
pub(crate) use names::Nameserver;
pub(crate) use payload::*;
pub(crate) use upstream::{Upstream, refusing_port};
pub(crate) use watched::Watched;

/// How long anything may take before a test is called stuck. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// `future`'s outcome, or a panic that names what never came.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(outcome) => outcome,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
