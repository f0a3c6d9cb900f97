//! Whether files have changed: each is checked twice a second.
//!
//! A check follows symbolic links to the end, so that a replaced file, a link that was turned elsewhere in any
//! directory on the way (as Kubernetes does), and a file that is written in place are all noticed. inotify would need a
//! watch for every directory of every link, and notices nothing on network and FUSE file systems.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The time between two checks while nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The time between two checks while something does.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Files that have been unchanged for this long are complete.
const SETTLED_AFTER: Duration = Duration::from_millis(300);
/// Files that never stop changing are read after this time all the same.
const SETTLED_AT_LAST: Duration = Duration::from_secs(5);

/// Identifies the file at a path, and its state; `None`: there is none that could be examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print(Option<Stat>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    file: (u64, u64),
    len_bytes: u64,
    modified: (i64, i64),
    /// The time of change, which moves also where the rest is made to look the same.
    changed: (i64, i64),
}

impl Print {
    fn of(file: &Path) -> Self {
        Self(std::fs::metadata(file).ok().map(|found| Stat {
            file: (found.dev(), found.ino()),
            len_bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }))
    }
}

/// The files that are watched, as they were when they were last read.
pub(super) struct Watch {
    files: BTreeMap<PathBuf, Option<Print>>,
    unsettled: Option<Unsettled>,
}

/// A change that may not be over.
struct Unsettled {
    seen: Vec<Print>,
    begun: Instant,
    last_change: Instant,
}

impl Watch {
    /// The first look finds `files` changed: they may have been since they were read.
    pub(super) fn new(files: &BTreeSet<PathBuf>) -> Self {
        Self {
            files: files.iter().map(|file| (file.clone(), None)).collect(),
            unsettled: None,
        }
    }

    /// Returns how long to wait before the next check.
    pub(super) fn pause(&self) -> Duration {
        match self.unsettled {
            Some(_) => LOOK_AGAIN,
            None => LOOK_EVERY,
        }
    }

    /// Returns whether files have changed since they were last read, and have settled by now.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        let seen: Vec<Print> = self.files.keys().map(|file| Print::of(file)).collect();
        if std::iter::zip(&seen, self.files.values()).all(|(seen, read)| Some(*seen) == *read) {
            self.unsettled = None;
            return false;
        }
        let unsettled = self.unsettled.get_or_insert_with(|| Unsettled {
            seen: seen.clone(),
            begun: now,
            last_change: now,
        });
        if unsettled.seen != seen {
            unsettled.seen = seen;
            unsettled.last_change = now;
        }
        now.duration_since(unsettled.last_change) >= SETTLED_AFTER
            || now.duration_since(unsettled.begun) >= SETTLED_AT_LAST
    }

    /// Call this before the files are read: changes from here on will be noticed.
    pub(super) fn reading(&mut self) {
        self.unsettled = None;
        for (file, read) in &mut self.files {
            *read = Some(Print::of(file));
        }
    }

    /// Watches these files from now on.
    pub(super) fn follow<'f>(&mut self, files: impl Iterator<Item = &'f PathBuf>) {
        let known = std::mem::take(&mut self.files);
        for file in files {
            // One that is new was read just now.
            let read = known.get(file).copied().unwrap_or_else(|| Some(Print::of(file)));
            self.files.insert(file.clone(), read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watch(file: &Path) -> Watch {
        Watch::new(&BTreeSet::from([file.to_path_buf()]))
    }

    fn settle(watch: &mut Watch, from: Instant) -> bool {
        watch.look(from + SETTLED_AFTER * 3)
    }

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c");
        fs::write(&file, "1").unwrap();
        let mut watch = watch(&file);
        let start = Instant::now();
        watch.reading();
        assert!(!watch.look(start));
        assert_eq!(watch.pause(), LOOK_EVERY);
        fs::write(&file, "12").unwrap();
        assert!(!watch.look(start), "it may be written still");
        assert_eq!(watch.pause(), LOOK_AGAIN);
        fs::write(&file, "123").unwrap();
        assert!(!watch.look(start + SETTLED_AFTER), "it was");
        assert!(!watch.look(start + SETTLED_AFTER * 2 - Duration::from_millis(1)));
        assert!(watch.look(start + SETTLED_AFTER * 2));
        watch.reading();
        assert!(!settle(&mut watch, start));
    }

    #[test]
    fn a_file_written_without_end_is_read_at_last() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c");
        let mut watch = watch(&file);
        watch.reading();
        let start = Instant::now();
        let mut looks: u32 = 0;
        loop {
            fs::write(&file, "x".repeat(looks as usize + 1)).unwrap();
            if watch.look(start + LOOK_AGAIN * looks) {
                break;
            }
            looks += 1;
        }
        assert_eq!(LOOK_AGAIN * looks, SETTLED_AT_LAST);
    }

    #[test]
    fn what_was_never_read_counts_as_changed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c");
        fs::write(&file, "1").unwrap();
        let mut watch = watch(&file);
        let start = Instant::now();
        assert!(!watch.look(start));
        assert!(settle(&mut watch, start));
    }

    #[test]
    fn files_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        let mut watch = watch(&a);
        watch.reading();
        watch.follow([&a, &b, &b].into_iter());
        let start = Instant::now();
        assert!(!watch.look(start), "that a file is missing is no change");
        fs::write(&b, "1").unwrap();
        assert!(!watch.look(start));
        assert!(settle(&mut watch, start));
        watch.follow([&a].into_iter());
        assert!(!settle(&mut watch, start));
    }
}
