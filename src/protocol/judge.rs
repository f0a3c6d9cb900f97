//! Has an answer begun, or has it failed? Decided before one byte of it goes to the client (docs: behaviour,
//! "judgement"). The judge reads what the transport holds back; it delivers nothing itself.

use std::ops::ControlFlow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::decode::{Decoder, is_encoded};
use super::event::{Meaning, meaning};
use super::json_head::{Head, JsonHead};
use super::sse::Events;
use super::whole_answer::AnswerFault;
use super::{HELD_MAX_BYTES, StreamKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// More bytes are needed.
    Undecided,
    /// The client may have it.
    Begun,
    /// It is to be classified; [`Judge::error_payload`] tells what it says.
    Failed,
}

/// Judges one answer, from its header on.
pub struct Judge {
    kind: StreamKind,
    status: u16,
    /// What `content-type` announces; the body's first bytes have the last word.
    announces: Announced,
    decoder: Option<Decoder>,
    stage: Stage,
    is_stream: bool,
    is_json: bool,
    fed_bytes: usize,
    /// Decoded. While sniffing: all of it. For a failure: its body, or the event that reports it.
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Events,
    Json,
    Nothing,
    Else,
}

enum Stage {
    /// The first bytes will tell what kind of body this is.
    Sniff,
    Events(Events),
    Json(JsonHead),
    /// It has failed; the rest of the body is kept to tell why.
    ErrorBody,
    Decided(Judgement),
}

impl Judge {
    /// `status` and `headers` are the upstream's, `kind` is the request path's.
    pub fn new(status: u16, headers: &HeaderMap, kind: StreamKind) -> Self {
        let decoder = Decoder::of(headers);
        let stage = match status {
            400.. => Stage::ErrorBody,
            204 | 205 | 300..400 | ..200 => Stage::Decided(Judgement::Begun),
            // Unreadable to us, and the client has asked for it so.
            _ if decoder.is_none() && is_encoded(headers) => Stage::Decided(Judgement::Begun),
            _ => Stage::Sniff,
        };
        let announces = announced(headers);
        Self {
            kind,
            status,
            announces,
            decoder,
            stage,
            is_stream: announces == Announced::Events && status < 400,
            is_json: false,
            fed_bytes: 0,
            text: Vec::new(),
        }
    }

    /// Takes the next bytes of the body, as they came. Once it has decided, the judgement stays.
    pub fn feed(&mut self, piece: &[u8]) -> Judgement {
        if let Stage::Decided(judgement) = self.stage {
            return judgement;
        }
        self.fed_bytes = self.fed_bytes.saturating_add(piece.len());
        match self.decoder.take() {
            // Its body is decoded at the end, and stays as it is if it isn't what its header says.
            decoder if self.status >= 400 => {
                self.decoder = decoder;
                self.feed_decoded(piece);
            }
            None => self.feed_decoded(piece),
            Some(mut decoder) => {
                decoder.push(piece);
                self.feed_decoded(&decoder.take());
                if decoder.has_stopped() && !self.awaits_error_body() {
                    self.decide(Judgement::Begun);
                }
                self.decoder = Some(decoder);
            }
        }
        if self.fed_bytes >= HELD_MAX_BYTES {
            self.give_up();
        }
        self.current()
    }

    /// The body has ended, or the time to wait for more of it has: decides. Never undecided.
    pub fn end(&mut self) -> Judgement {
        let is_known = self.is_known();
        let decided = match &mut self.stage {
            Stage::Decided(judgement) => *judgement,
            Stage::ErrorBody => Judgement::Failed,
            Stage::Sniff if self.text.trim_ascii().is_empty() => {
                // No SDK can make anything of an empty 200 to a request for an answer.
                let must_answer = self.announces == Announced::Events || is_known && self.status == 200;
                if must_answer {
                    Judgement::Failed
                } else {
                    Judgement::Begun
                }
            }
            Stage::Sniff => Judgement::Begun,
            Stage::Events(events) => {
                if let Some(event) = events.unfinished() {
                    self.text = event.data.to_vec();
                }
                Judgement::Failed
            }
            // Cut short before anything that the client waits for.
            Stage::Json(_) if is_known => Judgement::Failed,
            Stage::Json(_) => Judgement::Begun,
        };
        self.decide(decided)
    }

    /// Whether the answer is known to have failed, and only the rest of its body is awaited: the caller bounds that
    /// wait, and calls [`Judge::end`] when it is over.
    pub fn awaits_error_body(&self) -> bool {
        matches!(self.stage, Stage::ErrorBody)
    }

    /// Whether the body is a stream of events, by its header or by its first bytes. Final once decided.
    pub fn is_event_stream(&self) -> bool {
        self.is_stream
    }

    /// Returns whether the body began as JSON does. Final once decided.
    pub fn is_json(&self) -> bool {
        self.is_json
    }

    /// What a failed answer says: the data of the event that reports the error, or the decoded body; at most
    /// [`HELD_MAX_BYTES`], empty if it said nothing.
    pub fn error_payload(&self) -> &[u8] {
        match self.stage {
            Stage::Decided(Judgement::Failed) | Stage::ErrorBody => &self.text,
            _ => &[],
        }
    }

    /// What is wrong with a failed answer that reports no error: a stream that ended, or a body, without a word.
    pub fn fault(&self) -> Option<AnswerFault> {
        let is_empty = self.status < 400 && self.error_payload().trim_ascii().is_empty();
        is_empty.then_some(AnswerFault::Empty)
    }

    fn current(&self) -> Judgement {
        match self.stage {
            Stage::Decided(judgement) => judgement,
            _ => Judgement::Undecided,
        }
    }

