//! The path of a request in its normal form, and the other ways in which servers may read it.
//!
//! Servers read one path differently: some decode it twice, take `\` for `/`, cut parameters off a segment, or ignore
//! case. A path is judged by what the most lenient of them would see, and is sent on in a form on which they agree.

use std::borrow::Cow;

use thiserror::Error;

use super::percent;

/// Nobody writes an escape within an escape within an escape in good faith.
const LAYERS_MAX: usize = 3;

/// Why a path is refused. `Display` is what the client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathFault {
    #[error("the request's target is not a path: it has to begin with `/`")]
    NotRooted,
    #[error("the path has a `%` that two hexadecimal digits do not follow; a `%` itself is written `%25`")]
    Escape,
    #[error("the path is percent-encoded again and again; encode it once")]
    Layers,
    #[error("the path has a `.` or `..` segment, once it is decoded; name the endpoint without them")]
    DotSegment,
    #[error("the path has a backslash; segments are separated by `/`")]
    Backslash,
    #[error("the path has a control character, once it is decoded")]
    Control,
    #[error("the path is not UTF-8, once it is decoded")]
    NotUtf8,
}

/// Writes `path` as it is sent on: one slash between segments, none at the end, and escapes only where they are needed.
/// An escaped slash stays escaped, because it belongs to a name.
///
/// # Errors
/// The path leads out of its root, or servers would disagree on what it means.
pub fn normal(path: &str) -> Result<Cow<'_, str>, PathFault> {
    let rest = path.strip_prefix('/').ok_or(PathFault::NotRooted)?;
    if is_plain(rest) {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = String::with_capacity(path.len());
    for segment in rest.split('/').filter(|segment| !segment.is_empty()) {
        if segment.contains('\\') {
            return Err(PathFault::Backslash);
        }
        let name = decoded(segment)?;
        check(&name)?;
        out.push('/');
        out.extend(percent::encoded(&name, percent::SEGMENT));
    }
    if out.is_empty() {
        out.push('/');
    }
    Ok(Cow::Owned(out))
}

/// Returns whether `rest`, a path without its first slash, is in its normal form and means the same to every server.
fn is_plain(rest: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'@' | b'.');
    let is_plain = |segment: &str| !segment.is_empty() && !is_dots(segment) && segment.bytes().all(is_word);
    rest.is_empty() || rest.split('/').all(is_plain)
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

fn decoded(segment: &str) -> Result<Cow<'_, str>, PathFault> {
    match percent::decoded(segment).map_err(|_| PathFault::Escape)? {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|_| PathFault::NotUtf8),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| PathFault::NotUtf8),
    }
}

/// Checks that `name`, a segment that was decoded once, stays where it is, however often it is decoded.
fn check(name: &str) -> Result<(), PathFault> {
    let name = innermost(name)?;
    if name.chars().any(char::is_control) {
        return Err(PathFault::Control);
    }
    if parts(&name).any(is_dots) {
        return Err(PathFault::DotSegment);
    }
    Ok(())
}

/// Decodes `name` until no escape is left.
fn innermost(name: &str) -> Result<Cow<'_, str>, PathFault> {
    let mut name = Cow::Borrowed(name);
    for _ in 0..LAYERS_MAX {
        // A `%` that is no escape is a character like any other.
        match decoded(&name) {
            Ok(Cow::Owned(inner)) => name = Cow::Owned(inner),
            Ok(Cow::Borrowed(_)) | Err(PathFault::Escape) => return Ok(name),
            Err(fault) => return Err(fault),
        }
    }
    Err(PathFault::Layers)
}

/// Lists what a decoded segment may be taken for: several segments where it has slashes of either kind, without
/// parameters.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(['/', '\\'])
        .map(|part| part.split(';').next().unwrap_or_default().trim())
        .filter(|part| !part.is_empty())
}

/// Splits a normal path into segments as the most lenient server sees them: fully decoded, in lower case.
pub fn segments_seen(path: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for segment in path.split('/') {
        let name = decoded(segment).unwrap_or(Cow::Borrowed(segment));
        let name = innermost(&name).unwrap_or(Cow::Borrowed(&name));
        seen.extend(parts(&name).map(str::to_lowercase));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_on_in_their_normal_form() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("//v1//chat/completions/", "/v1/chat/completions"),
            ("/v1/%66iles/a%2db", "/v1/files/a-b"),
            ("/v1/models/a%2fb%3Ac@d", "/v1/models/a%2Fb:c@d"),
            ("/v1/models/gpt-4.1/...", "/v1/models/gpt-4.1/..."),
            ("/a/50%25off", "/a/50%25off"),
            ("/a/50%2525off", "/a/50%2525off"),
            ("/a;x=1/b+c", "/a;x=1/b+c"),
            ("/a%3fb%23c", "/a%3Fb%23c"),
            ("/ü|", "/%C3%BC%7C"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
            assert_eq!(normal(expected).as_deref(), Ok(expected), "{path}: once is enough");
        }
    }

    #[test]
    fn what_leads_out_or_is_read_differently_is_refused() {
        use PathFault::*;
        for (path, fault) in [
            ("*", NotRooted),
            ("", NotRooted),
            ("/v1/../x", DotSegment),
            ("/v1/.", DotSegment),
            ("/v1/%2e%2E/x", DotSegment),
            ("/v1/.%2e", DotSegment),
            ("/v1/..%2fx", DotSegment),
            ("/v1/x%2f..%2f..%2fy", DotSegment),
            ("/v1/..%5cx", DotSegment),
            ("/v1/..;a=b/x", DotSegment),
            ("/v1/..%3b/x", DotSegment),
            ("/v1/..%20/x", DotSegment),
            ("/v1/%252e%252e/x", DotSegment),
            ("/v1/%25252e%25252e/x", DotSegment),
            ("/v1/..%252fx", DotSegment),
            ("/v1/%2525252e", Layers),
            ("/v1\\files", Backslash),
            ("/v1/a%00b", Control),
            ("/v1/a%0d%0ab", Control),
            ("/v1/a%2500", Control),
            ("/v1/%c0%ae%c0%ae/x", NotUtf8),
            ("/v1/%ff", NotUtf8),
            ("/v1/%25ff", NotUtf8),
            ("/v1/%+A", Escape),
            ("/v1/%2", Escape),
            ("/v1/100%", Escape),
        ] {
            assert_eq!(normal(path), Err(fault), "{path}");
        }
    }

    #[test]
    fn segments_are_seen_as_by_the_most_generous_server() {
        for (path, expected) in [
            ("/v1/FILES/F1", vec!["v1", "files", "f1"]),
            ("/v1%2Ffiles", vec!["v1", "files"]),
            ("/v1/x%5Cfiles;a=b/", vec!["v1", "x", "files"]),
            ("/v1/%2566iles", vec!["v1", "files"]),
            ("/50%25off", vec!["50%off"]),
        ] {
            assert_eq!(segments_seen(path), expected, "{path}");
        }
    }
}
