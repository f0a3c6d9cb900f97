//! Secrets that no excerpt of the file and no message may show: credentials that someone wrote into it, also under a
//! key that is misspelt, repeated or of the wrong type, and whatever looks like one anywhere else.

use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::diagnostic::Diagnostic;
use super::document::{Node, Value};
use super::interpolate::{is_name, is_variable};
use crate::notation::key_like;
use crate::notation::nearest::nearest;

/// A scalar under a key with one of these in its name may be a credential.
const WORDS: [&str; 6] = ["auth", "cred", "key", "passw", "secret", "token"];

#[derive(Clone, Copy, PartialEq)]
enum Under {
    Anything,
    /// Every scalar may be a credential.
    Secret,
    /// The query of a URL here, which may be a path only, may be a credential.
    Account,
    /// A user and a password may stand before the host, also where the scheme was forgotten.
    Proxy,
    /// Here `key` is a path, and `headers`, `first_token` and `auth` are clocks or classes.
    Settings,
    /// Names of models: never a credential, whatever they are called.
    Routes,
}

/// A shorter text is a word like any other.
const TEXT_MIN_BYTES: usize = 6;
/// A message may show so much of a longer text before it is cut.
const TEXT_MAX_BYTES: usize = 32;

/// The credentials of a file.
#[derive(Default)]
pub(super) struct Secrets {
    /// Where they stand, in order.
    pub(super) places: Vec<Range<usize>>,
    texts: Vec<String>,
    /// Finds all the texts in one pass, however many there are.
    finder: Option<AhoCorasick>,
}

impl Secrets {
    /// Finds the secrets of a file that was parsed.
    pub(super) fn of(root: &Node, text: &str) -> Self {
        let mut secrets = scalars(root);
        secrets.places.extend(key_like::surely(text));
        secrets.texts.sort_unstable();
        secrets.texts.dedup();
        let has_texts = !secrets.texts.is_empty();
        secrets.finder = has_texts.then(|| AhoCorasick::new(&secrets.texts).ok()).flatten();
        secrets.settled()
    }

    /// Finds the secrets of a text that could not be parsed.
    pub(super) fn of_text(text: &str) -> Self {
        let mut places = after_keys(text);
        places.extend(key_like::surely(text));
        Self {
            places,
            ..Self::default()
        }
        .settled()
    }

    /// Sorts and merges the places, so that none lies within another.
    fn settled(mut self) -> Self {
        self.places.sort_by_key(|range| range.start);
        let mut places: Vec<Range<usize>> = Vec::with_capacity(self.places.len());
        for place in self.places {
            match places.last_mut() {
                Some(last) if place.start < last.end => last.end = last.end.max(place.end),
                _ => places.push(place),
            }
        }
        Self { places, ..self }
    }

    /// Masks the secrets in a diagnostic about the file: values are in backquotes there.
    pub(super) fn censor(&self, diagnostic: &mut Diagnostic) {
        diagnostic.message = self.censored(&diagnostic.message);
        diagnostic.help = diagnostic.help.as_deref().map(|help| self.censored(help));
    }

    fn censored(&self, text: &str) -> String {
        let parts = text.split('`').enumerate().map(|(nth, part)| {
            if nth % 2 == 0 || part.len() < TEXT_MIN_BYTES {
                return part.to_owned();
            }
            if self.finder.as_ref().is_some_and(|finder| finder.is_match(part)) {
                return "…".to_owned();
            }
            if part.len() < key_like::SURELY_BEGUN_MIN_BYTES {
                return part.to_owned();
            }
            let mut shown = String::new();
            let mut after = 0;
            for key in key_like::surely(part) {
                shown.push_str(&part[after..key.start]);
                shown.push('…');
                after = key.end;
            }
            shown + &part[after..]
        });
        parts.collect::<Vec<_>>().join("`")
    }
}

