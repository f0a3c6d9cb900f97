//! The failed answer that the client gets if nothing better comes.

use crate::classify::Class;
use crate::config::Exhausted;

/// Keeps one of the failed answers: the first or the last, as configured, but a whole one rather than a part, and any
/// answer rather than one that only says that the request's state belongs to another account.
#[derive(Debug)]
pub struct LastResort<A> {
    rule: Exhausted,
    kept: Option<(A, Worth)>,
    /// An attempt ended without an answer, or none could be made.
    was_unanswered: bool,
}

/// What a failed answer is worth to the client, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worth {
    /// The answer says what is wrong, and not only that the request's state belongs to another account: a client that
    /// is told so abandons its conversation, although the account that made the state may be back in a minute.
    pub tells: bool,
    /// Its body is complete.
    pub whole: bool,
}

impl Worth {
    pub fn of(class: Class, whole: bool) -> Self {
        Self {
            tells: class != Class::ForeignState,
            whole,
        }
    }
}

impl<A> LastResort<A> {
    pub fn new(rule: Exhausted) -> Self {
        Self {
            rule,
            kept: None,
            was_unanswered: false,
        }
    }

    /// Offers another failed answer.
    pub fn offer(&mut self, worth: Worth, answer: impl FnOnce() -> A) {
        let better = match &self.kept {
            None => true,
            Some((_, kept)) if *kept != worth => worth > *kept,
            Some(_) => self.rule == Exhausted::Last,
        };
        if better {
            self.kept = Some((answer(), worth));
        }
    }

    /// Notes that an attempt has ended without an answer, or could not be made.
    pub fn miss(&mut self) {
        self.was_unanswered = true;
    }

    /// Returns whether, when nothing is left to try, the client gets something earlier instead of an answer of this
    /// class that has just failed: the kept answer, or the gateway's account of attempts without one.
    pub fn is_preferred_to(&self, class: Class) -> bool {
        let tells = class != Class::ForeignState;
        match &self.kept {
            Some((_, kept)) if kept.tells && !tells => true,
            Some((_, kept)) if kept.tells == tells && self.rule == Exhausted::First && kept.whole => true,
            _ => !tells && self.was_unanswered,
        }
    }

    /// Takes the kept answer. `None`: there is none, or none that says more than the gateway's own account.
    pub fn take(&mut self) -> Option<A> {
        let kept = self.kept.take();
        kept.filter(|(_, worth)| worth.tells || !self.was_unanswered)
            .map(|(answer, _)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Exhausted::{First, Last};

    /// A class, whether its answer is complete, and a name for it; without a class: an attempt without an answer.
    type Offer = (Option<Class>, bool, &'static str);

    const fn error(whole: bool, name: &'static str) -> Offer {
        (Some(Class::ServerError), whole, name)
    }

    const fn foreign(name: &'static str) -> Offer {
        (Some(Class::ForeignState), true, name)
    }

    const SILENT: Offer = (None, false, "");

    fn kept(rule: Exhausted, offers: &[Offer]) -> LastResort<&'static str> {
        let mut last_resort = LastResort::new(rule);
        for &(class, whole, answer) in offers {
            match class {
                Some(class) => last_resort.offer(Worth::of(class, whole), || answer),
                None => last_resort.miss(),
            }
        }
        last_resort
    }

    #[test]
    fn the_first_or_the_last_but_a_whole_one() {
        for (rule, offers, expected, is_preferred) in [
            (Last, &[][..], None, false),
            (First, &[], None, false),
            (Last, &[error(true, "a"), error(true, "b")], Some("b"), false),
            (First, &[error(true, "a"), error(true, "b")], Some("a"), true),
            (Last, &[error(true, "a"), error(false, "b")], Some("a"), false),
            (
                First,
                &[error(false, "a"), error(true, "b"), error(true, "c")],
                Some("b"),
                true,
            ),
            (First, &[error(false, "a"), error(false, "b")], Some("a"), false),
            (Last, &[error(true, "a"), SILENT], Some("a"), false),
        ] {
            let mut last_resort = kept(rule, offers);
            let preferred = last_resort.is_preferred_to(Class::ServerError);
            assert_eq!(
                (last_resort.take(), preferred),
                (expected, is_preferred),
                "{rule:?} of {offers:?}"
            );
        }
    }

    #[test]
    fn what_says_no_more_than_that_another_made_it_hides_nothing() {
        for rule in [First, Last] {
            for (offers, expected, is_preferred) in [
                (&[error(true, "a"), foreign("b")][..], Some("a"), true),
                (&[foreign("a"), error(true, "b")], Some("b"), true),
                (&[error(false, "a"), foreign("b")], Some("a"), true),
                (&[foreign("a"), SILENT], None, true),
                (&[SILENT, foreign("a")], None, true),
                (&[foreign("a")], Some("a"), rule == First),
            ] {
                let mut last_resort = kept(rule, offers);
                let preferred = last_resort.is_preferred_to(Class::ForeignState);
                assert_eq!(
                    (last_resort.take(), preferred),
                    (expected, is_preferred),
                    "{rule:?} of {offers:?}"
                );
            }
        }
        assert!(!kept(First, &[foreign("a")]).is_preferred_to(Class::RateLimited));
    }
}
