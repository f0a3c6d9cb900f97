//! What is counted of the requests for one route.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::ANSWER_BUCKETS_S;
use super::cells::Cells;
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
    duration: Histogram,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    fallbacks: IntCounter,
    resumed: IntCounter,
    resume_failed: IntCounter,
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
        let labels = [&**label];
        Self {
            label: Arc::clone(label),
            requests: Cells::default(),
            duration: REQUEST_SECONDS.histogram(&labels, &ANSWER_BUCKETS_S),
            bytes_in: REQUEST_BYTES.counter(&labels),
            bytes_out: RESPONSE_BYTES.counter(&labels),
            fallbacks: FALLBACKS.counter(&labels),
            resumed: RESUMES.counter(&[&**label, "resumed"]),
            resume_failed: RESUMES.counter(&[&**label, "failed"]),
        }
    }

    pub fn ended(&self, request: &Request) {
        let status = usize::from(request.status.unwrap_or(0) / 100);
        let status = if status < STATUS_CLASSES.len() { status } else { 0 };
        let outcome = request.outcome;
        let place = outcome as usize * STATUS_CLASSES.len() + status;
        let new = || REQUESTS.counter(&[&*self.label, outcome.as_str(), STATUS_CLASSES[status]]);
        self.requests.get(place, new).inc();
        self.duration.observe(request.duration.as_secs_f64());
        self.bytes_in.inc_by(request.bytes_in);
        self.bytes_out.inc_by(request.bytes_out);
    }

    /// A request moved on to its next target.
    pub fn fell_back(&self) {
        self.fallbacks.inc();
    }

    /// A stream that broke off goes on at another target.
    pub fn resumed(&self) {
        self.resumed.inc();
    }

    /// A stream that broke off could not be continued.
    pub fn resume_failed(&self) {
        self.resume_failed.inc();
    }

    pub fn show(&self, exposition: &Exposition) {
        self.requests.show(exposition);
        exposition.add(self.duration.clone());
        for counter in [
            &self.bytes_in,
            &self.bytes_out,
            &self.fallbacks,
            &self.resumed,
            &self.resume_failed,
        ] {
            exposition.add(counter.clone());
        }
    }
}
