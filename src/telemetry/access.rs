//! The access log: one line per request.

use log::Level;
use log::kv::{Error, Source, Value, VisitSource};

use super::fields;

/// The `log` crate's target of these records.
const MODULE: &str = "switchback::access";

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An upstream's answer was delivered completely; its status may be an error that is the client's to handle.
    Ok,
    /// The client left before the end.
    ClientGone,
    /// The response broke off after commit.
    Broken,
    /// Every target failed.
    Exhausted,
    /// The gateway answered with an error of its own: no such model, too large, not JSON, …
    GatewayError,
}

impl Outcome {
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::ClientGone,
        Self::Broken,
        Self::Exhausted,
        Self::GatewayError,
    ];

    /// The outcome as the log writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientGone => "client_gone",
            Self::Broken => "broken",
            Self::Exhausted => "exhausted",
            Self::GatewayError => "gateway_error",
        }
    }
}

/// The values of a request's line in the log. Absent ones are left out.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    /// A UUIDv7, as in `x-gateway-request-id`.
    pub id: &'a str,
    /// `ADDRESS:PORT`, or `unix`.
    pub client: Option<&'a str>,
    pub method: &'a str,
    /// Everything after a `?` is dropped: queries may carry keys.
    pub path: &'a str,
    /// `HTTP/1.1` or `HTTP/2`.
    pub http_version: &'a str,
    /// `openai` or `anthropic`.
    pub protocol: &'a str,
    pub stream: bool,
    pub model: Option<&'a str>,
    pub route: Option<&'a str>,
    /// The target that served it: `UPSTREAM/MODEL`.
    pub target: Option<&'a str>,
    /// `None` where no response was begun.
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// Why the gateway refused the request, by the code of its error; left out if it did not.
    pub refused: Option<&'a str>,
    pub attempts: u32,
    /// How often another attempt resumed a stream that had broken off; left out if none did.
    pub resumed: u32,
    /// The ledger, as it is in `x-gateway-attempts`; left out where empty.
    pub ledger: &'a str,
    /// The time from receiving the request to its end.
    pub ms: u64,
    /// The time from receiving the request to commit.
    pub first_byte_ms: Option<u64>,
    /// The sizes of the bodies, as on the wire.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Access<'_> {
    /// Writes the line.
    pub fn emit(&self) {
        super::emit(self.level(), MODULE, "access", self);
    }

    /// Returns the level. A request that the operator should know about is a warning, so that `journalctl -p warning`
    /// finds it.
    fn level(&self) -> Level {
        match self.outcome {
            // The gateway's own want of something.
            Outcome::GatewayError if self.status.is_some_and(|status| status >= 500) => Level::Warn,
            Outcome::Ok | Outcome::ClientGone | Outcome::GatewayError => Level::Info,
            Outcome::Broken | Outcome::Exhausted => Level::Warn,
        }
    }
}

impl Source for Access<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        let path = self.path.split('?').next().unwrap_or_default();
        let ledger = (!self.ledger.is_empty()).then_some(self.ledger);
        let fields = [
            (fields::ID, Some(Value::from(self.id))),
            (fields::MODEL, self.model.map(Value::from)),
            (fields::ROUTE, self.route.map(Value::from)),
            (fields::TARGET, self.target.map(Value::from)),
            (fields::STATUS, self.status.map(Value::from)),
            (fields::OUTCOME, Some(Value::from(self.outcome.as_str()))),
            (fields::REFUSED, self.refused.map(Value::from)),
            (fields::ATTEMPTS, Some(Value::from(self.attempts))),
            (fields::RESUMED, (self.resumed > 0).then_some(Value::from(self.resumed))),
            (fields::MS, Some(Value::from(self.ms))),
            (fields::FIRST_BYTE_MS, self.first_byte_ms.map(Value::from)),
            (fields::STREAM, Some(Value::from(self.stream))),
            (fields::METHOD, Some(Value::from(self.method))),
            (fields::PATH, Some(Value::from(path))),
            (fields::PROTOCOL, Some(Value::from(self.protocol))),
            (fields::HTTP, Some(Value::from(self.http_version))),
            (fields::CLIENT, self.client.map(Value::from)),
            (fields::BYTES_IN, Some(Value::from(self.bytes_in))),
            (fields::BYTES_OUT, Some(Value::from(self.bytes_out))),
            (fields::LEDGER, ledger.map(Value::from)),
        ];
        fields::visit(fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use log::Record;

    use super::*;
    use crate::telemetry::{json, text};

    const SERVED: Access<'_> = Access {
        id: "0192",
        client: Some("127.0.0.1:5000"),
        method: "POST",
        path: "/v1/chat/completions?key=sk-secret",
        http_version: "HTTP/1.1",
        protocol: "openai",
        stream: true,
        model: Some("gpt 4o\n"),
        route: Some("gpt*"),
        target: Some("openrouter/openai/gpt-4o"),
        status: Some(200),
        outcome: Outcome::Ok,
        refused: None,
        attempts: 2,
        resumed: 0,
        ledger: "\"openai/gpt-4o\";status=429",
        ms: 1234,
        first_byte_ms: Some(911),
        bytes_in: 100,
        bytes_out: 2000,
    };

    fn record(access: &Access<'_>, write: impl FnOnce(&Record<'_>) -> String) -> String {
        write(
            &Record::builder()
                .target(MODULE)
                .level(access.level())
                .args(format_args!("access"))
                .key_values(access)
                .build(),
        )
    }

    #[test]
    fn text_shows_what_matters_first_and_no_query() {
        let line = record(&SERVED, |record| text::line(UNIX_EPOCH, record));
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z INFO  access id=0192 model=\"gpt 4o\\n\" route=gpt* \
             target=openrouter/openai/gpt-4o status=200 outcome=ok attempts=2 ms=1234 first_byte_ms=911 stream=true \
             method=POST path=/v1/chat/completions protocol=openai http=HTTP/1.1 client=127.0.0.1:5000 bytes_in=100 \
             bytes_out=2000 ledger=\"\\\"openai/gpt-4o\\\";status=429\"\n"
        );
    }

    #[test]
    fn json_keeps_types_and_leaves_out_what_is_absent() {
        let refused = Access {
            client: None,
            model: None,
            route: None,
            target: None,
            status: Some(404),
            outcome: Outcome::GatewayError,
            refused: Some("model_not_found"),
            attempts: 0,
            ledger: "",
            first_byte_ms: None,
            ..SERVED
        };
        let line = record(&refused, |record| json::line(UNIX_EPOCH, record));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            serde_json::json!({
                "ts": "1970-01-01T00:00:00.000Z", "level": "info", "module": "switchback::access", "msg": "access",
                "id": "0192", "status": 404, "outcome": "gateway_error", "refused": "model_not_found", "attempts": 0, "ms": 1234, "stream": true,
                "method": "POST", "path": "/v1/chat/completions", "protocol": "openai", "http": "HTTP/1.1",
                "bytes_in": 100, "bytes_out": 2000,
            })
        );
    }

    #[test]
    fn what_an_operator_should_know_of_is_a_warning() {
        let busy = Access {
            status: Some(503),
            outcome: Outcome::GatewayError,
            ..SERVED
        };
        assert_eq!(busy.level(), Level::Warn);
        let level = |outcome| Access { outcome, ..SERVED }.level();
        assert_eq!([level(Outcome::Broken), level(Outcome::Exhausted)], [Level::Warn; 2]);
        assert_eq!(
            [
                level(Outcome::Ok),
                level(Outcome::ClientGone),
                level(Outcome::GatewayError)
            ],
            [Level::Info; 3]
        );
    }
}
