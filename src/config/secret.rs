//! `key`: where an upstream's credential comes from.

use std::path::Path;

use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::diagnostic::Diagnostic;
use super::document::{Node, Value};
use super::interpolate::{Origin, is_name};
use super::literal_key::{self, Suspicion};
use super::reader::{Reader, STAND_IN, Text, quotable, quote};
use super::source::Place;
use super::{Key, Secret, Upstream, base_url, key_file, keys};

const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
/// The packaged unit hands over `/etc/switchback/keys/NAME` under this and `NAME`.
const PACKAGED: &str = "keys_";
const HELP: &str = "write `${VAR}`, `{ env: VAR }`, `{ file: PATH }`, `{ credential: NAME }`, `passthrough` or `none`";

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: for the header of a request to its own upstream, nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Stands for a credential that is not there and need not be.
    fn placeholder() -> Self {
        Self::new(STAND_IN)
    }

    /// Returns whether it stands for a credential that is not there; only with [`super::KeyPolicy::Optional`].
    pub fn is_placeholder(&self) -> bool {
        self.0 == STAND_IN
    }
}

/// Reads `key` of `upstream`, whose URL and `key_header` are known.
pub(super) fn key(reader: &mut Reader<'_>, node: &Node, at: Place, upstream: &Upstream) -> Key {
    match &node.value {
        Value::Scalar(_) => written(reader, node, upstream),
        Value::Mapping(_) => named(reader, node, at, upstream),
        Value::Nothing | Value::Sequence(_) | Value::Unquoted => {
            let place = if matches!(node.value, Value::Nothing) {
                at
            } else {
                node.place
            };
            let message = format!("`key` must be a single value or a mapping, found {}", node.kind());
            reader.report(Diagnostic::error("wrong-type", place, message).help(HELP));
            Key::None
        }
    }
}

fn written(reader: &mut Reader<'_>, node: &Node, upstream: &Upstream) -> Key {
    let keyword = match node.text() {
        Some("passthrough") => Some(Key::Passthrough),
        Some("none") => Some(Key::None),
        _ => None,
    };
    if let Some(key) = keyword {
        return key;
    }
    let Some(text) = reader.text(node, "`key`") else {
        return Key::None;
    };
    let shown = match text.origin {
        Origin::Variable => quote(text.written),
        _ => "this key".to_owned(),
    };
    if text.origin == Origin::Written
        && let Some(suspicion) = literal_key::as_written(&text.value)
    {
        suspect(reader, text.place, &shown, suspicion, upstream);
        return Key::Secret(Secret::new(text.value));
    }
    secret(reader, text.place, &shown, &text.value, upstream)
}

/// `{ env }`, `{ file }` or `{ credential }`.
fn named(reader: &mut Reader<'_>, node: &Node, at: Place, upstream: &Upstream) -> Key {
    const FORMS: [&str; 3] = ["credential", "env", "file"];
    let Some(fields) = reader.fields(node, at, "`key`", &keys::KEY) else {
        return Key::None;
    };
    let given: Vec<&str> = FORMS.into_iter().filter(|form| fields.get(form).is_some()).collect();
    let &[form] = given.as_slice() else {
        let message = if given.is_empty() {
            "`key` is empty"
        } else {
            "`key` names more than one source"
        };
        reader.report(Diagnostic::error("bad-key", at, message).help(HELP));
        return Key::None;
    };
    let Some(text) = fields
        .get(form)
        .and_then(|node| reader.text(node, &format!("`{form}`")))
    else {
        return Key::None;
    };
    if form == "env" && !is_name(&text.value) {
        let message = "this is not the name of an environment variable";
        let help = "to take the key's value from `NAME`, write `{ env: NAME }`, without `$` or braces";
        reader.report(Diagnostic::error("bad-key", text.place, message).help(help));
        return Key::None;
    }
    let value = match form {
        "env" => reader.env(&text.value).ok_or_else(|| {
            Diagnostic::error(
                "unset-variable",
                text.place,
                format!("the environment variable {} is not set", quote(text.written)),
            )
        }),
        "file" => {
            let path = reader.resolve(&text.value);
            let value = from_file(reader, &text, &path);
            if value.is_ok() {
                key_file::warn_if_open(reader, &text, &path);
            }
            value
        }
        _ => from_credential(reader, &text),
    };
    match value {
        Ok(value) => secret(
            reader,
            text.place,
            &format!("the content of {}", quote(text.written)),
            &value,
            upstream,
        ),
        Err(_) if !reader.keys_required() => Key::Secret(Secret::placeholder()),
        Err(diagnostic) => {
            reader.report(diagnostic);
            Key::None
        }
    }
}

