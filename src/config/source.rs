//! The file's text, and where in it something stands.

use std::ops::Range;
use std::path::PathBuf;

/// The most characters of a source line that a diagnostic shows.
const EXCERPT_CHARS_MAX: usize = 120;

/// A place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The offset from the start of the text.
    pub offset_bytes: usize,
    pub len_bytes: usize,
}

impl Place {
    /// The first character of the file.
    pub(super) const START: Self = Self {
        line: 1,
        column: 1,
        offset_bytes: 0,
        len_bytes: 1,
    };

    pub(super) fn range(self) -> Range<usize> {
        self.offset_bytes..self.offset_bytes + self.len_bytes
    }
}

/// The configuration's text as it was read, for showing lines of it.
#[derive(Clone)]
pub struct Source {
    pub file: PathBuf,
    text: String,
    /// What excerpts must not show, in order.
    secrets: Vec<Range<usize>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// One line of the source, cut to a width that can be read, with the marked characters.
pub(super) struct Excerpt {
    pub(super) text: String,
    /// The part that is marked, in characters of `text`.
    pub(super) marked: Range<usize>,
}

impl Source {
    pub(super) fn new(file: PathBuf, text: String) -> Self {
        Self {
            file,
            text,
            secrets: Vec::new(),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text at `place`.
    pub(super) fn at(&self, place: Place) -> &str {
        self.text.get(place.range()).unwrap_or("")
    }

    /// Fills in the bytes of a place known by line and column only (a syntax error's).
    pub(super) fn locate(&self, place: Place) -> Place {
        let line_index = place.line as usize - 1;
        let line_start: usize = self.text.split_inclusive('\n').take(line_index).map(str::len).sum();
        let within = self.text[line_start..].char_indices().nth(place.column as usize - 1);
        let offset_bytes = within.map_or(self.text.len(), |(at, _)| line_start + at);
        Place {
            offset_bytes,
            len_bytes: place.len_bytes.max(1),
            ..place
        }
    }

    /// Hides these bytes from all excerpts: ranges in order, none within another.
    pub(super) fn hide(&mut self, secrets: Vec<Range<usize>>) {
        self.secrets = secrets;
    }

    fn is_hidden(&self, at: usize) -> bool {
        let after = self.secrets.partition_point(|range| range.start <= at);
        self.secrets[..after].last().is_some_and(|range| range.contains(&at))
    }

    /// Returns the place `within` bytes after `start` and `len_bytes` long; both on character boundaries of the text.
    pub(super) fn further(&self, start: Place, within: usize, len_bytes: usize) -> Place {
        let skipped = self
            .text
            .get(start.offset_bytes..start.offset_bytes + within)
            .unwrap_or("");
        let lines = skipped.bytes().filter(|&byte| byte == b'\n').count();
        let column = match skipped.rfind('\n') {
            Some(at) => 1 + chars(&skipped[at + 1..]),
            None => start.column + chars(skipped),
        };
        let line = start.line + u32::try_from(lines).unwrap_or(u32::MAX);
        Place {
            line,
            column,
            offset_bytes: start.offset_bytes + within,
            len_bytes,
        }
    }

    /// The line of `place`. A long line is cut around the place; keys are shown as `…`.
    pub(super) fn excerpt(&self, place: Place) -> Excerpt {
        let offset = self.floor(place.offset_bytes);
        let mark_end = offset + place.len_bytes.max(1);
        // The whole line where it fits up to the mark's end, else what stands around the mark.
        let before = self.text[..offset]
            .char_indices()
            .rev()
            .take_while(|&(_, character)| character != '\n');
        let before: Vec<usize> = before.take(EXCERPT_CHARS_MAX).map(|(at, _)| at).collect();
        let mark_chars = self.text[offset..]
            .char_indices()
            .take_while(|&(at, _)| offset + at < mark_end);
        let fits = before.len() + mark_chars.take(EXCERPT_CHARS_MAX).count() <= EXCERPT_CHARS_MAX;
        let shown_before = if fits {
            before.len()
        } else {
            before.len().min(EXCERPT_CHARS_MAX / 2)
        };
        let start = if shown_before == 0 {
            offset
        } else {
            before[shown_before - 1]
        };

        let mut text = String::new();
        let mut shown = 0;
        let mut marked = None;
        let mut in_secret = false;
        let line = self.text[start..]
            .char_indices()
            .take_while(|&(_, character)| character != '\n');
        for (at, character) in line
            .take(EXCERPT_CHARS_MAX)
            .map(|(at, character)| (start + at, character))
        {
            let secret = self.is_hidden(at);
            if !(secret && in_secret) {
                text.push(if secret { '…' } else { printable(character) });
                shown += 1;
            }
            in_secret = secret;
            if (offset..mark_end).contains(&at) {
                let begin = marked.map_or(shown - 1, |range: Range<usize>| range.start);
                marked = Some(begin..shown);
            }
        }
        let text = text.trim_end().to_owned();
        // At a line's end there is no character to mark.
        let marked = marked.unwrap_or(shown..shown + 1);
        Excerpt {
            marked: marked.start..marked.end.min(chars(&text) as usize).max(marked.start + 1),
            text,
        }
    }

    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// Replaces control characters, which would move a terminal's cursor.
fn printable(character: char) -> char {
    match character {
        '\t' | '\r' => ' ',
        character if character.is_control() => '\u{fffd}',
        character => character,
    }
}

fn chars(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}
