//! What is counted and remembered of the attempts at one target.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cells::{CounterCell, HistogramCell, Pairs};
use super::exposition::Exposition;
use super::names::{ATTEMPTS, CONNECT_SECONDS, CONNECTIONS, FIRST_TOKEN_SECONDS, HEADERS_SECONDS, Metric};
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
    answered: CounterCell,
    failed: Pairs,
    opened: CounterCell,
    reused: CounterCell,
    connect: HistogramCell,
    headers: HistogramCell,
    first_token: HistogramCell,
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
        Self {
            label: Arc::clone(label),
            upstream: Arc::clone(upstream),
            history: History::new(epoch),
            answered: CounterCell::default(),
            failed: Pairs::default(),
            opened: CounterCell::default(),
            reused: CounterCell::default(),
            connect: HistogramCell::default(),
            headers: HistogramCell::default(),
            first_token: HistogramCell::default(),
        }
    }

    /// An attempt has got its connection: a new one within `connect`, or one from the pool.
    pub fn connected(&self, connect: Option<Duration>) {
        let connections = |source| CONNECTIONS.counter(&[&self.label, &self.upstream, source]);
        match connect {
            Some(connect) => {
                self.opened.get(|| connections("new")).inc();
                self.observe(&self.connect, connect, &CONNECT_SECONDS, &CONNECT_BUCKETS_S);
            }
            None => self.reused.get(|| connections("pool")).inc(),
        }
    }

    fn observe(&self, cell: &HistogramCell, duration: Duration, metric: &Metric, buckets_s: &[f64]) {
        let new = || metric.histogram(&[&self.label, &self.upstream], buckets_s);
        cell.get(new).observe(duration.as_secs_f64());
    }

    /// An answer has ended, or its client has left.
    pub fn served(&self, attempt: &Served, now: Instant) {
        self.answered.get(|| ATTEMPTS.counter(&self.well())).inc();
        if let Some(headers) = attempt.headers {
            self.observe(&self.headers, headers, &HEADERS_SECONDS, &ANSWER_BUCKETS_S);
        }
        if let Some(first_token) = attempt.first_token {
            self.observe(&self.first_token, first_token, &FIRST_TOKEN_SECONDS, &ANSWER_BUCKETS_S);
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

    /// The labels of attempts that were answered well.
    fn well(&self) -> [&str; 4] {
        [&self.label, &self.upstream, "ok", "deliver"]
    }

    /// Of a target that nobody has asked there is one series, which says so.
    pub fn show(&self, exposition: &Exposition) {
        self.answered.show_from_zero(exposition, &ATTEMPTS, &self.well());
        self.opened.show(exposition);
        self.reused.show(exposition);
        self.failed.show(exposition);
        for histogram in [&self.connect, &self.headers, &self.first_token] {
            histogram.show(exposition);
        }
    }
}
