//! Patterns in which `*` stands for any text, none included.

/// Whether `text` is one of those that `pattern` stands for. Takes `pattern.len() × text.len()` steps at most.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Greedy, with one point of return: the last `*` seen and what it took.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Whether every text that `narrow` stands for is one of `wide` too.
///
/// A `*` of `narrow` can become any text, so only a `*` of `wide` can take it: which is what matching `narrow`
/// itself, letter by letter, asks.
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    matches(wide, narrow)
}

pub(super) fn is_glob(name: &str) -> bool {
    name.contains('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a"),
            ("gpt-*", "gpt-"),
            ("*-mini", "gpt-4o-mini"),
            ("a*b*c", "aXbYbZc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("gpt-*", "gpt"),
            ("*-mini", "mini"),
            ("a*b*c", "acb"),
            ("a", "*"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn covering_is_about_every_text() {
        for (wide, narrow) in [
            ("*", "gpt-*"),
            ("gpt-*", "gpt-4*"),
            ("a*b*", "a*b"),
            ("a*", "a**"),
            ("a**", "a*"),
            ("*b*", "*b"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("gpt-*", "*"),
            ("a*b", "a*"),
            ("a*b", "a*b*"),
            ("*a*", "*b*"),
            ("ab", "a*"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}
