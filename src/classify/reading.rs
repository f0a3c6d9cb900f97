//! A failed answer, read into what rules can match: whatever its shape, and however many gateways have wrapped it.

use std::ops::ControlFlow;

use serde_json::Value;

use super::pattern::squash;
use super::signals::Signals;
use crate::protocol::HELD_MAX_BYTES;
use crate::protocol::event::is_failure;
use crate::protocol::sse::Events;

/// Bounds on the work that a body can cause. Real errors stay far below them.
const NODES_MAX: usize = 4096;
const TEXT_MAX_BYTES: usize = 16 * 1024;
const CODES_MAX: usize = 256;
/// How often errors may be wrapped as text within each other, one gateway behind another.
const WRAPS_MAX: usize = 8;

/// What an answer says, normalised.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Squashed; empty if unknown.
    pub(super) provider: String,
    /// Codes, types, reasons and exception names.
    pub(super) codes: Vec<Code>,
    /// Messages, a line each: lower case, without addresses, white space collapsed.
    pub(super) text: String,
    /// Values of fields that say how long to wait, as they are written.
    pub(super) delays: Vec<Code>,
    /// A page of HTML, of a CDN or of nginx: its words are its own, only its status speaks.
    pub(super) is_page: bool,
    /// The status that the body names.
    pub(super) inner_status: Option<(u16, Code)>,
}

/// A name or number that an answer gives for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    /// Squashed, but for delays.
    pub(super) name: String,
    pub(super) place: Place,
}

/// Where an answer says something. The later the variant, the easier it is for a client to make it appear there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A field of the answer's own, or a header.
    Field,
    /// A field of JSON that is the whole of a text, as gateways wrap each other's errors.
    Wrapped,
    /// It stands in the middle of prose.
    Prose,
}

