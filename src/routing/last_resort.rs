//! The failed answer that the client gets if nothing better comes.

use crate::classify::Class;
use crate::config::Exhausted;

/// Keeps the best failed answer of each [`Weight`], and picks one of them in the end.
#[derive(Debug)]
pub struct LastResort<A> {
    rule: Exhausted,
    kept: [Option<Kept<A>>; Weight::COUNT],
    offered: u32,
    /// An attempt ended without an answer, or none could be made.
    was_unanswered: bool,
}

#[derive(Debug)]
struct Kept<A> {
    answer: A,
    rank: Rank,
}

/// What a failed answer is worth to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    weight: Weight,
    /// Its status says that it failed. SDKs raise nothing, and retry nothing, for an error inside a 200.
    has_error_status: bool,
    /// Its body is complete.
    whole: bool,
}

/// What the class of an answer says about hiding others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// It only says that the request's state belongs to another account: a client that is told so abandons its
    /// conversation, although the account that made the state may be back in a minute. It hides nothing.
    Foreign,
    /// It is about one account or one target, whom the client did not choose: it hides neither a rate limit nor an overload.
    OneTarget,
    /// The client may wait for a while and ask again.
    Busy,
    Other,
}

/// A place in the order of the answers.
#[derive(Debug, Clone, Copy)]
struct Rank {
    worth: Worth,
    /// Which of all answers it was.
    number: u32,
}

impl Weight {
    const COUNT: usize = 4;

    fn of(class: Class) -> Self {
        match class {
            Class::ForeignState => Self::Foreign,
            Class::Auth | Class::OutOfCredits | Class::ModelNotFound | Class::BadAnswer | Class::Empty => {
                Self::OneTarget
            }
            Class::RateLimited | Class::Overloaded => Self::Busy,
            _ => Self::Other,
        }
    }
}

impl Worth {
    pub fn of(class: Class, status: u16, whole: bool) -> Self {
        Self {
            weight: Weight::of(class),
            has_error_status: status >= 400,
            whole,
        }
    }
}

impl<A> LastResort<A> {
    pub fn new(rule: Exhausted) -> Self {
        Self {
            rule,
            kept: [const { None }; Weight::COUNT],
            offered: 0,
            was_unanswered: false,
        }
    }

    /// Offers another failed answer.
    pub fn offer(&mut self, worth: Worth, answer: impl FnOnce() -> A) {
        let rank = self.next_rank(worth);
        self.offered += 1;
        let slot = &mut self.kept[worth.weight as usize];
        let is_better = slot
            .as_ref()
            .is_none_or(|kept| best(self.rule, [kept.rank, rank]).is_some_and(|best| best.number == rank.number));
        if is_better {
            *slot = Some(Kept { answer: answer(), rank });
        }
    }

    /// Notes that an attempt has ended without an answer, or could not be made.
    pub fn miss(&mut self) {
        self.was_unanswered = true;
    }

    /// Returns whether, when nothing is left to try, the client gets something earlier instead of an answer that has just
    /// failed and is worth so much: a kept answer, or the gateway's account of attempts without one.
    pub fn is_preferred_to(&self, worth: Worth) -> bool {
        let new = self.next_rank(worth);
        let best = best(self.rule, self.ranks().chain([new]));
        best.is_none_or(|best| best.number != new.number || self.says_less_than_the_account(best))
    }

    /// Takes the best answer. `None`: there is none, or none that says more than the gateway's own account.
    pub fn take(&mut self) -> Option<A> {
        let best = best(self.rule, self.ranks())?;
        let kept = self.kept[best.worth.weight as usize].take();
        kept.filter(|_| !self.says_less_than_the_account(best))
            .map(|kept| kept.answer)
    }

    fn says_less_than_the_account(&self, rank: Rank) -> bool {
        rank.worth.weight == Weight::Foreign && self.was_unanswered
    }

    fn next_rank(&self, worth: Worth) -> Rank {
        Rank {
            worth,
            number: self.offered,
        }
    }

    fn ranks(&self) -> impl Iterator<Item = Rank> {
        self.kept.iter().flatten().map(|kept| kept.rank)
    }
}

/// Picks the best of these: what hides nothing loses to all others, an error status wins over an error inside a 200, a rate
/// limit or an overload over what is one target's own, a whole answer over a part. Of those that are left, the rule picks.
fn best(rule: Exhausted, ranks: impl IntoIterator<Item = Rank>) -> Option<Rank> {
    let mut left: Vec<Rank> = ranks.into_iter().collect();
    prefer(&mut left, |worth| worth.weight != Weight::Foreign);
    prefer(&mut left, |worth| worth.has_error_status);
    if left.iter().any(|rank| rank.worth.weight == Weight::Busy) {
        left.retain(|rank| rank.worth.weight != Weight::OneTarget);
    }
    prefer(&mut left, |worth| worth.whole);
    match rule {
        Exhausted::First => left.into_iter().min_by_key(|rank| rank.number),
        Exhausted::Last => left.into_iter().max_by_key(|rank| rank.number),
    }
}

/// Keeps only those that are `better`, if any are.
fn prefer(ranks: &mut Vec<Rank>, better: impl Fn(Worth) -> bool) {
    if ranks.iter().any(|rank| better(rank.worth)) {
        ranks.retain(|rank| better(rank.worth));
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
                Some(class) => last_resort.offer(Worth::of(class, 500, whole), || answer),
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
            let preferred = last_resort.is_preferred_to(Worth::of(Class::ServerError, 500, true));
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
                let preferred = last_resort.is_preferred_to(Worth::of(Class::ForeignState, 400, true));
                assert_eq!(
                    (last_resort.take(), preferred),
                    (expected, is_preferred),
                    "{rule:?} of {offers:?}"
                );
            }
        }
        assert!(!kept(First, &[foreign("a")]).is_preferred_to(Worth::of(Class::RateLimited, 429, true)));
    }
    #[test]
    fn a_status_says_more_than_an_error_inside_a_200_and_one_target_hides_no_rate_limit() {
        for (offers, first, last) in [
            (&[(Class::Overloaded, 529), (Class::ServerError, 200)][..], 0, 0),
            (&[(Class::ServerError, 200), (Class::Overloaded, 503)], 1, 1),
            (&[(Class::RateLimited, 429), (Class::Auth, 401)], 0, 0),
            (
                &[
                    (Class::OutOfCredits, 402),
                    (Class::Overloaded, 503),
                    (Class::ModelNotFound, 404),
                ],
                1,
                1,
            ),
            (
                &[(Class::RateLimited, 429), (Class::ServerError, 500), (Class::Auth, 401)],
                0,
                1,
            ),
            (&[(Class::ServerError, 500), (Class::Auth, 401)], 0, 1),
            (&[(Class::RateLimited, 200), (Class::Auth, 401)], 1, 1),
            (&[(Class::Empty, 200), (Class::BadAnswer, 200)], 0, 1),
        ] {
            for (rule, expected) in [(First, first), (Last, last)] {
                let mut last_resort = LastResort::new(rule);
                for (number, &(class, status)) in offers.iter().enumerate() {
                    let worth = Worth::of(class, status, true);
                    if number + 1 == offers.len() {
                        assert_eq!(
                            last_resort.is_preferred_to(worth),
                            expected != number,
                            "{rule:?} of {offers:?}"
                        );
                    }
                    last_resort.offer(worth, || number);
                }
                assert_eq!(last_resort.take(), Some(expected), "{rule:?} of {offers:?}");
            }
        }
    }
}
