//! The first members of a JSON object, read byte by byte: is this an answer, or an error under status 200?
//!
//! Only top-level members are looked at and nothing is built, so neither nesting nor splits matter.

/// What the bytes so far mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Undecided,
    Answer,
    Error,
}

/// Reads `{…` or `[{…`, which Gemini's compatibility layer puts around errors.
#[derive(Debug)]
pub(super) struct JsonHead {
    at: At,
    /// Scalars before the first list or object are skipped: the path's answers always have one (`choices`, `content`,
    /// `output`). Otherwise the first member decides.
    passes_scalars: bool,
    key: Vec<u8>,
    text: Vec<u8>,
    escaped: bool,
    in_array: bool,
    in_base_resp: bool,
    /// A member that only flat errors have was seen: `{"code": 500, "message": "…"}`.
    has_message: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the object's brace.
    Start,
    /// Before a key, or the closing brace.
    Member,
    Key,
    Colon,
    Value,
    Text,
    /// A number, `true`, `false` or `null`.
    Literal,
    /// The brace or bracket that opens a value was read: is it empty?
    Opened,
    After,
}

/// The names and values that matter are shorter; of longer ones only the start is kept.
const WORD_MAX_BYTES: usize = 32;

impl JsonHead {
    pub(super) fn new(passes_scalars: bool) -> Self {
        Self {
            at: At::Start,
            passes_scalars,
            key: Vec::new(),
            text: Vec::new(),
            escaped: false,
            in_array: false,
            in_base_resp: false,
            has_message: false,
        }
    }

    /// Reads until decided. Bytes that are no JSON object count as an answer: checking them is not the gateway's task.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Head {
        for &byte in bytes {
            let head = self.step(byte);
            if head != Head::Undecided {
                return head;
            }
        }
        Head::Undecided
    }

    fn step(&mut self, byte: u8) -> Head {
        match self.at {
            At::Key | At::Text => self.in_string(byte),
            At::Literal if !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace() => {
                push(&mut self.text, byte);
                Head::Undecided
            }
            At::Literal => {
                self.at = At::After;
                match self.scalar(!matches!(self.text.as_slice(), b"null" | b"false" | b"0")) {
                    Head::Undecided => self.between(byte),
                    head => head,
                }
            }
            _ => self.between(byte),
        }
    }

    fn in_string(&mut self, byte: u8) -> Head {
        let is_key = self.at == At::Key;
        if std::mem::take(&mut self.escaped) || !matches!(byte, b'"' | b'\\') {
            push(if is_key { &mut self.key } else { &mut self.text }, byte);
            return Head::Undecided;
        }
        if byte == b'\\' {
            self.escaped = true;
            return Head::Undecided;
        }
        if is_key {
            self.at = At::Colon;
            return Head::Undecided;
        }
        self.at = At::After;
        self.scalar(!self.text.is_empty())
    }

    /// Reads a byte outside of strings and literals.
    fn between(&mut self, byte: u8) -> Head {
        if byte.is_ascii_whitespace() {
            return Head::Undecided;
        }
        self.at = match (self.at, byte) {
            (At::Start, b'{') => At::Member,
            (At::Start, b'[') if !self.in_array => {
                self.in_array = true;
                At::Start
            }
            (At::Member, b'"') => {
                self.key.clear();
                At::Key
            }
            (At::Colon, b':') => At::Value,
            (At::Value, b'"') => {
                self.text.clear();
                At::Text
            }
            (At::Value, b'{' | b'[') => At::Opened,
            (At::Value, literal) => {
                self.text.clear();
                push(&mut self.text, literal);
                At::Literal
            }
            (At::Opened, b'}' | b']') => At::After,
            (At::Opened, _) if self.key == b"error" => return Head::Error,
            // MiniMax's own status, zero where all is well: https://platform.minimax.io/docs/api-reference/errorcode
            (At::Opened, b'"') if self.key == b"base_resp" => {
                self.in_base_resp = true;
                self.key.clear();
                At::Key
            }
            (At::After, b',') => At::Member,
            (At::After | At::Member, b'}') => {
                let is_error = self.passes_scalars && self.has_message;
                return if is_error { Head::Error } else { Head::Answer };
            }
            _ => return Head::Answer,
        };
        Head::Undecided
    }

    /// A member whose value is a text, a number, a truth value or null has ended.
    fn scalar(&mut self, is_something: bool) -> Head {
        match self.key.as_slice() {
            b"error" if is_something => return Head::Error,
            b"type" | b"object" if matches!(self.text.as_slice(), b"error" | b"response.failed") => return Head::Error,
            b"status_code" if self.in_base_resp => return if is_something { Head::Error } else { Head::Answer },
            b"message" | b"detail" | b"msg" | b"error_message" => self.has_message |= is_something,
            b"content" | b"text" | b"response" | b"output" | b"output_text" if is_something => return Head::Answer,
            _ => {}
        }
        if self.passes_scalars {
            Head::Undecided
        } else {
            Head::Answer
        }
    }
}

fn push(word: &mut Vec<u8>, byte: u8) {
    if word.len() < WORD_MAX_BYTES {
        word.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_decide_in_any_pieces() {
        for (text, known, other) in [
            (r#"{"error":{"message":"no"}}"#, Head::Error, Head::Error),
            (r#" [ {"error" : {"code":1}}]"#, Head::Error, Head::Error),
            (r#"{"error":"no"}"#, Head::Error, Head::Error),
            (r#"{"type":"error","error":{}}"#, Head::Error, Head::Error),
            (
                r#"{"id":"resp","status":"failed","error":{"code":"x"}}"#,
                Head::Error,
                Head::Answer,
            ),
            (r#"{"error":null,"choices":[1]}"#, Head::Answer, Head::Answer),
            (
                r#"{"id":"a\"b{","created":12,"model":"m","choices":[{"x":1}]}"#,
                Head::Answer,
                Head::Answer,
            ),
            (
                r#"{"choices":[],"error":{"message":"no"}}"#,
                Head::Error,
                Head::Undecided,
            ),
            (
                r#"{"code":500,"message":"down","data":null}"#,
                Head::Error,
                Head::Answer,
            ),
            (
                r#"{"object":"list","data":[{}],"error":{"x":1}}"#,
                Head::Answer,
                Head::Answer,
            ),
            (
                r#"{"id":"x","choices":null,"base_resp":{"status_code":1008,"status_msg":"no"}}"#,
                Head::Error,
                Head::Answer,
            ),
            (
                r#"{"base_resp":{"status_code":0,"status_msg":""},"choices":[{}]}"#,
                Head::Answer,
                Head::Answer,
            ),
            (r#"{"text":"hello"}"#, Head::Answer, Head::Answer),
            (r#"{}"#, Head::Answer, Head::Answer),
            (r#"[1,2]"#, Head::Answer, Head::Answer),
            (r#"{"id":"cut"#, Head::Undecided, Head::Undecided),
        ] {
            for (passes_scalars, expected) in [(true, known), (false, other)] {
                if passes_scalars || expected != Head::Undecided {
                    assert_eq!(JsonHead::new(passes_scalars).feed(text.as_bytes()), expected, "{text}");
                }
                let mut dribbled = JsonHead::new(passes_scalars);
                let mut heads = text.bytes().map(|byte| dribbled.feed(&[byte]));
                let head = heads.find(|head| *head != Head::Undecided).unwrap_or(Head::Undecided);
                assert_eq!(head, JsonHead::new(passes_scalars).feed(text.as_bytes()), "{text}");
            }
        }
    }
}
