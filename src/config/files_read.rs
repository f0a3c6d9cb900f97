//! What was read for a configuration, its file and those that it names, and whether they have changed since.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256, digest};

/// Enough digits to tell two configurations apart, and few enough to read aloud.
const HASH_HEX_DIGITS: usize = 12;

/// What [`load`](super::load) read.
#[derive(Debug, Clone)]
pub struct Read {
    /// The first 12 hex digits of the SHA-256 of the file's bytes; `None` if it could not be read.
    pub hash: Option<Arc<str>>,
    /// The configuration's own file and those that it names (keys, certificates), there or not.
    pub files: BTreeSet<PathBuf>,
    pub content: Content,
}

/// A digest of every file that was read, for comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Content([u8; 32]);

impl std::fmt::Debug for Content {
    /// The digest is not shown, because it covers keys too.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content(…)")
    }
}

/// A [`Read`] in the making.
pub(super) struct FilesRead {
    hash: Option<Arc<str>>,
    files: BTreeSet<PathBuf>,
    content: Context,
}

impl FilesRead {
    /// Begins with the configuration's own file and what came of reading it.
    pub(super) fn of(file: &Path, outcome: &Result<Vec<u8>, String>) -> Self {
        let mut files_read = Self {
            hash: outcome.as_deref().ok().map(hash),
            files: BTreeSet::new(),
            content: Context::new(&SHA256),
        };
        files_read.add(file, outcome);
        files_read
    }

    pub(super) fn add(&mut self, file: &Path, outcome: &Result<Vec<u8>, String>) {
        let (tag, bytes) = match outcome {
            Ok(bytes) => (b"+", bytes.as_slice()),
            Err(reason) => (b"-", reason.as_bytes()),
        };
        self.content.update(tag);
        self.content.update(&(bytes.len() as u64).to_le_bytes());
        self.content.update(bytes);
        self.files.insert(file.to_path_buf());
    }

    pub(super) fn finish(self) -> Read {
        let mut content = [0; 32];
        content.copy_from_slice(self.content.finish().as_ref());
        Read {
            hash: self.hash,
            files: self.files,
            content: Content(content),
        }
    }
}

fn hash(bytes: &[u8]) -> Arc<str> {
    let hex: String = digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex[..HASH_HEX_DIGITS].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, Result<&str, &str>)]) -> Read {
        let outcome = |outcome: &Result<&str, &str>| outcome.map(Vec::from).map_err(str::to_owned);
        let mut files_read = FilesRead::of(Path::new(files[0].0), &outcome(&files[0].1));
        for (file, what) in &files[1..] {
            files_read.add(Path::new(file), &outcome(what));
        }
        files_read.finish()
    }

    #[test]
    fn the_hash_is_what_sha256sum_shows() {
        assert_eq!(read(&[("c", Ok("abc"))]).hash.as_deref(), Some("ba7816bf8f01"));
        assert_eq!(read(&[("c", Err("permission denied"))]).hash, None);
    }

    #[test]
    fn the_content_is_that_of_every_file() {
        let before = read(&[("c", Ok("a")), ("key", Ok("1"))]);
        assert_eq!(before.files, BTreeSet::from(["c".into(), "key".into()]));
        for after in [
            [("c", Ok("a")), ("key", Ok("2"))],
            [("c", Ok("b")), ("key", Ok("1"))],
            [("c", Ok("a")), ("key", Err("1"))],
            [("c", Ok("a1")), ("key", Ok(""))],
        ] {
            assert_ne!(read(&after).content, before.content, "{after:?}");
        }
        assert_eq!(read(&[("c", Ok("a")), ("key", Ok("1"))]).content, before.content);
    }
}
