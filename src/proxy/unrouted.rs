//! Why no model routes a request, by its header.

use http::{HeaderMap, Method};

use super::intent::{essence, is_json, is_websocket};
use crate::protocol::account::guard_of;
use crate::protocol::endpoint::{endpoint, is_gemini, names_model};
use crate::routing::unroutable::Unrouted;

/// A longer media type is cut.
const MEDIA_TYPE_MAX_CHARS: usize = 60;

/// Finds out why a request with this header is routed by no model. `path` is in its normal form; `is_empty`: there is no
/// body.
pub(super) fn unrouted(method: &Method, path: &str, headers: &HeaderMap, is_empty: bool) -> Unrouted {
    let endpoint = endpoint(path);
    let sends = *method == Method::POST;
    if let Some(guard) = guard_of(path) {
        Unrouted::Guarded(guard)
    } else if is_websocket(headers) {
        Unrouted::Websocket
    } else if is_gemini(path) {
        Unrouted::Gemini
    } else if names_model(endpoint) && !sends {
        Unrouted::Method
    } else if sends && !is_empty && is_json(headers) {
        Unrouted::NamesNoModel
    } else if sends && !is_empty {
        let media_type = String::from_utf8_lossy(essence(headers)).into_owned();
        Unrouted::NotJson(media_type.chars().take(MEDIA_TYPE_MAX_CHARS).collect())
    } else {
        Unrouted::Unknown
    }
}
