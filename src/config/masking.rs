//! What no excerpt of the file may show: credentials that someone wrote into it, also under a key that is misspelt,
//! repeated or of the wrong type.

use std::ops::Range;

use super::document::{Node, Value};
use super::interpolate::{is_name, is_variable};
use super::nearest::nearest;

/// A scalar under a key with one of these in its name may be a credential.
const WORDS: [&str; 6] = ["auth", "cred", "key", "passw", "secret", "token"];

#[derive(Clone, Copy, PartialEq)]
enum Under {
    Anything,
    /// Every scalar may be a credential.
    Secret,
    /// The query of a URL here may be a credential.
    Account,
    /// `key` is a path here, `headers`, `first_token` and `auth` are clocks or classes.
    Settings,
    /// Names of models: no credential, whatever they are called.
    Routes,
}

/// The scalars to hide, in order.
pub(super) fn secrets(root: &Node) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut rest = vec![(root, Under::Anything)];
    while let Some((node, under)) = rest.pop() {
        match &node.value {
            Value::Scalar(text) if hides(text, under) => out.push(node.place.range()),
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
    out.sort_by_key(|range| range.start);
    out.dedup();
    out
}

fn hides(text: &str, under: Under) -> bool {
    let has_user = text.contains("://") && text.contains('@');
    let has_query = under == Under::Account && text.contains('?');
    has_user || has_query || (under == Under::Secret && !is_variable(text) && !matches!(text, "none" | "passthrough"))
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

/// The same for a text that could not be parsed: what follows such a key on its line, unless it is a variable.
pub(super) fn secrets_of_text(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let line_end = line_start + line.trim_end().len();
        if line.contains("://") && line.contains('@') {
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
        let ranges = secrets_of_text(text);
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_broken_text_hides_what_follows_a_key() {
        assert_eq!(hidden("a: { url: x, key: sk-1, b: [\nc: d\n"), ["sk-1, b: ["]);
        assert_eq!(hidden("Authorization: Bearer x\r\nkey: ${VAR}\n"), ["Bearer x"]);
        assert_eq!(hidden("url: https://user:pass@host\n"), ["url: https://user:pass@host"]);
        assert_eq!(hidden("api_key:"), Vec::<&str>::new());
    }
}
