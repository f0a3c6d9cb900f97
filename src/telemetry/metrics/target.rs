//! What is counted and remembered of the attempts at one target.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use tokio::time::Instant;

use super::cells::Pairs;
use super::exposition::Exposition;
use super::names::{ATTEMPTS, CONNECT_SECONDS, CONNECTIONS, FIRST_TOKEN_SECONDS, HEADERS_SECONDS};
use super::{ANSWER_BUCKETS_S, CONNECT_BUCKETS_S};
use crate::telemetry::history::{Attempt, FailureNote, History};

/// The handles of one target, as it is configured.
#[derive(Debug)]
pub struct TargetMeter {
    /// `upstream/model`, or `upstream` where requests name the model.
    pub label: Arc<str>,
    upstream: Arc<str>,
    /// What the status page shows.
    pub history: History,
    answered: IntCounter,
    failed: Pairs,
    opened: IntCounter,
    reused: IntCounter,
    connect: Histogram,
    headers: Histogram,
    first_token: Histogram,
}

/// An attempt whose answer the client got.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served {
    /// `None`: from the pool.
    pub connect: Option<Duration>,
    pub headers: Option<Duration>,
    pub first_token: Option<Duration>,
    /// `None`: the client left before its end.
    pub total: Option<Duration>,
}

impl TargetMeter {
    /// `epoch`: when the first minute of the history begins.
    pub fn new(label: &Arc<str>, upstream: &Arc<str>, epoch: Instant) -> Self {
        let labels: [&str; 2] = [label, upstream];
        Self {
            label: Arc::clone(label),
            upstream: Arc::clone(upstream),
            history: History::new(epoch),
            answered: ATTEMPTS.counter(&[label, upstream, "ok", "deliver"]),
            failed: Pairs::default(),
            opened: CONNECTIONS.counter(&[label, upstream, "new"]),
            reused: CONNECTIONS.counter(&[label, upstream, "pool"]),
            connect: CONNECT_SECONDS.histogram(&labels, &CONNECT_BUCKETS_S),
            headers: HEADERS_SECONDS.histogram(&labels, &ANSWER_BUCKETS_S),
            first_token: FIRST_TOKEN_SECONDS.histogram(&labels, &ANSWER_BUCKETS_S),
        }
    }

    /// An attempt has got its connection: a new one within `connect`, or one from the pool.
    pub fn connected(&self, connect: Option<Duration>) {
        match connect {
            Some(connect) => {
                self.opened.inc();
                self.connect.observe(connect.as_secs_f64());
            }
            None => self.reused.inc(),
        }
    }

    /// An answer has ended, or its client has left.
    pub fn served(&self, attempt: &Served, now: Instant) {
        self.answered.inc();
        if let Some(headers) = attempt.headers {
            self.headers.observe(headers.as_secs_f64());
        }
        if let Some(first_token) = attempt.first_token {
            self.first_token.observe(first_token.as_secs_f64());
        }
        let &Served {
            connect,
            headers,
            first_token,
            total,
        } = attempt;
        let attempt = Attempt {
            succeeded: true,
            connect,
            headers,
            first_token,
            total,
        };
        self.history.record(&attempt, now);
    }

    /// An attempt has failed, and `action` was taken.
    pub fn failed(&self, failure: FailureNote, action: &'static str, connect: Option<Duration>, now: Instant) {
        self.count(failure.class, action);
        let attempt = Attempt {
            connect,
            ..Attempt::default()
        };
        self.history.record(&attempt, now);
        self.history.note(failure);
    }

    /// The client left before there was an answer: nothing is known of the target.
    pub fn abandoned(&self) {
        self.count("client_gone", "none");
    }

    fn count(&self, class: &'static str, action: &'static str) {
        self.failed
            .inc(&ATTEMPTS, &[&self.label, &self.upstream], [class, action]);
    }

    pub fn show(&self, exposition: &Exposition) {
        for counter in [&self.answered, &self.opened, &self.reused] {
            exposition.add(counter.clone());
        }
        self.failed.show(exposition);
        for histogram in [&self.connect, &self.headers, &self.first_token] {
            exposition.add(histogram.clone());
        }
    }
}
