//! What an answer is made of: status, headers, and a body or events.

use serde_json::Value;

use super::asked::Asked;
use super::provider::Identity;

/// A response before anything is done to its delivery.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    /// Server-sent events, each with the blank line that ends it.
    Stream(Vec<String>),
}

/// The words of every answer: who gives it, and for which model.
pub(crate) fn text(identity: &Identity, asked: &Asked) -> String {
    format!("Hello from {} (stand-in), model {}.", identity.name, asked.model)
}

/// A text in about ten pieces, as a stream brings it.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(letters.len().div_ceil(10).max(1))
        .map(|piece| piece.iter().collect())
        .collect()
}

/// `data: JSON` (openai).
pub(crate) fn data(json: &Value) -> String {
    format!("data: {json}\n\n")
}

/// `event: TYPE` and `data: JSON` (anthropic, and openai's responses); the type is that of the JSON.
pub(crate) fn typed(json: &Value) -> String {
    format!("event: {}\ndata: {json}\n\n", json["type"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_text() {
        for text in [
            "",
            "é",
            "Hello from openai (stand-in), model gpt-4o.",
            &"ü".repeat(1000),
        ] {
            let pieces = pieces(text);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.len() <= 10 && pieces.iter().all(|piece| !piece.is_empty()));
        }
    }
}
