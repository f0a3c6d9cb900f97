//! How long an answer asks to wait.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::Signals;
use super::basis::Basis;
use super::pattern::squash;
use super::reading::{Code, Place, Reading};
use super::said::{Said, Whose};
use crate::notation::date;

/// No upstream can ask for a longer wait, wherever it says so.
pub const WAIT_MAX: Duration = Duration::from_secs(3600);
/// A wait that is asked for in prose is limited to this: a client may have made the provider say it.
pub const PROSE_WAIT_MAX: Duration = Duration::from_secs(60);

/// The wait that an answer asks for, which was classified on this `basis`: at most an hour, and zero if it names a time
/// that has passed. In this order, as SDKs do: `retry-after-ms` (if not zero), `retry-after` (seconds or a date, RFC 9110
/// §10.2.3), the body's fields (Gemini's `retryDelay`, OpenRouter's `retry_after`) and its prose ("try again in 3.89s",
/// at most a minute), and last the reset of a rate limit of which nothing remains.
///
/// A wait in the body is not heeded where the request says the same, nor where only words say what is wrong.
pub fn retry_after(answer: &Signals<'_>, basis: Basis, now: SystemTime) -> Option<Duration> {
    asked_by_header(answer.headers, now)
        .or_else(|| basis.is_proof().then(|| in_body(answer)).flatten())
        .or_else(|| reset(answer.headers, now))
}

/// The same, where nothing is known but the headers.
pub fn in_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    asked_by_header(headers, now).or_else(|| reset(headers, now))
}

fn asked_by_header(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let in_ms = header("retry-after-ms")
        .and_then(number)
        .map(|ms| ms / 1000.0)
        .filter(|seconds| *seconds > 0.0);
    in_ms
        .or_else(|| header("retry-after").and_then(|value| number(value).or_else(|| until_date(value, now))))
        .map(|seconds| bounded(seconds, WAIT_MAX))
}

fn bounded(seconds: f64, max: Duration) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, max.as_secs_f64()))
}

/// A number that is finite and not negative.
fn number(text: &str) -> Option<f64> {
    text.parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value >= 0.0)
}

fn until_date(text: &str, now: SystemTime) -> Option<f64> {
    let date = httpdate::parse_http_date(text).ok().or_else(|| date::read(text))?;
    Some(date.duration_since(now).unwrap_or_default().as_secs_f64())
}

fn in_body(answer: &Signals<'_>) -> Option<Duration> {
    // Looks where classification looks: inside of wrapped errors, in lower case, with keys and values as words.
    let reading = Reading::of(answer);
    let said = Said::new(answer.request);
    let in_field = reading.delays.first().and_then(|delay| in_field(delay, &said));
    in_field.or_else(|| in_prose(&reading.text, &said))
}

fn in_field(delay: &Code, said: &Said<'_>) -> Option<Duration> {
    let seconds = number(&delay.name).or_else(|| Some(duration(&delay.name)?.0))?;
    let squashed = Code {
        name: squash(&delay.name),
        place: delay.place,
    };
    let max = match delay.place {
        Place::Field | Place::Wrapped => WAIT_MAX,
        Place::Prose => PROSE_WAIT_MAX,
    };
    (said.whose_code(&squashed) == Whose::Providers).then(|| bounded(seconds, max))
}

fn in_prose(text: &str, said: &Said<'_>) -> Option<Duration> {
    const STARTS: [&str; 5] = [
        "try again in ",
        "retry in ",
        "retry after ",
        "try again after ",
        "wait ",
    ];
    STARTS.iter().find_map(|start| {
        let at = text.find(start)?;
        let (seconds, length) = duration(&text[at + start.len()..])?;
        let words = squash(&text[at..at + start.len() + length]);
        (said.whose_words(&words) == Whose::Providers).then(|| bounded(seconds, PROSE_WAIT_MAX))
    })
}

/// `x-ratelimit-reset-tokens: 2m52.8s` and its kin, only where the matching `remaining` is zero.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let resets = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        if !name.contains("ratelimit") || !name.contains("remaining") || number(value.to_str().ok()?.trim())? > 0.0 {
            return None;
        }
        let reset = headers.get(name.replace("remaining", "reset"))?.to_str().ok()?.trim();
        match number(reset) {
            // Milliseconds or seconds since 1970 (OpenRouter, Cohere), or seconds from now.
            Some(ms) if ms > 1e11 => Some(since(ms / 1000.0, now)),
            Some(seconds) if seconds > 1e9 => Some(since(seconds, now)),
            Some(seconds) => Some(seconds),
            None => duration(reset)
                .map(|(seconds, _)| seconds)
                .or_else(|| until_date(reset, now)),
        }
    });
    resets.reduce(f64::max).map(|seconds| bounded(seconds, WAIT_MAX))
}

fn since(unix_seconds: f64, now: SystemTime) -> f64 {
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    (unix_seconds - now).max(0.0)
}

