//! A continued stream of `chat.completion.chunk`s: one id, one role, the usage of the whole.
//!
//! <https://platform.openai.com/docs/api-reference/chat-streaming>

use serde_json::{Map, Value};

use super::answer_text::AnswerText;
use crate::protocol::event::{FRAME, is_something};

/// What all chunks of an answer have in common.
const COMMON: [&str; 3] = ["id", "created", "model"];

#[derive(Debug, Default)]
pub(super) struct Chat {
    common: Map<String, Value>,
    /// The client was told the role.
    has_role: bool,
    /// The last reported usage, of the whole answer so far.
    usage: Option<Usage>,
    /// The usage when the last continuation began.
    before: Usage,
}

#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    /// Zero: not known.
    prompt: u64,
    completion: u64,
}

impl Chat {
    pub(super) fn observe(&mut self, chunk: &Value, answer: &mut AnswerText) {
        for key in COMMON {
            if let Some(value) = chunk.get(key).filter(|value| is_something(value)) {
                self.common.entry(key).or_insert_with(|| value.clone());
            }
        }
        if let Some(usage) = chunk.get("usage").and_then(Value::as_object) {
            self.usage = Some(Usage::of(usage));
        }
        let choices = chunk.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            self.observe_choice(choice, answer);
        }
    }

    fn observe_choice(&mut self, choice: &Value, answer: &mut AnswerText) {
        let has = |key: &str| choice.get(key).is_some_and(holds_something);
        // A `finish_reason` leaves nothing to say; the others can't be continued.
        if ["index", "logprobs", "message", "text", "finish_reason"]
            .into_iter()
            .any(has)
        {
            answer.close();
        }
        let delta = choice.get("delta").and_then(Value::as_object);
        for (key, value) in delta.into_iter().flatten() {
            match (key.as_str(), value) {
                ("role", _) => self.has_role = true,
                ("content", Value::String(text)) => answer.push(text),
                (key, _) if FRAME.contains(&key) => {}
                (_, value) if is_something(value) => answer.close(),
                _ => {}
            }
        }
    }

    pub(super) fn go_on(&mut self, answer: &AnswerText) {
        let told = self.usage.unwrap_or_default();
        self.before = Usage {
            prompt: told.prompt,
            completion: told.completion.max(answer.pieces),
        };
    }

    /// Rewrites a chunk. `None`: the client has had it.
    pub(super) fn rewrite(&mut self, mut chunk: Value, answer: &mut AnswerText) -> Option<Value> {
        let object = chunk.as_object_mut()?;
        for (key, value) in &self.common {
            object.insert(key.clone(), value.clone());
        }
        if let Some(usage) = object.get_mut("usage").and_then(Value::as_object_mut) {
            self.before.add_to(usage);
        }
        let mut is_empty = !object.get("usage").is_some_and(is_something);
        if let Some(choices) = object.get_mut("choices").and_then(Value::as_array_mut) {
            for choice in choices.iter_mut() {
                is_empty &= !choice.get("finish_reason").is_some_and(is_something);
                let Some(delta) = choice.get_mut("delta").and_then(Value::as_object_mut) else {
                    is_empty = false;
                    continue;
                };
                if self.has_role {
                    delta.remove("role");
                }
                if let Some(Value::String(text)) = delta.get_mut("content") {
                    *text = answer.unsaid(text).to_owned();
                }
                is_empty &= !delta
                    .iter()
                    .any(|(key, value)| is_something(value) && (key == "role" || !FRAME.contains(&key.as_str())));
            }
        }
        (!is_empty).then_some(chunk)
    }
}

/// Returns whether `value` holds anything: some providers send `"logprobs": {"content": null}` with every chunk.
fn holds_something(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(is_something),
        value => is_something(value),
    }
}

impl Usage {
    fn of(usage: &Map<String, Value>) -> Self {
        let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or_default();
        Self {
            prompt: count("prompt_tokens"),
            completion: count("completion_tokens"),
        }
    }

    /// Turns the usage of a continuation into that of the whole: what was said before was part of its prompt.
    fn add_to(self, usage: &mut Map<String, Value>) {
        let rest = Self::of(usage);
        let prompt = match self.prompt {
            0 if rest.prompt > self.completion => rest.prompt - self.completion,
            0 => rest.prompt,
            known => known,
        };
        let completion = self.completion + rest.completion;
        usage.insert("prompt_tokens".to_owned(), prompt.into());
        usage.insert("completion_tokens".to_owned(), completion.into());
        usage.insert("total_tokens".to_owned(), (prompt + completion).into());
    }
}
