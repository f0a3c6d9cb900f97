//! `${NAME:-text}` in YAML's flow style: braces and commas end an unquoted scalar there, so that
//! `{ key: ${KEY} }` would not be YAML. They are swapped for other characters, one for one, before parsing, and
//! swapped back in the parsed scalars. Values of variables are not known here and never become YAML.

use std::borrow::Cow;

/// Private-use characters that stand for ASCII ones: this plus the ASCII code.
const BASE: u32 = 0x10_FF00;

/// A text that can be parsed, of as many characters in as many lines.
pub(super) struct EscapedVariables<'t> {
    pub(super) text: Cow<'t, str>,
    swapped: bool,
}

impl<'t> EscapedVariables<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // Who writes these very characters does without.
        if !text.contains("${") || text.chars().any(|character| unescape(character) != character) {
            return Self {
                text: Cow::Borrowed(text),
                swapped: false,
            };
        }
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            let end = variable_len(from);
            out.push_str(before);
            out.push('$');
            out.extend(from[1..end].chars().map(escape));
            rest = &from[end..];
        }
        out.push_str(rest);
        Self {
            text: Cow::Owned(out),
            swapped: true,
        }
    }

    /// Returns the text that was parsed as `text`.
    pub(super) fn restore(&self, text: String) -> String {
        if self.swapped {
            text.chars().map(unescape).collect()
        } else {
            text
        }
    }
}

/// Returns the length of the variable that `text` begins with, or 1 (its `$`) where it is not complete on one line. A
/// default with quotes, backslashes or braces is left to YAML: replacing those could join two scalars.
fn variable_len(text: &str) -> usize {
    match text[2..].find(['}', '\n', '\r', '"', '\'', '\\', '{']) {
        Some(at) if text.as_bytes()[2 + at] == b'}' => 2 + at + 1,
        _ => 1,
    }
}

fn escape(character: char) -> char {
    match character {
        '{' | '}' | '[' | ']' | ',' | ':' | '#' | ' ' => char::from_u32(BASE + character as u32).unwrap_or(character),
        character => character,
    }
}

fn unescape(character: char) -> char {
    match (character as u32).checked_sub(BASE) {
        Some(code) if code < 0x80 => char::from_u32(code).unwrap_or(character),
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_lose_what_yaml_would_read() {
        let text = "a: { b: ${X}, c: $${Y:-d, [e]: #f} }";
        let escaped = EscapedVariables::new(text);
        assert_eq!(
            escaped
                .text
                .chars()
                .filter(|c| "{}[],#".contains(*c))
                .collect::<String>(),
            "{,}"
        );
        assert_eq!(escaped.text.chars().count(), text.chars().count());
        assert_eq!(escaped.restore(escaped.text.clone().into_owned()), text);
    }

    #[test]
    fn whatever_could_join_scalars_is_left_alone() {
        for text in [
            r#"["${X:-a", "b}"]"#,
            "a: ${X\nb: }",
            "${",
            "a ${X:-'}'}",
            "${X:-{}}",
            "no variable",
            "é ${X}\u{10FF7B}",
        ] {
            assert_eq!(EscapedVariables::new(text).text, text);
        }
    }
}
