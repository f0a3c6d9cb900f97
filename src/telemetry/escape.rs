//! Values come from clients and upstreams; none may end a line, begin a field or move a terminal's cursor.

use std::fmt::Write;

/// Longer values are cut: a client chooses model names and paths.
pub(super) const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Longer messages are cut; room for the faults of a rejected reload.
pub(super) const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// Where the text stands, which decides what else must be escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Between double quotes.
    Quoted,
    /// The text stands on a line of its own, unquoted.
    Line,
    /// The text stands in a field with a length: line ends and tabs may stay.
    Sized,
}

/// Appends `text`, with `\uXXXX` for what does not print; between quotes the result is a JSON string's content.
pub(super) fn push(out: &mut String, text: &str, place: Place, bytes_max: usize) {
    // Nearly all values are of this kind. Looking at all of it at once, the compiler makes vector instructions of the loop.
    if text.len() <= bytes_max && text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        return out.push_str(text);
    }
    let kept = &text[..text.floor_char_boundary(bytes_max)];
    let mut rest = kept;
    loop {
        let plain = rest.bytes().take_while(|&byte| is_plain(byte)).count();
        let (run, special) = rest.split_at(plain);
        out.push_str(run);
        let Some(char) = special.chars().next() else { break };
        rest = &special[char.len_utf8()..];
        match char {
            '"' | '\\' if place == Place::Quoted => out.extend(['\\', char]),
            '\n' | '\t' if place == Place::Sized => out.push(char),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if hidden(char) => {
                // Writing to a string can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    if kept.len() < text.len() {
        out.push('…');
    }
}

/// Returns whether `byte` is written unchanged, wherever it stands.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

/// Returns whether `char` is a control, or reorders or breaks a line without being one (Unicode TR #36). All such
/// characters are below U+10000.
fn hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns whether `text` can stand after `key=` without quotes.
pub(super) fn plain(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= VALUE_BYTES_MAX
        && !text
            .chars()
            .any(|char| char.is_whitespace() || matches!(char, '"' | '\\' | '=') || hidden(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(text: &str, place: Place) -> String {
        let mut out = String::new();
        push(&mut out, text, place, 64);
        out
    }

    #[test]
    fn nothing_ends_a_line_or_drives_a_terminal() {
        let hostile = "a\nb\r\tc\u{1b}[2J\u{0}\u{85}\u{2028}\u{202e}\u{7f}";
        assert_eq!(
            pushed(hostile, Place::Line),
            "a\\nb\\r\\tc\\u001b[2J\\u0000\\u0085\\u2028\\u202e\\u007f"
        );
        assert_eq!(pushed("a\n\tb\u{1b}", Place::Sized), "a\n\tb\\u001b");
    }

    #[test]
    fn quoted_text_is_a_json_string() {
        for text in ["", "plain", "a\"b\\c", "é😀", "\u{1b}\u{0}\n\u{2028}"] {
            let quoted = format!("\"{}\"", pushed(text, Place::Quoted));
            assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let out = pushed(&"é".repeat(100), Place::Line);
        assert_eq!(out, format!("{}…", "é".repeat(32)));
        assert!(pushed(&"é".repeat(32), Place::Line).ends_with('é'));
    }

    #[test]
    fn only_harmless_text_goes_unquoted() {
        assert!(plain("openrouter/openai/gpt-4o:free"));
        for text in ["", "a b", "a=b", "a\"", "a\\", "a\u{1b}", "a\u{a0}b"] {
            assert!(!plain(text), "{text:?}");
        }
    }
}
