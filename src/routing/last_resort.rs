//! The failed answer that the client gets if nothing better comes.

use crate::config::Exhausted;

/// Keeps one of the answers that failed: the first or the last, as configured, but a whole one rather than a part.
#[derive(Debug)]
pub struct LastResort<A> {
    rule: Exhausted,
    kept: Option<(A, bool)>,
}

impl<A> LastResort<A> {
    pub fn new(rule: Exhausted) -> Self {
        Self { rule, kept: None }
    }

    /// Offers another failed answer; `whole`: its body is there to the end.
    pub fn offer(&mut self, whole: bool, answer: impl FnOnce() -> A) {
        let better = match &self.kept {
            None => true,
            Some((_, kept_whole)) if *kept_whole != whole => whole,
            Some(_) => self.rule == Exhausted::Last,
        };
        if better {
            self.kept = Some((answer(), whole));
        }
    }

    /// Whether the client gets the kept answer rather than one that has just failed, nothing being left to try.
    pub fn is_preferred(&self) -> bool {
        self.rule == Exhausted::First && self.kept.as_ref().is_some_and(|(_, whole)| *whole)
    }

    pub fn take(&mut self) -> Option<A> {
        self.kept.take().map(|(answer, _)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rule: Exhausted, offers: &[(&'static str, bool)]) -> (Option<&'static str>, bool) {
        let mut last_resort = LastResort::new(rule);
        for &(answer, whole) in offers {
            last_resort.offer(whole, || answer);
        }
        let preferred = last_resort.is_preferred();
        (last_resort.take(), preferred)
    }

    #[test]
    fn the_first_or_the_last_but_a_whole_one() {
        use Exhausted::{First, Last};
        for (rule, offers, expected) in [
            (Last, &[][..], (None, false)),
            (First, &[], (None, false)),
            (Last, &[("a", true), ("b", true)], (Some("b"), false)),
            (First, &[("a", true), ("b", true)], (Some("a"), true)),
            (Last, &[("a", true), ("b", false)], (Some("a"), false)),
            (First, &[("a", false), ("b", true), ("c", true)], (Some("b"), true)),
            (First, &[("a", false), ("b", false)], (Some("a"), false)),
        ] {
            assert_eq!(kept(rule, offers), expected, "{rule:?} of {offers:?}");
        }
    }
}
