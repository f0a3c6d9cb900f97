//! What people wrote in a request: prompts and answers so far, without names of models and parameters.

use serde_json::Value;

/// The members of both protocols' requests that hold what somebody wrote.
const SAID: [&str; 10] = [
    "content",
    "text",
    "input",
    "prompt",
    "system",
    "instructions",
    "query",
    "documents",
    "arguments",
    "suffix",
];

/// The texts of a JSON request; none of what is no JSON.
pub(super) fn of(request: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    if let Ok(request) = serde_json::from_slice(request) {
        collect(request, false, &mut texts);
    }
    texts
}

/// Collects the texts; serde_json has bounded the depth.
fn collect(value: Value, is_said: bool, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if is_said => texts.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| collect(item, is_said, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, SAID.contains(&name.as_str()), texts);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_was_written_and_not_how() {
        let request =
            br#"{"model":"m","messages":[{"role":"user","content":"a"},{"content":[{"type":"text","text":"b"}]}],
            "input":["c","d"],"system":"e","tools":[{"function":{"name":"f","arguments":"g"}}],"max_tokens":5}"#;
        let mut texts = of(request);
        texts.sort();
        assert_eq!(texts, ["a", "b", "c", "d", "e", "g"]);
        assert!(of(b"not json").is_empty());
    }
}
