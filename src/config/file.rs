//! Files that are read when a configuration is loaded, so that a reload reads them again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Enough for some ten thousand routes.
pub(super) const CONFIGURATION_BYTES_MAX: u64 = 1 << 20;

/// Reads at most `max_bytes`.
///
/// # Errors
/// Says what went wrong, as the end of a sentence: "permission denied".
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
