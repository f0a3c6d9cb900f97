//! What is counted of the requests for one route.

use std::sync::Arc;
use std::time::Duration;

use super::ANSWER_BUCKETS_S;
use super::cells::{Cells, CounterCell, HistogramCell};
use super::exposition::Exposition;
use super::names::{FALLBACKS, REQUEST_BYTES, REQUEST_SECONDS, REQUESTS, RESPONSE_BYTES, RESUMES};
use crate::telemetry::access::Outcome;

/// Classes of a status, `none` where no response was begun.
const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The handles of one route.
#[derive(Debug)]
pub struct RouteMeter {
    /// The route's name as configured, or what stands for requests that no route has.
    pub label: Arc<str>,
    requests: Cells<{ Outcome::ALL.len() * STATUS_CLASSES.len() }>,
    duration: HistogramCell,
    bytes_in: CounterCell,
    bytes_out: CounterCell,
    fallbacks: CounterCell,
    resumed: CounterCell,
    resume_failed: CounterCell,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub outcome: Outcome,
    /// The status that the client got, if any.
    pub status: Option<u16>,
    pub duration: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl RouteMeter {
    pub fn new(label: &Arc<str>) -> Self {
        Self {
            label: Arc::clone(label),
            requests: Cells::default(),
            duration: HistogramCell::default(),
            bytes_in: CounterCell::default(),
            bytes_out: CounterCell::default(),
            fallbacks: CounterCell::default(),
            resumed: CounterCell::default(),
            resume_failed: CounterCell::default(),
        }
    }

    pub fn ended(&self, request: &Request) {
        let status = usize::from(request.status.unwrap_or(0) / 100);
        let status = if status < STATUS_CLASSES.len() { status } else { 0 };
        let outcome = request.outcome;
        let place = outcome as usize * STATUS_CLASSES.len() + status;
        let labels = [&*self.label];
        let duration = || REQUEST_SECONDS.histogram(&labels, &ANSWER_BUCKETS_S);
        self.duration.get(duration).observe(request.duration.as_secs_f64());
        let bytes_in = self.bytes_in.get(|| REQUEST_BYTES.counter(&labels));
        bytes_in.inc_by(request.bytes_in);
        let bytes_out = self.bytes_out.get(|| RESPONSE_BYTES.counter(&labels));
        bytes_out.inc_by(request.bytes_out);
        // Last, so that whoever sees it counted sees the rest of it, too.
        let new = || REQUESTS.counter(&[&*self.label, outcome.as_str(), STATUS_CLASSES[status]]);
        self.requests.get(place, new).inc();
    }

    /// A request moved on to its next target.
    pub fn fell_back(&self) {
        self.fallbacks.get(|| FALLBACKS.counter(&[&self.label])).inc();
    }

    /// A stream that broke off goes on at another target.
    pub fn resumed(&self) {
        self.resumed.get(|| RESUMES.counter(&self.resume("resumed"))).inc();
    }

    /// A stream that broke off could not be continued.
    pub fn resume_failed(&self) {
        self.resume_failed.get(|| RESUMES.counter(&self.resume("failed"))).inc();
    }

    fn resume(&self, result: &'static str) -> [&str; 2] {
        [&self.label, result]
    }

    /// Writes the route's series. A route that nobody has asked for has none.
    pub fn show(&self, exposition: &Exposition) {
        self.requests.show(exposition);
        self.duration.show(exposition);
        self.bytes_in.show(exposition);
        self.bytes_out.show(exposition);
        if self.duration.is_used() {
            self.fallbacks.show_from_zero(exposition, &FALLBACKS, &[&self.label]);
            self.resumed
                .show_from_zero(exposition, &RESUMES, &self.resume("resumed"));
            self.resume_failed
                .show_from_zero(exposition, &RESUMES, &self.resume("failed"));
        } else {
            // The first request still runs.
            let early = [&self.fallbacks, &self.resumed, &self.resume_failed];
            early.iter().for_each(|counter| counter.show(exposition));
        }
    }
}
