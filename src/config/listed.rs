//! A route's `models`: the names that the list of models has for a glob.

use super::diagnostic::{Complaint, Diagnostic};
use super::document::{Node, Value};
use super::reader::{Reader, quote};
use super::source::Place;
use super::{ListedModels, words};
use crate::notation::glob;

/// Reads `models` of the route `name`.
pub(super) fn models(reader: &mut Reader<'_>, node: &Node, at: Place, name: &str) -> ListedModels {
    if !glob::is_glob(name) {
        let warning = Diagnostic::warning(
            "unused-models",
            at,
            "`models` has no effect: this route lists its own name",
        );
        reader.report(warning.help("it is for routes whose name is a glob"));
    }
    let Value::Sequence(items) = &node.value else {
        let asked = reader.one_of(node, "`models`", &words::LISTED);
        return asked.map_or(ListedModels::Own, |()| ListedModels::Asked);
    };
    let mut names = Vec::new();
    for item in items {
        let listed = reader.value(item, "a model", |text| match text {
            _ if text.is_empty() || text.contains('*') => Err(Complaint::new(
                "bad-model",
                "is no name of one model",
                "write each name out",
            )),
            _ if !glob::matches(name, text) => Err(Complaint::new(
                "bad-model",
                format!("is not a name that the route {} takes", quote(name)),
                "list names that match the glob",
            )),
            text => Ok(text.into()),
        });
        names.extend(listed);
    }
    ListedModels::Names(names)
}
