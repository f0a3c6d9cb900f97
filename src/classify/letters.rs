//! Texts reduced to their letters and digits, in lower case, so that a quotation is found however it is written.

/// Separates the values of a request. No answer's letters contain it, so a match never spans two values.
const EDGE: u8 = 0;

/// Returns whether `char` is a quotation mark, in prose or in code.
pub(super) fn is_quote(char: char) -> bool {
    matches!(
        char,
        '"' | '\''
            | '`'
            | '“'
            | '”'
            | '„'
            | '‘'
            | '’'
            | '«'
            | '»'
            | '「'
            | '」'
            | '『'
            | '』'
            | '<'
            | '>'
            | '['
            | ']'
    )
}

/// The letters of prose.
pub(super) fn of(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    append(text, &mut out);
    out
}

/// Some letters, as they stand in a request in which they are a whole value or a name.
pub(super) fn as_value(letters: &[u8]) -> Vec<u8> {
    [&[EDGE], letters, &[EDGE]].concat()
}

/// The letters of a request's body. For JSON: each text and number by itself, and then all texts joined, as they are
/// when a provider concatenates the parts of a prompt. For anything else: each line and each quotation.
pub(super) fn of_body(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(EDGE);
    if text.trim_start().starts_with(['{', '[']) {
        let mut joined = Vec::new();
        append_json(&text, &mut out, &mut joined);
        out.append(&mut joined);
    } else {
        append_parts(&text, &['"', '\r', '\n'], &mut out);
    }
    edge(&mut out);
    out
}

/// The letters of a path, a query or a header's value: of each part, and of the whole.
pub(super) fn append_text(text: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    let decoded = percent_decoded(&text);
    edge(out);
    append(&decoded, out);
    edge(out);
    append_parts(&decoded, &['/', '?', '&', '=', ',', ';', '"'], out);
}

fn append_parts(text: &str, separators: &[char], out: &mut Vec<u8>) {
    for part in text.split(separators) {
        edge(out);
        append(part, out);
    }
    edge(out);
}

/// Appends the texts of a JSON body as far as it is well-formed; a body that is not never becomes a request.
fn append_json(text: &str, out: &mut Vec<u8>, joined: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        // Numbers and literals stand between the texts.
        append_parts(&rest[..at], &[',', ':', '[', ']', '{', '}', ' ', '\n', '\r', '\t'], out);
        let (start, length) = (out.len(), string_length(&rest[at + 1..]));
        let string = &rest[at + 1..at + 1 + length];
        push_unescaped(string, out);
        rest = rest.get(at + length + 2..).unwrap_or_default();
        let is_name = rest.trim_start().starts_with(':');
        if is_name && &out[start..] == b"model" {
            // Every request has it, by no choice of the client's.
            out.truncate(start);
        } else if !is_name && !matches!(&out[start..], b"text" | b"inputtext" | b"user") {
            joined.extend_from_slice(&out[start..]);
        }
        edge(out);
    }
    append_parts(rest, &[',', ':', '[', ']', '{', '}', ' ', '\n', '\r', '\t'], out);
}

/// Returns the length of a JSON text, up to the quote that ends it.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

fn push_unescaped(mut string: &str, out: &mut Vec<u8>) {
    while let Some(at) = string.find('\\') {
        append(&string[..at], out);
        let escape = &string[at..];
        let (char, length) = unescape(escape).unwrap_or((' ', 2));
        push(char, out);
        let end = escape.ceil_char_boundary(length.min(escape.len()));
        string = &escape[end..];
    }
    append(string, out);
}

/// The character of a JSON escape that is a letter, and the escape's length (RFC 8259 §7).
fn unescape(escape: &str) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = escape.get(from..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let high = unit(0)?;
    match char::from_u32(u32::from(high)) {
        Some(char) => Some((char, 6)),
        None => {
            let char = char::decode_utf16([high, unit(6)?]).next()?.ok()?;
            Some((char, 12))
        }
    }
}

/// Adds the letters and digits of `text`.
fn append(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let letters = rest.as_bytes()[..ascii]
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric());
        out.extend(letters.map(u8::to_ascii_lowercase));
        rest = &rest[ascii..];
        let Some(char) = rest.chars().next() else { return };
        push(char, out);
        rest = &rest[char.len_utf8()..];
    }
}

/// Adds a letter or a digit.
fn push(char: char, out: &mut Vec<u8>) {
    let char = narrow(char);
    if char.is_alphanumeric() {
        for lower in char.to_lowercase().filter(|lower| lower.is_alphanumeric()) {
            out.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Maps full-width letters and digits (U+FF01 to U+FF5E), which some providers produce, to ASCII.
fn narrow(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).unwrap_or(char),
        other => other,
    }
}

fn edge(out: &mut Vec<u8>) {
    if out.last() != Some(&EDGE) {
        out.push(EDGE);
    }
}

/// Decodes percent escapes; text that is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex
            .filter(|_| first == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
