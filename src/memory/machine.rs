//! How much memory this process may use: the machine's, or what a control group leaves of it.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The bound is one part in so many of the memory that there is, where the configuration names none.
const DEFAULT_PARTS: u64 = 4;
/// The least bound that is worth having.
const LEAST_BYTES: u64 = 1 << 20;
/// What is supposed where the system tells nothing.
const SUPPOSED_BYTES: u64 = 4 << 30;

/// The bound where the configuration names none: a quarter of the machine's memory, or of the smallest limit that holds
/// for this process's control group and those above it.
pub fn default_bound_bytes() -> usize {
    let machine = rustix::system::sysinfo();
    let machine = u64::from(machine.mem_unit) * machine.totalram;
    let limits = [limit_bytes(Path::new("/")), (machine > 0).then_some(machine)];
    let memory = limits.into_iter().flatten().min().unwrap_or(SUPPOSED_BYTES);
    usize::try_from((memory / DEFAULT_PARTS).max(LEAST_BYTES)).unwrap_or(usize::MAX >> 1)
}

/// The smallest limit of the control groups of this process, from its own up to the root: version 2 (`memory.max`) and
/// version 1 (`memory.limit_in_bytes`). `root` is `/`.
fn limit_bytes(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        // `HIERARCHY:CONTROLLERS:PATH` (cgroups(7)); version 2 has no controllers here.
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        smallest_upwards(&root.join(mount), Path::new(path), file)
    });
    limits.min()
}

/// What `file` says at `path` below `mount` and in every directory above it. A container that sees its own group as the
/// root may be told a path that it does not have: then only what is there counts.
fn smallest_upwards(mount: &Path, path: &Path, file: &str) -> Option<u64> {
    let inner: PathBuf = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    let limits = inner.ancestors().filter_map(|group| {
        let text = fs::read_to_string(mount.join(group).join(file)).ok()?;
        // `max` is no limit.
        text.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        limit_bytes(root.path())
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let unlimited = ("sys/fs/cgroup/a/memory.max", "max\n");
        let own = ("proc/self/cgroup", "0::/a/b.service\n");
        assert_eq!(limit(&[own, unlimited]), None);
        assert_eq!(
            limit(&[own, unlimited, ("sys/fs/cgroup/a/b.service/memory.max", "1000\n")]),
            Some(1000)
        );
        assert_eq!(
            limit(&[
                own,
                ("sys/fs/cgroup/a/memory.max", "500\n"),
                ("sys/fs/cgroup/a/b.service/memory.max", "1000\n")
            ]),
            Some(500)
        );
    }

    #[test]
    fn version_one_is_read_too() {
        let own = "12:pids:/x\n4:cpu,memory:/docker/0a1b\n1:name=systemd:/y\n0::/z\n";
        let own = ("proc/self/cgroup", own);
        let memory = "sys/fs/cgroup/memory/docker/0a1b/memory.limit_in_bytes";
        assert_eq!(limit(&[own, (memory, "700\n")]), Some(700));
        // A container without a namespace for its group sees the group's files at the root.
        assert_eq!(
            limit(&[own, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "800\n")]),
            Some(800)
        );
    }

    #[test]
    fn a_path_leads_nowhere_else() {
        let own = ("proc/self/cgroup", "0::/../../etc\n");
        assert_eq!(limit(&[own, ("sys/fs/etc/memory.max", "1\n")]), None);
        assert_eq!(limit(&[]), None, "a system without control groups");
    }

    #[test]
    fn there_is_always_a_bound() {
        assert!(default_bound_bytes() as u64 >= LEAST_BYTES);
    }
}
