//! The members of an event's data that tell where its stream stands, read as they come and without building anything.

use memchr::memchr2;

use super::choices::Choices;
use crate::protocol::StreamKind;
use crate::protocol::event::is_failed_reason;

/// Names and values that matter are shorter; of longer ones only the length is known.
const WORD_BYTES_MAX: usize = 32;

/// One event's data, read so far. What is no JSON tells nothing.
#[derive(Debug, Default)]
pub(super) struct Outline {
    at: At,
    /// The last byte of the text was a backslash.
    is_escaped: bool,
    /// The rest tells nothing.
    is_settled: bool,
    word: Word,
    /// Lists and objects that are open.
    depth: usize,
    /// One where a list stands around the object, as Gemini's compatibility layer has it, and around `[DONE]`.
    lists_around: usize,
    /// The next text is the name of a member.
    expects_key: bool,
    /// The last key of the object, and of the choice.
    member: Member,
    choice_member: Member,
    /// An `error` has been opened, of which nothing has come yet.
    opened_error: bool,
    choice: Option<Choice>,
    choices: Choices,
    event_type: Option<EventType>,
    /// Once the type is known, what follows it tells nothing.
    is_told_by_type: bool,
    has_error: bool,
    is_error_object: bool,
    /// One of the choices was given up.
    has_failed_choice: bool,
    is_done: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Between,
    Text,
    /// A number, `true`, `false`, `null`, or `DONE`.
    Literal,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    #[default]
    Other,
    Type,
    Object,
    Error,
    Choices,
    Index,
    FinishReason,
}

/// Where something is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// It is read in the list around everything.
    List,
    /// Among the event's own members.
    Event,
    /// Among those of one of its `choices`.
    Choice,
    Elsewhere,
}

#[derive(Debug, Default)]
struct Choice {
    index: Option<u64>,
    has_ended: bool,
}

/// The `type` of an event, as far as it matters to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    ResponseCompleted,
    ResponseIncomplete,
    ResponseFailed,
    MessageStop,
    Error,
    Other,
}

impl EventType {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"response.completed" => Self::ResponseCompleted,
            b"response.incomplete" => Self::ResponseIncomplete,
            b"response.failed" => Self::ResponseFailed,
            b"message_stop" => Self::MessageStop,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }

    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Error | Self::ResponseFailed)
    }
}

#[derive(Debug, Default)]
struct Word {
    is_kept: bool,
    bytes: [u8; WORD_BYTES_MAX],
    length: usize,
}

impl Word {
    fn begin(is_kept: bool) -> Self {
        Self {
            is_kept,
            ..Self::default()
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if !self.is_kept {
            return;
        }
        if let Some(room) = self.bytes.get_mut(self.length..) {
            let kept = bytes.len().min(room.len());
            room[..kept].copy_from_slice(&bytes[..kept]);
        }
        self.length = self.length.saturating_add(bytes.len());
    }

    /// Empty where it is too long to matter.
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Outline {
    pub(super) fn new(kind: StreamKind) -> Self {
        Self {
            is_told_by_type: matches!(kind, StreamKind::Responses | StreamKind::Messages),
            ..Self::default()
        }
    }

    /// Reads the next bytes of the data, and tells how many of them may tell something. A line break within the data is
    /// white space.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first()
            && !self.is_settled
        {
            rest = after;
            match self.at {
                At::Text if std::mem::take(&mut self.is_escaped) => self.word.push(&[byte]),
                At::Text if byte == b'"' => self.end_text(),
                At::Text if byte == b'\\' => {
                    self.is_escaped = true;
                    self.word.push(&[byte]);
                }
                At::Text => {
                    let length = memchr2(b'"', b'\\', after).unwrap_or(after.len());
                    self.word.push(&[byte]);
                    self.word.push(&after[..length]);
                    rest = &after[length..];
                }
                At::Literal if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
                    self.word.push(&[byte]);
                }
                At::Literal => {
                    self.end_literal();
                    self.between(byte);
                }
                At::Between => self.between(byte),
            }
        }
        bytes.len() - rest.len()
    }

    /// The choices that the event is about. One that is not whole yet may be any.
    pub(super) fn choices_so_far(&self) -> Choices {
        let mut choices = self.choices;
        if let Some(choice) = &self.choice {
            choices.begin(choice.index.unwrap_or(u64::MAX));
        }
        choices
    }

    /// The same, now that the event has ended.
    pub(super) fn choices(&self) -> Choices {
        let mut choices = self.choices;
        if let Some(choice) = &self.choice {
            choices.begin(choice.index.unwrap_or(0));
        }
        choices
    }

    pub(super) fn event_type(&self) -> Option<EventType> {
        self.event_type
    }

    /// It is `[DONE]`.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// It reports an error in a shape over which SDKs raise: `{"error": …}` or `{"type": "error", …}`.
    pub(super) fn raises_in_sdks(&self) -> bool {
        self.lists_around == 0 && self.has_error || self.event_type == Some(EventType::Error)
    }

