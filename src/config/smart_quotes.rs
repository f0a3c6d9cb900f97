//! Typographic quotes, which word processors and web pages put in place of `"`: to YAML they are letters.

use super::diagnostic::Diagnostic;
use super::document::{Node, Value};
use super::reader::Reader;

const DOUBLE: [char; 3] = ['“', '”', '„'];
const SINGLE: [char; 3] = ['‘', '’', '‚'];

/// Warns of every value and key that begins with one.
pub(super) fn warn(reader: &mut Reader<'_>, root: &Node) {
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        match &node.value {
            Value::Scalar(text) if text.starts_with(DOUBLE) || text.starts_with(SINGLE) => {
                let message = "this begins with a typographic quote, which is part of the text";
                let warning = Diagnostic::warning("smart-quotes", node.place, message);
                reader.report(warning.help("write straight quotes, or none"));
            }
            Value::Scalar(_) | Value::Nothing | Value::Unquoted => {}
            Value::Sequence(items) => rest.extend(items),
            Value::Mapping(entries) => rest.extend(entries.iter().flat_map(|(key, value)| [key, value])),
        }
    }
}