impl Reading {
    pub(super) fn of(answer: &Signals<'_>) -> Self {
        let mut reading = Self {
            provider: squash(answer.provider.unwrap_or_default()),
            ..Self::default()
        };
        if let Some(code) = answer
            .headers
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok())
        {
            // `ThrottlingException:http://internal.amazon.com/…`
            reading.add_code(code.split(':').next().unwrap_or_default(), Place::Field);
        }
        let body = &answer.body[..answer.body.len().min(HELD_MAX_BYTES)];
        reading.read_body(String::from_utf8_lossy(body).trim().trim_start_matches('\u{feff}'));
        reading
    }

    fn read_body(&mut self, body: &str) {
        if body.starts_with('<') {
            self.is_page = true;
        } else if let Ok(value) = serde_json::from_str::<Value>(body) {
            self.read_values(vec![value]);
        } else if [":", "data:", "event:", "id:", "retry:"]
            .iter()
            .any(|start| body.starts_with(start))
        {
            self.read_events(body);
        } else {
            self.read_values(vec![Value::String(body.to_owned())]);
        }
    }

    /// A recorded stream: only the events that report an error speak.
    fn read_events(&mut self, body: &str) {
        let mut values = Vec::new();
        let mut events = Events::default();
        let mut take = |name: &[u8], data: &[u8]| match serde_json::from_slice::<Value>(data) {
            Ok(value) if name == b"error" || is_failure(&value) => values.push(value),
            Err(_) if name == b"error" => values.push(Value::String(String::from_utf8_lossy(data).into_owned())),
            _ => {}
        };
        let _ = events.feed(body.as_bytes(), |event| {
            take(event.name, event.data);
            ControlFlow::<()>::Continue(())
        });
        if let Some(event) = events.unfinished() {
            take(event.name, event.data);
        }
        self.read_values(values);
    }

    /// Walks the values without recursion. Texts that contain JSON themselves join the walk.
    fn read_values(&mut self, values: Vec<Value>) {
        let mut pending: Vec<(Value, Depth)> = values
            .into_iter()
            .rev()
            .map(|value| (value, Depth::default()))
            .collect();
        let mut nodes = 0;
        while let Some((value, depth)) = pending.pop() {
            nodes += 1;
            if nodes > NODES_MAX {
                return;
            }
            match value {
                Value::String(text) => {
                    let inner = embedded_json(&text).filter(|_| depth.wraps < WRAPS_MAX);
                    // The words around it may say more: `Error from provider: {…}`.
                    self.add_text(&text);
                    pending.extend(inner.map(|(inner, place)| (inner, depth.within(place))));
                }
                Value::Array(items) => pending.extend(items.into_iter().rev().map(|item| (item, depth))),
                Value::Object(members) => {
                    for (key, value) in members.into_iter().rev() {
                        self.read_member(&key.to_ascii_lowercase(), value, depth, &mut pending);
                    }
                }
                Value::Number(_) | Value::Bool(_) | Value::Null => {}
            }
        }
    }

    fn read_member(&mut self, key: &str, value: Value, depth: Depth, pending: &mut Vec<(Value, Depth)>) {
        let place = depth.place;
        match (kind_of_key(key), value) {
            (Key::Echo, _) => {}
            (Key::Delay, Value::String(name)) => self.delays.push(Code { name, place }),
            (Key::Delay, Value::Number(delay)) => self.delays.push(Code {
                name: delay.to_string(),
                place,
            }),
            (Key::Code, Value::String(code)) => {
                self.add_code(&code, place);
                // xAI writes sentences here.
                if code.contains(' ') || !code.is_ascii() {
                    pending.push((Value::String(code), depth));
                }
            }
            (Key::Code, Value::Number(code)) => self.add_code(&code.to_string(), place),
            (Key::Text, text @ Value::String(_)) | (_, text @ (Value::Array(_) | Value::Object(_))) => {
                pending.push((text, depth));
            }
            _ => {}
        }
    }

    fn add_code(&mut self, code: &str, place: Place) {
        let name = squash(&code[..floor(code, 128)]);
        if name.is_empty() || self.codes.len() >= CODES_MAX {
            return;
        }
        let code = Code { name, place };
        if let Ok(status @ 400..=599) = code.name.parse::<u16>() {
            self.inner_status = Some((status, code.clone()));
        }
        self.codes.push(code);
    }

    fn add_text(&mut self, text: &str) {
        let text = before_echo(text);
        for code in exception_names(text).chain(named_values(text)) {
            self.add_code(code, Place::Prose);
        }
        // What two fields say is not one sentence.
        let mut gap = '\n';
        for word in text.split_whitespace() {
            if self.text.len() >= TEXT_MAX_BYTES {
                return;
            }
            // Links lead to billing pages and rate-limit guides whatever the error is. What stands around one is not joined.
            let word = if word.contains("://") { "…" } else { word };
            if !self.text.is_empty() {
                self.text.push(gap);
            }
            gap = ' ';
            let word = &word[..floor(word, 1024)];
            self.text.extend(
                word.chars()
                    .flat_map(char::to_lowercase)
                    .map(|c| if c == '\u{2019}' { '\'' } else { c }),
            );
        }
    }
}

enum Key {
    /// Its value is for programs.
    Code,
    /// Its value is for people.
    Text,
    /// It repeats the request, another attempt or a list of verdicts: not what went wrong.
    Echo,
    /// How long to wait.
    Delay,
    Else,
}

fn kind_of_key(key: &str) -> Key {
    match key {
        "type" | "code" | "status" | "reason" | "error_type" | "errortype" | "error_code" | "errorcode"
        | "err_code" | "status_code" | "statuscode" | "http_status" | "__type" | "limit_source" | "kind" | "name" => {
            Key::Code
        }
        "message" | "msg" | "detail" | "details" | "error" | "errors" | "error_message" | "errormessage"
        | "error_msg" | "error_description" | "description" | "status_msg" | "title" | "raw" | "cause" | "body"
        | "response" => Key::Text,
        "input"
        | "flagged_input"
        | "messages"
        | "prompt"
        | "request"
        | "content"
        | "loc"
        | "headers"
        | "previous_errors"
        | "fallback_models"
        | "requested_models"
        | "user_id"
        | "request_id"
        | "id"
        | "model"
        | "remedy_hint"
        | "content_filter_result"
        | "content_filter_results" => Key::Echo,
        "retrydelay" | "retry_delay" | "retry_after" | "retryafter" | "retry_after_seconds" => Key::Delay,
        _ => Key::Else,
    }
}