    /// The first decision stays.
    fn decide(&mut self, judgement: Judgement) -> Judgement {
        if let Stage::Decided(decided) = self.stage {
            return decided;
        }
        self.stage = Stage::Decided(judgement);
        let decoder = self.decoder.take();
        if judgement == Judgement::Begun {
            self.text = Vec::new();
        } else if let Some(mut decoder) = decoder.filter(|_| self.status >= 400) {
            decoder.push(&self.text);
            let decoded = decoder.take();
            if !decoded.is_empty() {
                self.text = decoded;
            }
        }
        judgement
    }

    /// No more can be held: decides by what has come. Never undecided.
    pub fn give_up(&mut self) -> Judgement {
        match self.stage {
            Stage::Decided(judgement) => judgement,
            Stage::ErrorBody => self.decide(Judgement::Failed),
            _ => self.decide(Judgement::Begun),
        }
    }

    fn feed_decoded(&mut self, piece: &[u8]) {
        match &mut self.stage {
            Stage::Decided(_) => {}
            Stage::ErrorBody => self.keep(piece),
            Stage::Sniff => {
                self.keep(piece);
                self.sniff();
            }
            Stage::Events(_) => self.feed_events(piece),
            Stage::Json(_) => {
                self.keep(piece);
                self.feed_json(piece);
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = HELD_MAX_BYTES.saturating_sub(self.text.len());
        self.text.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn is_known(&self) -> bool {
        self.kind != StreamKind::Other
    }

    fn sniff(&mut self) {
        let mark_bytes = if self.text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        if mark_bytes == 0 && b"\xef\xbb\xbf".starts_with(&self.text) {
            return;
        }
        match look(&self.text[mark_bytes..], self.announces, self.is_known()) {
            Look::Unclear => {}
            Look::Events => {
                self.is_stream = true;
                self.stage = Stage::Events(Events::default());
                let text = std::mem::take(&mut self.text);
                self.feed_events(&text[mark_bytes..]);
            }
            Look::Json => {
                self.is_stream = false;
                self.is_json = true;
                self.stage = Stage::Json(JsonHead::new(self.is_known()));
                let text = std::mem::take(&mut self.text);
                self.feed_json(&text[mark_bytes..]);
                if matches!(self.stage, Stage::Json(_) | Stage::ErrorBody) {
                    self.text = text;
                }
            }
            Look::Page => self.stage = Stage::ErrorBody,
            Look::Else => drop(self.decide(Judgement::Begun)),
        }
    }

    fn feed_events(&mut self, piece: &[u8]) {
        let Stage::Events(events) = &mut self.stage else { return };
        let kind = self.kind;
        let flow = events.feed(piece, |event| match meaning(kind, &event) {
            Meaning::Nothing => ControlFlow::Continue(()),
            Meaning::Content => ControlFlow::Break(None),
            // An end before anything meaningful is no answer, and no explanation either.
            Meaning::End => ControlFlow::Break(Some(Vec::new())),
            Meaning::Failure => ControlFlow::Break(Some(event.data.to_vec())),
        });
        match flow {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(None) => drop(self.decide(Judgement::Begun)),
            ControlFlow::Break(Some(payload)) => {
                self.text = payload;
                self.decide(Judgement::Failed);
            }
        }
    }

    fn feed_json(&mut self, piece: &[u8]) {
        let Stage::Json(head) = &mut self.stage else { return };
        match head.feed(piece) {
            Head::Undecided => {}
            Head::Answer => drop(self.decide(Judgement::Begun)),
            Head::Error => self.stage = Stage::ErrorBody,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Unclear,
    Events,
    Json,
    /// An HTML page where an API's answer is due: a CDN's error page, or a web front end that serves every path.
    Page,
    Else,
}

/// What the first bytes are. Blank lines before JSON are how DeepSeek keeps waiting clients alive.
fn look(text: &[u8], announces: Announced, is_known: bool) -> Look {
    let text = text.trim_ascii_start();
    let Some(&first) = text.first() else {
        return Look::Unclear;
    };
    if matches!(first, b'{' | b'[') {
        return Look::Json;
    }
    if announces == Announced::Events {
        return Look::Events;
    }
    if announces == Announced::Else && !is_known {
        return Look::Else;
    }
    const STARTS: [(&[u8], Look); 7] = [
        (b":", Look::Events),
        (b"data:", Look::Events),
        (b"event:", Look::Events),
        (b"id:", Look::Events),
        (b"retry:", Look::Events),
        (b"<!doctype html", Look::Page),
        (b"<html", Look::Page),
    ];
    let mut seen = Look::Else;
    for (start, meant) in STARTS {
        match begins_with(text, start) {
            Some(true) if meant == Look::Page && !is_known => return Look::Else,
            Some(true) => return meant,
            Some(false) => {}
            None => seen = Look::Unclear,
        }
    }
    seen
}

/// Whether `text` begins with `start`. `None` while `text` is too short to tell.
fn begins_with(text: &[u8], start: &[u8]) -> Option<bool> {
    let shared = text.len().min(start.len());
    if !text[..shared].eq_ignore_ascii_case(&start[..shared]) {
        return Some(false);
    }
    (shared == start.len()).then_some(true)
}

fn announced(headers: &HeaderMap) -> Announced {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return Announced::Nothing;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "" => Announced::Nothing,
        "text/event-stream" => Announced::Events,
        json if json.ends_with("json") => Announced::Json,
        _ => Announced::Else,
    }
}

#[cfg(test)]
mod tests;
