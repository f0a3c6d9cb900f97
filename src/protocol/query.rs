//! The model that a query names: `model=NAME`, percent-encoded or not.

use std::borrow::Cow;

use thiserror::Error;

use super::percent;
use crate::body::MODEL_BYTES_MAX;

const MODEL: &[u8] = b"model";

/// Why a query that names a model is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QueryFault {
    #[error("the query names several models, and readers disagree on which one holds; name one")]
    SeveralModels,
    #[error("the `model` in the query is longer than {MODEL_BYTES_MAX} bytes, or has a control character")]
    BadModel,
}

/// Returns the model that `query` names, if it names one.
///
/// # Errors
/// It names another one as well, and upstreams may disagree on which one holds; or what it names is no name.
pub fn model(query: &str) -> Result<Option<String>, QueryFault> {
    let mut found: Option<String> = None;
    for value in query.split('&').filter_map(value_of_model) {
        let name = text(value);
        match &found {
            Some(known) if *known != name => return Err(QueryFault::SeveralModels),
            _ => found = Some(name),
        }
    }
    match found {
        Some(name) if name.len() > MODEL_BYTES_MAX || name.chars().any(char::is_control) => Err(QueryFault::BadModel),
        found => Ok(found.filter(|name| !name.is_empty())),
    }
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
        assert_eq!(model("model=a&x=1&mode%6C=b"), Err(QueryFault::SeveralModels));
        assert_eq!(model("model=a%0Ab"), Err(QueryFault::BadModel));
        let long = format!("model={}", "x".repeat(MODEL_BYTES_MAX + 1));
        assert_eq!(model(&long), Err(QueryFault::BadModel));
    }

    #[test]
    fn another_model_takes_its_place() {
        assert_eq!(with_model("a=%20&model=x&b", "v/m 1"), "a=%20&model=v%2Fm%201&b");
        assert_eq!(with_model("mode%6C=x&model=x", "y"), "model=y&model=y");
        assert_eq!(model(&with_model("model=x", "ü&=+")), Ok(Some("ü&=+".to_owned())));
    }
}
