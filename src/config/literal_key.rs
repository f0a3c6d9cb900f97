//! Keys that are none: variables in another program's notation, a whole header, quotes that came along.

/// Why a text is probably not a key, in words that never hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// Continues the sentence that begins with the key.
    pub(super) reason: &'static str,
    pub(super) help: String,
}

/// What variables of keys are called, at their ends.
const VARIABLES_END: [&str; 3] = ["KEY", "TOKEN", "SECRET"];
/// How other programs refer to a variable, besides a `$`.
const NOTATIONS: [&str; 7] = ["os.environ", "process.env", "env.", "env:", "env/", "{{", "{env"];

/// Suspects a text that the file has in place of a key.
pub(super) fn as_written(text: &str) -> Option<Suspicion> {
    let suspicion = |reason, help| Some(Suspicion { reason, help });
    let variable = format!("write `${{{}}}`", variable(text).unwrap_or("NAME"));
    if text.starts_with("$(") || (text.starts_with('`') && text.ends_with('`')) {
        let help = "set an environment variable before the start and write `${NAME}`, or write `{ file: PATH }`";
        return suspicion("is a shell command, and none is run here", help.to_owned());
    }
    let named = |text: &str| text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if text.strip_prefix('$').is_some_and(named) {
        return suspicion("is a variable without braces, and only `${NAME}` is replaced", variable);
    }
    let in_percents = text.len() > 2 && text.starts_with('%') && text.ends_with('%');
    if in_percents || NOTATIONS.iter().any(|notation| text.starts_with(notation)) {
        return suspicion("is a variable as another program writes it", variable);
    }
    if self::variable(text) == Some(text) {
        return suspicion("looks like the name of a variable, not like its value", variable);
    }
    let lower = text.to_ascii_lowercase();
    let in_brackets = text.starts_with('<') && text.ends_with('>');
    if in_brackets || text.ends_with("...") || lower.starts_with("your-") || lower.starts_with("your_") {
        return suspicion(
            "looks like a placeholder out of an example",
            "write the key, or `${NAME}`".to_owned(),
        );
    }
    None
}

/// Suspects a key, wherever it comes from. `is_token`: the header that carries it begins with `Bearer `, or is
/// `x-api-key`.
pub(super) fn as_value(value: &str, is_token: bool) -> Option<Suspicion> {
    let suspicion = |reason, help: &str| {
        Some(Suspicion {
            reason,
            help: help.to_owned(),
        })
    };
    let begins_with_bearer = value
        .get(..7)
        .is_some_and(|begin| begin.eq_ignore_ascii_case("bearer "));
    if is_token && begins_with_bearer {
        return suspicion(
            "begins with `Bearer `, which is put before it anyway",
            "write the key alone",
        );
    }
    let quoted = |quote: char| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    if quoted('"') || quoted('\'') {
        return suspicion("is in quotes, which are sent with it", "write it without them");
    }
    if !value.is_ascii() {
        let help = "type it again, or copy it from the provider's page";
        return suspicion("holds characters that are not ASCII, such as typographic quotes", help);
    }
    None
}

/// The variable that `text` ends with, if its name says that it is one for a key: names of others might be keys.
fn variable(text: &str) -> Option<&str> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    let text = text.trim_end_matches(|letter: char| !is_part(letter));
    let begin = text.rfind(|letter: char| !is_part(letter)).map_or(0, |at| at + 1);
    let name = &text[begin..];
    let begins_well = name.starts_with(|first: char| first.is_ascii_uppercase());
    let ends_well = VARIABLES_END.iter().any(|end| name.ends_with(end));
    (begins_well && ends_well && name.contains('_')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_other_notations_are_no_keys() {
        for text in [
            "$OPENAI_API_KEY",
            "os.environ/OPENAI_API_KEY",
            "os.environ['OPENAI_API_KEY']",
            "process.env.OPENAI_API_KEY",
            "{{ env.OPENAI_API_KEY }}",
            "{env:OPENAI_API_KEY}",
            "%OPENAI_API_KEY%",
            "env:OPENAI_API_KEY",
            "OPENAI_API_KEY",
        ] {
            let suspicion = as_written(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(suspicion.help, "write `${OPENAI_API_KEY}`", "{text}");
        }
        for text in [
            "$(cat key)",
            "`cat key`",
            "<your key>",
            "sk-...",
            "YOUR_API_KEY",
            "your-key-here",
            "$hidden",
        ] {
            let suspicion = as_written(text).unwrap_or_else(|| panic!("{text}"));
            assert!(!suspicion.help.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn keys_are_not_suspected() {
        for key in [
            "sk-proj-Ab12",
            "unused",
            "12345",
            "AIzaSyA",
            "gsk_x",
            "ollama",
            "$",
            "$1x",
            "EMPTY",
            "KEY",
        ] {
            assert_eq!(as_written(key).or_else(|| as_value(key, true)), None, "{key}");
        }
    }

    #[test]
    fn what_came_along_with_a_key_is_found() {
        for value in ["Bearer sk-1", "bearer sk-1", "\"sk-1\"", "'sk-1'", "“sk-1”", "sk-é"] {
            assert!(as_value(value, true).is_some(), "{value}");
        }
        assert_eq!(
            as_value("Bearer sk-1", false),
            None,
            "another header may hold just that"
        );
        for short in ["é", "\"", "beareré "] {
            let _ = as_value(short, true);
        }
    }
}
