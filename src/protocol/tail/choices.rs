//! Which choices of a chat or a completion have begun, and which have ended.

/// OpenAI allows 128 choices. Which of those beyond have ended is not remembered.
const CHOICES_MAX: u64 = 128;

/// A set of choices, told apart by their `index`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choices {
    begun: u128,
    ended: u128,
    /// One with a greater index has begun: only the stream's own end tells that all have ended.
    has_more: bool,
}

impl Choices {
    pub(super) fn begin(&mut self, index: u64) {
        if index < CHOICES_MAX {
            self.begun |= 1 << index;
        } else {
            self.has_more = true;
        }
    }

    pub(super) fn has_begun(self, index: u64) -> bool {
        index < CHOICES_MAX && self.begun & 1 << index != 0
    }

    /// A choice that has ended stays so, whatever is said of it afterwards (its usage, its filters' results).
    pub(super) fn end(&mut self, index: u64) {
        self.begin(index);
        if index < CHOICES_MAX {
            self.ended |= 1 << index;
        }
    }

    pub(super) fn add(&mut self, others: Self) {
        self.begun |= others.begun;
        self.ended |= others.ended;
        self.has_more |= others.has_more;
    }

    /// Whether there were any, and all that have begun have ended.
    pub(super) fn have_ended(self) -> bool {
        self.ended != 0 && self.begun & !self.ended == 0 && !self.has_more
    }

    /// Whether all of these have ended in `ended`.
    pub(super) fn are_among(self, ended: Self) -> bool {
        self.begun & !ended.ended == 0 && !self.has_more
    }
}