fn from_file(reader: &mut Reader<'_>, text: &Text<'_>, path: &Path) -> Result<String, Diagnostic> {
    let unreadable = |reason: &str| {
        Diagnostic::error(
            "unreadable-file",
            text.place,
            format!("can't read {}: {reason}", quote(text.written)),
        )
    };
    let bytes = reader
        .file(path, KEY_FILE_BYTES_MAX)
        .map_err(|reason| unreadable(&reason))?;
    String::from_utf8(bytes).map_err(|_| unreadable("it is not text"))
}

/// Reads a file in the directory that systemd's `LoadCredential=` made (systemd.exec(5), "credentials").
fn from_credential(reader: &mut Reader<'_>, text: &Text<'_>) -> Result<String, Diagnostic> {
    if text.value.is_empty() || text.value.contains('/') || text.value == ".." || text.value == "." {
        let message = format!("{} is not the name of a credential", quote(text.written));
        return Err(Diagnostic::error("bad-key", text.place, message)
            .help("it is the name given to `LoadCredential=`, without a path"));
    }
    let Some(directory) = reader.env("CREDENTIALS_DIRECTORY") else {
        let message = format!(
            "can't read the credential {}: `$CREDENTIALS_DIRECTORY` is not set",
            quote(text.written)
        );
        let help = match text.value.starts_with(PACKAGED) {
            true => "systemd sets it for the service. By hand: `systemd-run --wait --pipe -p DynamicUser=yes -p \
                 LoadCredential=keys:/etc/switchback/keys switchback check --config FILE`"
                .to_owned(),
            false => format!(
                "systemd sets it for a service with `LoadCredential={}:PATH`",
                quotable(text.written)
            ),
        };
        return Err(Diagnostic::error("unreadable-file", text.place, message).help(help));
    };
    let path = Path::new(&directory).join(&text.value);
    let is_there = path.exists();
    from_file(reader, text, &path).map_err(|fault| match text.written.strip_prefix(PACKAGED) {
        _ if is_there => fault,
        Some(name) => fault.help(format!(
            "write the key to `/etc/switchback/keys/{}`, then restart: systemd passes credentials when the service starts",
            quotable(name)
        )),
        None => fault.help(format!(
            "add `LoadCredential={}:PATH` to the unit; it takes effect at the next start",
            quotable(text.written)
        )),
    })
}

/// Reports what is probably no key. A known provider would refuse it; elsewhere it may be one, or nobody asks for it.
fn suspect(reader: &mut Reader<'_>, place: Place, shown: &str, suspicion: Suspicion, upstream: &Upstream) {
    let message = format!("{shown} {}", suspicion.reason);
    let diagnostic = if base_url::is_known(&upstream.url) {
        Diagnostic::error("not-a-key", place, message)
    } else {
        Diagnostic::warning("not-a-key", place, message)
    };
    reader.report(diagnostic.help(suspicion.help));
}

/// Drops the trailing newline and checks that a header can carry the rest.
fn secret(reader: &mut Reader<'_>, place: Place, shown: &str, value: &str, upstream: &Upstream) -> Key {
    let trimmed = value.trim_end_matches(['\r', '\n']);
    let fault = if trimmed.is_empty() {
        "is empty"
    } else if HeaderValue::from_str(trimmed).is_err() || trimmed.trim() != trimmed {
        "is not a key that a header can carry: it has a line break, a space at an end or a control character"
    } else {
        let is_token = upstream
            .key_header
            .as_ref()
            .is_none_or(|name| *name == AUTHORIZATION || name.as_str() == "x-api-key");
        if let Some(suspicion) = literal_key::as_value(trimmed, is_token).filter(|_| reader.keys_required()) {
            suspect(reader, place, shown, suspicion, upstream);
        }
        return Key::Secret(Secret::new(trimmed));
    };
    if !reader.keys_required() {
        return Key::Secret(Secret::placeholder());
    }
    reader.report(Diagnostic::error("bad-key", place, format!("{shown} {fault}")));
    Key::None
}
