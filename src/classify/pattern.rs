//! The two small pattern languages of the table.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use memchr::memmem;

/// The longest text that `*` in a wording stands for: a model's name and a few words.
const GAP_MAX_BYTES: usize = 120;

/// Wordings to search for in one pass. Each is a row of stems; `*` between two is a gap of at most [`GAP_MAX_BYTES`].
pub(super) struct Wordings {
    patterns: &'static [&'static str],
    first_stems: AhoCorasick,
}

impl Wordings {
    /// Compiles lower-case patterns.
    pub(super) fn new(patterns: &'static [&'static str]) -> Self {
        let first_stems = patterns.iter().filter_map(|pattern| pattern.split('*').next());
        let first_stems = AhoCorasick::new(first_stems).expect("the table's few hundred stems fit an automaton");
        Self { patterns, first_stems }
    }

    /// Returns whether there is nothing to search for.
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Returns whether lower-case `text` contains one of them.
    pub(super) fn occur_in(&self, text: &str) -> bool {
        self.matches_in(text).next().is_some()
    }

    /// Finds the wordings in lower-case `text`: for each match, the ranges of its stems.
    pub(super) fn matches_in<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Vec<Range<usize>>> + 't {
        self.first_stems.find_overlapping_iter(text).filter_map(|found| {
            let pattern = self.patterns[found.pattern().as_usize()];
            follow(pattern.split('*').skip(1), text.as_bytes(), found.range())
        })
    }
}

/// Finds `stems` after `first` in `text`, one after the other, each within a gap of the one before; the result includes
/// `first`.
fn follow(stems: impl Iterator<Item = &'static str>, text: &[u8], first: Range<usize>) -> Option<Vec<Range<usize>>> {
    let mut from = first.end;
    let mut ranges = vec![first];
    for stem in stems {
        let until = (from + GAP_MAX_BYTES + stem.len()).min(text.len());
        let start = from + memmem::find(&text[from..until], stem.as_bytes())?;
        from = start + stem.len();
        ranges.push(start..from);
    }
    Some(ranges)
}

/// Returns whether a squashed code is `pattern`; a `*` at either end leaves that end open.
pub(super) fn code_matches(pattern: &str, code: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(inner), Some(_)) => code.contains(inner.trim_end_matches('*')),
        (Some(end), None) => code.ends_with(end),
        (None, Some(start)) => code.starts_with(start),
        (None, None) => code == pattern,
    }
}

/// Makes `rate_limit_exceeded`, `RateLimitExceeded` and `rate-limit.exceeded` equal: lower case, letters and digits
/// only.
pub(super) fn squash(code: &str) -> String {
    code.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        // As in `İ`, which becomes an `i` and a dot.
        .filter(|c| c.is_alphanumeric())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_match(pattern: &'static str, text: &str) -> bool {
        Wordings::new(vec![pattern].leak()).occur_in(text)
    }

    #[test]
    fn stems_match_in_order_with_short_gaps() {
        assert!(words_match("model*not found", "the model `a/b` was not found"));
        assert!(words_match("model*not*found", "models: model x could not be found"));
        assert!(!words_match("model*not found", "not found: model"));
        assert!(!words_match(
            "model*not found",
            &format!("model {} not found", "x".repeat(200))
        ));
        assert!(words_match("余额*不足", "您的余额已不足"));
        assert!(words_match("a*b", "a a b"));
    }

    #[test]
    fn codes_match_whole_or_open_ended() {
        assert!(code_matches("throttling*", &squash("Throttling.RateQuota")));
        assert!(code_matches(
            "*spendlimitreached",
            &squash("contract_spend_limit_reached")
        ));
        assert!(code_matches("*quota*", &squash("insufficient_quota_error")));
        assert!(!code_matches("quota", &squash("insufficient_quota")));
    }
}