fn scalars(root: &Node) -> Secrets {
    let mut out = Secrets::default();
    let mut rest = vec![(root, Under::Anything)];
    while let Some((node, under)) = rest.pop() {
        match &node.value {
            Value::Scalar(text) if hides(text, under) => {
                out.places.push(node.place.range());
                if text.len() >= TEXT_MIN_BYTES {
                    let end = (0..=text.len().min(TEXT_MAX_BYTES))
                        .rev()
                        .find(|&end| text.is_char_boundary(end));
                    out.texts.push(text[..end.unwrap_or(0)].to_owned());
                }
            }
            Value::Nothing | Value::Scalar(_) | Value::Unquoted => {}
            Value::Sequence(items) => rest.extend(items.iter().map(|item| (item, under))),
            Value::Mapping(entries) => {
                rest.extend(
                    entries
                        .iter()
                        .map(|(key, value)| (value, below(under, key.text().unwrap_or_default(), value))),
                );
            }
        }
    }
    out
}

fn hides(text: &str, under: Under) -> bool {
    let has_user = text.contains("://") && text.contains('@');
    let has_query = text.contains('?') && (text.contains("://") || under == Under::Account);
    let has_login = under == Under::Proxy && text.contains('@');
    has_user
        || has_login
        || has_query
        || (under == Under::Secret && !is_variable(text) && !matches!(text, "none" | "passthrough"))
}

fn below(under: Under, key: &str, value: &Node) -> Under {
    match (under, key) {
        (Under::Routes, _) => Under::Routes,
        (Under::Secret, "file" | "credential") => Under::Anything,
        (Under::Secret, "env") if value.text().is_some_and(is_name) => Under::Anything,
        (Under::Secret, _) => Under::Secret,
        (Under::Settings, _) => Under::Settings,
        (_, "routes") => Under::Routes,
        (_, "cooldown" | "on" | "timeouts" | "tls") => Under::Settings,
        (_, "key_header") => Under::Anything,
        (_, "balance") => Under::Account,
        (_, "proxy") => Under::Proxy,
        (_, "headers" | "key" | "query") => Under::Secret,
        (_, key) if !matches!(value.value, Value::Mapping(_)) && names_secret(key) => Under::Secret,
        (under, _) => under,
    }
}

fn names_secret(key: &str) -> bool {
    let word = key
        .rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'')))
        .next()
        .unwrap_or(key);
    let word = word.trim_matches(['"', '\'']).to_ascii_lowercase();
    WORDS.iter().any(|secret| word.contains(secret)) || nearest(&word, WORDS).is_some()
}

/// Finds what follows such a key on its line, unless it is a variable, in a text that could not be parsed.
fn after_keys(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let line_end = line_start + line.trim_end().len();
        let has_login = line.contains("proxy") && line.contains('@');
        if has_login || (line.contains("://") && line.contains(['@', '?'])) {
            out.push(line_start..line_end);
            line_start += line.len();
            continue;
        }
        let mut key_start = 0;
        for (colon, _) in line.match_indices(':') {
            let value = line[colon + 1..].trim_start();
            if names_secret(&line[key_start..colon]) && !value.starts_with("${") {
                out.push(line_start + line.len() - value.len()..line_end);
                break;
            }
            key_start = colon + 1;
        }
        line_start += line.len();
    }
    out.retain(|range| !range.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<&str> {
        let ranges = after_keys(text);
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_broken_text_hides_what_follows_a_key() {
        assert_eq!(hidden("a: { url: x, key: sk-1, b: [\nc: d\n"), ["sk-1, b: ["]);
        assert_eq!(hidden("Authorization: Bearer x\r\nkey: ${VAR}\n"), ["Bearer x"]);
        assert_eq!(hidden("url: https://user:pass@host\n"), ["url: https://user:pass@host"]);
        assert_eq!(hidden("proxy: user:pass@host:1"), ["proxy: user:pass@host:1"]);
        assert_eq!(hidden("api_key:"), Vec::<&str>::new());
    }
}
