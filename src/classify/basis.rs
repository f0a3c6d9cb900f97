//! What a verdict rests on. A client can make a provider repeat its words, but hardly its status: which targets a
//! failure keeps out, and for how long, depends on who can have said it.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::reading::{Code, Place, Reading};
use super::said::{Said, Whose};

/// The evidence that a verdict rests on, from strongest to weakest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The status, or an answer that did not come at all.
    Status,
    /// A code for programs, in a field of its own, that is not a value of the request.
    Code,
    /// The provider's own words. A second, different request that is told the same confirms them.
    Wording(Testimony),
    /// Words that also occur in the request: the client may have made the provider repeat them.
    Echo,
}

/// What a provider told one request in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Testimony {
    /// A digest that distinguishes sentences, whatever numbers and names they contain.
    sentence: u64,
    /// A digest that distinguishes requests.
    request: u64,
}

impl Basis {
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Code => "code",
            Self::Wording(_) => "wording",
            Self::Echo => "echo",
        }
    }

    /// Returns whether no client can have caused it.
    pub fn is_proof(self) -> bool {
        matches!(self, Self::Status | Self::Code)
    }
}

impl Testimony {
    pub(super) fn new(rule: &str, sentence: &str, said: &Said<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        rule.hash(&mut hasher);
        // Numbers, ids and what is quoted differ from one request to the next.
        let words = sentence.split_whitespace();
        let plain = |word: &&str| !word.contains(|char: char| char.is_numeric() || "'\"`_@/".contains(char));
        words.filter(plain).for_each(|word| word.hash(&mut hasher));
        Self {
            sentence: hasher.finish(),
            request: said.digest(),
        }
    }

    /// Returns whether a different request was told the same.
    pub fn bears_out(self, other: Self) -> bool {
        self.sentence == other.sentence && self.request != other.request
    }
}

/// The status that counts: for 200, 500 and 502, which gateways put on anything, the one that the body names.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) code: u16,
    place: Place,
}

impl Status {
    pub(super) fn of(answered: u16, reading: &Reading, said: &Said<'_>) -> Self {
        let inner = reading
            .inner_status
            .as_ref()
            .filter(|(_, code)| matches!(answered, 200 | 500 | 502) && said.whose_code(code) != Whose::Clients);
        match inner {
            Some((status, code)) => Self {
                code: *status,
                place: code.place,
            },
            None => Self {
                code: answered,
                place: Place::Field,
            },
        }
    }

    /// Returns the basis of a rule that matched the status alone. A page that refuses the request comes from something
    /// in front of the provider, and may be a reaction to what this request contains.
    pub(super) fn basis(&self, rule: &str, reading: &Reading, said: &Said<'_>) -> Basis {
        if self.place == Place::Prose || (self.code == 403 && reading.is_page) {
            Basis::Wording(Testimony::new(rule, "", said))
        } else {
            Basis::Status
        }
    }
}

impl Said<'_> {
    /// Returns whose words a code of the answer is.
    pub(super) fn whose_code(&self, code: &Code) -> Whose {
        match code.place {
            Place::Field => self.whose_value(&code.name),
            Place::Wrapped | Place::Prose => self.whose_words(&code.name),
        }
    }
}
