//! The names of one kind that the file declares, and what refers to them.

use std::cell::RefCell;
use std::collections::HashMap;

use super::diagnostic::Diagnostic;
use super::document::{Node, Value};
use super::reader::{Reader, quote};
use super::source::Place;

/// So many further lines are told of a name that is not known.
const LINES_MAX: usize = 5;

pub(super) struct Names<'n> {
    /// The code of a fault.
    code: &'static str,
    /// "upstream"
    kind: &'static str,
    known: Vec<&'n str>,
    index: HashMap<&'n str, usize>,
    /// Otherwise a name may be declared where it could not be read, which is reported there.
    is_whole: bool,
    strangers: RefCell<HashMap<String, Stranger>>,
}

/// A name that is not known, which is one fault however often it is used.
struct Stranger {
    /// Which diagnostic tells of it.
    diagnostic: usize,
    help: Option<String>,
    place: Place,
    further: Vec<u32>,
}

/// A reference to a name.
pub(super) struct Reference<'r> {
    pub(super) name: &'r str,
    /// Messages show this.
    pub(super) written: &'r str,
    pub(super) place: Place,
}

impl<'n> Names<'n> {
    /// `known` are in the file's order.
    pub(super) fn of_upstreams(known: Vec<&'n str>, is_whole: bool) -> Self {
        Self {
            code: "unknown-upstream",
            ..Self::new("upstream", known, is_whole)
        }
    }

    pub(super) fn of_routes(known: Vec<&'n str>, is_whole: bool) -> Self {
        Self {
            code: "unknown-route",
            ..Self::new("route", known, is_whole)
        }
    }

    fn new(kind: &'static str, known: Vec<&'n str>, is_whole: bool) -> Self {
        let index = known.iter().enumerate().map(|(index, &name)| (name, index)).collect();
        Self {
            code: "",
            kind,
            known,
            index,
            is_whole,
            strangers: RefCell::default(),
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Returns which name `reference` means. If there is none, the first such reference is reported, with `help` if
    /// something better than the nearest name is known; to all others, this report refers.
    pub(super) fn find(
        &self,
        reader: &mut Reader<'_>,
        reference: &Reference<'_>,
        help: Option<String>,
    ) -> Option<usize> {
        if let Some(&index) = self.index.get(reference.name) {
            return Some(index);
        }
        if !self.is_whole {
            return None;
        }
        let mut strangers = self.strangers.borrow_mut();
        if let Some(stranger) = strangers.get_mut(reference.written) {
            stranger.add(reference.place);
            let help = stranger.help();
            if let Some(diagnostic) = reader.diagnostics.get_mut(stranger.diagnostic) {
                diagnostic.help = Some(help);
            }
            return None;
        }
        let help = help.or_else(|| reader.help_with_name(reference.name, &self.known));
        let stranger = Stranger {
            diagnostic: reader.diagnostics.len(),
            help: help.clone(),
            place: reference.place,
            further: Vec::new(),
        };
        strangers.insert(reference.written.to_owned(), stranger);
        let message = format!("unknown {} {}", self.kind, quote(reference.written));
        reader.report(Diagnostic {
            help,
            ..Diagnostic::error(self.code, reference.place, message)
        });
        None
    }
}

impl Stranger {
    fn add(&mut self, place: Place) {
        if place != self.place && self.further.last() != Some(&place.line) {
            self.further.push(place.line);
        }
    }

    fn help(&self) -> String {
        let help = self.help.clone().unwrap_or_default();
        let (told, rest) = self.further.split_at(self.further.len().min(LINES_MAX));
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        let lines = match (told.as_slice(), rest.len()) {
            ([], _) => return help,
            ([one], _) => format!("line {one}"),
            ([before @ .., last], 0) => format!("lines {} and {last}", before.join(", ")),
            (told, more) => format!("lines {} and {more} more", told.join(", ")),
        };
        let also = format!("it is also named in {lines}");
        if help.is_empty() {
            also
        } else {
            format!("{help} ({also})")
        }
    }
}

/// Whether every key of a mapping is among the entries that could be read.
pub(super) fn is_whole(node: &Node, read: &[Place]) -> bool {
    let Value::Mapping(entries) = &node.value else {
        return false;
    };
    let plain = |key: &Node| key.text().is_some_and(|text| !text.contains("${"));
    !entries.is_empty() && entries.iter().all(|(key, _)| plain(key) || read.contains(&key.place))
}
