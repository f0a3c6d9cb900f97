//! The model that a query names: `model=NAME`, percent-encoded or not.

use std::borrow::Cow;

use super::percent;

const MODEL: &[u8] = b"model";

/// The query names models that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeveralModels;

/// Returns the model that `query` names, if it names one.
///
/// # Errors
/// It names another one as well, and upstreams may disagree on which one holds.
pub fn model(query: &str) -> Result<Option<String>, SeveralModels> {
    let mut found: Option<String> = None;
    for value in query.split('&').filter_map(value_of_model) {
        let name = text(value);
        match &found {
            Some(known) if *known != name => return Err(SeveralModels),
            _ => found = Some(name),
        }
    }
    Ok(found.filter(|name| !name.is_empty()))
}

/// Writes `query` with another model, and everything else as it was.
pub fn with_model(query: &str, model: &str) -> String {
    let pairs = query.split('&').map(|pair| match value_of_model(pair) {
        Some(_) => Cow::Owned(format!("model={}", percent::encoded(model, percent::QUERY_PART))),
        None => Cow::Borrowed(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn value_of_model(pair: &str) -> Option<&str> {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    (*bytes(name) == *MODEL).then_some(value)
}

fn text(encoded: &str) -> String {
    let spaced = encoded.replace('+', " ");
    String::from_utf8_lossy(&bytes(&spaced)).into_owned()
}

/// Decodes what can be decoded.
fn bytes(encoded: &str) -> Cow<'_, [u8]> {
    percent::decoded(encoded).unwrap_or(Cow::Borrowed(encoded.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_however_it_is_written() {
        for (query, expected) in [
            ("model=gpt-realtime", Some("gpt-realtime")),
            ("intent=x&model=vendor%2Fdeep%20model&y", Some("vendor/deep model")),
            ("%6Dodel=a+b", Some("a b")),
            ("model=a&model=a", Some("a")),
            ("models=a", None),
            ("Model=a", None),
            ("model=", None),
            ("model", None),
            ("", None),
        ] {
            assert_eq!(model(query), Ok(expected.map(str::to_owned)), "{query}");
        }
        assert_eq!(model("model=a&x=1&mode%6C=b"), Err(SeveralModels));
    }

    #[test]
    fn another_model_takes_its_place() {
        assert_eq!(with_model("a=%20&model=x&b", "v/m 1"), "a=%20&model=v%2Fm%201&b");
        assert_eq!(with_model("mode%6C=x&model=x", "y"), "model=y&model=y");
        assert_eq!(model(&with_model("model=x", "ü&=+")), Ok(Some("ü&=+".to_owned())));
    }
}