    /// It reports an error in any shape that streams use, as [`is_failure`](crate::protocol::event::is_failure) has them.
    pub(super) fn reports_error(&self) -> bool {
        self.has_error
            || self.is_error_object
            || self.has_failed_choice
            || self.event_type.is_some_and(EventType::is_failure)
    }

    fn level(&self) -> Level {
        match self.depth.saturating_sub(self.lists_around) {
            0 if self.lists_around > 0 => Level::List,
            1 => Level::Event,
            3 if self.member == Member::Choices => Level::Choice,
            _ => Level::Elsewhere,
        }
    }

    /// Outside of texts and literals.
    fn between(&mut self, byte: u8) {
        if byte.is_ascii_whitespace() {
            return;
        }
        if std::mem::take(&mut self.opened_error) && !matches!(byte, b'}' | b']') {
            self.take_error();
        }
        self.at = At::Between;
        match byte {
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b',' => self.end_member(),
            b':' => self.expects_key = false,
            _ => {
                self.word = Word::begin(self.level() != Level::Elsewhere);
                if byte == b'"' {
                    self.at = At::Text;
                } else {
                    self.at = At::Literal;
                    self.word.push(&[byte]);
                }
            }
        }
    }

    fn end_member(&mut self) {
        self.expects_key = true;
        match self.level() {
            Level::Event => self.member = Member::Other,
            Level::Choice => self.choice_member = Member::Other,
            Level::List | Level::Elsewhere => {}
        }
    }

    fn open(&mut self, byte: u8) {
        self.opened_error = self.member_here() == Some(Member::Error);
        if self.depth == 0 && byte == b'[' {
            self.lists_around = 1;
        }
        self.depth += 1;
        self.expects_key = byte == b'{';
        if self.level() == Level::Choice {
            self.choice = Some(Choice::default());
            self.choice_member = Member::Other;
        }
    }

    fn close(&mut self) {
        if self.level() == Level::Choice
            && let Some(choice) = self.choice.take()
        {
            // Some leave out what is zero.
            let index = choice.index.unwrap_or(0);
            self.choices.begin(index);
            if choice.has_ended {
                self.choices.end(index);
            }
        }
        self.depth = self.depth.saturating_sub(1);
        // Behind the whole value there is no more JSON.
        self.is_settled |= self.depth == 0;
    }

    /// The member whose value is read.
    fn member_here(&self) -> Option<Member> {
        match self.level() {
            Level::Event => Some(self.member),
            Level::Choice => Some(self.choice_member),
            Level::List | Level::Elsewhere => None,
        }
    }

    fn end_text(&mut self) {
        self.at = At::Between;
        if !self.expects_key {
            return self.take_value(true);
        }
        let member = match self.word.text() {
            b"type" => Member::Type,
            b"object" => Member::Object,
            b"error" => Member::Error,
            b"choices" => Member::Choices,
            b"index" => Member::Index,
            b"finish_reason" => Member::FinishReason,
            _ => Member::Other,
        };
        match self.level() {
            Level::Event => self.member = member,
            Level::Choice => self.choice_member = member,
            Level::List | Level::Elsewhere => {}
        }
    }

    fn end_literal(&mut self) {
        self.at = At::Between;
        if self.level() == Level::List {
            self.is_done |= self.word.text() == b"DONE";
        }
        if !self.expects_key {
            self.take_value(false);
        }
    }

    /// An `error` that is something: the event's own, or one that has ended a choice.
    fn take_error(&mut self) {
        match &mut self.choice {
            Some(choice) => {
                choice.has_ended = true;
                self.has_failed_choice = true;
            }
            None => self.has_error = true,
        }
    }

    /// A text, a number, `true`, `false` or `null`.
    fn take_value(&mut self, is_text: bool) {
        let Some(member) = self.member_here() else { return };
        let is_empty = self.word.length == 0;
        match member {
            Member::Type if is_text && self.choice.is_none() => {
                let event_type = *self.event_type.get_or_insert(EventType::of(self.word.text()));
                self.is_settled = self.is_told_by_type && !event_type.is_failure();
            }
            // vLLM's: <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>
            Member::Object if is_text && self.choice.is_none() => self.is_error_object |= self.word.text() == b"error",
            Member::Error => {
                let is_nothing = !is_text && matches!(self.word.text(), b"null" | b"false" | b"0");
                if !is_empty && !is_nothing {
                    self.take_error();
                }
            }
            // Some send an empty one with every chunk.
            Member::FinishReason if is_text && !is_empty => {
                let reason = std::str::from_utf8(self.word.text()).unwrap_or_default();
                self.has_failed_choice |= is_failed_reason(reason);
                match &mut self.choice {
                    Some(choice) => choice.has_ended = true,
                    None => self.choices.end(0),
                }
            }
            Member::Index => {
                if let Some(choice) = &mut self.choice {
                    choice.index = Some(index(&self.word));
                }
            }
            _ => {}
        }
    }
}

/// What is no whole number is as if it weren't there; one that is too long for a number is greater than any.
fn index(literal: &Word) -> u64 {
    if literal.length > WORD_BYTES_MAX {
        return u64::MAX;
    }
    let digits = literal.text().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |index: u64, digit| {
        index.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}