/// `48s`, `292.5ms`, `2m52.8s`, `1h0m0s`, `5 seconds`, at the beginning of `text`: in seconds, and how many bytes say so.
fn duration(text: &str) -> Option<(f64, usize)> {
    const PARTS_MAX: usize = 4;
    let mut rest = text.trim_start();
    let mut total: Option<f64> = None;
    for _ in 0..PARTS_MAX {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let Some(amount) = number(&rest[..digits]) else { break };
        let unit = rest[digits..].trim_start();
        let letters = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
        let seconds = match &unit[..letters] {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => break,
        };
        total = Some(total.unwrap_or(0.0) + amount * seconds);
        rest = &unit[letters..];
    }
    Some((total?, text.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::super::said::Request;
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// 2026-06-08T18:45:43Z
    const NOW_S: u64 = 1_780_944_343;

    fn hint(headers: &[(&'static str, &str)], body: &str) -> Option<f64> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S);
        about(b"{}", &headers, body, Basis::Status, now).map(|wait| wait.as_secs_f64())
    }

    fn about(request: &[u8], headers: &HeaderMap, body: &str, basis: Basis, now: SystemTime) -> Option<Duration> {
        let answer = Signals {
            status: 429,
            headers,
            body: body.as_bytes(),
            provider: None,
            request: Some(&Request {
                body: request,
                texts: &[],
            }),
        };
        retry_after(&answer, basis, now)
    }

    #[test]
    fn headers_come_first_in_the_order_of_the_sdks() {
        for (headers, expected) in [
            (&[("retry-after", "12")][..], Some(12.0)),
            (&[("retry-after", "0.5")], Some(0.5)),
            (&[("retry-after", "0")], Some(0.0)),
            (&[("retry-after-ms", "250"), ("retry-after", "7")], Some(0.25)),
            (&[("retry-after-ms", "0"), ("retry-after", "1")], Some(1.0)),
            (&[("retry-after", "Mon, 08 Jun 2026 18:46:43 GMT")], Some(60.0)),
            (&[("retry-after", "Mon, 08 Jun 2020 18:46:43 GMT")], Some(0.0)),
            (&[("retry-after", "1e300")], Some(3600.0)),
            (&[("retry-after", "86400")], Some(3600.0)),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "soon")], None),
            (
                &[
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "2m52.8s"),
                ],
                Some(172.8),
            ),
            (
                &[
                    ("x-ratelimit-remaining-tokens", "9"),
                    ("x-ratelimit-reset-tokens", "2m52.8s"),
                ],
                None,
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1780944353000")],
                Some(10.0),
            ),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1780944353")],
                Some(10.0),
            ),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "3")], Some(3.0)),
            (
                &[
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                    ("anthropic-ratelimit-input-tokens-reset", "2026-06-08T18:45:55Z"),
                ],
                Some(12.0),
            ),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "2026-06-08T20:45:55.5+02:00"),
                ],
                Some(12.5),
            ),
            (&[], None),
        ] {
            assert_eq!(hint(headers, ""), expected, "{headers:?}");
        }
    }

    #[test]
    fn bodies_hint_too() {
        for (body, expected) in [
            (
                r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"48s"}]}}"#,
                Some(48.0),
            ),
            (r#"{"error":{"availability":{"retry_after":40}}}"#, Some(40.0)),
            (
                r#"{"error":{"message":"Please try again in 292.5ms. Need more?"}}"#,
                Some(0.2925),
            ),
            (r#"{"error":{"message":"Please try again in 0m30.5s."}}"#, Some(30.5)),
            (r#"{"error":{"retryDelay":"86400s"}}"#, Some(3600.0)),
            (
                r#"{"error":{"message":"litellm: {'message': 'Please retry after 86400 seconds.'}"}}"#,
                Some(60.0),
            ),
            (r#"{"error":{"message":"Try again in 5 seconds."}}"#, Some(5.0)),
            (r#"{"error":{"message":"Please try again later"}}"#, None),
            (
                r#"{"error":{"message":"retry in 99999999999999999999999999 hours"}}"#,
                Some(60.0),
            ),
            (r#"{"retryDelay":"-3s"}"#, None),
            (r#"{"retryDelay":{"seconds":1}}"#, None),
            ("", None),
        ] {
            assert_eq!(hint(&[], body), expected, "{body}");
        }
    }

    #[test]
    fn what_the_request_says_too_asks_for_no_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S);
        for (request, answer) in [
            (
                r#"{"model":"Please try again in 50s"}"#,
                r#"{"error":{"message":"no `please TRY again in 50s` here"}}"#,
            ),
            (r#"{"x":"50s"}"#, r#"{"error":{"retryDelay":"50s"}}"#),
            (
                r#"{"x":"{\"retry_after\":50}"}"#,
                r#"{"error":{"message":"bad: {\"retry_after\":50} in x"}}"#,
            ),
        ] {
            let none = HeaderMap::new();
            assert_eq!(
                about(request.as_bytes(), &none, answer, Basis::Status, now),
                None,
                "{answer}"
            );
            let other = about(b"{}", &none, answer, Basis::Status, now);
            assert_eq!(other, Some(Duration::from_secs(50)), "{answer}");
            assert_eq!(about(b"{}", &none, answer, Basis::Echo, now), None, "{answer}");
        }
    }
}
