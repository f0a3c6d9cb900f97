//! Which rule of the table applies to an answer, and what it rests on.

use std::ops::Range;

use super::Class::ForeignState;
use super::basis::{Basis, Status, Testimony};
use super::pattern::{Wordings, code_matches};
use super::reading::{Place, Reading};
use super::rules::{RULES, Rule, WORDINGS};
use super::said::{Said, Whose};

/// At most this many matches of one rule are examined: more than real answers have.
const MATCHES_MAX: usize = 16;

/// A rule that applies, and its basis.
pub(super) struct Finding {
    pub(super) rule: &'static Rule,
    pub(super) basis: Basis,
}

/// Returns the first rule that applies to an answer with this `status`, given what the client `said`.
pub(super) fn first(reading: &Reading, status: &Status, said: &Said<'_>) -> Option<Finding> {
    let by_status = RULES
        .iter()
        .find(|rule| rule.is_by_status_alone() && rule.fits(reading, status))
        .map(|rule| rule.class);
    let mut rules = RULES.iter().zip(WORDINGS.iter());
    rules.find_map(|(rule, wordings)| {
        if !rule.fits(reading, status) {
            return None;
        }
        let basis = if by_status == Some(rule.class) || rule.is_about_the_request() {
            rule.applies(wordings, reading)
                .then(|| status.basis(rule.name, reading, said))?
        } else {
            rule.proof(wordings, reading, said)?
        };
        Some(Finding { rule, basis })
    })
}

impl Rule {
    /// Returns whether the answer's status and provider are among those that the rule is for.
    fn fits(&self, reading: &Reading, status: &Status) -> bool {
        holds(self.statuses, |wanted| *wanted == status.code)
            && holds(self.providers, |pattern| code_matches(pattern, &reading.provider))
    }

    fn is_by_status_alone(&self) -> bool {
        self.codes.is_empty() && self.words.is_empty()
    }

    /// Returns whether the refusal is about what the request contains. A client that makes a provider say so only moves
    /// on to the next target, and changes nothing for others.
    fn is_about_the_request(&self) -> bool {
        self.is_requests_own || self.class == ForeignState
    }

    /// Returns whether codes and words are present, whoever said them.
    fn applies(&self, wordings: &Wordings, reading: &Reading) -> bool {
        let names_code = |pattern: &&str| reading.codes.iter().any(|code| code_matches(pattern, &code.name));
        holds(self.codes, names_code) && (wordings.is_empty() || wordings.occur_in(&reading.text))
    }

    /// Returns the basis of the rule, if its codes and words are present and are not the client's.
    fn proof(&self, wordings: &Wordings, reading: &Reading, said: &Said<'_>) -> Option<Basis> {
        let by_code = match self.codes {
            [] => None,
            patterns => Some(code_proof(patterns, reading, said)?),
        };
        if wordings.is_empty() {
            return Some(by_code.unwrap_or(Basis::Status));
        }
        let mut unclear = false;
        for stems in wordings.matches_in(&reading.text).take(MATCHES_MAX) {
            match said.whose(&reading.text, &stems) {
                Whose::Providers => {
                    let sentence = sentence_around(&reading.text, &stems);
                    return Some(Basis::Wording(Testimony::new(self.name, sentence, said)));
                }
                Whose::Unclear => unclear = true,
                Whose::Clients => {}
            }
        }
        unclear.then_some(Basis::Echo)
    }
}

/// Returns the basis of a match of one of the codes `patterns`, if the answer has one that is not the client's.
fn code_proof(patterns: &[&str], reading: &Reading, said: &Said<'_>) -> Option<Basis> {
    let codes = reading
        .codes
        .iter()
        .filter(|code| patterns.iter().any(|pattern| code_matches(pattern, &code.name)));
    let mut best = None;
    for code in codes.take(MATCHES_MAX) {
        let whose = said.whose_code(code);
        let basis = match (code.place, whose) {
            (_, Whose::Clients) => continue,
            (_, Whose::Unclear) => Basis::Echo,
            (Place::Field | Place::Wrapped, Whose::Providers) => return Some(Basis::Code),
            (Place::Prose, Whose::Providers) => Basis::Wording(Testimony::new(&code.name, &reading.text, said)),
        };
        if best.is_none_or(|best| best == Basis::Echo) {
            best = Some(basis);
        }
    }
    best
}

/// The sentence in which `stems` stand.
fn sentence_around<'t>(text: &'t str, stems: &[Range<usize>]) -> &'t str {
    const ENDS: [&str; 6] = [". ", "! ", "? ", "\n", "。", "！"];
    let (first, last) = (
        stems.first().map_or(0, |stem| stem.start),
        stems.last().map_or(text.len(), |stem| stem.end),
    );
    let start = ENDS
        .iter()
        .filter_map(|end| Some(text[..first].rfind(end)? + end.len()))
        .max();
    let end = ENDS.iter().filter_map(|end| text[last..].find(end)).min();
    &text[start.unwrap_or(0)..end.map_or(text.len(), |end| last + end)]
}

/// An empty list is no condition.
fn holds<T>(list: &[T], is_met: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(is_met)
}
