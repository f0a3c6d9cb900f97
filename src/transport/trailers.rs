//! The fields that follow an HTTP/2 body, as far as they may reach the client.

use http::header::{
    ACCEPT_RANGES, AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, DATE, EXPECT, EXPIRES, HOST, LOCATION, MAX_FORWARDS, PRAGMA, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, RANGE, RETRY_AFTER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, WARNING,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Names and values together. A trailer is a checksum, a status, a few counts; what is longer is none, and is dropped.
const BYTES_MAX: usize = 16 * 1024;

/// Fields that frame a message, route it, authenticate, or change how its content is to be read: they mean something
/// only before the body, and are never passed on after it (RFC 9110, section 6.5.1). Connection-level ones neither
/// (section 7.6.1).
static FORBIDDEN: [HeaderName; 31] = [
    ACCEPT_RANGES,
    AGE,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    DATE,
    EXPECT,
    EXPIRES,
    HOST,
    LOCATION,
    MAX_FORWARDS,
    PRAGMA,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RANGE,
    RETRY_AFTER,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VARY,
    WARNING,
    WWW_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// What the gateway says of itself, and what it decides about browsers, is not for an upstream to say.
const FORBIDDEN_PREFIXES: [&str; 2] = ["x-gateway-", "access-control-"];

/// Knows what an upstream may tell a client: what goes for its header goes for its trailers.
pub trait Screening: Send + Sync {
    /// The value as the client may have it, if at all.
    fn screened(&self, name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue>;
}

/// What of an upstream's trailers the client gets; `None` where nothing is left.
pub(super) fn passable(trailers: &HeaderMap, screening: &dyn Screening) -> Option<HeaderMap> {
    let bytes: usize = trailers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > BYTES_MAX {
        return None;
    }
    let passed: HeaderMap = trailers
        .iter()
        .filter(|(name, _)| is_passable(name))
        .filter_map(|(name, value)| Some((name.clone(), screening.screened(name, value)?)))
        .collect();
    (!passed.is_empty()).then_some(passed)
}

fn is_passable(name: &HeaderName) -> bool {
    let name_text = name.as_str();
    !FORBIDDEN.contains(name) && !FORBIDDEN_PREFIXES.iter().any(|prefix| name_text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everything pass but this value.
    struct AllBut(&'static str);

    impl Screening for AllBut {
        fn screened(&self, _name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
            (value != self.0).then(|| value.clone())
        }
    }

    fn passed(trailers: &HeaderMap) -> Option<HeaderMap> {
        passable(trailers, &AllBut("screened"))
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    #[test]
    fn what_may_follow_a_body_passes() {
        let trailers = map(&[
            ("grpc-status", "0"),
            ("server-timing", "db;dur=53"),
            ("x-checksum", "a"),
        ]);
        assert_eq!(passed(&trailers), Some(trailers));
    }

    #[test]
    fn what_is_screened_does_not() {
        let trailers = map(&[("grpc-status", "0"), ("grpc-message", "screened")]);
        assert_eq!(passed(&trailers), Some(map(&[("grpc-status", "0")])));
    }

    #[test]
    fn what_belongs_before_a_body_never_does() {
        let trailers = map(&[
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("host", "elsewhere"),
            ("authorization", "Bearer sk"),
            ("set-cookie", "a=b"),
            ("connection", "close"),
            ("x-gateway-upstream", "forged"),
            ("access-control-allow-origin", "*"),
        ]);
        assert_eq!(passed(&trailers), None);
    }

    #[test]
    fn too_many_are_dropped() {
        let mut trailers = map(&[("grpc-status", "0")]);
        let long = HeaderValue::from_str(&"x".repeat(BYTES_MAX)).unwrap();
        trailers.insert("grpc-message", long);
        assert_eq!(passed(&trailers), None);
    }
}
