//! `admin`: where the operator looks.

use std::path::Path;

use super::diagnostic::Diagnostic;
use super::document::{self, Node, Value};
use super::files_read::FilesRead;
use super::interpolate::Origin;
use super::load_options::{KeyPolicy, LoadOptions};
use super::reader::Reader;
use super::source::{Place, Source};
use super::{Admin, Listener, browser, file, keys, listen, quantity};

/// The address in place of an unset variable; the drill needs no other.
const STAND_IN: &str = "127.0.0.1:9091";

/// `ADDRESS`, or `{ address, hosts, open }`. `None`: there is none, or it has a fault.
pub(super) fn admin(reader: &mut Reader<'_>, node: Option<(&Node, Place)>, taken: &[Listener]) -> Option<Admin> {
    let (node, at) = node?;
    let (admin, place, open) = match &node.value {
        Value::Mapping(_) => mapping(reader, node, at)?,
        _ => (plain(reader, node)?, node.place, false),
    };
    if taken
        .iter()
        .any(|listener| listen::collide(&listener.address, &admin.address))
    {
        let message = "this address is taken by a listener of `listen`: clients must not reach the admin listener";
        let help = "give it an address or a port of its own";
        reader.report(Diagnostic::error("duplicate-listener", place, message).help(help));
    }
    if !open && !listen::stays_here(&admin.address) {
        let message = "the admin listener has no password: whoever reaches this address can read the status";
        let help =
            "use 127.0.0.1 or a unix socket; if only trusted hosts can reach it, say so: `{ address: …, open: true }`";
        reader.report(Diagnostic::error("open-admin", place, message).help(help));
    }
    Some(admin)
}

/// Reads the admin listener from `file`, whatever else is wrong with it: one wants to look at the status while the file
/// is being edited.
pub fn of_file(file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Option<Admin> {
    let bytes = file::read(file, file::CONFIGURATION_BYTES_MAX);
    let files_read = FilesRead::of(file, &bytes);
    let text = String::from_utf8(bytes.ok()?).ok()?;
    let alone = section(&text).to_owned();
    let whole = Source::new(file.to_path_buf(), text);
    let (source, root) = match document::parse(&whole) {
        Ok(root) => (whole, root),
        Err(_) => {
            let source = Source::new(file.to_path_buf(), alone);
            let root = document::parse(&source).ok()?;
            (source, root)
        }
    };
    let Value::Mapping(entries) = &root.value else {
        return None;
    };
    let (key, node) = entries.iter().find(|(key, _)| key.text() == Some("admin"))?;
    let options = LoadOptions {
        env,
        keys: KeyPolicy::Required,
    };
    admin(
        &mut Reader::new(source, files_read, &options),
        Some((node, key.place)),
        &[],
    )
}

/// Returns the line that begins with `admin:` and those indented below it, from a file that does not parse as YAML.
fn section(text: &str) -> &str {
    let Some(begin) = text
        .match_indices("admin:")
        .map(|(at, _)| at)
        .find(|&at| at == 0 || text[..at].ends_with('\n'))
    else {
        return "";
    };
    let section = &text[begin..];
    let end = section
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .find(|&at| !section[at..].starts_with([' ', '\t', '\r', '\n']));
    &section[..end.unwrap_or(section.len())]
}

fn plain(reader: &mut Reader<'_>, node: &Node) -> Option<Admin> {
    let text = reader.text(node, "the admin listener's address")?;
    let written = match text.origin {
        Origin::StandIn => STAND_IN,
        _ => &text.value,
    };
    let address = listen::parse(written).map_err(|complaint| reader.complain(&text, complaint));
    Some(Admin {
        address: address.ok()?,
        hosts: Vec::new(),
    })
}

fn mapping(reader: &mut Reader<'_>, node: &Node, at: Place) -> Option<(Admin, Place, bool)> {
    let fields = reader.fields(node, at, "`admin`", &keys::ADMIN)?;
    let hosts = browser::hosts(reader, fields.section("hosts"));
    let open = fields
        .get("open")
        .and_then(|node| reader.value(node, "`open`", quantity::boolean))
        .unwrap_or(false);
    let node = fields.required(reader, "address")?;
    let admin = plain(reader, node)?;
    Some((Admin { hosts, ..admin }, node.place, open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_a_file_that_is_no_yaml() {
        for (text, expected) in [
            ("admin: a:1\nlisten: [\n", "admin: a:1\n"),
            (
                "listen: [\nadmin:\n  address: a:1\n\n  open: true\nroutes: {",
                "admin:\n  address: a:1\n\n  open: true\n",
            ),
            ("x: {\nadmin: a:1", "admin: a:1"),
            ("x:\n  admin: a:1\n# admin: b:2\n", ""),
        ] {
            assert_eq!(section(text), expected, "{text}");
        }
    }
}
