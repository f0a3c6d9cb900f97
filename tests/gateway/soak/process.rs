//! What a process holds open, as Linux tells it (proc(5)).

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// `st` in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";
const LISTEN: &str = "0A";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) threads: usize,
    /// Everything that is not a TCP socket: files, pipes, timers, pairs of unix sockets.
    pub(super) others: usize,
    pub(super) listening: usize,
    /// Connections that clients have opened to the gateway's listeners.
    pub(super) from_clients: usize,
    pub(super) to_upstreams: usize,
    /// What is no longer simply open: its peer has closed, or the kernel has forgotten it.
    pub(super) closing: usize,
}

impl Open {
    /// What process `pid` holds, which listens at `addresses`.
    pub(super) fn of(pid: u32, addresses: &[SocketAddr]) -> Self {
        let mut open = Self {
            threads: list(&format!("/proc/{pid}/task")).count(),
            ..Self::default()
        };
        let mut sockets = HashSet::new();
        for descriptor in list(&format!("/proc/{pid}/fd")) {
            // One that was closed meanwhile is not open.
            let Ok(target) = fs::read_link(descriptor) else {
                continue;
            };
            let target = target.to_string_lossy().into_owned();
            match target
                .strip_prefix("socket:[")
                .and_then(|inode| inode.strip_suffix(']'))
            {
                Some(inode) => drop(sockets.insert(inode.to_owned())),
                None => open.others += 1,
            }
        }
        let listeners: Vec<_> = addresses.iter().map(as_in_table).collect();
        for fields in table(pid, "tcp").filter(|fields| sockets.remove(&fields[9])) {
            match (fields[3].as_str(), listeners.contains(&fields[1])) {
                (LISTEN, _) => open.listening += 1,
                (_, true) => open.from_clients += 1,
                (ESTABLISHED, false) => open.to_upstreams += 1,
                (_, false) => open.closing += 1,
            }
        }
        open.others += table(pid, "unix").filter(|fields| sockets.remove(&fields[6])).count();
        open.closing += sockets.len();
        open
    }
}

/// An address as the table of sockets has it.
fn as_in_table(address: &SocketAddr) -> String {
    let IpAddr::V4(ip) = address.ip() else {
        panic!("the gateway listens on IPv4")
    };
    format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port())
}

/// The lines of a table of sockets, in fields.
fn table(pid: u32, name: &str) -> impl Iterator<Item = Vec<String>> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/{name}")).expect("Linux tells it");
    let lines: Vec<_> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect();
    lines.into_iter()
}

fn list(directory: &str) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("the process lives");
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path()))
}
