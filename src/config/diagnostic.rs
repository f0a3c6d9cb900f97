//! A fault of the configuration, and how a person sees it.

use super::source::{Place, Source};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// The value is used, but is probably not what was meant.
    Warning,
    /// The value is used, and may well be what was meant; shown only to those who check it.
    Note,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One fault. No part of it contains a secret or a variable's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, in kebab case: `unknown-key`.
    pub code: &'static str,
    pub message: String,
    /// `None` where the file as a whole is meant.
    pub place: Option<Place>,
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn error(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            place: Some(place),
            help: None,
        }
    }

    pub(super) fn warning(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, place, message)
        }
    }

    pub(super) fn note(code: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(code, place, message)
        }
    }

    /// An error about the file as a whole.
    pub(super) fn of_file(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            place: None,
            ..Self::error(code, Place::START, message)
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// Renders several lines, as `rustc` prints them, each ended by a newline.
    pub fn render(&self, source: &Source, colour: bool) -> String {
        let paint = Paint { on: colour };
        let tint = match self.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
            Severity::Note => BLUE,
        };
        let title = paint.with(tint, &format!("{}[{}]", self.severity.name(), self.code));
        let mut out = format!("{title}{}\n", paint.with(BOLD, &format!(": {}", self.message)));
        let file = source.file.display();
        let mut gutter = String::from(" ");
        if let Some(place) = self.place {
            let number = place.line.to_string();
            gutter = " ".repeat(number.len());
            let excerpt = source.excerpt(place);
            let marker = " ".repeat(excerpt.marked.start) + &"^".repeat(excerpt.marked.len());
            out += &format!(
                "{gutter}{} {file}:{}:{}\n",
                paint.with(BLUE, "-->"),
                place.line,
                place.column
            );
            out += &format!("{gutter} {}\n", paint.with(BLUE, "|"));
            out += &format!("{} {}\n", paint.with(BLUE, &format!("{number} |")), excerpt.text);
            out += &format!("{gutter} {} {}\n", paint.with(BLUE, "|"), paint.with(tint, &marker));
        } else {
            out += &format!("{gutter}{} {file}\n", paint.with(BLUE, "-->"));
        }
        if let Some(help) = &self.help {
            out += &format!("{gutter} {} help: {help}\n", paint.with(BLUE, "="));
        }
        out
    }
}

/// A fault of a value, reported to a caller that knows where the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: &'static str,
    /// Continues the sentence that begins with the value: "is not a duration".
    pub(super) reason: String,
    pub(super) help: Option<String>,
}

impl Complaint {
    pub(super) fn new(code: &'static str, reason: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            help: Some(help.into()),
        }
    }
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

struct Paint {
    on: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
