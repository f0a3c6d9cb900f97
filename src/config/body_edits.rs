//! `body`: members of each request's body that are set or dropped at an upstream or a target.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::diagnostic::Complaint;
use super::document::{Node, Value};
use super::reader::Reader;
use super::source::Place;
use super::{BodyEdits, keys};

/// What routes a request, and what decides how its answer is read.
const OWN_MEMBERS: [&str; 2] = ["model", "stream"];

pub(super) fn body(reader: &mut Reader<'_>, node: &Node, at: Place) -> BodyEdits {
    let mut edits = BodyEdits::default();
    let Some(fields) = reader.fields(node, at, "`body`", &keys::BODY) else {
        return edits;
    };
    if let Some((node, at)) = fields.section("set") {
        for entry in reader.entries(node, at, "`set`").unwrap_or_default() {
            let name = member(&entry.name.value).map_err(|complaint| reader.complain(&entry.name, complaint));
            let value = json(reader, entry.value).to_string();
            edits.set.extend(name.map(|name| (name, Arc::from(value))));
        }
    }
    if let Some((node, at)) = fields.section("drop") {
        let items = reader.items(node, at, "`drop`").unwrap_or_default();
        let names = items
            .iter()
            .filter_map(|item| reader.value(item, "a member's name", member));
        edits.drop = names.collect();
    }
    edits
}

fn member(name: &str) -> Result<Arc<str>, Complaint> {
    if OWN_MEMBERS.contains(&name) {
        return Err(Complaint::new(
            "bad-body",
            "can't be changed here",
            "`model` is a target's own (`UPSTREAM/MODEL`), and `stream` is the client's choice",
        ));
    }
    Ok(Arc::from(name))
}

/// A YAML value as JSON. What is not quoted and looks like a number, a boolean or `null` is one.
fn json(reader: &mut Reader<'_>, node: &Node) -> Json {
    match &node.value {
        Value::Nothing => Json::Null,
        Value::Sequence(items) => items.iter().map(|item| json(reader, item)).collect(),
        Value::Mapping(entries) => {
            let members = entries
                .iter()
                .filter_map(|(key, value)| Some((key.text()?.to_owned(), value)));
            let members: Vec<_> = members.collect();
            let members = members.into_iter().map(|(name, value)| (name, json(reader, value)));
            Json::Object(members.collect::<Map<_, _>>())
        }
        Value::Scalar(_) | Value::Unquoted => {
            let is_quoted = reader.source.at(node.place).starts_with(['"', '\'', '|', '>']);
            let Some(text) = reader.text(node, "a member's value") else {
                return Json::Null;
            };
            match serde_json::from_str::<Json>(&text.value) {
                Ok(value @ (Json::Number(_) | Json::Bool(_) | Json::Null)) if !is_quoted => value,
                _ => Json::String(text.value),
            }
        }
    }
}
