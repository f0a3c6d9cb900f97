//! What the client said, as far as an answer may repeat it. Providers quote requests in their errors: the name of a model or
//! of a tool, a parameter's value, a piece of the prompt. What a rule finds in such a quotation is not the provider's word.
//!
//! Request and answer are compared by their letters and digits alone, in lower case: white space, quotes, escapes and
//! punctuation are often changed on the way. What is repeated in other letters (reversed, translated, decoded from
//! base64, look-alikes of another script) is not recognised.

use std::cell::{Cell, OnceCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::letters::{self, is_quote};

/// A run of this many letters that both have is a quotation. Shorter runs are ordinary phrases: "does not exist",
/// "invalid api key".
const RUN_BYTES: usize = 16;
/// Values of at least this length are recognised wherever the answer has them as words. Shorter ones, like "low" or
/// "auto", only within quotes.
const VALUE_MIN_BYTES: usize = 8;
/// The minimum where evidence is at stake; shorter values are recognised only within quotes.
const EVIDENCE_MIN_BYTES: usize = 5;
const QUOTED_MIN_BYTES: usize = 2;
const LONG_CODE_BYTES: usize = 32;
/// How many bytes around a match are examined in the answer.
const AROUND_BYTES: usize = 64;
/// How many bytes are searched for one answer, over all matches. What lies beyond proves nothing.
const SEARCHED_MAX_BYTES: usize = 8 << 20;

/// What the client said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// The body, without its `content-encoding`.
    pub body: &'a [u8],
    /// Its path and query, its headers' values, the name of the model as it was sent on.
    pub texts: &'a [&'a [u8]],
}

impl Request<'_> {
    /// Larger bodies are not searched, because that would delay other requests. What is said about such a request is
    /// evidence of nothing but its status.
    pub const BODY_MAX_BYTES: usize = 1 << 20;
}

/// Whose words a match consists of, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// The answer quotes the request there.
    Clients,
    /// The request has some of these words too, or that is unknown.
    Unclear,
    /// The request has none of it.
    Providers,
}

/// The request that an answer is about, searched when that is first needed.
pub(super) struct Said<'a> {
    /// `None`: nothing is known of it.
    request: Option<&'a Request<'a>>,
    letters: OnceCell<Vec<u8>>,
    searched_bytes: Cell<usize>,
}

impl<'a> Said<'a> {
    pub(super) fn new(request: Option<&'a Request<'a>>) -> Self {
        Self {
            request,
            letters: OnceCell::new(),
            searched_bytes: Cell::new(0),
        }
    }

    /// Returns the request's letters. `None`: it is unknown what the request says.
    fn letters(&self) -> Option<&[u8]> {
        let request = self
            .request
            .filter(|request| request.body.len() <= Request::BODY_MAX_BYTES)?;
        Some(self.letters.get_or_init(|| {
            let mut out = letters::of_body(request.body);
            for text in request.texts {
                letters::append_text(text, &mut out);
            }
            out
        }))
    }

    /// Returns a digest that is the same for two requests which differ only in white space and punctuation.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Some(request) = self.request {
            let body = &request.body[..request.body.len().min(Request::BODY_MAX_BYTES)];
            letters::of_body(body).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Returns whose a squashed code is that stands alone in a field: it is the client's if it is one of the request's
    /// values.
    pub(super) fn whose_value(&self, code: &str) -> Whose {
        let Some(letters) = self.letters() else {
            return if self.request.is_some() {
                Whose::Unclear
            } else {
                Whose::Providers
            };
        };
        let code = code.as_bytes();
        let is_value = memmem::find(letters, &letters::as_value(code)).is_some();
        // No code is as long as this, but a value that was cut short may be.
        let is_part = code.len() >= LONG_CODE_BYTES && memmem::find(letters, code).is_some();
        if is_value || is_part {
            Whose::Clients
        } else {
            Whose::Providers
        }
    }

    /// Returns whose squashed words are that stand within prose: they are the client's if the request has them
    /// anywhere.
    pub(super) fn whose_words(&self, words: &str) -> Whose {
        match self.letters() {
            Some(letters) if memmem::find(letters, words.as_bytes()).is_some() => Whose::Clients,
            Some(_) => Whose::Providers,
            None => Whose::Unclear,
        }
    }

