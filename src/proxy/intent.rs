//! What to do with a request, by its header alone.

use http::header::{CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, Method};

use crate::protocol::account::guard_of;
use crate::protocol::endpoint::{endpoint, is_telemetry, names_model};

pub(super) enum Intent {
    /// Somebody looks whether anything is here.
    Greet,
    /// What a client reports of itself.
    Telemetry,
    ListModels,
    ShowModel(String),
    /// Read the body and route by its `model`.
    Route,
    /// There is no body, so no model.
    PassThrough,
    /// The body may name a model, but none that routes this request: it is read so that it can be sent again.
    Hold,
    /// A body that need not be read, of whatever size; or a websocket.
    Relay,
}

impl Intent {
    /// Derives the intent. `path` is in its normal form; `is_empty`: the request has no body.
    pub(super) fn of(method: &Method, path: &str, headers: &HeaderMap, is_empty: bool) -> Self {
        let endpoint = endpoint(path);
        let asks = matches!(*method, Method::GET | Method::HEAD);
        let sends = *method == Method::POST;
        match endpoint {
            _ if is_websocket(headers) => Self::Relay,
            _ if asks && path == "/" => Self::Greet,
            _ if is_telemetry(endpoint) => Self::Telemetry,
            "/models" if asks => Self::ListModels,
            _ if asks && endpoint.starts_with("/models/") => Self::ShowModel(endpoint["/models/".len()..].to_owned()),
            _ if sends && names_model(endpoint) => Self::Route,
            _ if is_empty => Self::PassThrough,
            _ if is_json(headers) && sends && guard_of(path).is_none() => Self::Route,
            _ if is_json(headers) => Self::Hold,
            _ => Self::Relay,
        }
    }
}

pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence.eq_ignore_ascii_case(b"application/json") || essence.to_ascii_lowercase().ends_with(b"+json")
}

pub(super) fn is_multipart(headers: &HeaderMap) -> bool {
    essence(headers).to_ascii_lowercase().starts_with(b"multipart/")
}

/// The media type without its parameters.
pub(super) fn essence(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    value[..end].trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn intent(method: &Method, endpoint: &str, content_type: Option<&'static str>, is_empty: bool) -> &'static str {
        let headers = content_type
            .map(|value| (CONTENT_TYPE, HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        match Intent::of(method, endpoint, &headers, is_empty) {
            Intent::Greet => "greet",
            Intent::Telemetry => "telemetry",
            Intent::ListModels => "list",
            Intent::ShowModel(_) => "show",
            Intent::Route => "route",
            Intent::PassThrough => "pass",
            Intent::Hold => "hold",
            Intent::Relay => "relay",
        }
    }

    #[test]
    fn the_header_tells_what_to_do() {
        const JSON: Option<&str> = Some("application/json; charset=utf-8");
        const FORM: Option<&str> = Some("Multipart/Form-Data; boundary=b");
        for (method, endpoint, content_type, is_empty, expected) in [
            (Method::POST, "/chat/completions", JSON, false, "route"),
            // Refused there, in words that help.
            (Method::POST, "/chat/completions", None, true, "route"),
            (Method::POST, "/audio/transcriptions", FORM, false, "route"),
            (
                Method::POST,
                "/brand-new",
                Some("application/vnd.x+json"),
                false,
                "route",
            ),
            (Method::GET, "/chat/completions", JSON, true, "pass"),
            (Method::POST, "/batches/b/cancel", JSON, true, "pass"),
            (Method::DELETE, "/files/f", None, true, "pass"),
            (Method::POST, "/files", FORM, false, "relay"),
            (Method::POST, "/v1/files", JSON, false, "hold"),
            (Method::PUT, "/v1/chat/completions", JSON, false, "hold"),
            (Method::DELETE, "/brand-new", JSON, false, "hold"),
            (Method::PUT, "/files", None, false, "relay"),
            (Method::GET, "/", None, true, "greet"),
            (Method::HEAD, "/", None, true, "greet"),
            (Method::POST, "/", JSON, false, "route"),
            (Method::POST, "/api/event_logging/batch", JSON, false, "telemetry"),
            (
                Method::GET,
                "/v1/api/claude_code/organizations/metrics_enabled",
                None,
                true,
                "telemetry",
            ),
            (Method::GET, "/api/claude_codes", None, true, "pass"),
            (Method::GET, "/models", None, true, "list"),
            (Method::HEAD, "/models/m", None, true, "show"),
            (Method::DELETE, "/models/m", None, true, "pass"),
        ] {
            let found = intent(&method, endpoint, content_type, is_empty);
            assert_eq!(found, expected, "{method} {endpoint} {content_type:?}");
        }
    }
}
