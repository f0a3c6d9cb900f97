//! Files that hold a key: an upstream's, or a certificate's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::reader::{Reader, Text, quote};

/// Where Docker, Podman and Kubernetes put secrets that a single container sees, with a mode that suggests otherwise.
const CONTAINER_SECRETS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Warns where every user of this machine can read the key in the file at `path`. (A key that a group can read is how
/// root hands it to the service.)
pub(super) fn warn_if_open(reader: &mut Reader<'_>, text: &Text<'_>, path: &Path) {
    let is_open = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    let is_containers = CONTAINER_SECRETS.iter().any(|directory| path.starts_with(directory));
    if is_open && !is_containers && reader.keys_required() {
        let message = format!("every user of this machine can read the key in {}", quote(text.written));
        reader.report(
            Diagnostic::warning("open-key-file", text.place, message).help("remove their permission: `chmod o-r FILE`"),
        );
    }
}
