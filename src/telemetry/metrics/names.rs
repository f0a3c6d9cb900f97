//! The names of all metrics, their labels and what they mean. docs/metrics.md says the same; a test compares them.

use prometheus::{Counter, Gauge, Histogram, HistogramOpts, IntCounter, Opts};

/// A metric of a name.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`, as the text format has it.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $kind:literal $name:literal [$($label:literal),*] $help:literal;)*) => {
        $($(#[$doc])* pub const $constant: Metric = Metric {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// All of them.
        pub const ALL: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    REQUESTS = "counter" "switchback_requests_total" ["route", "outcome", "status"]
        "Requests that have ended, by how they ended and the class of the status that the client got.";
    REQUEST_SECONDS = "histogram" "switchback_request_duration_seconds" ["route"]
        "From receiving a request's header to the end of its response.";
    ADDED_SECONDS = "histogram" "switchback_added_latency_seconds" []
        "What the gateway itself added: from having read a request to committing its answer, without the waits for upstreams and the backoff.";
    REQUEST_BYTES = "counter" "switchback_request_body_bytes_total" ["route"]
        "Bytes of request bodies, as clients sent them.";
    RESPONSE_BYTES = "counter" "switchback_response_body_bytes_total" ["route"]
        "Bytes of response bodies, as clients got them.";
    FALLBACKS = "counter" "switchback_fallbacks_total" ["route"]
        "How often a request moved on to its next target.";
    RESUMES = "counter" "switchback_resumes_total" ["route", "result"]
        "How often a stream that broke off was continued at another target, or could not be.";
    REQUESTS_IN_FLIGHT = "gauge" "switchback_requests_in_flight" []
        "Requests that run now.";
    CLIENT_CONNECTIONS = "gauge" "switchback_client_connections" []
        "Connections of clients that are open now.";
    CLIENT_CONNECTIONS_CLOSED = "counter" "switchback_client_connections_closed_total" ["reason"]
        "Idle connections of clients that the gateway closed: idle for too long, or to make room for others.";
    CLIENT_CONNECTIONS_REFUSED = "counter" "switchback_client_connections_refused_total" []
        "Connections of clients that there was no room for.";
    ATTEMPTS = "counter" "switchback_attempts_total" ["target", "upstream", "class", "action"]
        "Attempts that have ended, by what they came to and what was done about it.";
    CONNECTIONS = "counter" "switchback_attempt_connections_total" ["target", "upstream", "source"]
        "Connections that attempts got, by whether they were new or from the pool.";
    CONNECT_SECONDS = "histogram" "switchback_attempt_connect_seconds" ["target", "upstream"]
        "How long new connections took, TLS included.";
    HEADERS_SECONDS = "histogram" "switchback_attempt_headers_seconds" ["target", "upstream"]
        "From the request's last byte to the final response header, of attempts that were answered.";
    FIRST_TOKEN_SECONDS = "histogram" "switchback_attempt_first_token_seconds" ["target", "upstream"]
        "From the response header to the first meaningful event or byte, of attempts that were answered.";
    ATTEMPTS_IN_FLIGHT = "gauge" "switchback_upstream_attempts_in_flight" ["upstream"]
        "Attempts that run now, until their answers have ended.";
    TARGET_COOLDOWN = "gauge" "switchback_target_cooldown_state" ["target", "upstream"]
        "How a target stands, its upstream's cooldown included: 0 closed (used), 1 open (skipped), 2 half-open (to be tried, or being tried by one request).";
    TARGET_COOLDOWN_SECONDS = "gauge" "switchback_target_cooldown_remaining_seconds" ["target", "upstream"]
        "How long a target is skipped still.";
    UPSTREAM_COOLDOWN = "gauge" "switchback_upstream_cooldown_state" ["upstream"]
        "How an upstream stands as a whole: 0 closed (used), 1 open (skipped), 2 half-open.";
    UPSTREAM_COOLDOWN_SECONDS = "gauge" "switchback_upstream_cooldown_remaining_seconds" ["upstream"]
        "How long an upstream is skipped still.";
    ROUTE_TARGETS = "gauge" "switchback_route_targets" ["route"]
        "Places in a route's chain.";
    ROUTE_TARGETS_SKIPPED = "gauge" "switchback_route_targets_skipped" ["route"]
        "Places in a route's chain that a cooldown keeps out.";
    BALANCE = "gauge" "switchback_upstream_balance" ["upstream", "currency"]
        "Credit left; absent where it is unlimited or was not told yet.";
    BALANCE_SPENT = "gauge" "switchback_upstream_balance_spent" ["upstream"]
        "Whether nothing can be asked of the account any more.";
    BALANCE_FAILING = "gauge" "switchback_upstream_balance_failing" ["upstream"]
        "Whether the last attempt to read the credit failed.";
    BALANCE_LOW = "gauge" "switchback_upstream_balance_low" ["upstream"]
        "The configured mark below which the credit is low, in the same unit.";
    BALANCE_READ = "gauge" "switchback_upstream_balance_read_timestamp_seconds" ["upstream"]
        "When the credit was last told, in seconds since 1970.";
    MEMORY_USED = "gauge" "switchback_memory_used_bytes" []
        "What requests keep in memory now: bodies, raw and decoded, and answers that are held back.";
    MEMORY_BOUND = "gauge" "switchback_memory_bound_bytes" []
        "What they may keep together (`server.memory`).";
    MEMORY_REFUSALS = "counter" "switchback_memory_refusals_total" []
        "Requests that were refused because there was no room for their bodies in time.";
    CONFIG_GENERATION = "gauge" "switchback_config_generation" []
        "Configurations loaded so far, the first included.";
    RELOADS_REJECTED = "counter" "switchback_config_rejected_total" []
        "Changed configurations that were not taken.";
    RELOAD_SUCCESSFUL = "gauge" "switchback_config_last_reload_successful" []
        "Whether the last attempt to load a configuration succeeded.";
    RELOAD_TIME = "gauge" "switchback_config_last_reload_timestamp_seconds" []
        "When the last attempt to load a configuration was made, in seconds since 1970.";
    CONFIG_LOADED = "gauge" "switchback_config_loaded_timestamp_seconds" []
        "When the running configuration was loaded, in seconds since 1970.";
    LOG_RECORDS_DROPPED = "counter" "switchback_log_records_dropped_total" ["reason"]
        "Records that are missing in the log, because its reader stood still or writing failed.";
    BUILD_INFO = "gauge" "switchback_build_info" ["version"]
        "Always 1; the label says which version runs.";
    CPU_SECONDS = "counter" "process_cpu_seconds_total" []
        "Time spent on a CPU, in user mode and in the kernel.";
    RESIDENT_BYTES = "gauge" "process_resident_memory_bytes" []
        "Memory that is really there.";
    VIRTUAL_BYTES = "gauge" "process_virtual_memory_bytes" []
        "Memory that is addressed.";
    OPEN_FDS = "gauge" "process_open_fds" []
        "Open files and sockets.";
    MAX_FDS = "gauge" "process_max_fds" []
        "How many files and sockets may be open.";
    THREADS = "gauge" "process_threads" []
        "Threads.";
    START_TIME = "gauge" "process_start_time_seconds" []
        "When the process started, in seconds since 1970.";
}

/// Why nothing can go wrong below: names are constants, and a test makes all of them.
const VALID: &str = "names and labels are valid";

impl Metric {
    fn opts(&self, values: &[&str]) -> Opts {
        assert_eq!(self.labels.len(), values.len(), "{}: a value for each label", self.name);
        let labels = std::iter::zip(self.labels, values);
        labels.fold(Opts::new(self.name, self.help), |opts, (label, value)| {
            opts.const_label(*label, *value)
        })
    }

    pub(super) fn counter(&self, labels: &[&str]) -> IntCounter {
        IntCounter::with_opts(self.opts(labels)).expect(VALID)
    }

    pub(super) fn float_counter(&self, labels: &[&str]) -> Counter {
        Counter::with_opts(self.opts(labels)).expect(VALID)
    }

    pub(super) fn gauge(&self, labels: &[&str]) -> Gauge {
        Gauge::with_opts(self.opts(labels)).expect(VALID)
    }

    /// `buckets_s`: upper bounds in seconds, ascending.
    pub fn histogram(&self, labels: &[&str], buckets_s: &[f64]) -> Histogram {
        let opts = HistogramOpts::from(self.opts(labels)).buckets(buckets_s.to_vec());
        Histogram::with_opts(opts).expect(VALID)
    }
}
