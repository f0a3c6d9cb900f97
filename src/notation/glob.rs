//! Patterns in which `*` stands for any text, none included.

/// Returns whether `name` matches `pattern`, in which `*` stands for any run of characters, including an empty one.
///
/// The work is linear in `name` for each star: on a mismatch only the last star takes one more character.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            last_star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            p += 1;
            n += 1;
        } else if let Some((star, taken)) = last_star {
            last_star = Some((star, taken + 1));
            p = star + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The order among globs: more literal characters win.
pub fn literal_chars(pattern: &str) -> usize {
    pattern.chars().filter(|&c| c != '*').count()
}

/// Returns whether every text that matches `narrow` also matches `wide`.
///
/// A `*` of `narrow` can become any text, so only a `*` of `wide` can take it. Matching `narrow` itself, letter by
/// letter, checks exactly that.
pub fn covers(wide: &str, narrow: &str) -> bool {
    matches(wide, narrow)
}

pub fn is_glob(name: &str) -> bool {
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

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "gpt-4o", true),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "gpt", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2", false),
            ("gpt-*-mini*", "gpt-4o-mini-2024", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ü*", "über", true),
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
        assert_eq!(literal_chars("gpt-*-ü*"), 6);
    }

    #[test]
    fn hostile_names_take_no_exponential_time() {
        assert!(!matches(
            &"a*".repeat(50),
            &"a".repeat(20_000).replace("aa", "ab")[..].replace('a', "c")
        ));
    }
}