/// How deep within others a value was found.
#[derive(Debug, Clone, Copy)]
struct Depth {
    wraps: usize,
    place: Place,
}

impl Default for Depth {
    fn default() -> Self {
        Self {
            wraps: 0,
            place: Place::Field,
        }
    }
}

impl Depth {
    fn within(self, place: Place) -> Self {
        Self {
            wraps: self.wraps + 1,
            place: self.place.max(place),
        }
    }
}

/// The JSON error that a text is, or has within it.
fn embedded_json(text: &str) -> Option<(Value, Place)> {
    const STARTS_MAX: usize = 8;
    text.match_indices(['{', '[']).take(STARTS_MAX).find_map(|(start, _)| {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        let value = values.next()?.ok()?;
        let is_all = text[..start].trim().is_empty() && text[start + values.byte_offset()..].trim().is_empty();
        let holds_an_error = match &value {
            Value::Array(items) => items.first().is_some_and(Value::is_object),
            value => value.is_object(),
        };
        let place = if is_all { Place::Wrapped } else { Place::Prose };
        holds_an_error.then_some((value, place))
    })
}

/// Returns the part of `text` that is the upstream's own. FastAPI and pydantic, as printed by vLLM and others, repeat
/// what the client sent after these markers; a prompt must not be taken for the upstream's words.
fn before_echo(text: &str) -> &str {
    const ECHOES: [&str; 4] = ["'input':", "\"input\":", "\\\"input\\\":", "input_value="];
    let end = ECHOES.iter().filter_map(|echo| text.find(echo)).min();
    &text[..end.unwrap_or(text.len())]
}

/// Finds the names of exceptions in prose, as wrapping gateways leave them: `litellm.RateLimitError`,
/// `(ThrottlingException)`.
fn exception_names(text: &str) -> impl Iterator<Item = &str> {
    text[..floor(text, TEXT_MAX_BYTES)]
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            let stem = word.strip_suffix("Error").or_else(|| word.strip_suffix("Exception"));
            stem.is_some_and(|stem| stem.len() >= 3)
        })
}

/// Finds members of errors that were printed in some language's own notation, which no parser accepts: `'code': '429'`,
/// `Error code: 429`, `\"type\": \"insufficient_quota\"`.
fn named_values(text: &str) -> impl Iterator<Item = &str> {
    let text = &text[..floor(text, TEXT_MAX_BYTES)];
    text.char_indices().filter_map(move |(at, _)| {
        let rest = text.get(at..)?;
        let name = ["code", "type", "status", "reason"].into_iter().find(|name| {
            rest.as_bytes()
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        })?;
        let rest = rest.get(name.len()..)?;
        let value = rest.trim_start_matches(['\'', '"', '\\', ' ', ':', '=', '(']);
        let between = &rest[..rest.len() - value.len()];
        let end = value
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'))
            .unwrap_or(value.len());
        let value = &value[..end];
        let is_status = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit()) && !between.is_empty();
        let is_quoted = between.contains([':', '=']) && between.ends_with(['\'', '"']) && !value.is_empty();
        (is_status || is_quoted).then_some(value)
    })
}

