//! The PEM files that a configuration names: certificates and private keys.

use std::sync::Arc;

use super::diagnostic::Complaint;
use super::document::Node;
use super::key_file;
use super::reader::{Reader, quote};

/// A certificate bundle of every public authority is a quarter of this.
const FILE_BYTES_MAX: u64 = 1 << 20;

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
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, what: &str, expected: Pem) -> Option<Arc<[u8]>> {
    let text = reader.text(node, what)?;
    let path = reader.resolve(&text.value);
    match reader.file(&path, FILE_BYTES_MAX) {
        Ok(bytes) => match check(&bytes, expected) {
            Ok(()) => {
                if expected == Pem::PrivateKey {
                    key_file::warn_if_open(reader, &text, &path);
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

/// Checks that there is at least one complete block of the expected kind (RFC 7468).
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
