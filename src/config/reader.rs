//! The tool with which every section is read: it takes nodes apart, records each fault and continues.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::file;
use super::files_read::FilesRead;
use super::interpolate::{self, BadVariableKind, Origin};
use super::load_options::{KeyPolicy, LoadOptions};
use super::section::{Key, Section};
use super::source::{Place, Source};

/// Replaces an unset variable where keys are optional.
pub(super) const STAND_IN: &str = "placeholder";
/// Longer values are cut in messages.
const QUOTED_CHARS_MAX: usize = 60;

pub(super) struct Reader<'a> {
    pub(super) source: Source,
    pub(super) files_read: FilesRead,
    options: &'a LoadOptions<'a>,
    /// The file's own directory: relative paths in it start there.
    directory: PathBuf,
    /// How names that contain variables are written: messages show them that way.
    written_names: HashMap<String, String>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A scalar with its variables replaced. Messages show `written`, never `value`: that may be a secret.
pub(super) struct Text<'n> {
    pub(super) value: String,
    pub(super) written: &'n str,
    pub(super) place: Place,
    pub(super) origin: Origin,
}

/// A mapping with known keys, each at most once.
pub(super) struct Fields<'n> {
    /// The mapping's own place, for what is missing in it.
    place: Place,
    /// How messages refer to the mapping: "upstream `openai`".
    what: String,
    section: &'static Section,
    found: Vec<(&'static str, Place, &'n Node)>,
    /// Keys that are there under a name that is reported.
    misspelt: Vec<&'static str>,
}

