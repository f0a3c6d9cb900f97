//! The files that a configuration names: keys and PEM. Read when it is loaded, so that a reload reads them again.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Complaint, Diagnostic};
use super::document::Node;
use super::reader::{Reader, Text, quote};

/// A certificate bundle of every public authority is a quarter of this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads at most `max_bytes`.
///
/// # Errors
/// What went wrong, as the end of a sentence: "permission denied".
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let reason = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    // A named pipe would block, a device never end.
    if !std::fs::metadata(path).map_err(reason)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
        .map_err(reason)?;
    if bytes.len() as u64 > max_bytes {
        Err(format!("it is larger than {max_bytes} bytes"))
    } else {
        Ok(bytes)
    }
}

/// Where Docker, Podman and Kubernetes put secrets that one container alone sees, with a mode that says otherwise.
const CONTAINER_SECRETS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Warns where every user of this machine can read the key in the file at `path`. (That a group can is how root hands a
/// key to the service.)
pub(super) fn warn_if_open(reader: &mut Reader<'_>, text: &Text<'_>, path: &Path) {
    let is_open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    let is_containers = CONTAINER_SECRETS.iter().any(|directory| path.starts_with(directory));
    if is_open && !is_containers && reader.keys_required() {
        let message = format!("every user of this machine can read the key in {}", quote(text.written));
        reader.report(
            Diagnostic::warning("open-key-file", text.place, message)
                .help("take the others' right away: `chmod o-r FILE`"),
        );
    }
}

/// What a PEM file is expected to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pem {
    Certificates,
    PrivateKey,
}

impl Pem {
    fn name(self) -> &'static str {
        match self {
            Self::Certificates => "certificate",
            Self::PrivateKey => "private key",
        }
    }

    fn has_label(self, label: &str) -> bool {
        match self {
            Self::Certificates => matches!(label, "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE"),
            Self::PrivateKey => matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY"),
        }
    }
}

/// The bytes of the PEM file that the scalar `node` names. `None` after a fault, or where it is optional and not there.
pub(super) fn pem(reader: &mut Reader<'_>, node: &Node, what: &str, expected: Pem) -> Option<Arc<[u8]>> {
    let text = reader.text(node, what)?;
    let path = reader.resolve(&text.value);
    match reader.file(&path, FILE_BYTES_MAX) {
        Ok(bytes) => match check(&bytes, expected) {
            Ok(()) => {
                if expected == Pem::PrivateKey {
                    warn_if_open(reader, &text, &path);
                }
                return Some(bytes.into());
            }
            Err(complaint) => reader.complain(&text, complaint),
        },
        Err(_) if !reader.keys_required() => {}
        Err(reason) => {
            reader.error(
                "unreadable-file",
                text.place,
                format!("can't read {}: {reason}", quote(text.written)),
            );
        }
    }
    None
}

/// Whether there is at least one whole block of the expected kind (RFC 7468).
fn check(bytes: &[u8], expected: Pem) -> Result<(), Complaint> {
    let name = expected.name();
    let bad = |reason: &str| {
        Err(Complaint::new(
            "not-pem",
            reason,
            format!("expected a {name} in PEM form"),
        ))
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bad("is not a PEM file: it is binary");
    };
    let mut open: Option<(&str, bool)> = None;
    let mut others = Vec::new();
    let mut found = false;
    for line in text.lines().map(str::trim) {
        if let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        {
            if open.is_some() {
                return bad("is not a whole PEM file: a block begins inside another");
            }
            open = Some((label, false));
        } else if let Some(label) = line
            .strip_prefix("-----END ")
            .and_then(|rest| rest.strip_suffix("-----"))
        {
            match open.take() {
                Some((begun, true)) if begun == label && expected.has_label(label) => found = true,
                Some((begun, true)) if begun == label => others.push(label),
                _ => return bad("is not a whole PEM file: a block has no content or another end"),
            }
        } else if let Some((_, filled)) = &mut open {
            let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            // Encrypted keys in the old form have headers: they are refused by their label or by these.
            if !line.bytes().all(base64) {
                return bad("is not a PEM file: a block is not base64");
            }
            *filled |= !line.is_empty();
        }
    }
    match others.first() {
        _ if open.is_some() => bad("is not a whole PEM file: its last block has no end"),
        _ if found => Ok(()),
        Some(&"ENCRYPTED PRIVATE KEY") => bad("is an encrypted key: Switchback can't ask for its password"),
        Some(other) => bad(&format!("holds a block `{other}` and no {name}")),
        None => bad("is not a PEM file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str, expected: Pem) -> Option<String> {
        check(text.as_bytes(), expected).err().map(|complaint| complaint.reason)
    }

    #[test]
    fn whole_blocks_are_accepted() {
        let cert = "a comment\r\n-----BEGIN CERTIFICATE-----\r\nTUlJ\r\nQg==\r\n-----END CERTIFICATE-----\r\n";
        let key = "-----BEGIN EC PRIVATE KEY-----\nTUlJ\n-----END EC PRIVATE KEY-----";
        assert_eq!(reason(cert, Pem::Certificates), None);
        assert_eq!(reason(key, Pem::PrivateKey), None);
        assert_eq!(reason(&format!("{cert}{key}"), Pem::PrivateKey), None);
    }

    #[test]
    fn anything_else_is_not() {
        for (text, expected, part) in [
            ("", Pem::Certificates, "is not a PEM file"),
            ("hello", Pem::PrivateKey, "is not a PEM file"),
            ("-----BEGIN CERTIFICATE-----\nTUlJ\n", Pem::Certificates, "no end"),
            (
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                Pem::Certificates,
                "no content",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nTU*J\n-----END CERTIFICATE-----\n",
                Pem::Certificates,
                "not base64",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----\n",
                Pem::PrivateKey,
                "no private key",
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nTUlJ\n-----END ENCRYPTED PRIVATE KEY-----\n",
                Pem::PrivateKey,
                "encrypted",
            ),
        ] {
            let reason = reason(text, expected).unwrap_or_default();
            assert!(reason.contains(part), "{text:?}: {reason}");
        }
        assert!(check(b"\x30\x82\xff", Pem::Certificates).is_err());
    }
}
