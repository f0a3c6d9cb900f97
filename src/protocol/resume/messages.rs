//! A continued stream of Anthropic's: one message, its blocks numbered consecutively, the usage of the whole.
//!
//! <https://docs.anthropic.com/en/api/messages-streaming>

use serde_json::{Map, Value, json};

use super::answer_text::AnswerText;
use crate::protocol::event::is_something;

/// The counts that make up the input: read anew, read from a cache, written to one.
const INPUT: [&str; 3] = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"];

#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The usage in the `message_start` that the client got.
    start_usage: Option<Map<String, Value>>,
    /// The block that was begun and not ended.
    open: Option<u64>,
    /// Blocks begun: the index of the next one.
    blocks: u64,
    /// Output tokens, as last reported.
    output: u64,
    continuation: Continuation,
}

/// The attempt whose events are rewritten now.
#[derive(Debug, Default)]
struct Continuation {
    /// Tokens that were said before it.
    before: u64,
    /// What its first block's index becomes, and that index.
    first: Option<(u64, u64)>,
}

impl Messages {
    pub(super) fn observe(&mut self, event: &Value, answer: &mut AnswerText) {
        let index = event.get("index").and_then(Value::as_u64).unwrap_or_default();
        match kind(event) {
            "message_start" => {
                let message = &event["message"];
                let usage = message.get("usage").and_then(Value::as_object).cloned();
                self.start_usage = Some(usage.unwrap_or_default());
                if message.get("content").is_some_and(is_something) {
                    answer.close();
                }
            }
            "content_block_start" => {
                self.open = Some(index);
                self.blocks = index + 1;
                observe_text(&event["content_block"], "text", answer);
            }
            "content_block_delta" => {
                self.open = Some(index);
                self.blocks = self.blocks.max(index + 1);
                observe_text(&event["delta"], "text_delta", answer);
            }
            "content_block_stop" => self.open = None,
            "message_delta" => {
                if let Some(output) = event["usage"].get("output_tokens").and_then(Value::as_u64) {
                    self.output = output;
                }
                if event["delta"].get("stop_reason").is_some_and(is_something) {
                    answer.close();
                }
            }
            "message_stop" | "ping" => {}
            _ => answer.close(),
        }
    }

    pub(super) fn go_on(&mut self, answer: &AnswerText) {
        self.continuation = Continuation {
            before: self.output.max(answer.pieces),
            first: None,
        };
    }

    pub(super) fn rewrite(&mut self, mut event: Value, answer: &mut AnswerText) -> Vec<Value> {
        match kind(&event) {
            "message_start" => {
                let Some(begun) = &self.start_usage else {
                    return vec![event];
                };
                // What was said before is part of its input: so many tokens more than were put in at first.
                let (first, now) = (input(begun), event["message"]["usage"].as_object().map_or(0, input));
                if first > 0 && now > first {
                    self.continuation.before = now - first;
                }
                Vec::new()
            }
            "content_block_start" => self.rewrite_start(event, answer),
            "content_block_delta" | "content_block_stop" => {
                if let Some(Value::String(text)) = event.pointer_mut("/delta/text") {
                    *text = answer.unsaid(text).to_owned();
                    if text.is_empty() {
                        return Vec::new();
                    }
                }
                self.renumber(&mut event);
                vec![event]
            }
            "message_delta" => {
                if let Some(usage) = event.get_mut("usage").and_then(Value::as_object_mut) {
                    self.make_whole(usage);
                }
                self.close_open().into_iter().chain([event]).collect()
            }
            _ => vec![event],
        }
    }

    /// The first text continues the block that is open; what follows gets the next numbers.
    fn rewrite_start(&mut self, mut event: Value, answer: &mut AnswerText) -> Vec<Value> {
        let is_text = event["content_block"]["type"] == "text";
        let is_first = self.continuation.first.is_none();
        let goes_on = self.open.filter(|_| is_first && is_text);
        let mut events = Vec::new();
        if goes_on.is_none() {
            events.extend(self.close_open());
        }
        if is_first {
            let index = event.get("index").and_then(Value::as_u64).unwrap_or_default();
            self.continuation.first = Some((goes_on.unwrap_or(self.blocks), index));
        }
        if let Some(Value::String(text)) = event.pointer_mut("/content_block/text") {
            *text = answer.unsaid(text).to_owned();
        }
        match goes_on {
            None => {
                self.renumber(&mut event);
                events.push(event);
            }
            Some(index) => {
                let text = event["content_block"]["text"].take();
                if is_something(&text) {
                    let delta = json!({ "type": "text_delta", "text": text });
                    events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
                }
            }
        }
        events
    }

    fn renumber(&self, event: &mut Value) {
        let (here, there) = self.continuation.first.unwrap_or_default();
        if let Some(index) = event.get("index").and_then(Value::as_u64) {
            event["index"] = (here + index.saturating_sub(there)).into();
        }
    }

    /// The end of a block that a continuation does not continue.
    fn close_open(&mut self) -> Option<Value> {
        let index = self.open.take()?;
        Some(json!({ "type": "content_block_stop", "index": index }))
    }

    fn make_whole(&self, usage: &mut Map<String, Value>) {
        if let Some(output) = usage.get_mut("output_tokens") {
            *output = (self.continuation.before + output.as_u64().unwrap_or_default()).into();
        }
        let begun = self.start_usage.as_ref();
        for key in INPUT
            .into_iter()
            .filter(|key| usage.contains_key(*key))
            .collect::<Vec<_>>()
        {
            if let Some(first) = begun.and_then(|begun| begun.get(key)) {
                usage.insert(key.to_owned(), first.clone());
            }
        }
    }
}

fn kind(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Notes a part. Text can be continued; anything else, and text with citations, cannot.
fn observe_text(part: &Value, text_type: &str, answer: &mut AnswerText) {
    let is_plain = part["type"] == text_type && !part.get("citations").is_some_and(is_something);
    match part.get("text").and_then(Value::as_str) {
        Some(text) if is_plain => answer.push(text),
        _ => answer.close(),
    }
}

fn input(usage: &Map<String, Value>) -> u64 {
    let counts = INPUT.iter().filter_map(|key| usage.get(*key)?.as_u64());
    counts.sum()
}