/// A mapping whose keys are the user's own names.
pub(super) struct Entry<'n> {
    pub(super) name: Text<'n>,
    pub(super) value: &'n Node,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        debug_assert!(self.section.key(name).is_some(), "`{name}` is not in the table of keys");
        self.found.iter().find(|found| found.0 == name).map(|found| found.2)
    }

    /// Returns whether a key is there, or was probably meant to be.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some() || self.misspelt.contains(&name)
    }

    /// A value with the place of its key.
    pub(super) fn section(&self, name: &str) -> Option<(&'n Node, Place)> {
        self.get(name).zip(self.key_place(name))
    }

    pub(super) fn key_place(&self, name: &str) -> Option<Place> {
        self.found.iter().find(|found| found.0 == name).map(|found| found.1)
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'n Node> {
        let found = self.get(name);
        if !self.has(name) {
            reader.error("missing-key", self.place, format!("{} has no `{name}`", self.what));
        }
        found
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source, files_read: FilesRead, options: &'a LoadOptions<'a>) -> Self {
        let directory = source.file.parent().map(Path::to_path_buf).unwrap_or_default();
        Self {
            source,
            files_read,
            options,
            directory,
            written_names: HashMap::new(),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn error(&mut self, code: &'static str, place: Place, message: impl Into<String>) {
        self.report(Diagnostic::error(code, place, message));
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports what is wrong with `text`.
    pub(super) fn complain(&mut self, text: &Text<'_>, complaint: Complaint) {
        let message = format!("{} {}", quote(text.written), complaint.reason);
        self.report(Diagnostic {
            help: complaint.help,
            ..Diagnostic::error(complaint.code, text.place, message)
        });
    }

    /// The name of an [entry](Self::entries) for a message, as it is written.
    pub(super) fn quote_name(&self, name: &str) -> String {
        quote(self.written_names.get(name).map_or(name, String::as_str))
    }

    /// Returns whether what a key names must exist.
    pub(super) fn keys_required(&self) -> bool {
        self.options.keys == KeyPolicy::Required
    }

    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.options.env)(name)
    }

    /// A path of the file, from the file's own directory where it is relative.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// What a file that the configuration names holds, at most `max_bytes`.
    ///
    /// # Errors
    /// Says what went wrong, as the end of a sentence.
    pub(super) fn file(&mut self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
        let outcome = file::read(path, max_bytes);
        self.files_read.add(path, &outcome);
        outcome
    }

    /// A mapping with known keys: repeated, unknown and reserved ones are reported. `at` is where a missing key is.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        at: Place,
        what: impl Into<String>,
        section: &'static Section,
    ) -> Option<Fields<'n>> {
        let what = what.into();
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, at, &what, "a mapping");
            return None;
        };
        let mut fields = Fields {
            place: at,
            what,
            section,
            found: Vec::new(),
            misspelt: Vec::new(),
        };
        for (key, value) in entries {
            let Some(name) = self.key_text(key) else { continue };
            let known = section.key(name);
            if known.is_some_and(Key::is_reserved) {
                self.report(
                    Diagnostic::error(
                        "not-yet",
                        key.place,
                        format!("`{name}` is reserved for a later version"),
                    )
                    .help("remove it"),
                );
                continue;
            }
            let Some(known) = known else {
                let meant = self.unknown_key(key.place, name, &fields.what, section);
                fields.misspelt.extend(meant);
                continue;
            };
            if let Some(first) = fields.key_place(known.name) {
                self.duplicate_key(key.place, first, name);
                continue;
            }
            fields.found.push((known.name, key.place, value));
        }
        Some(fields)
    }

    /// A mapping whose keys are the user's names; repeated ones are reported and left out.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, at: Place, what: &str) -> Option<Vec<Entry<'n>>> {
        let Value::Mapping(entries) = &node.value else {
            self.wrong_type(node, at, what, "a mapping");
            return None;
        };
        let mut seen: HashMap<String, Place> = HashMap::new();
        let mut out = Vec::new();
        for (key, value) in entries {
            if self.key_text(key).is_none() {
                continue;
            }
            let Some(name) = self.text(key, "a key") else { continue };
            if let Some(&first) = seen.get(&name.value) {
                self.duplicate_key(key.place, first, name.written);
                continue;
            }
            seen.insert(name.value.clone(), key.place);
            if name.origin != Origin::Written {
                self.written_names.insert(name.value.clone(), name.written.to_owned());
            }
            out.push(Entry { name, value });
        }
        Some(out)
    }

    /// A list.
    pub(super) fn items<'n>(&mut self, node: &'n Node, at: Place, what: &str) -> Option<&'n [Node]> {
        if let Value::Sequence(items) = &node.value {
            return Some(items);
        }
        self.wrong_type(node, at, what, "a list");
        None
    }

    /// A scalar with its variables replaced.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<Text<'n>> {
        let Some(written) = node.text() else {
            self.wrong_type(node, node.place, what, "a single value");
            return None;
        };
        let stand_in = (!self.keys_required()).then_some(STAND_IN);
        match interpolate::expand(written, self.options.env, stand_in) {
            Ok(expanded) => Some(Text {
                value: expanded.value,
                written,
                place: node.place,
                origin: expanded.origin,
            }),
            Err(bad) => {
                for bad in bad {
                    let place = self.variable_place(node.place, bad.nth, bad.written.len());
                    let (code, message, help) = match bad.kind {
                        BadVariableKind::Unset(name) => (
                            "unset-variable",
                            format!("the environment variable `{name}` is not set"),
                            format!("set it, or give a default: `${{{name}:-text}}`"),
                        ),
                        BadVariableKind::Unclosed => (
                            "bad-variable",
                            "`${` without `}`".to_owned(),
                            "write `$${` for a literal `${`".to_owned(),
                        ),
                        BadVariableKind::Name => (
                            "bad-variable",
                            format!("{} does not name a variable", quote(&bad.written)),
                            "a name consists of letters, digits and `_`; write `$${` for a literal `${`".to_owned(),
                        ),
                    };
                    self.report(Diagnostic::error(code, place, message).help(help));
                }
                None
            }
        }
    }

    /// A scalar that `parse` understands. `None` after a fault, and for a variable's stand-in.
    pub(super) fn value<T>(
        &mut self,
        node: &Node,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        if text.origin == Origin::StandIn {
            return None;
        }
        parse(&text.value)
            .map_err(|complaint| self.complain(&text, complaint))
            .ok()
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if text.origin == Origin::StandIn {
            return None;
        }
        let found = words
            .iter()
            .find(|(word, _)| *word == text.value)
            .map(|&(_, value)| value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|&(word, _)| word).collect();
            let message = format!("{} is not a value of {what}", quote(text.written));
            self.unknown("unknown-value", text.place, message, &text.value, &known);
        }
        found
    }

    pub(super) fn wrong_type(&mut self, node: &Node, at: Place, what: &str, expected: &str) {
        let place = if matches!(node.value, Value::Nothing) {
            at
        } else {
            node.place
        };
        self.error(
            "wrong-type",
            place,
            format!("{what} must be {expected}, found {}", node.kind()),
        );
    }

    fn key_text<'n>(&mut self, key: &'n Node) -> Option<&'n str> {
        let text = key.text();
        if text.is_none() {
            self.error(
                "wrong-type",
                key.place,
                format!("a key must be a single value, found {}", key.kind()),
            );
        }
        text
    }

    fn duplicate_key(&mut self, place: Place, first: Place, name: &str) {
        let diagnostic = Diagnostic::error("duplicate-key", place, format!("{} is given twice", quote(name)));
        self.report(diagnostic.help(format!("the first one is in line {}", first.line)));
    }

    /// Returns where the `nth` `${` of the scalar at `place` stands, quotes included.
    fn variable_place(&self, place: Place, nth: usize, len_bytes: usize) -> Place {
        let written = self.source.at(place);
        match written.match_indices("${").nth(nth) {
            Some((within, _)) => self
                .source
                .further(place, within, len_bytes.min(written.len() - within)),
            None => place,
        }
    }
}

/// Quotes a value for a message: in backquotes, on one line, not too long. Its own backquotes become apostrophes,
/// because they would end the quotation, outside which nothing is masked.
pub(super) fn quote(text: &str) -> String {
    format!("`{}`", quotable(text))
}

/// The same without the backquotes: for a longer quotation.
pub(super) fn quotable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .map(|c| match c {
            '`' => '\'',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
