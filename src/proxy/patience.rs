//! How long a client waits for its answer, as its SDK says: longer than that nobody needs one.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// What OpenAI's and Anthropic's SDKs send, in seconds: Python's the longest wait for any byte, Node's the longest one for the
/// answer's header. Either way, that is when the client gives up an answer that has not begun.
const HEADERS: [&str; 2] = ["x-stainless-read-timeout", "x-stainless-timeout"];

/// The way of the answer to the client: one part in twenty of its patience, and no more than this.
const MARGIN_PARTS: u32 = 20;
const MARGIN_MAX: Duration = Duration::from_secs(2);
/// What is left to each later target, all of them together having at most one part in four.
const LATER_TARGET: Duration = Duration::from_secs(30);
const LATER_PARTS: u32 = 4;
/// Whoever says that it waits longer says nothing.
const PATIENCE_MAX_S: f64 = 24.0 * 60.0 * 60.0;

/// A client's patience with a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    whole: Duration,
    /// When the client has to have the beginning of its answer.
    pub until: Instant,
}

impl Patience {
    /// That of the client that sent `headers`; `None` where it says nothing of it.
    pub(super) fn of(headers: &HeaderMap, received: Instant) -> Option<Self> {
        let seconds = |name: &&str| -> Option<f64> {
            let seconds = headers.get(*name)?.to_str().ok()?.trim().parse().ok()?;
            (seconds > 0.0 && seconds <= PATIENCE_MAX_S).then_some(seconds)
        };
        let whole = Duration::from_secs_f64(HEADERS.iter().filter_map(seconds).reduce(f64::min)?);
        let margin = (whole / MARGIN_PARTS).min(MARGIN_MAX);
        Some(Self {
            whole,
            until: received + (whole - margin),
        })
    }

    /// When an attempt has to make way, where so many targets are left to be asked after it.
    pub(super) fn makes_way(&self, later_targets: usize) -> Option<Instant> {
        let later_targets = u32::try_from(later_targets).unwrap_or(u32::MAX);
        let kept = LATER_TARGET.saturating_mul(later_targets).min(self.whole / LATER_PARTS);
        (later_targets > 0).then(|| self.until - kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(fields: &[(&'static str, &str)]) -> Option<(Patience, Instant)> {
        let headers = fields.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_str(value).unwrap())
        });
        let now = Instant::now();
        Patience::of(&headers.collect(), now).map(|patience| (patience, now))
    }

    #[test]
    fn the_shorter_of_what_the_sdk_says_counts_less_the_way_back() {
        for (fields, until_ms) in [
            (&[("x-stainless-read-timeout", "600")][..], 598_000),
            (&[("x-stainless-timeout", "20")], 19_000),
            (
                &[("x-stainless-timeout", "600"), ("x-stainless-read-timeout", "5.0")],
                4_750,
            ),
        ] {
            let (patience, now) = patience(fields).unwrap();
            assert_eq!(patience.until, now + Duration::from_millis(until_ms), "{fields:?}");
        }
    }

    #[test]
    fn what_says_nothing_bounds_nothing() {
        for value in ["", "0", "-1", "NaN", "inf", "NOT_GIVEN", "1e300"] {
            assert!(patience(&[("x-stainless-timeout", value)]).is_none(), "{value}");
        }
    }

    #[test]
    fn later_targets_keep_their_time() {
        let (patience, now) = patience(&[("x-stainless-timeout", "600")]).unwrap();
        let at = |s| Some(now + Duration::from_secs(s));
        assert_eq!(patience.makes_way(0), None);
        assert_eq!(patience.makes_way(1), at(568));
        assert_eq!(patience.makes_way(2), at(538));
        assert_eq!(patience.makes_way(100), at(448));
    }
}
