//! The text of an answer that may break off, as far as an attempt that resumes it needs it.

/// The text that has arrived so far.
#[derive(Debug, Default)]
pub(super) struct AnswerText {
    text: String,
    /// How many pieces of text arrived: about one per token, where nothing better is known.
    pub pieces: u64,
    /// White space at the end of `text` that the last upstream was not given, and so may repeat.
    untold: String,
    /// Something arrived that cannot be continued, or nothing is left to say.
    is_final: bool,
    max_bytes: usize,
}

impl AnswerText {
    /// Remembers at most `max_bytes` of text.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }

    /// Returns what the next upstream is given. Several refuse a text that ends in white space.
    pub(super) fn told(&self) -> &str {
        self.text.trim_end()
    }

    /// Notes that the text was given to an upstream.
    pub(super) fn tell(&mut self) {
        self.untold = self.text[self.told().len()..].to_owned();
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    pub(super) fn is_final(&self) -> bool {
        self.is_final
    }

    pub(super) fn push(&mut self, piece: &str) {
        if piece.is_empty() || self.is_final {
            return;
        }
        self.pieces += 1;
        self.text.push_str(piece);
        if self.text.len() > self.max_bytes {
            self.close();
        }
    }

    /// Rules out continuing the answer from here on.
    pub(super) fn close(&mut self) {
        self.is_final = true;
        self.text = String::new();
    }

    /// Returns `piece` of a continuation without the white space that the client has already.
    pub(super) fn unsaid<'a>(&mut self, piece: &'a str) -> &'a str {
        let same = piece.chars().zip(self.untold.chars()).take_while(|(a, b)| a == b);
        let bytes = same.map(|(c, _)| c.len_utf8()).sum();
        // Once something else was said, the rest will not come.
        self.untold = match piece.len() > bytes {
            true => String::new(),
            false => self.untold.split_off(bytes),
        };
        &piece[bytes..]
    }
}