/// The largest end of a piece of `text`, at most `max_bytes`, that cuts no character.
fn floor(text: &str, max_bytes: usize) -> usize {
    text.floor_char_boundary(max_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn read(status: u16, body: &str) -> Reading {
        Reading::of(&Signals {
            status,
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            provider: None,
            request: None,
        })
    }

    #[test]
    fn every_shape_gives_its_codes_and_its_text() {
        for body in [
            r#"{"error":{"code":"rate_limit","message":"Slow down"}}"#,
            r#"[{"error":{"code":"rate_limit","message":"Slow down"}}]"#,
            r#"{"code":"rate_limit","error":"Slow down"}"#,
            r#"{"code":"rate_limit","message":"Slow down"}"#,
            r#"{"error":{"message":"{\"error\":{\"code\":\"rate_limit\",\"message\":\"Slow down\"}}"}}"#,
            r#"{"error":{"message":"failed: {'error': {'code': 'rate_limit', 'message': 'Slow down'}}"}}"#,
            r#""{\"code\":\"rate_limit\",\"message\":\"Slow down\"}""#,
            "data: {\"id\":1}\n\nevent: error\ndata: {\"code\":\"rate_limit\",\"message\":\"Slow down\"}\n\n",
            "{\"error\":{\"code\": \"rate_limit\",\"message\":\"Slow down\", \"cut\":\"sho",
        ] {
            let reading = read(400, body);
            assert!(
                reading.codes.iter().any(|code| code.name == "ratelimit"),
                "{body}: {:?}",
                reading.codes
            );
            assert!(reading.text.contains("slow down"), "{body}: {}", reading.text);
        }
        assert_eq!(read(500, "").text, "");
        assert_eq!(read(502, "<html>rate limit").text, "");
    }

    #[test]
    fn the_body_names_a_status_and_where_it_does() {
        let named = |body| read(500, body).inner_status.map(|(status, code)| (status, code.place));
        assert_eq!(named(r#"{"error":{"code":429}}"#), Some((429, Place::Field)));
        assert_eq!(
            named(r#"{"error":{"message":"{\"error\":{\"code\":429}}"}}"#),
            Some((429, Place::Wrapped))
        );
        assert_eq!(
            named(r#"{"error":{"message":"failed: {\"error\":{\"code\":429}} (again)"}}"#),
            Some((429, Place::Prose))
        );
        assert_eq!(
            named(r#"{"error":{"message":"Error code: 401 - no"}}"#),
            Some((401, Place::Prose))
        );
        assert_eq!(named(r#"{"error":{"code":200}}"#), None);
    }

    #[test]
    fn echoes_of_the_request_say_nothing() {
        let reading = read(
            422,
            r#"{"detail":[{"type":"missing","msg":"Field required","input":{"message":"rate limit"}}]}"#,
        );
        assert_eq!(reading.text, "field required");
        // Printed, as vLLM has it, or wrapped by a gateway: the prompt stays the client's.
        for message in [
            "[{'type': 'missing', 'msg': 'Field required', 'input': {'prompt': 'rate limit', 'code': '402'}}]",
            "Field required [type=missing, input_value={'prompt': 'rate limit', 'code': '402'}, input_type=dict]",
            r#"upstream: {"detail":[{"type":"missing","msg":"Field required","input":{"prompt":"rate limit","code":"402"}}]}"#,
            r#"upstream: {\"type\":\"missing\",\"msg\":\"Field required\",\"input\":{\"code\":\"402\",\"p\":\"rate limit\"}}"#,
        ] {
            let reading = read(422, &serde_json::json!({ "error": { "message": message } }).to_string());
            assert!(reading.text.contains("field required"), "{message}");
            assert!(!reading.text.contains("rate limit"), "{message}");
            assert!(!reading.codes.iter().any(|code| code.name == "402"), "{message}");
        }
    }

    #[test]
    fn hostile_bodies_cost_little() {
        let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        let many = format!("[{}0]", "{\"code\":1},".repeat(5_000));
        let codes = "code: '".repeat(9_000);
        for body in [nested, many, codes, "{".repeat(65_536), "é".repeat(40_000)] {
            let reading = read(400, &body);
            assert!(reading.codes.len() <= CODES_MAX && reading.text.len() <= TEXT_MAX_BYTES + 4096);
        }
    }
}