    /// Returns whose the `stems` are that a wording has matched in `text`.
    pub(super) fn whose(&self, text: &str, stems: &[Range<usize>]) -> Whose {
        let Some(letters) = self.letters() else {
            return Whose::Unclear;
        };
        let searched = self.searched_bytes.get() + letters.len();
        if searched > SEARCHED_MAX_BYTES {
            return Whose::Unclear;
        }
        self.searched_bytes.set(searched);
        let mut evidence = Evidence::default();
        for stem in stems {
            evidence.add(text, stem);
        }
        evidence.found_in(letters)
    }
}

/// What would show, if the request contains it, that some words are the client's.
#[derive(Default)]
struct Evidence {
    patterns: Vec<Vec<u8>>,
    /// What each of them shows.
    shows: Vec<Whose>,
}

impl Evidence {
    fn push(&mut self, pattern: Vec<u8>, shows: Whose) {
        if !pattern.is_empty() {
            self.patterns.push(pattern);
            self.shows.push(shows);
        }
    }

    /// `stem` is a range of `text`.
    fn add(&mut self, text: &str, stem: &Range<usize>) {
        let around = text.floor_char_boundary(stem.start.saturating_sub(AROUND_BYTES))
            ..text.ceil_char_boundary((stem.end + AROUND_BYTES).min(text.len()));
        let (before, own, after) = (
            letters::of(&text[around.start..stem.start]),
            letters::of(&text[stem.clone()]),
            letters::of(&text[stem.end..around.end]),
        );
        self.push(own.clone(), Whose::Unclear);
        // Every run that is long enough and has a part of the stem.
        let from = before.len().saturating_sub(RUN_BYTES - 1);
        let all = [&before[from..], &own, &after[..after.len().min(RUN_BYTES - 1)]].concat();
        for run in all.windows(RUN_BYTES) {
            self.push(run.to_vec(), Whose::Clients);
        }
        self.add_values(text, &around, stem);
        self.add_quoted(text, &around, stem);
    }

    /// Adds the values of a request that words around the stem may be.
    fn add_values(&mut self, text: &str, around: &Range<usize>, stem: &Range<usize>) {
        let words: Vec<Range<usize>> = words(&text[around.clone()])
            .map(|word| around.start + word.start..around.start + word.end)
            .collect();
        for first in 0..words.len() {
            let mut value = Vec::new();
            for last in &words[first..] {
                value.extend(letters::of(&text[last.clone()]));
                if value.len() >= RUN_BYTES {
                    break;
                }
                let has_part = words[first].start < stem.end && last.end > stem.start;
                if has_part && value.len() >= EVIDENCE_MIN_BYTES {
                    let is_long = value.len() >= VALUE_MIN_BYTES;
                    let shows = if is_long { Whose::Clients } else { Whose::Unclear };
                    self.push(letters::as_value(&value), shows);
                }
            }
        }
    }

    /// Adds the text between two quotes that contains the stem or a part of it.
    fn add_quoted(&mut self, text: &str, around: &Range<usize>, stem: &Range<usize>) {
        let mut pieces = text[around.clone()].split_inclusive(is_quote);
        let mut start = around.start;
        for piece in &mut pieces {
            let end = start + piece.len();
            if start < stem.end && end > stem.start {
                let value = letters::of(piece);
                if value.len() >= QUOTED_MIN_BYTES {
                    self.push(letters::as_value(&value), Whose::Clients);
                }
            }
            start = end;
        }
    }

    /// Returns the worst of them.
    fn found_in(&self, letters: &[u8]) -> Whose {
        let Ok(search) = AhoCorasick::new(&self.patterns) else {
            return Whose::Unclear;
        };
        let mut worst = Whose::Providers;
        for found in search.find_overlapping_iter(letters) {
            worst = worst.min(self.shows[found.pattern().as_usize()]);
            if worst == Whose::Clients {
                break;
            }
        }
        worst
    }
}

/// Runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(char::is_alphanumeric)?;
        let end = text[start..]
            .find(|char: char| !char.is_alphanumeric())
            .map_or(text.len(), |length| start + length);
        at = end;
        Some(start..end)
    })
}
