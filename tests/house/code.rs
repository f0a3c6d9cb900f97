//! Rust source, read just well enough for the house's rules: no comments, no strings, no tests.

use std::collections::BTreeSet;

/// `source` up to its inline tests, with comments and the contents of literals gone.
pub(crate) fn shipped(source: &str) -> String {
    let bare = without_comments_and_strings(source);
    match bare.find("#[cfg(test)]\nmod ") {
        Some(tests) => bare[..tests].to_owned(),
        None => bare,
    }
}

/// The first segments after `crate::` or `switchback::`, groups (`crate::{a, b::c}`) included.
pub(crate) fn imported_modules(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for prefix in ["crate::", "switchback::"] {
        for (at, _) in code.match_indices(prefix) {
            if !code[..at].ends_with(is_word) {
                found.extend(heads(&code[at + prefix.len()..]));
            }
        }
    }
    found
}

/// Whether a path begins with the crate `name`, or with one whose name begins so (`pingora_core::…`).
pub(crate) fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let end = code[at..]
            .find(|char| !is_word(char))
            .map_or(code.len(), |length| at + length);
        !code[..at].ends_with(|char| is_word(char) || char == ':') && code[end..].starts_with("::")
    })
}

/// What each `loop` and `while` turns, white space left out. (A `for` ends with what it goes over.)
pub(crate) fn endless_loops(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in ["loop", "while"] {
        for (at, _) in code.match_indices(word) {
            let after = &code[at + word.len()..];
            let is_keyword = !code[..at].ends_with(is_word) && after.starts_with(' ');
            if is_keyword && let Some(turned) = turned_by(after) {
                found.push(turned);
            }
        }
    }
    found
}

/// What is between the braces that follow. A condition may have some of its own, but only within parentheses or a
/// pattern; the body's is the first that ends a line.
fn turned_by(after: &str) -> Option<String> {
    let open = after.find("{\n")?;
    let mut depth = 0_usize;
    for (at, char) in after[open..].char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => {
                let body = &after[open + 1..open + at];
                return Some(body.chars().filter(|char| !char.is_whitespace()).collect());
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

pub(crate) fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// `a::b` → `a`; `{a::b, c}` → `a`, `c`.
fn heads(path: &str) -> Vec<String> {
    let word = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|char| is_word(*char))
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let mut depth = 0_usize;
    let mut items = vec![String::new()];
    for char in group.chars() {
        match char {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(String::new()),
            _ => {
                depth = depth + usize::from(char == '{') - usize::from(char == '}');
                items.last_mut().expect("never empty").push(char);
            }
        }
    }
    items
        .iter()
        .map(|item| word(item))
        .filter(|head| !head.is_empty())
        .collect()
}

fn without_comments_and_strings(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let token = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest).filter(|_| !out.ends_with(is_word)) {
            length
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[token..];
    }
    out
}

/// The length of a raw string at the start of `rest`.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.chars().take_while(|char| *char == '#').count();
    after[hashes..].starts_with('"').then(|| {
        let start = rest.len() - after.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        rest[start..]
            .find(&end)
            .map_or(rest.len(), |length| start + length + end.len())
    })
}

/// The length of a string literal at the start of `rest`.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a character literal at the start of `rest`; 1 for the quote of a lifetime.
fn character(rest: &str) -> usize {
    if rest.starts_with("'\\") {
        return rest[3..].find('\'').map_or(rest.len(), |end| end + 4);
    }
    let Some(char) = rest[1..].chars().next() else { return 1 };
    if rest[1 + char.len_utf8()..].starts_with('\'') {
        char.len_utf8() + 2
    } else {
        1
    }
}

#[test]
fn comments_strings_and_tests_do_not_count() {
    let source = "// crate::a\n/* crate::b */ let s = \"crate::c \\\" crate::d\"; let r = r#\"\"crate::e\"#; let c = '\"'; \
                  let q = '\\''; fn f<'x>(y: &'x str) { crate::f::g() }\n#[cfg(test)]\nmod tests { use crate::h; }";
    assert_eq!(imported_modules(&shipped(source)), BTreeSet::from(["f".to_owned()]));
}

#[test]
fn imports_are_found_in_groups_and_paths() {
    let code = "use crate::{a, b::{c, d}, e as f};\nuse switchback::g::H; mycrate::i(); crate::j::k();";
    let expected = ["a", "b", "e", "g", "j"].map(str::to_owned);
    assert_eq!(imported_modules(code), BTreeSet::from(expected));
}

#[test]
fn crates_are_found_by_their_paths() {
    assert!(names_crate("use pingora_core::server;", "pingora"));
    assert!(names_crate("fn f() -> pingora::Result<()>", "pingora"));
    assert!(!names_crate(
        "let pingora_like = 1; my::pingora::x; xpingora::y",
        "pingora"
    ));
}

#[test]
fn loops_are_found_with_what_they_turn() {
    let source =
        "loop {\n a(); if b { c() }\n}\nwhile let Some(d) = e() {\n f();\n}\nfor g in h {\n i();\n}\nlet looped = 1;\n";
    assert_eq!(endless_loops(source), ["a();ifb{c()}", "f();"]);
}
